//! Detection of damaged or incomplete databases at open.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rusqlite::Connection;

use super::{
    fault::{OpenError, open_fault},
    lock::FolderLock,
    schema, wal,
};
use crate::engine::checksum;

/// Returns true if the database exists without a write-ahead log, as after a clean shutdown or if it was copied
/// alone. Returns an error if the files do not belong to one state of one journal (DEL-3).
pub(super) fn log_is_missing(folder: &Path, path: &Path, lock: &FolderLock) -> Result<bool, OpenError> {
    let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
    let bytes = |path: &Path| match path.metadata() {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(error)),
    };
    let gone = |what| Err(OpenError::JournalGone { path: path.to_owned(), what });
    let log = wal::log_of(path);
    let log_bytes = bytes(&log)?;
    match bytes(path)? {
        None if lock.had_journal() => gone("missing"),
        Some(0) if lock.had_journal() => gone("empty"),
        None | Some(0) => Ok(false),
        Some(_) => {
            let mut header = [0; WRITE_VERSION + 1];
            File::open(path).and_then(|mut file| file.read_exact(&mut header)).map_err(unusable)?;
            // A fresh copy by `quintet backup` has not been opened yet and cannot have a log.
            if header[WRITE_VERSION] == 1 && log_bytes.is_some_and(|bytes| bytes > 0) {
                return Err(OpenError::ForeignLog { path: path.to_owned(), log });
            }
            Ok(log_bytes.is_none())
        }
    }
}

/// Offset of the write version in the database header: 1 for a rollback journal, 2 for a write-ahead log
/// (<https://www.sqlite.org/fileformat2.html#file_format_version_numbers>).
const WRITE_VERSION: usize = 18;

/// Returns true if a damaged write-ahead log has lost entries and checks are off (`bytes_max` is 0), so that
/// the journal opens without them. Returns an error if checks are on.
pub(super) fn lost_entries(path: &Path, bytes_max: u64) -> Result<bool, OpenError> {
    let Some(what) = log_damage(path)? else { return Ok(false) };
    if bytes_max > 0 {
        let what = format!("{what}; with `check_bytes_max` 0 it opens without them, under a new epoch");
        return Err(OpenError::Damaged { path: path.to_owned(), what });
    }
    tracing::error!(%what, "the journal opens without the transactions after the damage");
    Ok(true)
}

/// Describes the damage of the write-ahead log of the database at `path`, if the log was written with
/// `synchronous=FULL`. Returns `None` if there is no log, no damage, or damage that a power loss explains.
///
/// # Errors
///
/// Returns [`OpenError::Folder`] if the log cannot be read.
pub fn log_damage(path: &Path) -> Result<Option<String>, OpenError> {
    let folder = || path.parent().unwrap_or(path).to_owned();
    let damage = wal::damage(path).map_err(|source| OpenError::Folder { folder: folder(), source })?;
    let Some(what) = damage else { return Ok(None) };
    let lossy = schema::open_to_read(path).and_then(|connection| schema::is_lossy(&connection));
    // Without `synchronous=FULL` a power loss may cut the log off, which the next epoch accounts for.
    Ok(if lossy.unwrap_or(false) { None } else { Some(what) })
}

/// Checks a database at open: completely up to `bytes_max`, else only as SQLite itself does. Rows are checked
/// again when they are read, and `quintet audit` checks everything.
pub(super) fn check(connection: &Connection, path: &Path, bytes_max: u64) -> Result<(), OpenError> {
    let fault = |source| open_fault(path.to_owned(), source);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let bytes = number("page_count").map_err(fault)? * number("page_size").map_err(fault)?;
    if bytes > bytes_max {
        tracing::info!(bytes, bytes_max, "the journal is too large to be checked at every start");
        return Ok(());
    }
    match first_damage(connection).map_err(fault)? {
        None => Ok(()),
        Some(what) => Err(OpenError::Damaged { path: path.to_owned(), what }),
    }
}

/// Returns the first damage in the structure of the database, its index, or its rows.
pub(super) fn first_damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(verdict));
    }
    let mut query = connection.prepare("SELECT user, first, last, checksum, lines FROM batches")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if checksum(row.get_ref(4)?.as_blob()?) != row.get::<_, i64>(3)? {
            let (user, first, last): (i64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            return Ok(Some(format!(
                "entries {first} to {last} of user row {user} are not as they were written"
            )));
        }
    }
    Ok(None)
}
