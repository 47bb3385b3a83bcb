//! Maintenance of the database files: checkpoints, and recovery after a failed sync.
//!
//! SQLite leaves two things to its user:
//!
//! - *A failed sync is reported once.* The kernel then marks the pages clean although they are not on the
//!   disk, and no later sync writes them. So after such a failure nothing in memory is trusted: all
//!   connections close, the log is rewritten byte for byte and synced ([`wal::settle`]), and SQLite recovers
//!   it and checkpoints all of it. Reads and writes resume only after that has succeeded (DEL-1, DEL-7).
//! - *The log restarts only while nothing reads it.* SQLite waits for a moment without readers, which under
//!   load may never come. Beyond [`LOG_PAGES_MAX`] the readers are paused for that moment.

use std::time::Duration;

use rusqlite::Connection;

use super::super::{
    fault::{WriteError, closed, fault, is_io, of_file},
    lock::CopyLock,
    options::{CHECKPOINT_PAGES, LOG_PAGES_MAX},
    pages::Pages,
    pool::ReadSide,
    resumes, schema, wal,
};
use super::Writer;
use crate::JournalError;

/// The state of the maintenance.
#[derive(Default)]
pub(in crate::sqlite) struct Upkeep {
    /// True if a sync may have failed, so that the page cache may differ from the disk.
    pub in_doubt: bool,
    /// Size of the log, in pages, below which the next checkpoint is not tried, after one that did not finish.
    not_before_pages: u32,
}

impl Upkeep {
    /// Records a storage error.
    pub(super) fn note(&mut self, error: &rusqlite::Error) {
        self.in_doubt |= is_io(error);
    }
}

impl Writer {
    /// Opens a new connection after a fault.
    ///
    /// The faulty connection stays open until then. As long as one connection is open, SQLite keeps its
    /// earlier view of the log, so that readers do not see data that is in the page cache only (DEL-1).
    pub(in crate::sqlite) fn reconnect(&mut self) -> Result<(), WriteError> {
        let open = || schema::reopen_to_write(&self.path, self.options.survives_power_loss);
        if !self.upkeep.in_doubt {
            self.connection = Some(open()?);
            self.suspect = false;
            return Ok(());
        }
        // A copy in progress has a connection too and would keep the earlier view alive.
        let _alone = CopyLock::alone(&self.path).map_err(WriteError::Ground)?;
        let readers = self.readers.clone();
        readers.held(|| {
            wal::settle(&self.path).map_err(|error| WriteError::Ground(of_file(&error)))?;
            readers.close_idle();
            self.connection = None;
            self.connection = Some(open()?);
            Ok::<_, WriteError>(())
        })?;
        self.suspect = false;
        self.upkeep = Upkeep::default();
        self.readers.set_in_doubt(false);
        tracing::info!("the journal has recovered: its log is synced");
        Ok(())
    }

    /// Recovers from a fault, if there was one.
    pub(in crate::sqlite) fn settle(&mut self) -> Result<(), JournalError> {
        if self.suspect || self.connection.is_none() {
            self.reconnect().map_err(WriteError::into_error)?;
        }
        Ok(())
    }

    /// Commits a probe write, for `/readyz`.
    pub(in crate::sqlite) fn probe(&mut self) -> Result<(), JournalError> {
        self.in_transaction(|writer| Ok(schema::probe(writer.connection()?)?)).map_err(WriteError::into_error)
    }

    /// Checkpoints the log if it is long. Called after the replies to a commit are sent.
    pub(in crate::sqlite) fn tidy(&mut self) {
        let (Some(connection), false) = (&self.connection, self.suspect) else { return };
        if let Err(error) = self.upkeep.shorten_log(connection, self.readers.as_ref()) {
            // Nothing is lost: the commits are in the log, and the log is synced.
            tracing::error!(error = %fault(&error), "the write-ahead log cannot be checkpointed");
            if is_io(&error) {
                self.upkeep.in_doubt = true;
                self.suspect = true;
            }
        }
    }

    /// Checkpoints all of the log, truncates its file to nothing, then overwrites the unused space of the `dirty` pages
    /// (DEL-8). Returns false if another process reads the log.
    pub(in crate::sqlite) fn empty_log(
        &mut self,
        pages: &Pages,
        dirty: &[u32],
    ) -> Result<bool, JournalError> {
        self.settle()?;
        let Some(connection) = &self.connection else { return Err(closed()) };
        let readers = self.readers.clone();
        // Do not wait for a copy in progress while appends wait.
        let emptied = connection.busy_timeout(Duration::ZERO).and_then(|()| {
            let busy = readers
                .held(|| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)));
            connection.busy_timeout(schema::BUSY_WAIT_MAX)?;
            busy
        });
        match emptied {
            Err(error) => {
                self.upkeep.note(&error);
                self.suspect = true;
                return Err(fault(&error));
            }
            Ok(true) => return Ok(false),
            Ok(false) if dirty.is_empty() => return Ok(true),
            Ok(false) => {}
        }
        // The page cache has the pages as they were, and would write the remains again.
        self.suspect = true;
        pages.clean(dirty).map_err(|error| of_file(&error))?;
        self.settle()?;
        Ok(true)
    }

    /// Uncounts the resumes of this process on a clean shutdown (RUN-6).
    pub(in crate::sqlite) fn release_resumes(&self) {
        let (Some(connection), false, Some(ended)) = (&self.connection, self.suspect, self.incarnation)
        else {
            return;
        };
        if let Err(error) = resumes::release(connection, ended) {
            tracing::warn!(error = %fault(&error), "the runs that this process resumed stay counted");
        }
    }

    /// Closes the database, leaving a single file if the storage allows it. Otherwise the log remains and the
    /// next process recovers it.
    pub(in crate::sqlite) fn close(self) {
        let (Some(connection), false) = (self.connection, self.suspect) else { return };
        let lossy = !self.options.survives_power_loss;
        let closed = if lossy { schema::close_lossy(&connection) } else { Ok(()) };
        let closed = closed.and_then(|()| schema::clear_in_use(&connection));
        let closed = closed.and_then(|()| checkpoint(&connection, "TRUNCATE").map(drop));
        if let Err(error) = closed {
            tracing::warn!(error = %fault(&error), "the journal is closed with its write-ahead log");
        }
    }
}

impl Upkeep {
    fn shorten_log(&mut self, connection: &Connection, readers: &ReadSide) -> rusqlite::Result<()> {
        let pages = checkpoint(connection, "NOOP")?;
        if pages < CHECKPOINT_PAGES {
            self.not_before_pages = 0;
        }
        if pages < CHECKPOINT_PAGES.max(self.not_before_pages) {
            return Ok(());
        }
        // Until a checkpoint finishes, try again soon, but not at every commit.
        self.not_before_pages = pages + CHECKPOINT_PAGES / 4;
        if checkpoint(connection, "PASSIVE")? >= LOG_PAGES_MAX {
            // Do not wait for a copy in progress; try again later.
            connection.busy_timeout(Duration::ZERO)?;
            let begun_anew = readers.held(|| checkpoint(connection, "RESTART"));
            connection.busy_timeout(schema::BUSY_WAIT_MAX)?;
            begun_anew?;
        }
        Ok(())
    }
}

/// Runs a checkpoint in the given mode and returns the number of pages in the log.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    let mut checkpoint = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    // Negative if there is no log.
    checkpoint.query_row([], |row| Ok(u32::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
}
