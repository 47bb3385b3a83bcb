//! The last entries before an offset, of a log or of one thread of it: a page that is read backwards.
//!
//! Guarantees: the entries are consecutive matching ones in ascending order, each once, up to the offset (DEL-2).
//! Entries that were trimmed are reported as a gap by the page that reaches them (DEL-3). The page holds at most the
//! bytes of one chunk, and reads no more of the log than the limit allows (DEL-4, ISO-6).

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    handle::User,
    recovery,
    scan::{ScanLimit, ranges_of},
};
use crate::{
    journal::{Extent, JournalError, ReadLimit, Side},
    kernel::{
        connection::Gap,
        ids::{Offset, ThreadId},
    },
};

/// The last matching entries before an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesBefore {
    /// The encoded entries, in ascending order.
    pub entries: Vec<Bytes>,
    /// The head of the log when the page was begun.
    pub head: Offset,
    /// The entries before this page that were trimmed, if the page reaches them.
    pub gap: Option<Gap>,
    /// The position for the next older page; `None` if no older entry is stored.
    pub next_before: Option<Offset>,
}

/// A walk in progress, from the newest requested entry to older ones.
struct BackwardScan {
    user: User,
    thread: Option<ThreadId>,
    extent: Extent,
    /// The offset ranges, inclusive, disjoint and in order, that may hold matching entries. The last one is next.
    ranges: VecDeque<(Offset, Offset)>,
    /// Every requested entry after this offset has been examined or does not match.
    next: Offset,
    /// Whether no matching entry is stored before the ranges.
    ranges_are_all: bool,
    /// The matching entries, newest first.
    found: Vec<Bytes>,
    found_bytes: usize,
    left: ReadLimit,
    chunk: ReadLimit,
}

impl User {
    /// Returns the last entries before `before`, of one thread or of all; `None` if the user has no such thread
    /// (ISO-3). The entries are at most as many as `limit.page` allows, and have at most the bytes of one chunk; at
    /// least one entry is examined. An offset past the head is the end of the log.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn scan_before(
        &self,
        thread: Option<&ThreadId>,
        before: Offset,
        limit: ScanLimit,
    ) -> Result<Option<EntriesBefore>, JournalError> {
        match BackwardScan::open(self.clone(), thread, before, limit).await? {
            Some(scan) => scan.run().await.map(Some),
            None => Ok(None),
        }
    }
}

impl BackwardScan {
    async fn open(
        user: User,
        thread: Option<&ThreadId>,
        before: Offset,
        limit: ScanLimit,
    ) -> Result<Option<Self>, JournalError> {
        let extent = user.log().extent().await?;
        let next = Offset(before.0.saturating_sub(1)).min(extent.head);
        let (mut ranges, mut ranges_are_all) = (VecDeque::new(), true);
        match thread {
            None if next > extent.trimmed => ranges.push_back((extent.trimmed.next(), next)),
            None => {}
            Some(thread_id) => {
                // Each of these runs has an entry before `before`, so one more run than fits is enough.
                let runs_max = limit.page.entries_max.saturating_add(1);
                let log = user.log();
                let runs = log.thread_runs_ending(thread_id, next.next(), extent.trimmed, runs_max).await?;
                if runs.is_empty() && log.thread_runs(thread_id, Offset::ZERO, 1).await?.is_empty() {
                    return Ok(None);
                }
                let mut changes = log.thread_changes(thread_id, Side::Before(next.next()), runs_max).await?;
                changes.retain(|at| *at > extent.trimmed);
                ranges = ranges_of(&runs, &changes, extent.trimmed, next);
                // A further run ends before the last one of these, so it has no entry in a space between ranges after
                // the message of that one.
                let last_run = runs.last().filter(|_| runs.len() >= runs_max).map(|run| run.accepted);
                let last_change = changes.last().filter(|_| changes.len() >= runs_max).copied();
                if let Some(known_from) = last_run.max(last_change) {
                    ranges.retain(|(_, end)| *end >= known_from);
                    ranges_are_all = false;
                }
            }
        }
        Ok(Some(Self {
            user,
            thread: thread.cloned(),
            extent,
            ranges,
            next,
            ranges_are_all,
            found: Vec::new(),
            found_bytes: 0,
            left: limit.page,
            chunk: limit.chunk,
        }))
    }

