//! A reader's position in a log: *while cursor < head, read the next entries, else wait until the head moves.*
//! Replay, live connections, slow readers and event streams all work this way (DEL-2 … DEL-4).

use super::{handle::User, sync::watch};
use crate::{
    journal::{Extent, JournalError, Lines, ReadLimit},
    kernel::{connection::Gap, ids::Offset},
};

/// A position in one user's log. Keeps the user's machines alive.
pub struct Cursor {
    user: User,
    head: watch::Receiver<Offset>,
    extent: Extent,
    after: Offset,
}

/// The reason for which a read returned no entries. The cursor has not moved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log was trimmed past the cursor (DEL-3).
    #[error("entries {} to {} were trimmed", .0.from, .0.to)]
    Gap(Gap),
    /// The journal failed, or the log is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl User {
    /// Opens a cursor at `after`, which may be before the oldest stored entry or past the head.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn cursor(&self, after: Offset) -> Result<Cursor, JournalError> {
        let extent = self.log().extent().await?;
        self.tail().raise(extent.head);
        let head = self.tail().watch();
        Ok(Cursor { user: self.clone(), head, extent, after })
    }
}

impl Cursor {
    /// Returns the range of stored entries at the time when the cursor was created.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Returns the current offset of the last entry of the log.
    pub fn head(&self) -> Offset {
        *self.head.borrow()
    }

    /// Returns the offset of the last entry read; 0 before the first.
    pub fn after(&self) -> Offset {
        self.after
    }

    /// Moves the cursor, such as to the position of a resume.
    pub fn seek(&mut self, after: Offset) {
        self.after = after;
    }

    /// Waits until the head is past the cursor. Cancel safe.
    pub async fn moved(&mut self) {
        let after = self.after;
        // The sender is in the machines, which this cursor keeps alive, so the wait cannot fail.
        let _ = self.head.wait_for(|head| *head > after).await;
    }

    /// Reads the next entries, in order and without a gap, up to `through` and both limits, and moves past
    /// them. Returns none at the head. Reads from memory if possible, else from the journal. Cancel safe: a
    /// dropped read has not moved the cursor.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError::Gap`] if the next entry was trimmed, or an error of the journal.
    pub async fn read(&mut self, through: Offset, limit: ReadLimit) -> Result<Lines, ReadError> {
        let through = through.min(self.head());
        if through <= self.after {
            return Ok(Lines::empty(self.after.next()));
        }
        let lines = match self.user.tail().read(self.after, through, limit) {
            Some(lines) => lines,
            None => self.read_journal(through, limit).await?,
        };
        // DEL-2: the result continues the cursor, from memory and journal alike.
        debug_assert!(lines.is_empty() || lines.first() == self.after.next());
        if !lines.is_empty() {
            self.after = lines.last();
        }
        Ok(lines)
    }

    async fn read_journal(&self, through: Offset, limit: ReadLimit) -> Result<Lines, ReadError> {
        let room = usize::try_from(through.0 - self.after.0).unwrap_or(usize::MAX);
        let limit = ReadLimit { entries_max: limit.entries_max.min(room), ..limit };
        let lines = self.user.log().read(self.after, limit).await?;
        if lines.first() != self.after.next() {
            let to = Offset(lines.first().0 - 1);
            return Err(ReadError::Gap(Gap { from: self.after.next(), to }));
        }
        if lines.is_empty() {
            let what = format!("entry {} is missing below the head {through}", self.after.next());
            return Err(JournalError::Damaged(what).into());
        }
        Ok(lines)
    }
}
