//! A copy of the journal, made while it runs.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::{Connection, params};

use super::{
    fault::{OpenError, open_fault},
    lock::CopyLock,
    resumes,
    schema::{self, DATABASE_FILE},
};
use crate::{journal::JournalError, kernel::ids::Timestamp, runtime::private};

/// Copies the database at `from`, as it is at this moment, into the folder `to`, which is made; the
/// copy is durable when this returns. Appends go on meanwhile.
///
/// The copy is marked: a service that opens it takes a new epoch, since the entries that came after
/// the copy are not in it, and cursors behind them must find a gap (DEL-3).
pub(super) fn backup(from: &Path, to: &Path, now: Timestamp) -> Result<(), JournalError> {
    let _copying = CopyLock::shared(from)?;
    let target = to.join(DATABASE_FILE);
    let partial = to.join(format!("{DATABASE_FILE}.partial"));
    let file = |source: std::io::Error| {
        JournalError::Unavailable(format!("the backup cannot be written to {}: {source}", to.display()))
    };
    private::make_folder(to, DATABASE_FILE).map_err(file)?;
    if target.try_exists().map_err(file)? {
        return Err(JournalError::Unavailable(format!("{} exists already", target.display())));
    }
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file(error)),
        _ => {}
    }
    // AUTH-6: SQLite takes an empty file as it is.
    private::create_file(&partial).map_err(file)?;
    copy(from, &partial, now).map_err(|error| super::fault::fault(&error))?;
    File::open(&partial).and_then(|copy| copy.sync_all()).map_err(file)?;
    fs::rename(&partial, &target).map_err(file)?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(file)
}

/// The same from a data folder, whether a service runs on it or not.
pub fn backup_folder(folder: &Path, to: &Path, now: Timestamp) -> Result<(), OpenError> {
    let path = folder.join(DATABASE_FILE);
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(OpenError::NoJournal { folder: folder.to_owned() });
    }
    let connection = schema::open_to_read(&path).map_err(|source| open_fault(path.clone(), source))?;
    schema::require_ours(&connection, &path)?;
    drop(connection);
    backup(&path, to, now).map_err(OpenError::Backup)
}

fn copy(from: &Path, to: &Path, now: Timestamp) -> rusqlite::Result<()> {
    let source = schema::open_to_read(from)?;
    // A snapshot that is held while the copy is made; it blocks nobody (write-ahead log).
    source.pragma_update(None, "query_only", false)?;
    source.execute("VACUUM INTO ?1", params![to.to_string_lossy()])?;
    drop(source);
    let copy = Connection::open(to)?;
    schema::mark_as_backup(&copy, now)?;
    resumes::release_all(&copy)?;
    copy.close().map_err(|(_, error)| error)
}
