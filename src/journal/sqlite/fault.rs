//! Errors of the storage, mapped to messages that name the operator's remedy.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::{lock::LockError, space};
use crate::JournalError;

/// The reason for which a journal was not opened. The operator has to repair it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is in use, or its lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The data folder, or a file in it, cannot be read or written.
    #[error("the data folder {} cannot be used", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// The error of the file system.
        #[source]
        source: std::io::Error,
    },
    /// The database belongs to another application.
    #[error("{} is a database, but not a Quintet journal", .path.display())]
    NotAJournal {
        /// The database.
        path: PathBuf,
    },
    /// A newer version of the service wrote the journal.
    #[error("the journal {} has schema {found}, and this version knows only up to {known}: use a newer version", .path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that this code reads.
        known: u32,
    },
    /// The database or its write-ahead log is not as it was written.
    #[error("the journal {} is damaged: {what}; run `quintet audit`, or restore a backup", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// A description of the damage.
        what: String,
    },
    /// SQLite cannot open the database.
    #[error("the journal {} cannot be opened", .path.display())]
    Storage {
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The folder had a journal, and its database is missing or empty.
    #[error(
        "{} is {what}, though a journal was served from this folder: restore a backup; to begin a new journal, \
         empty the folder", .path.display()
    )]
    JournalGone {
        /// The database.
        path: PathBuf,
        /// `missing` or `empty`.
        what: &'static str,
    },
    /// A backup lies beside the write-ahead log of another state of the journal.
    #[error(
        "{} is a copy of a journal, and the write-ahead log beside it belongs to another state of it: put the \
         copy into a folder of its own, or move {} and the -shm file away", .path.display(), .log.display()
    )]
    ForeignLog {
        /// The backup.
        path: PathBuf,
        /// The write-ahead log beside it.
        log: PathBuf,
    },
    /// The disk is full.
    #[error("the journal {} cannot be opened: the disk is full; make room, and start again", .path.display())]
    Full {
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The folder has no journal, and the operation creates none.
    #[error("there is no journal in {}", .folder.display())]
    NoJournal {
        /// The folder.
        folder: PathBuf,
    },
    /// A backup failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The operating system refused a thread.
    #[error("a thread of the journal cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The reason for which a backup failed. Its incomplete files are removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target folder has a journal already.
    #[error("{} exists already", .path.display())]
    Exists {
        /// The database in the target folder.
        path: PathBuf,
    },
    /// The disk of the target folder is full.
    #[error("the backup failed: the disk of {} is full; nothing of the copy is left", .to.display())]
    Full {
        /// The target folder.
        to: PathBuf,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// A file or folder of the copy cannot be written.
    #[error("the backup failed: {} cannot be written", .to.display())]
    File {
        /// The target folder.
        to: PathBuf,
        /// The error of the file system.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be copied.
    #[error("the backup failed: {} cannot be copied to {}", .from.display(), .to.display())]
    Storage {
        /// The database.
        from: PathBuf,
        /// The target folder.
        to: PathBuf,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The journal is damaged, closed, or not available.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Maps an SQLite error to damage, which is permanent, or unavailability, which may be transient.
pub(super) fn fault(error: &rusqlite::Error) -> JournalError {
    use rusqlite::Error as E;
    match error {
        E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) => {
            JournalError::Damaged(error.to_string())
        }
        E::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
                JournalError::Damaged(format!("{error}; run `quintet audit`, or restore a backup"))
            }
            ErrorCode::DiskFull => JournalError::Unavailable(
                "the disk is full; writing resumes by itself once there is room".into(),
            ),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => JournalError::Unavailable(format!(
                "{error}; the service must be able to write to its data folder"
            )),
            ErrorCode::SystemIoFailure => JournalError::Unavailable(format!(
                "{error} (code {}); check the disk; the service tries again by itself",
                failure.extended_code
            )),
            _ => JournalError::Unavailable(error.to_string()),
        },
        _ => JournalError::Unavailable(error.to_string()),
    }
}

/// Returns true for an I/O error, after which a sync may have failed.
pub(super) fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// Returns true if a write failed because the disk is full. For the index of a write-ahead log SQLite reports a
/// plain I/O error, so `free`, the free bytes of the file system, decides.
pub(super) fn is_full(error: &rusqlite::Error, free: impl FnOnce() -> std::io::Result<Option<u64>>) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            matches!(free(), Ok(Some(free)) if free < FULL_BYTES)
        }
        _ => false,
    }
}

/// Free bytes below which a disk counts as full: fewer than a new index of a write-ahead log needs.
const FULL_BYTES: u64 = 64 * 1024;

/// Maps an error of direct access to a file of the journal.
pub(super) fn of_file(error: &std::io::Error) -> JournalError {
    JournalError::Unavailable(format!(
        "its log cannot be written again after a fault: {error}; check the disk; the service tries again by itself"
    ))
}

/// Maps an SQLite error at open.
pub(super) fn open_fault(path: PathBuf, source: rusqlite::Error) -> OpenError {
    match fault(&source) {
        JournalError::Damaged(_) => OpenError::Damaged { path, what: source.to_string() },
        JournalError::Unavailable(_) if is_full(&source, || space::free_bytes(space::folder(&path))) => {
            OpenError::Full { path, source }
        }
        JournalError::Unavailable(_) => OpenError::Storage { path, source },
    }
}

pub(super) fn closed() -> JournalError {
    JournalError::Unavailable("it is shut down".into())
}

/// The reason for which a transaction failed.
pub(super) enum WriteError {
    /// The storage failed.
    Sql(rusqlite::Error),
    /// This batch contradicts the index; the others of its transaction may be fine.
    InvalidEntry(String),
    /// The files could not be synced again after a fault.
    Ground(JournalError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => WriteError::InvalidEntry(error.to_string()),
            _ => WriteError::Sql(error),
        }
    }
}

impl WriteError {
    pub(super) fn into_error(self) -> JournalError {
        match self {
            WriteError::Sql(error) => fault(&error),
            WriteError::Ground(error) => error,
            WriteError::InvalidEntry(what) => {
                JournalError::Damaged(format!("a batch does not fit the index: {what}"))
            }
        }
    }
}

/// The reason for which a query failed.
pub(super) enum ReadFailure {
    Sql(rusqlite::Error),
    Damaged(String),
}

impl From<rusqlite::Error> for ReadFailure {
    fn from(error: rusqlite::Error) -> Self {
        ReadFailure::Sql(error)
    }
}

impl ReadFailure {
    pub(super) fn into_error(self) -> JournalError {
        match self {
            ReadFailure::Sql(error) => fault(&error),
            ReadFailure::Damaged(what) => {
                JournalError::Damaged(format!("{what}; run `quintet audit`, or restore a backup"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// SQLite reports 4874 when there is no room for the index of its write-ahead log.
    #[test]
    fn iso_6_full_disk_is_distinguished_from_a_failing_one() {
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let free = |bytes| move || Ok(Some(bytes));
        assert!(is_full(&error(ffi::SQLITE_FULL), free(1 << 30)), "the engine knows it");
        for code in [4874, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CANTOPEN] {
            assert!(is_full(&error(code), free(16 * 1024)), "{code}");
            assert!(!is_full(&error(code), free(1 << 20)), "{code}");
            assert!(!is_full(&error(code), || Ok(None)), "{code}: not known");
            assert!(!is_full(&error(code), || Err(std::io::Error::other("no answer"))), "{code}");
        }
        assert!(!is_full(&error(ffi::SQLITE_CORRUPT), free(0)));
    }
}
