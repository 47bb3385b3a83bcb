//! Errors of the database, mapped to messages that name the operator's remedy.

use quintet_journal::{JournalError, engine::TornRow};
use tokio_postgres::error::{Severity, SqlState};

/// The reason for which a journal was not opened. The operator has to repair it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be parsed.
    #[error("the address of the database is not valid: {0}")]
    Address(String),
    /// The authorities that certify the server cannot be read.
    #[error("the certificate authorities cannot be read: {0}")]
    Authorities(String),
    /// The database cannot be reached, or a statement failed.
    #[error("the database cannot be used: {what}")]
    Database {
        /// A description without the address.
        what: String,
        /// The error of the client library.
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    /// The server is older than PostgreSQL 15.
    #[error("the server is PostgreSQL {found}, and version 15 or later is required")]
    OldServer {
        /// Its version.
        found: String,
    },
    /// The server acknowledges what a crash can undo (DEL-1).
    #[error(
        "the server has {setting} = off, and would lose acknowledged entries: switch it on for this role and database"
    )]
    NotDurable {
        /// The setting, `fsync` or `synchronous_commit`.
        setting: String,
    },
    /// The database has tables of another application.
    #[error(
        "the database has tables, but no Quintet journal: give the journal a database or a schema of its own"
    )]
    NotAJournal,
    /// A newer version of the service wrote the journal.
    #[error("the journal has schema {found}, and this version knows only up to {known}: use a newer version")]
    NewerSchema {
        /// Its schema version.
        found: u32,
        /// The newest version that this code reads.
        known: u32,
    },
    /// Another process serves the database, and one of both needs it for itself.
    #[error("another process serves this database (node {holder}, with a lease of another {left_ms} ms)")]
    Claimed {
        /// The id of its node.
        holder: String,
        /// Time until its lease expires unless it is renewed.
        left_ms: i64,
    },
    /// The lease is too short to be renewed twice before its end.
    #[error(
        "postgres_lease_ms is below {least_ms}: it has to last for two renewals (postgres_renewal_interval_ms) and \
         postgres_lease_margin_ms"
    )]
    ShortLease {
        /// The shortest lease with the other settings.
        least_ms: u64,
    },
    /// The journal is damaged.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database { what: describe(&error), source: Some(error) }
    }
}

/// The reason for which a query failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Sql(tokio_postgres::Error),
    Damaged(String),
    TimedOut,
    Journal(JournalError),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<TornRow> for Failure {
    fn from(row: TornRow) -> Self {
        Self::Damaged(row.to_string())
    }
}

impl Failure {
    pub(crate) fn into_error(self) -> JournalError {
        match self {
            Self::Sql(error) => fault(&error),
            Self::Damaged(what) => JournalError::Damaged(what),
            Self::TimedOut => unavailable("the database did not answer in time"),
            Self::Journal(error) => error,
        }
    }
}

pub(crate) fn unavailable(what: impl Into<String>) -> JournalError {
    JournalError::Unavailable(what.into())
}

pub(crate) fn without_lease() -> JournalError {
    unavailable("this node has lost its lease, or cannot renew it")
}

pub(crate) fn closed() -> JournalError {
    unavailable("it is shut down")
}

/// Maps an error to damage, which is permanent, or unavailability, which may be transient.
pub(crate) fn fault(error: &tokio_postgres::Error) -> JournalError {
    let code = error.code();
    if code == Some(&SqlState::DISK_FULL) {
        return unavailable("the disk of the database is full; writing resumes by itself once there is room");
    }
    if code.is_some_and(is_damage) {
        return JournalError::Damaged(describe(error));
    }
    unavailable(describe(error))
}

fn is_damage(code: &SqlState) -> bool {
    is_misfit(code) || *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED
}

/// Returns true for a constraint that a batch violates (class 23).
pub(crate) fn is_misfit(code: &SqlState) -> bool {
    code.code().starts_with("23")
}

/// Returns true if the server refused a statement and rolled it back, so that nothing of it is stored.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|refused| refused.parsed_severity() == Some(Severity::Error))
}

/// Describes an error without values of a statement: the detail of a constraint contains ids.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} ({})", refused.message(), refused.code().code()),
        None => {
            let cause = std::error::Error::source(error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        }
    }
}
