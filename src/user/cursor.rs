//! A reader's place in a log: *while cursor < head, read what is next; else wait for the head to
//! move.* The same for a replay, a live connection, a slow reader and an event stream (DEL-2 … DEL-4).

use crate::{
    journal::{JournalError, Lines, ReadLimit},
    kernel::ids::Offset,
};

/// A place in one user's log. Keeps that user's machines alive.
pub struct Cursor {}

/// Entries `from` … `to` that a reader asked for and the log no longer has, or never had (DEL-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Offset,
    pub to: Offset,
}

impl Cursor {
    /// What the log spans at this moment: the oldest entry kept is `trimmed + 1`.
    pub fn extent(&self) -> crate::journal::Extent {
        todo!()
    }

    /// The offset of the last entry read; 0 before the first.
    pub fn after(&self) -> Offset {
        todo!()
    }

    /// Moves the cursor, as to the place where a resume goes on.
    pub fn seek(&mut self, after: Offset) {
        let _ = after;
        todo!()
    }

    /// Resolves when the head is past the cursor. Cancel safe.
    pub async fn moved(&mut self) {
        todo!()
    }

    /// What is next, in order and without a gap, up to `through` and both limits; moves past it.
    /// From memory if it is there, else from the journal. Empty at the head. Cancel safe: a read
    /// that is dropped has not moved the cursor.
    pub async fn read(&mut self, through: Offset, limit: ReadLimit) -> Result<Lines, ReadError> {
        let _ = (through, limit);
        todo!()
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log was trimmed past the cursor while the reader was away (DEL-3).
    #[error("entries {} to {} are no longer kept", .0.from, .0.to)]
    Gap(Gap),
    #[error(transparent)]
    Journal(#[from] JournalError),
}
