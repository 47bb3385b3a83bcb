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
    journal::{Extent, JournalError, Lines, ReadLimit, RunRecord},
    kernel::{
        connection::Gap,
        ids::{Offset, ThreadId},
    },
};

/// The limits of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimit {
    /// Greatest number of matching entries, and of bytes of the log that are read. At least one entry is
    /// examined.
    pub page: ReadLimit,
    /// The limits of one read.
    pub chunk: ReadLimit,
}

/// A walk in progress. Keeps the user's machines alive.
pub struct Walk {
    user: User,
    /// The thread of matching entries; `None` for all threads.
    thread: Option<ThreadId>,
    asked: Offset,
    extent: Extent,
    /// The offset ranges, inclusive, disjoint and in order, that may hold matching entries.
    spans: VecDeque<(Offset, Offset)>,
    /// Matching entries are known from the index to exist up to this offset.
    known: Offset,
    /// Every entry up to this offset has been examined or does not match.
    seen: Offset,
    left: ReadLimit,
    chunk: ReadLimit,
    progress: Progress,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// Entries were examined, none returned.
    Looked,
    /// Entries were returned, so entries trimmed from now on belong to the gap of another page.
    Given,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
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
    pub async fn walk(
        &self,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: WalkLimit,
    ) -> Result<Option<Walk>, JournalError> {
        Walk::open(self.clone(), thread, after, limit).await
    }
}

