//! A reader's place in a log: *while cursor < head, read what is next; else wait for the head to
//! move.* The same for a replay, a live connection, a slow reader and an event stream (DEL-2 … DEL-4).

use tokio::sync::watch;

use super::factory::User;
use crate::{
    journal::{Extent, JournalError, Lines, ReadLimit},
    kernel::ids::Offset,
};

/// A place in one user's log. Keeps that user's machines alive.
pub struct Cursor {
    user: User,
    head: watch::Receiver<Offset>,
    extent: Extent,
    after: Offset,
}

/// Entries `from` … `to` that a reader asked for and the log no longer has, or never had (DEL-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Offset,
    pub to: Offset,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log was trimmed past the cursor while the reader was away (DEL-3).
    #[error("entries {} to {} are no longer kept", .0.from, .0.to)]
    Gap(Gap),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Cursor {
    pub(super) async fn open(user: User, after: Offset) -> Result<Self, JournalError> {
        let extent = user.log().extent().await?;
        user.tail().raise(extent.head);
        let head = user.tail().watch();
        Ok(Self { user, head, extent, after })
    }

    /// What the log spanned when the cursor was made: the oldest entry kept is `trimmed + 1`.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The offset of the last entry of the log, now.
    pub fn head(&self) -> Offset {
        *self.head.borrow()
    }

    /// The offset of the last entry read; 0 before the first.
    pub fn after(&self) -> Offset {
        self.after
    }

    /// Moves the cursor, as to the place where a resume goes on.
    pub fn seek(&mut self, after: Offset) {
        self.after = after;
    }

    /// Resolves when the head is past the cursor. Cancel safe.
    pub async fn moved(&mut self) {
        let after = self.after;
        // The sender lives in the machines that this cursor keeps alive.
        let _ = self.head.wait_for(|head| *head > after).await;
    }

    /// What is next, in order and without a gap, up to `through` and both limits; moves past it.
    /// From memory if it is there, else from the journal. Empty at the head. Cancel safe: a read
    /// that is dropped has not moved the cursor.
    pub async fn read(&mut self, through: Offset, limit: ReadLimit) -> Result<Lines, ReadError> {
        let through = through.min(self.head());
        if through <= self.after {
            return Ok(Lines::empty(self.after.next()));
        }
        let lines = match self.user.tail().read(self.after, through, limit) {
            Some(lines) => lines,
            None => self.read_journal(through, limit).await?,
        };
        // DEL-2: what leaves here is exactly what follows, however it was found.
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
