//! A user's own log, to read: bounded pages, the newest first.
//!
//! Guarantees: what a run reads lies before the run, so the same run reads the same again after a restart, but
//! for what was trimmed in between; pages follow each other without an entry missing between them; a page is
//! bounded in bytes, whatever the entries are (ISO-6).

use bytes::Bytes;

use crate::{
    journal::{JournalError, ReadLimit},
    kernel::ids::Offset,
    user::{agents::Owner, line::Line, port::RunPort},
};

/// The part of the user's log that lies before a run. It knows no user but this one (ISO-4).
#[derive(Clone)]
pub struct History {
    port: RunPort,
    owner: Owner,
    /// The first entry that is not part of it.
    end: Offset,
}

/// A place in a history from which one reads backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    end: Offset,
    /// Entries that probably fit into a page here.
    width: u64,
}

impl History {
    pub(super) fn new(port: RunPort, owner: Owner, end: Offset) -> Self {
        Self { port, owner, end }
    }

    /// Whose history it is, for what is shared out by user.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// How long the run has waited for its user's others.
    pub(super) fn line(&self) -> &Line {
        self.port.line()
    }

    /// The newest page.
    pub fn newest(&self) -> Page {
        Page { end: self.end, width: PAGE_ENTRIES_MAX }
    }

    /// Returns the entries before `page`, newest first, each encoded as on the wire, and the page before them;
    /// at most [`PAGE_ENTRIES_MAX`] entries and [`PAGE_BYTES_MAX`] bytes, or one entry that is longer. No page
    /// is left where the log begins.
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
            let lines = self.port.read(after, ReadLimit { entries_max, bytes_max: PAGE_BYTES_MAX }).await?;
            if lines.is_empty() {
                return Ok((Vec::new(), None));
            }
            if lines.last().0 < last && wanted > 1 {
                // The log is read forwards: what did not fit is the newest part, so fewer entries are read.
                width = (lines.len() as u64).min(wanted / 2).max(1);
                continue;
            }
            // Where the log was trimmed it begins later than asked, perhaps past this page.
            let trimmed = lines.first() > after.next();
            let wider = if lines.as_bytes().len() <= PAGE_BYTES_MAX / 2 { 2 * width } else { width };
            let earlier = Page { end: after.next(), width: wider.min(PAGE_ENTRIES_MAX) };
            let mut entries: Vec<_> = lines.iter().filter(|(offset, _)| *offset < end).collect();
            entries.reverse();
            return Ok((entries, (after > Offset::ZERO && !trimmed).then_some(earlier)));
        }
    }
}

/// Entries of one page.
pub const PAGE_ENTRIES_MAX: u64 = 128;

/// Bytes of one page, unless it is one longer entry.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
