//! The size of each user's log, and the free space of the file system (ISO-6).

use std::path::Path;

/// The step of the schema that adds the counts to each user's row.
pub(super) const SCHEMA: &str = "
    ALTER TABLE users ADD COLUMN kept_bytes  INTEGER NOT NULL DEFAULT 0;  -- of `lines` in its `batches`
    ALTER TABLE users ADD COLUMN spent_bytes INTEGER NOT NULL DEFAULT 0;  -- level of its leaky bucket
    ALTER TABLE users ADD COLUMN spent_at    INTEGER NOT NULL DEFAULT 0;  -- time of that level
    UPDATE users SET kept_bytes =
        (SELECT coalesce(sum(length(lines)), 0) FROM batches WHERE batches.user = users.id);
    ";

/// Returns the bytes that a process of this user may still write to the file system that `folder` is on;
/// `None` where the file system does not count them.
///
/// # Errors
///
/// Returns an error if the file system does not answer.
pub(super) fn free_bytes(folder: &Path) -> std::io::Result<Option<u64>> {
    let free = rustix::fs::statvfs(folder)?;
    Ok((free.f_blocks > 0).then(|| free.f_bavail.saturating_mul(free.f_frsize)))
}

/// Returns the folder of a file.
pub(super) fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
