//! A copy of the journal, made while it runs.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::{Connection, params};

use super::schema::{self, DATABASE_FILE};
use crate::{journal::JournalError, kernel::ids::Timestamp};

/// Copies the database at `from`, as it is at this moment, into the folder `to`, which is made; the
/// copy is durable when this returns. Appends go on meanwhile.
///
/// The copy is marked: a service that opens it takes a new epoch, since the entries that came after
/// the copy are not in it, and cursors behind them must find a gap (DEL-3).
pub(super) fn backup(from: &Path, to: &Path, now: Timestamp) -> Result<(), JournalError> {
    let target = to.join(DATABASE_FILE);
    let partial = to.join(format!("{DATABASE_FILE}.partial"));
    let file = |source: std::io::Error| {
        JournalError::Unavailable(format!("the backup cannot be written to {}: {source}", to.display()))
    };
    fs::create_dir_all(to).map_err(file)?;
    if target.try_exists().map_err(file)? {
        return Err(JournalError::Unavailable(format!("{} exists already", target.display())));
    }
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file(error)),
        _ => {}
    }
    copy(from, &partial, now).map_err(|error| super::fault::fault(&error))?;
    File::open(&partial).and_then(|copy| copy.sync_all()).map_err(file)?;
    fs::rename(&partial, &target).map_err(file)?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(file)
}

fn copy(from: &Path, to: &Path, now: Timestamp) -> rusqlite::Result<()> {
    let source = schema::open_to_read(from)?;
    // A snapshot that is held while the copy is made; it blocks nobody (write-ahead log).
    source.pragma_update(None, "query_only", false)?;
    source.execute("VACUUM INTO ?1", params![to.to_string_lossy()])?;
    drop(source);
    let copy = Connection::open(to)?;
    copy.execute("INSERT INTO meta (name, value) VALUES ('backup', ?1)", params![now.0.to_string()])?;
    copy.close().map_err(|(_, error)| error)
}