impl Walk {
    /// Starts a walk over the entries after `after`; `None` if the user has no such `thread` (ISO-3).
    async fn open(
        user: User,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: WalkLimit,
    ) -> Result<Option<Self>, JournalError> {
        let extent = user.log().extent().await?;
        let seen = after.max(extent.trimmed);
        let (mut spans, mut known) = (VecDeque::new(), extent.head);
        match thread {
            None if seen < extent.head => spans.push_back((seen.next(), extent.head)),
            None => {}
            Some(thread_id) => {
                // Each of these runs has a stored entry, so one more run than fits is enough.
                let runs_max = limit.page.entries_max.saturating_add(1);
                let runs = user.log().thread_runs(thread_id, seen, runs_max).await?;
                if runs.is_empty() && user.log().thread_runs(thread_id, Offset::ZERO, 1).await?.is_empty() {
                    return Ok(None);
                }
                if seen < extent.head {
                    spans = spans_of(&runs, seen, extent.head);
                }
                known = known_of(&runs, extent.head);
            }
        }
        let end = spans.is_empty().then_some(End::Through);
        Ok(Some(Self {
            user,
            thread: thread.cloned(),
            asked: after,
            extent,
            spans,
            known,
            seen,
            left: limit.page,
            chunk: limit.chunk,
            progress: Progress::Nothing,
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
        (self.asked < self.extent.trimmed).then(|| Gap { from: self.asked.next(), to: self.extent.trimmed })
    }

    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Ends the walk.
    pub fn stop(&mut self) {
        self.end.get_or_insert(End::Early);
    }

    /// Returns the position for the next walk, if this one has ended early.
    pub fn next_after(&self) -> Option<Offset> {
        (self.end == Some(End::Early)).then_some(self.seen)
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
            self.look(&mut found).await?;
        }
        Ok(found)
    }

    async fn look(&mut self, found: &mut Vec<Bytes>) -> Result<(), JournalError> {
        let Some((first, last)) = self.spans.front().copied() else {
            self.end = Some(End::Through);
            return Ok(());
        };
        self.seen = self.seen.max(Offset(first.0 - 1));
        let lines = self.user.log().read(self.seen, self.read_limit(last)).await?;
        if lines.is_empty() || lines.first() != self.seen.next() {
            return self.outrun(&lines).await;
        }
        for (offset, line) in lines.iter() {
            let bytes = line.len() + 1;
            let wanted = match self.looks_for(&line) {
                Ok(wanted) => wanted,
                // Entries found before the error are returned first; the next walk reports it.
                Err(_) if !found.is_empty() => {
                    self.end = Some(End::Early);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let full = self.progress != Progress::Nothing && bytes > self.left.bytes_max;
            if full || (wanted && self.left.entries_max == 0) {
                self.end = Some(End::Early);
                return Ok(());
            }
            self.left.bytes_max = self.left.bytes_max.saturating_sub(bytes);
            self.seen = offset;
            if wanted {
                self.left.entries_max -= 1;
                self.progress = Progress::Given;
                found.push(line);
                if self.left.entries_max == 0 && self.seen < self.known {
                    self.end = Some(End::Early);
                    return Ok(());
                }
            } else if self.progress == Progress::Nothing {
                self.progress = Progress::Looked;
            }
        }
        self.pass_spans();
        Ok(())
    }

    /// Returns the limits of the next read, which reads nothing unnecessary.
    fn read_limit(&self, last: Offset) -> ReadLimit {
        let room = usize::try_from(last.0 - self.seen.0).unwrap_or(usize::MAX);
        let entries_max = self.chunk.entries_max.min(room);
        match &self.thread {
            Some(_) => ReadLimit { entries_max, ..self.chunk },
            None => ReadLimit { entries_max: entries_max.min(self.left.entries_max), ..self.chunk },
        }
    }

    fn looks_for(&self, line: &[u8]) -> Result<bool, JournalError> {
        match &self.thread {
            None => Ok(true),
            Some(thread_id) => {
                let (_, entry) = recovery::decode(line, self.user.user_id())?;
                Ok(entry.thread_id == *thread_id)
            }
        }
    }

    /// Handles a trim during the walk. Before the first returned entry the trimmed entries belong to the gap;
    /// after it, they end the walk and the next one reports them (DEL-3).
    async fn outrun(&mut self, lines: &Lines) -> Result<(), JournalError> {
        if self.progress == Progress::Given {
            self.end = Some(End::Early);
            return Ok(());
        }
        let trimmed = match lines.is_empty() {
            true => self.user.log().extent().await?.trimmed,
            false => Offset(lines.first().0 - 1),
        };
        if trimmed <= self.seen {
            let what = format!("entry {} is missing below the head {}", self.seen.next(), self.extent.head);
            return Err(JournalError::Damaged(what));
        }
        self.extent.trimmed = trimmed;
        self.seen = trimmed;
        self.pass_spans();
        Ok(())
    }

    fn pass_spans(&mut self) {
        while self.spans.front().is_some_and(|(_, last)| *last <= self.seen) {
            self.spans.pop_front();
        }
        if self.spans.is_empty() {
            self.end = Some(End::Through);
        }
    }
}

/// Returns the offset ranges of `runs` after `after`, up to the head.
fn spans_of(runs: &[RunRecord], after: Offset, head: Offset) -> VecDeque<(Offset, Offset)> {
    let mut by_first: BTreeMap<Offset, Offset> = BTreeMap::new();
    for run in runs {
        let first = run.accepted.max(after.next());
        let last = run.completed.map_or(head, |(completed, _)| completed).min(head);
        if first <= last {
            let end = by_first.entry(first).or_insert(last);
            *end = last.max(*end);
        }
    }
    let mut spans: VecDeque<(Offset, Offset)> = VecDeque::new();
    for (first, last) in by_first {
        match spans.back_mut() {
            Some((_, end)) if first <= end.next() => *end = last.max(*end),
            _ => spans.push_back((first, last)),
        }
    }
    spans
}

/// Returns the last offset, up to the head, that the index knows to belong to `runs`.
fn known_of(runs: &[RunRecord], head: Offset) -> Offset {
    let of_runs = runs
        .iter()
        .flat_map(|run| [Some(run.accepted), run.started, run.completed.map(|(completed, _)| completed)]);
    of_runs.flatten().filter(|offset| *offset <= head).max().unwrap_or_default()
}
