//! What can go wrong with the storage, said so that the operator knows what to do.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::lock::LockError;
use crate::journal::JournalError;

/// Why a journal was not opened. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the data folder {} cannot be used", .folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is a database, but not a Quintet journal", .path.display())]
    NotAJournal { path: PathBuf },
    #[error("the journal {} has schema {found}, and this version knows only up to {known}: use a newer version", .path.display())]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("the journal {} is damaged: {what}; run `quintet audit`, or restore a backup", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the journal {} cannot be opened", .path.display())]
    Storage {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error(
        "{} is {what}, though a journal was served from this folder: restore a backup; to begin a new journal, \
         empty the folder", .path.display()
    )]
    JournalGone { path: PathBuf, what: &'static str },
    #[error(
        "{} is a copy of a journal, and the write-ahead log beside it belongs to another state of it: put the \
         copy into a folder of its own, or move {} and the -shm file away", .path.display(), .log.display()
    )]
    ForeignLog { path: PathBuf, log: PathBuf },
    #[error("there is no journal in {}", .folder.display())]
    NoJournal { folder: PathBuf },
    #[error(transparent)]
    Backup(JournalError),
    #[error("a thread of the journal cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Tells damage, which stays, from trouble, which may pass.
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
                "the disk is full; writing goes on by itself once there is room".into(),
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

/// Whether the disk itself failed, so that a sync may have.
pub(super) fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// The same of what is done with a file directly.
pub(super) fn of_file(error: &std::io::Error) -> JournalError {
    JournalError::Unavailable(format!(
        "its log cannot be written again after a fault: {error}; check the disk; the service tries again by itself"
    ))
}

/// The same, when opening.
pub(super) fn open_fault(path: PathBuf, source: rusqlite::Error) -> OpenError {
    match fault(&source) {
        JournalError::Damaged(_) => OpenError::Damaged { path, what: source.to_string() },
        JournalError::Unavailable(_) => OpenError::Storage { path, source },
    }
}

pub(super) fn closed() -> JournalError {
    JournalError::Unavailable("it is shut down".into())
}

/// Why a transaction was given up.
pub(super) enum Failure {
    /// The storage failed.
    Sql(rusqlite::Error),
    /// This batch contradicts the index; the others of its transaction may be fine.
    Misfit(String),
    /// After a fault, the files could not be brought to the disk again.
    Ground(JournalError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Failure::Misfit(error.to_string()),
            _ => Failure::Sql(error),
        }
    }
}

impl Failure {
    pub(super) fn into_error(self) -> JournalError {
        match self {
            Failure::Sql(error) => fault(&error),
            Failure::Ground(error) => error,
            Failure::Misfit(what) => JournalError::Damaged(format!("a batch does not fit the index: {what}")),
        }
    }
}
