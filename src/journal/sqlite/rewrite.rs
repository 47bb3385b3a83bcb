//! The one-time rewrite of a journal that was written without `PRAGMA secure_delete` (DEL-8).
//!
//! Pages of such a database may contain text that was trimmed, in free pages, in free blocks, or behind the end of a
//! shorter text. So before its migration the database is copied by `VACUUM INTO`, which writes live rows only, and the
//! copy takes its place. This needs as much free space as the journal has bytes. A crash at any point leaves the old
//! database or the new one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use quintet_runtime::private;
use rusqlite::{Connection, OpenFlags, config::DbConfig, params};

use super::{
    check,
    fault::{OpenError, open_fault},
    lock::CopyLock,
    schema, space,
};

/// The first schema whose journals were always written with `secure_delete`.
const SECURE_SCHEMA: u32 = 7;

/// Rewrites the database at `path` if it is of an older schema. The folder must be locked, and the log settled.
pub(super) fn rewrite_once(path: &Path, check_bytes_max: u64) -> Result<(), OpenError> {
    if !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(());
    }
    let fault = |source| open_fault(path.to_owned(), source);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(fault)?;
    // Without this, closing the connection deletes the log, and a process that dies right after leaves a database that
    // looks as if entries were lost (DEL-3).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fault)?;
    schema::require_ours(&connection, path)?;
    let version: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    if version == 0 || version >= SECURE_SCHEMA {
        return Ok(());
    }
    tracing::info!(
        "the journal is rewritten once, so that nothing of its trimmed entries remains in the file"
    );
    let unusable = |source| OpenError::Folder { folder: space::folder(path).to_owned(), source };
    let _alone = CopyLock::alone(path).map_err(|error| unusable(std::io::Error::other(error)))?;
    schema::configure_writer(&connection).map_err(fault)?;
    // A copy has no damage that the original has in its index.
    check::check(&connection, path, check_bytes_max)?;
    // The log of the old database must not be applied to the new one.
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(fault)?;
    if busy {
        return Err(unusable(std::io::Error::other("another process reads the journal")));
    }
    let copy = copy_of(path);
    match fs::remove_file(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(error)),
        // Of a process that was killed meanwhile.
        _ => {}
    }
    // AUTH-6: SQLite keeps the mode of an existing empty file.
    private::create_file(&copy).map_err(unusable)?;
    let copied = connection.execute("VACUUM INTO ?1", params![copy.to_string_lossy()]);
    drop(connection);
    let replaced = copied.map_err(fault).and_then(|_| {
        File::open(&copy)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&copy, path))
            .and_then(|()| File::open(space::folder(path))?.sync_all())
            .map_err(unusable)
    });
    if replaced.is_err()
        && let Err(error) = fs::remove_file(&copy)
    {
        tracing::warn!(%error, path = %copy.display(), "a copy of the journal that failed is left");
    }
    replaced
}

fn copy_of(path: &Path) -> PathBuf {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".rewritten");
    copy.into()
}
