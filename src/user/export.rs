//! A walk over everything that a user's log holds, for an export.
//!
//! Guarantees: the entries are returned in offset order, each once, up to the head of the start (DEL-2); entries that
//! are trimmed during the walk are reported where they are missing (DEL-3). At most one chunk is in memory (DEL-4).

use super::handle::User;
use crate::{
    journal::{Extent, JournalError, Lines, ReadLimit},
    kernel::{connection::Gap, ids::Offset},
};

/// A walk in progress. Keeps the user's machines alive.
pub struct LogExport {
    user: User,
    extent: Extent,
    after: Offset,
    chunk: ReadLimit,
}

/// The next part of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportPart {
    /// Consecutive entries.
    Entries(Lines),
    /// Entries that were trimmed after the export began.
    Gap(Gap),
}

impl User {
    /// Starts an export of the entries that the log holds now; `chunk` limits one read.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn export(&self, chunk: ReadLimit) -> Result<LogExport, JournalError> {
        let extent = self.log().extent().await?;
        Ok(LogExport { user: self.clone(), extent, after: extent.trimmed, chunk })
    }
}

impl LogExport {
    /// Returns the range of exported entries.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Returns the next part; `None` after the last one.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal. The export has not moved.
    pub async fn next(&mut self) -> Result<Option<ExportPart>, JournalError> {
        let head = self.extent.head;
        if self.after >= head {
            return Ok(None);
        }
        let room = usize::try_from(head.0 - self.after.0).unwrap_or(usize::MAX);
        let limit = ReadLimit { entries_max: self.chunk.entries_max.min(room), ..self.chunk };
        let lines = self.user.log().read(self.after, limit).await?;
        if !lines.is_empty() && lines.first() == self.after.next() {
            self.after = lines.last();
            return Ok(Some(ExportPart::Entries(lines)));
        }
        let trimmed = match lines.is_empty() {
            true => self.user.log().extent().await?.trimmed,
            false => Offset(lines.first().0 - 1),
        };
        if trimmed <= self.after {
            let what = format!("entry {} is missing below the head {head}", self.after.next());
            return Err(JournalError::Damaged(what));
        }
        let gap = Gap { from: self.after.next(), to: trimmed.min(head) };
        self.after = gap.to;
        Ok(Some(ExportPart::Gap(gap)))
    }
}
