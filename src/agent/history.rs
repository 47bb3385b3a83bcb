//! A user's own log, to read: bounded pages, the newest first.
//!
//! Guarantee: what a run reads lies before the run, so the same run reads the same again after a
//! restart, but for what was trimmed in between.

use bytes::Bytes;

use crate::{
    journal::{JournalError, ReadLimit},
    kernel::ids::Offset,
    user::port::RunPort,
};

/// The part of the user's log that lies before a run. It knows no user but this one (ISO-4).
#[derive(Clone)]
pub struct History {
    port: RunPort,
    /// The first entry that is not part of it.
    end: Offset,
}

/// A place in a history from which one reads backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(Offset);

impl History {
    pub(super) fn new(port: RunPort, end: Offset) -> Self {
        Self { port, end }
    }

    /// The newest page.
    pub fn newest(&self) -> Page {
        Page(self.end)
    }

    /// The entries before `page` and the page before them, newest entry first, each encoded as on the
    /// wire; at most [`PAGE_ENTRIES_MAX`]. No page is left where the log begins.
    pub async fn before(&self, page: Page) -> Result<(Vec<(Offset, Bytes)>, Option<Page>), JournalError> {
        let Page(end) = page;
        let start = Offset(end.0.saturating_sub(1).saturating_sub(PAGE_ENTRIES_MAX));
        let mut entries = Vec::new();
        let mut after = start;
        while after.next() < end {
            let entries_max = (end.0 - 1 - after.0) as usize;
            let lines = self.port.read(after, ReadLimit { entries_max, bytes_max: READ_BYTES_MAX }).await?;
            if lines.is_empty() {
                break;
            }
            // Where the log was trimmed it begins later than asked, perhaps past this page.
            entries.extend(lines.iter().filter(|(offset, _)| *offset < end));
            after = lines.last();
        }
        entries.reverse();
        let trimmed = entries.last().is_none_or(|(first, _)| first.0 > start.0 + 1);
        let earlier = (start > Offset::ZERO && !trimmed).then(|| Page(start.next()));
        Ok((entries, earlier))
    }
}

/// Entries of one page.
pub const PAGE_ENTRIES_MAX: u64 = 128;

/// Bytes of one read from the log.
const READ_BYTES_MAX: usize = 1024 * 1024;
