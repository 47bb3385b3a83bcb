//! Online backup of the journal.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use quintet_kernel::ids::Timestamp;
use quintet_runtime::private;
use rusqlite::{Connection, params};

use super::{
    fault::{self, BackupError, OpenError, open_fault},
    lock::CopyLock,
    resumes,
    schema::{self, DATABASE_FILE},
    space,
};
use crate::JournalError;

/// Copies the database at `from`, as it is at this moment, into the folder `to`, which is created if missing. The
/// copy is durable on return. Appends continue meanwhile.
///
/// The copy is marked, so that a service that opens it begins a new epoch: it lacks the entries that follow the copy,
/// and cursors past it must get a gap (DEL-3).
pub(super) fn backup(from: &Path, to: &Path, now: Timestamp) -> Result<(), BackupError> {
    let _copying = CopyLock::shared(from)?;
    let target = to.join(DATABASE_FILE);
    let partial = to.join(format!("{DATABASE_FILE}.partial"));
    let file = |source: std::io::Error| BackupError::File { to: to.to_owned(), source };
    let is_new = !to.try_exists().map_err(file)?;
    private::make_folder(to, DATABASE_FILE).map_err(file)?;
    if target.try_exists().map_err(file)? {
        return Err(BackupError::Exists { path: target });
    }
    let copied = copy_to(from, &partial, now).and_then(|()| {
        fs::rename(&partial, &target).map_err(file)?;
        File::open(to).and_then(|folder| folder.sync_all()).map_err(file)
    });
    if copied.is_err() {
        clear(&partial, is_new.then_some(to));
    }
    copied
}

/// Writes the copy under a temporary name.
fn copy_to(from: &Path, partial: &Path, now: Timestamp) -> Result<(), BackupError> {
    let to = space::folder(partial);
    let file = |source: std::io::Error| BackupError::File { to: to.to_owned(), source };
    // A process that was killed during a backup may have left one.
    remove(partial).map_err(file)?;
    // AUTH-6: SQLite keeps the mode of an existing empty file.
    private::create_file(partial).map_err(file)?;
    copy(from, partial, now).map_err(|source| copy_fault(from, to, source))?;
    File::open(partial).and_then(|copy| copy.sync_all()).map_err(file)
}

fn copy_fault(from: &Path, to: &Path, source: rusqlite::Error) -> BackupError {
    if fault::is_full(&source, || space::free_bytes(to)) {
        return BackupError::Full { to: to.to_owned(), source };
    }
    match fault::fault(&source) {
        damaged @ JournalError::Damaged(_) => damaged.into(),
        // Unlike an append, a backup is not retried by the service.
        JournalError::Unavailable(_) => {
            BackupError::Storage { from: from.to_owned(), to: to.to_owned(), source }
        }
    }
}

/// Removes the files of an incomplete copy, and its folder if the backup created it.
fn clear(partial: &Path, made: Option<&Path>) {
    let files = ["", "-journal", "-wal", "-shm"].map(|suffix| {
        let mut file = partial.as_os_str().to_owned();
        file.push(suffix);
        PathBuf::from(file)
    });
    for file in &files {
        if let Err(error) = remove(file) {
            tracing::warn!(%error, path = %file.display(), "a part of the backup that failed is left");
        }
    }
    if let Some(folder) = made
        && let Err(error) = fs::remove_dir(folder)
    {
        tracing::warn!(%error, path = %folder.display(), "the folder of the backup that failed is left");
    }
}

/// Removes a file. A missing file is ignored.
fn remove(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies the journal in the data folder `folder`, in use or not, into the folder `to`. The copy is durable on
/// return; a service that opens it begins a new epoch, so that cursors past the copy get a gap (DEL-3).
///
/// # Errors
///
/// Returns [`OpenError`] if there is no journal in `folder`, if it cannot be read, or if the copy cannot be written.
pub fn backup_folder(folder: &Path, to: &Path, now: Timestamp) -> Result<(), OpenError> {
    let path = folder.join(DATABASE_FILE);
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(OpenError::NoJournal { folder: folder.to_owned() });
    }
    let connection = schema::open_to_read(&path).map_err(|source| open_fault(path.clone(), source))?;
    schema::require_ours(&connection, &path)?;
    drop(connection);
    Ok(backup(&path, to, now)?)
}

fn copy(from: &Path, to: &Path, now: Timestamp) -> rusqlite::Result<()> {
    let source = schema::open_to_read(from)?;
    // The snapshot of the copy blocks neither writer nor readers (write-ahead log).
    source.pragma_update(None, "query_only", false)?;
    source.execute("VACUUM INTO ?1", params![to.to_string_lossy()])?;
    drop(source);
    let copy = Connection::open(to)?;
    schema::mark_as_backup(&copy, now)?;
    resumes::release_all(&copy)?;
    copy.close().map_err(|(_, error)| error)
}
