//! The journal that the settings name: embedded in a folder, or in a PostgreSQL database.

use std::{path::PathBuf, sync::Arc, time::Duration};

#[cfg(feature = "postgres")]
use quintet_postgres::{PostgresJournal, PostgresOptions};
use tokio::runtime::Runtime;

use crate::{
    journal::{Journal, JournalError, sqlite::SqliteJournal},
    ops::config::{ConfigError, Settings},
};

/// An open journal.
#[derive(Clone)]
pub(super) enum OpenJournal {
    /// In a folder.
    Sqlite(SqliteJournal, PathBuf),
    /// In a database.
    #[cfg(feature = "postgres")]
    Postgres(PostgresJournal),
}

impl OpenJournal {
    /// Opens the journal. That of a database needs the runtime until it is closed.
    pub(super) fn open(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Self> {
        #[cfg(not(feature = "postgres"))]
        let _ = runtime;
        match settings.journal.as_deref() {
            #[cfg(feature = "postgres")]
            Some(url) if is_postgres(url) => {
                let options = PostgresOptions {
                    ca_file: settings.postgres_ca_file.clone(),
                    limits: settings.postgres,
                    run_records_max: settings.sqlite.run_records_max,
                    ..PostgresOptions::new(url)
                };
                Ok(Self::Postgres(runtime.block_on(PostgresJournal::open(options))?))
            }
            _ => {
                let folder = journal_folder(settings)?;
                Ok(Self::Sqlite(SqliteJournal::open(&folder, settings.sqlite)?, folder))
            }
        }
    }

    pub(super) fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Self::Sqlite(journal, _) => Arc::new(journal.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(journal) => Arc::new(journal.clone()),
        }
    }

    /// Returns the place of the journal for the log, without credentials.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite(_, folder) => format!("sqlite:{}", folder.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres".to_owned(),
        }
    }

    /// Closes the journal, stops the runtime, and waits for neither longer than its limit: an agent that blocks or never
    /// yields may keep both open.
    pub(super) fn close(self, runtime: Runtime) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(journal, _) => {
                // Remaining tasks are not awaited: acknowledged messages are on disk.
                runtime.shutdown_timeout(SHUTDOWN_WAIT_MAX);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                // Acknowledged entries are durable in the write-ahead log, which the next start recovers.
                let late = "the journal's disk does not respond; the next start recovers the journal";
                closed(&runtime, journal.close(), late)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(journal) => {
                let late = "the database does not respond; the next start waits until the lease has expired";
                let closed = closed(&runtime, journal.close(), late);
                runtime.shutdown_timeout(SHUTDOWN_WAIT_MAX);
                closed
            }
        }
    }
}

fn closed(
    runtime: &Runtime,
    close: impl Future<Output = Result<(), JournalError>>,
    late: &str,
) -> anyhow::Result<()> {
    match runtime.block_on(async { tokio::time::timeout(CLOSE_WAIT_MAX, close).await }) {
        Ok(closed) => closed?,
        Err(_) => tracing::warn!("{late}"),
    }
    Ok(())
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Returns the folder of the embedded journal.
pub(super) fn journal_folder(settings: &Settings) -> Result<PathBuf, ConfigError> {
    match settings.journal.as_deref() {
        None => Ok(settings.data_dir.clone()),
        Some(url) if is_postgres(url) => {
            let why = if cfg!(feature = "postgres") {
                "journal: this command reads an embedded journal only; \"postgres://\" is for `serve` and `dev`"
            } else {
                "journal: this program was built without its feature \"postgres\""
            };
            Err(ConfigError::Missing(why.to_owned()))
        }
        Some(url) => match url.strip_prefix("sqlite:") {
            Some(folder) if !folder.is_empty() => Ok(PathBuf::from(folder)),
            _ => Err(ConfigError::Missing(
                "journal: omit it for the embedded one in the data folder, or write sqlite:FOLDER".to_owned(),
            )),
        },
    }
}

/// Timeout for tasks to end when the process exits.
pub(super) const SHUTDOWN_WAIT_MAX: Duration = Duration::from_millis(500);

/// Timeout for checkpointing the write-ahead log into the database, or for giving up the lease.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);
