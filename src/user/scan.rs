//! A bounded walk over a user's log, or over one thread of it: the source of a page.
//!
//! Guarantees: entries are returned in offset order, each once; missing entries are reported as a gap before
//! the first entry, or end the walk (DEL-2, DEL-3). At most one chunk is in memory, independent of the length
//! of the walk (DEL-4). No more of the log is read than the limit allows, independent of the entries between
//! the matching ones (ISO-6).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{handle::User, recovery};
use crate::{
    journal::{Extent, JournalError, Lines, ReadLimit, RunRecord, Side},
    kernel::{
        connection::Gap,
        ids::{Offset, ThreadId},
    },
};

/// The limits of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimit {
    /// Greatest number of matching entries, and of bytes of the log that are read. At least one entry is
    /// examined.
    pub page: ReadLimit,
    /// The limits of one read.
    pub chunk: ReadLimit,
}

/// A walk in progress. Keeps the user's machines alive.
pub struct EntryScan {
    user: User,
    /// The thread of matching entries; `None` for all threads.
    thread: Option<ThreadId>,
    requested_after: Offset,
    extent: Extent,
    /// The offset ranges, inclusive, disjoint and in order, that may hold matching entries.
    ranges: VecDeque<(Offset, Offset)>,
    /// Matching entries are known from the index to exist up to this offset.
    last_known: Offset,
    /// Every entry up to this offset has been examined or does not match.
    examined: Offset,
    left: ReadLimit,
    chunk: ReadLimit,
    progress: ScanProgress,
    end: Option<ScanEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanProgress {
    Nothing,
    /// Entries were examined, none returned.
    Examined,
    /// Entries were returned, so entries trimmed from now on belong to the gap of another page.
    Returned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanEnd {
    /// The walk has reached the head of its start.
    Through,
    /// A limit was reached, or the next entry was trimmed.
    Early,
}

impl User {
    /// Starts a walk over the entries after `after`, of one thread or of all. Returns `None` if the user has no
    /// such thread (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn scan(
        &self,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: ScanLimit,
    ) -> Result<Option<EntryScan>, JournalError> {
        EntryScan::open(self.clone(), thread, after, limit).await
    }
}

impl EntryScan {
    /// Starts a walk over the entries after `after`; `None` if the user has no such `thread` (ISO-3).
    async fn open(
        user: User,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: ScanLimit,
    ) -> Result<Option<Self>, JournalError> {
        let extent = user.log().extent().await?;
        let examined = after.max(extent.trimmed);
        let (mut ranges, mut last_known) = (VecDeque::new(), extent.head);
        match thread {
            None if examined < extent.head => ranges.push_back((examined.next(), extent.head)),
            None => {}
            Some(thread_id) => {
                // Each of these runs has a stored entry, so one more run than fits is enough.
                let runs_max = limit.page.entries_max.saturating_add(1);
                let runs = user.log().thread_runs(thread_id, examined, runs_max).await?;
                if runs.is_empty() && user.log().thread_runs(thread_id, Offset::ZERO, 1).await?.is_empty() {
                    return Ok(None);
                }
                // Entries that belong to no run; the same number is enough.
                let changes = user.log().thread_changes(thread_id, Side::After(examined), runs_max).await?;
                if examined < extent.head {
                    ranges = ranges_of(&runs, &changes, examined, extent.head);
                }
                last_known = last_known_match(&runs, &changes, extent.head);
            }
        }
        let end = ranges.is_empty().then_some(ScanEnd::Through);
        Ok(Some(Self {
            user,
            thread: thread.cloned(),
            requested_after: after,
            extent,
            ranges,
            last_known,
            examined,
            left: limit.page,
            chunk: limit.chunk,
            progress: ScanProgress::Nothing,
            end,
        }))
    }

    /// Returns the head at the start of the walk, which is its end.
    pub fn head(&self) -> Offset {
        self.extent.head
    }

    /// Returns the requested entries before the first returned one that were trimmed (DEL-3). Final once
    /// [`Self::next`] has returned entries, or the walk has ended.
    pub fn gap(&self) -> Option<Gap> {
        (self.requested_after < self.extent.trimmed)
            .then(|| Gap { from: self.requested_after.next(), to: self.extent.trimmed })
    }

    /// Returns whether the walk has ended, at its head, at a limit or by [`Self::stop`].
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Ends the walk.
    pub fn stop(&mut self) {
        self.end.get_or_insert(ScanEnd::Early);
    }

    /// Returns the position for the next walk, if this one has ended early.
    pub fn next_after(&self) -> Option<Offset> {
        (self.end == Some(ScanEnd::Early)).then_some(self.examined)
    }

    /// Returns the next matching entries, encoded, which share the memory of one read. The result is empty if
    /// the walk has ended, or if no entry of this read matches.
    ///
    /// # Errors
    ///
    /// After an error nothing has been returned, and the walk is still before the unreadable entries.
    pub async fn next(&mut self) -> Result<Vec<Bytes>, JournalError> {
        let mut found = Vec::new();
        while found.is_empty() && self.end.is_none() {
            self.read_some(&mut found).await?;
        }
        Ok(found)
    }

