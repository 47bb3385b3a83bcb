//! The writer's care for its files: the write-ahead log moved into the database, and the ground found
//! again after the disk failed.
//!
//! Two things that SQLite leaves to whoever runs it, and what is done here:
//!
//! - *A sync that fails says so once.* The kernel then calls the pages clean, though they are not on the
//!   disk, and no later sync writes them. So after such a failure nothing in memory is trusted: every
//!   connection closes, the log is written once more, byte for byte, and synced ([`wal::settle`]), and
//!   SQLite finds out anew what is in it, and moves all of it into the database again. Only when that has
//!   succeeded is anything read or written (DEL-1, DEL-7).
//! - *The log is reset only while nobody reads it.* SQLite waits for a moment without readers, which under
//!   load may never come. Past [`LOG_PAGES_MAX`] the readers are held up for that moment.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    fault::{Failure, fault, is_io, of_file},
    lock::CopyLock,
    options::{CHECKPOINT_PAGES, LOG_PAGES_MAX},
    pool::ReadSide,
    resumes, schema, wal,
    writer::Writer,
};
use crate::journal::JournalError;

/// When to move the log into the database.
#[derive(Default)]
pub(super) struct Upkeep {
    /// A sync may have failed: what the kernel shows of the files is not what the disk has.
    pub in_doubt: bool,
    /// Pages of the log below which it need not be looked at again, after a try that did not finish.
    not_before_pages: u32,
}

impl Upkeep {
    /// After a fault of the storage.
    pub fn note(&mut self, error: &rusqlite::Error) {
        self.in_doubt |= is_io(error);
    }
}

impl Writer {
    /// A connection to go on with, after a fault.
    ///
    /// The one that met the fault stays open until then: while any is, SQLite keeps what it knew of the
    /// log before, and no reader takes for durable what only the kernel's memory shows (DEL-1).
    pub(super) fn reconnect(&mut self) -> Result<(), Failure> {
        let open = || schema::reopen_to_write(&self.path, self.options.survives_power_loss);
        if !self.upkeep.in_doubt {
            self.connection = Some(open()?);
            self.suspect = false;
            return Ok(());
        }
        // A copy that is being made keeps that knowledge alive too, beyond this.
        let _alone = CopyLock::alone(&self.path).map_err(Failure::Ground)?;
        let readers = self.readers.clone();
        readers.held(|| {
            wal::settle(&self.path).map_err(|error| Failure::Ground(of_file(&error)))?;
            readers.close_idle();
            self.connection = None;
            self.connection = Some(open()?);
            Ok::<_, Failure>(())
        })?;
        self.suspect = false;
        self.upkeep = Upkeep::default();
        self.readers.set_in_doubt(false);
        tracing::info!("the journal has found its ground again: its log is on the disk");
        Ok(())
    }

    /// Brings the log to the disk after a fault, if there was one and that has not been done yet.
    pub(super) fn settle(&mut self) -> Result<(), JournalError> {
        if self.suspect || self.connection.is_none() {
            self.reconnect().map_err(Failure::into_error)?;
        }
        Ok(())
    }

    /// Commits something, to know that it is possible: what `/readyz` says.
    pub(super) fn probe(&mut self) -> Result<(), JournalError> {
        self.in_transaction(|writer| Ok(schema::probe(writer.connection()?)?)).map_err(Failure::into_error)
    }

    /// After a commit, once those who wait for it know: keeps the log short.
    pub(super) fn tidy(&mut self) {
        let (Some(connection), false) = (&self.connection, self.suspect) else { return };
        if let Err(error) = self.upkeep.shorten_log(connection, self.readers.as_ref()) {
            // Nothing is lost: what was committed is in the log, and the log is on the disk.
            tracing::error!(error = %fault(&error), "the log cannot be moved into the database");
            if is_io(&error) {
                self.upkeep.in_doubt = true;
                self.suspect = true;
            }
        }
    }

    /// Takes back the resumes that this process counted, since it stops in order (RUN-6).
    pub(super) fn release_resumes(&self) {
        let (Some(connection), false, Some(ended)) = (&self.connection, self.suspect, self.incarnation)
        else {
            return;
        };
        if let Err(error) = resumes::release(connection, ended) {
            tracing::warn!(error = %fault(&error), "the runs that this process resumed stay counted");
        }
    }

    /// Leaves one file, with everything in it, if the storage lets it; else the log stays, and the next
    /// process takes it up.
    pub(super) fn close(self) {
        let (Some(connection), false) = (self.connection, self.suspect) else { return };
        let lossy = !self.options.survives_power_loss;
        let closed = if lossy { schema::close_lossy(&connection) } else { Ok(()) };
        let closed = closed.and_then(|()| schema::clear_in_use(&connection));
        let closed = closed.and_then(|()| checkpoint(&connection, "TRUNCATE").map(drop));
        if let Err(error) = closed {
            tracing::warn!(error = %fault(&error), "the journal is closed with its log beside it");
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
        // Until SQLite finds its moment: again soon, but not at every commit.
        self.not_before_pages = pages + CHECKPOINT_PAGES / 4;
        if checkpoint(connection, "PASSIVE")? >= LOG_PAGES_MAX {
            // It does not wait for a copy that is being made, and tries again later.
            connection.busy_timeout(Duration::ZERO)?;
            let begun_anew = readers.held(|| checkpoint(connection, "RESTART"));
            connection.busy_timeout(schema::BUSY_WAIT_MAX)?;
            begun_anew?;
        }
        Ok(())
    }
}

/// Moves the log into the database, as far as the mode says; says how many pages are in the log.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    let mut checkpoint = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    // Negative where there is no log.
    checkpoint.query_row([], |row| Ok(u32::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
}