    async fn run(mut self) -> Result<EntriesBefore, JournalError> {
        let mut lowest = self.next.next();
        let through = loop {
            let Some((first, last)) = self.ranges.back().copied() else { break self.ranges_are_all };
            self.next = self.next.min(last);
            if self.next < first {
                lowest = first;
                self.ranges.pop_back();
            } else if self.left.entries_max == 0 || !self.read_some(first).await? {
                lowest = self.next.next();
                break false;
            }
        };
        let trimmed = self.extent.trimmed.min(self.next);
        // Only entries that were trimmed are left.
        let through = through || lowest <= self.extent.trimmed.next();
        self.found.reverse();
        Ok(EntriesBefore {
            entries: self.found,
            head: self.extent.head,
            gap: (through && trimmed > Offset::ZERO).then_some(Gap { from: Offset(1), to: trimmed }),
            next_before: (!through).then_some(lowest),
        })
    }

    /// Reads a part of the range that begins at `first`. Returns false if a limit was reached.
    async fn read_some(&mut self, first: Offset) -> Result<bool, JournalError> {
        let lines = self.user.log().read_before(self.next.next(), self.read_limit(first)).await?;
        if lines.is_empty() || lines.last() != self.next {
            self.overtaken_by_trim().await?;
            return Ok(true);
        }
        let lines: Vec<_> = lines.iter().collect();
        for (offset, line) in lines.into_iter().rev() {
            let bytes = line.len() + 1;
            let wanted = match self.matches(&line) {
                Ok(wanted) => wanted,
                // Entries found before the error are returned first; the next page reports it.
                Err(_) if !self.found.is_empty() => return Ok(false),
                Err(error) => return Err(error),
            };
            let unfit = wanted && self.found_bytes + bytes > self.chunk.bytes_max && !self.found.is_empty();
            let full = self.left.bytes_max == 0 || (wanted && self.left.entries_max == 0);
            if unfit || full {
                return Ok(false);
            }
            self.left.bytes_max = self.left.bytes_max.saturating_sub(bytes);
            self.next = Offset(offset.0 - 1);
            if wanted {
                self.left.entries_max -= 1;
                self.found_bytes += bytes;
                // An entry of a thread is copied out of its chunk, which may hold little else of the page (DEL-4).
                let line = if self.thread.is_some() { Bytes::copy_from_slice(&line) } else { line };
                self.found.push(line);
            }
        }
        Ok(true)
    }

    /// Returns the limits of the next read, which reads nothing unnecessary.
    fn read_limit(&self, first: Offset) -> ReadLimit {
        let room = usize::try_from(self.next.0 - first.0 + 1).unwrap_or(usize::MAX);
        let entries_max = self.chunk.entries_max.min(room);
        let bytes_max = self.chunk.bytes_max.min(self.left.bytes_max);
        match &self.thread {
            Some(_) => ReadLimit { entries_max, bytes_max },
            None => ReadLimit {
                entries_max: entries_max.min(self.left.entries_max),
                bytes_max: bytes_max.min(self.chunk.bytes_max.saturating_sub(self.found_bytes)),
            },
        }
    }

    fn matches(&self, line: &[u8]) -> Result<bool, JournalError> {
        match &self.thread {
            None => Ok(true),
            Some(thread_id) => {
                let entry = recovery::decode(line, self.user.user_id())?;
                Ok(entry.thread_id() == Some(thread_id))
            }
        }
    }

    /// Handles a trim during the walk: every entry up to `next` is gone, and belongs to the gap.
    async fn overtaken_by_trim(&mut self) -> Result<(), JournalError> {
        let trimmed = self.user.log().extent().await?.trimmed;
        if trimmed < self.next {
            let what = format!("entry {} is missing below the head {}", self.next, self.extent.head);
            return Err(JournalError::Damaged(what));
        }
        self.extent.trimmed = trimmed;
        self.ranges.clear();
        self.ranges_are_all = true;
        Ok(())
    }
}