    async fn read_some(&mut self, found: &mut Vec<Bytes>) -> Result<(), JournalError> {
        let Some((first, last)) = self.ranges.front().copied() else {
            self.end = Some(ScanEnd::Through);
            return Ok(());
        };
        self.examined = self.examined.max(Offset(first.0 - 1));
        let lines = self.user.log().read(self.examined, self.read_limit(last)).await?;
        if lines.is_empty() || lines.first() != self.examined.next() {
            return self.overtaken_by_trim(&lines).await;
        }
        for (offset, line) in lines.iter() {
            let bytes = line.len() + 1;
            let wanted = match self.matches(&line) {
                Ok(wanted) => wanted,
                // Entries found before the error are returned first; the next walk reports it.
                Err(_) if !found.is_empty() => {
                    self.end = Some(ScanEnd::Early);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let full = self.progress != ScanProgress::Nothing && bytes > self.left.bytes_max;
            if full || (wanted && self.left.entries_max == 0) {
                self.end = Some(ScanEnd::Early);
                return Ok(());
            }
            self.left.bytes_max = self.left.bytes_max.saturating_sub(bytes);
            self.examined = offset;
            if wanted {
                self.left.entries_max -= 1;
                self.progress = ScanProgress::Returned;
                found.push(line);
                if self.left.entries_max == 0 && self.examined < self.last_known {
                    self.end = Some(ScanEnd::Early);
                    return Ok(());
                }
            } else if self.progress == ScanProgress::Nothing {
                self.progress = ScanProgress::Examined;
            }
        }
        self.drop_passed_ranges();
        Ok(())
    }

    /// Returns the limits of the next read, which reads nothing unnecessary.
    fn read_limit(&self, last: Offset) -> ReadLimit {
        let room = usize::try_from(last.0 - self.examined.0).unwrap_or(usize::MAX);
        let entries_max = self.chunk.entries_max.min(room);
        match &self.thread {
            Some(_) => ReadLimit { entries_max, ..self.chunk },
            None => ReadLimit { entries_max: entries_max.min(self.left.entries_max), ..self.chunk },
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

    /// Handles a trim during the walk. Before the first returned entry the trimmed entries belong to the gap;
    /// after it, they end the walk and the next one reports them (DEL-3).
    async fn overtaken_by_trim(&mut self, lines: &Lines) -> Result<(), JournalError> {
        if self.progress == ScanProgress::Returned {
            self.end = Some(ScanEnd::Early);
            return Ok(());
        }
        let trimmed = match lines.is_empty() {
            true => self.user.log().extent().await?.trimmed,
            false => Offset(lines.first().0 - 1),
        };
        if trimmed <= self.examined {
            let what =
                format!("entry {} is missing below the head {}", self.examined.next(), self.extent.head);
            return Err(JournalError::Damaged(what));
        }
        self.extent.trimmed = trimmed;
        self.examined = trimmed;
        self.drop_passed_ranges();
        Ok(())
    }

    fn drop_passed_ranges(&mut self) {
        while self.ranges.front().is_some_and(|(_, last)| *last <= self.examined) {
            self.ranges.pop_front();
        }
        if self.ranges.is_empty() {
            self.end = Some(ScanEnd::Through);
        }
    }
}

/// Returns the offset ranges of `runs` and of the single entries `changes` after `after`, up to the head.
pub(super) fn ranges_of(
    runs: &[RunRecord],
    changes: &[Offset],
    after: Offset,
    head: Offset,
) -> VecDeque<(Offset, Offset)> {
    let of_runs = runs.iter().map(|run| {
        let last = run.completed.map_or(head, |(completed, _)| completed).min(head);
        (run.accepted.max(after.next()), last)
    });
    let of_changes = changes.iter().filter(|at| (after.next()..=head).contains(*at)).map(|at| (*at, *at));
    let mut by_first: BTreeMap<Offset, Offset> = BTreeMap::new();
    for (first, last) in of_runs.chain(of_changes) {
        if first <= last {
            let end = by_first.entry(first).or_insert(last);
            *end = last.max(*end);
        }
    }
    let mut ranges: VecDeque<(Offset, Offset)> = VecDeque::new();
    for (first, last) in by_first {
        match ranges.back_mut() {
            Some((_, end)) if first <= end.next() => *end = last.max(*end),
            _ => ranges.push_back((first, last)),
        }
    }
    ranges
}

/// Returns the last offset, up to the head, that the index knows to belong to `runs` or `changes`.
fn last_known_match(runs: &[RunRecord], changes: &[Offset], head: Offset) -> Offset {
    let of_runs = runs
        .iter()
        .flat_map(|run| [Some(run.accepted), run.started, run.completed.map(|(completed, _)| completed)]);
    of_runs
        .flatten()
        .chain(changes.iter().copied())
        .filter(|offset| *offset <= head)
        .max()
        .unwrap_or_default()
}
