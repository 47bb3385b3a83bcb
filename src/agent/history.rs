//! Read access to a user's own log, in bounded pages, newest first.
//!
//! Guarantees: a run reads only entries before itself, so it reads the same after a restart, except for trimmed
//! entries. Pages are contiguous. A page is bounded in bytes, independent of its entries (ISO-6).

use bytes::Bytes;
use quintet_journal::{JournalError, ReadLimit, RunRecord};
use quintet_kernel::ids::Offset;

use crate::{
    folded::RunReader,
    host::{Owner, QueueTime, RunHandle},
};

/// The part of the user's log before a run. It reads this user's log only (ISO-4).
#[derive(Clone)]
pub struct History {
    handle: RunHandle,
    owner: Owner,
    /// The end, exclusive.
    end: Offset,
    /// The offset of the run's own message.
    message: Offset,
}

/// A position in a history, for reading backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    end: Offset,
    /// An estimate of the entries that fit into a page here.
    width: u64,
}

impl History {
    pub(super) fn new(handle: RunHandle, owner: Owner, end: Offset, message: Offset) -> Self {
        Self { handle, owner, end, message }
    }

    /// Returns the owner, for limits per user.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Returns the time that the run has waited for its user's other runs.
    pub fn line(&self) -> &QueueTime {
        self.handle.line()
    }

    /// Returns the end of the history, exclusive.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Returns the offset of the run's own message.
    pub(crate) fn message(&self) -> Offset {
        self.message
    }

    /// Returns a reader of whole runs that reads at most about `bytes_max` bytes.
    pub(crate) fn runs(&self, bytes_max: usize) -> RunReader {
        RunReader::new(self.handle.log().clone(), bytes_max)
    }

    pub(crate) async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.handle.path(message, limit).await
    }

    /// Returns the position of the newest page.
    pub fn newest(&self) -> Page {
        Page { end: self.end, width: PAGE_ENTRIES_MAX }
    }

    /// Returns the entries before `page`, newest first, each encoded as on the wire, and the position of the
    /// preceding page, or `None` at the beginning of the log. A page has at most [`PAGE_ENTRIES_MAX`] entries
    /// and [`PAGE_BYTES_MAX`] bytes, or a single longer entry.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the journal cannot be read.
    pub async fn before(&self, page: Page) -> Result<(Vec<(Offset, Bytes)>, Option<Page>), JournalError> {
        let Page { end, mut width } = page;
        loop {
            let last = end.0.saturating_sub(1);
            let after = Offset(last.saturating_sub(width));
            let wanted = last - after.0;
            if wanted == 0 {
                return Ok((Vec::new(), None));
            }
            let entries_max = usize::try_from(wanted).unwrap_or(usize::MAX);
            let lines = self.handle.read(after, ReadLimit { entries_max, bytes_max: PAGE_BYTES_MAX }).await?;
            if lines.is_empty() {
                return Ok((Vec::new(), None));
            }
            if lines.last().0 < last && wanted > 1 {
                // The log is read forwards, so the newest entries are those that did not fit: read fewer.
                width = (lines.len() as u64).min(wanted / 2).max(1);
                continue;
            }
            // A trimmed log begins after the requested offset, possibly after this page.
            let trimmed = lines.first() > after.next();
            let wider = if lines.as_bytes().len() <= PAGE_BYTES_MAX / 2 { 2 * width } else { width };
            let earlier = Page { end: after.next(), width: wider.min(PAGE_ENTRIES_MAX) };
            let mut entries: Vec<_> = lines.iter().filter(|(offset, _)| *offset < end).collect();
            entries.reverse();
            return Ok((entries, (after > Offset::ZERO && !trimmed).then_some(earlier)));
        }
    }
}

/// Greatest number of entries of one page.
pub const PAGE_ENTRIES_MAX: u64 = 128;

/// Greatest size of one page in bytes, unless it is one longer entry.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
