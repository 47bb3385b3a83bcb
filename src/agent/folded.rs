//! Reads runs from a log and folds them, for the history of agents and for the pages of a conversation.
//!
//! Guarantee: the cost of a run depends on its own entries and those beside it, and is bounded in bytes, independent of
//! the length of the log and of the thread (ISO-6).

use std::sync::Arc;

use bytes::Bytes;
use quintet_journal::{JournalError, Log, ReadLimit, RunRecord};
use quintet_kernel::{
    entry::{Entry, RunEntry},
    fold::FoldedRun,
    ids::Offset,
};
use quintet_wire as wire;

/// Reads runs of one user's log within a budget of bytes.
pub struct RunReader {
    log: Arc<dyn Log>,
    bytes_left: usize,
}

impl RunReader {
    /// Creates a reader of `log` that reads about `bytes_max` bytes.
    pub fn new(log: Arc<dyn Log>, bytes_max: usize) -> Self {
        Self { log, bytes_left: bytes_max }
    }

    /// Returns true if the budget is spent.
    pub fn is_spent(&self) -> bool {
        self.bytes_left == 0
    }

    /// Returns a run as of the entry at `head`: later entries are ignored. The run is not [`whole`](FoldedRun::whole) if
    /// the budget did not suffice. Returns `None` if its message is not among the entries up to `head`, was trimmed or
    /// erased, or if the budget was spent before.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the journal cannot be read, or an entry cannot be decoded.
    pub async fn run(&mut self, record: &RunRecord, head: Offset) -> Result<Option<FoldedRun>, JournalError> {
        if record.accepted > head || self.is_spent() {
            return Ok(None);
        }
        let message = self.entry(record.accepted).await?.filter(|entry| entry.run_id == record.run_id);
        let Some(mut run) = message.and_then(|message| FoldedRun::begin(message, record.parent)) else {
            return Ok(None);
        };
        let completed = record.completed.map(|(offset, _)| offset).filter(|offset| *offset <= head);
        // Read first, with any budget that is left: the end of a run is known even if the run is too large.
        let end = match completed {
            Some(offset) => self.entry(offset).await?,
            None => None,
        };
        let missing = completed.is_some() && end.is_none();
        if let Some(started) = record.started.filter(|started| *started <= head) {
            let last = completed.map_or(head, |completed| Offset(completed.0 - 1));
            run.whole = self.events(&mut run, started, last).await?;
        }
        run.whole &= !missing;
        if let Some(end) = end {
            run.take(end);
        }
        Ok(Some(run))
    }

    /// Adds the events of a run between two offsets, inclusive. Returns false if the budget ended before the last.
    async fn events(
        &mut self,
        run: &mut FoldedRun,
        first: Offset,
        last: Offset,
    ) -> Result<bool, JournalError> {
        let mut after = Offset(first.0.saturating_sub(1));
        while after < last {
            if self.is_spent() {
                return Ok(false);
            }
            let room = usize::try_from(last.0 - after.0).unwrap_or(usize::MAX);
            let page = self.page(after, PAGE_ENTRIES_MAX.min(room)).await?;
            let Some((reached, _)) = page.last() else { return Ok(false) };
            after = *reached;
            for (offset, line) in page.into_iter().take_while(|(offset, _)| *offset <= last) {
                if let Some(entry) = decoded(offset, &line)?.into_run() {
                    run.take(entry);
                }
            }
        }
        Ok(true)
    }

    /// Returns the entry of a run at an offset; `None` if it was trimmed or erased.
    async fn entry(&mut self, offset: Offset) -> Result<Option<RunEntry>, JournalError> {
        let after = Offset(offset.0.saturating_sub(1));
        let page = self.page(after, 1).await?;
        let Some((found, line)) = page.into_iter().next().filter(|(found, _)| *found == offset) else {
            return Ok(None);
        };
        decoded(found, &line).map(Entry::into_run)
    }

    /// Returns entries after an offset, at least one if there is one, and charges the budget.
    async fn page(
        &mut self,
        after: Offset,
        entries_max: usize,
    ) -> Result<Vec<(Offset, Bytes)>, JournalError> {
        let limit = ReadLimit { entries_max, bytes_max: self.bytes_left.min(PAGE_BYTES_MAX) };
        let lines = self.log.read(after, limit).await?;
        self.bytes_left = self.bytes_left.saturating_sub(lines.as_bytes().len());
        Ok(lines.iter().collect())
    }
}

fn decoded(offset: Offset, line: &Bytes) -> Result<Entry, JournalError> {
    let (_, entry) = wire::entry::decode(line)
        .map_err(|error| JournalError::Damaged(format!("entry {offset}: {error}")))?;
    Ok(entry)
}

const PAGE_ENTRIES_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 256 * 1024;
