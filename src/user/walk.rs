//! A bounded walk over a user's log, or over one thread of it: what a page is made of.
//!
//! Guarantees: entries come in offset order, each once, and what is missing between two of them is known
//! as a gap before the first one, or ends the walk there (DEL-2, DEL-3); no more than a chunk is in memory,
//! however much is walked (DEL-4); and no more of the log is read than was allowed, whatever lies between
//! the entries that are looked for (ISO-6).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{cursor::Gap, factory::User, recovery};
use crate::{
    journal::{Extent, JournalError, Lines, ReadLimit, RunRecord},
    kernel::ids::{Offset, ThreadId},
};

/// How far a walk may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimit {
    /// Entries that are found, and bytes of the log that are looked through, at most; at least one entry
    /// is looked at.
    pub page: ReadLimit,
    /// What is read at once.
    pub chunk: ReadLimit,
}

/// A place in a walk. Keeps its user's machines alive.
pub struct Walk {
    user: User,
    /// Whose entries are looked for; `None`: all are.
    thread: Option<ThreadId>,
    asked: Offset,
    extent: Extent,
    /// Where entries that are looked for lie: from … to, disjoint and in order.
    spans: VecDeque<(Offset, Offset)>,
    /// Up to here, entries that are looked for are known to come, without looking.
    known: Offset,
    /// Every entry up to here has been looked at, or is none that is looked for.
    seen: Offset,
    left: ReadLimit,
    chunk: ReadLimit,
    progress: Progress,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// Entries were looked at.
    Looked,
    /// Entries were given out: what the log loses from here on is another page's gap.
    Given,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is nothing more, up to the head as it was when the walk began.
    Through,
    /// A limit is reached, or the log has lost what comes next.
    Early,
}

impl Walk {
    /// A walk over the entries after `after`; `None` if `thread` is none of the user's (ISO-3).
    pub(super) async fn open(
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
                // Each of these has an entry that is kept: one more than there is room for is enough.
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

    /// The head of the log when the walk began: it goes no further.
    pub fn head(&self) -> Offset {
        self.extent.head
    }

    /// What was asked for and is no longer kept, told before the first entry (DEL-3). Final once
    /// [`Self::next`] has given something, or the walk is over.
    pub fn gap(&self) -> Option<Gap> {
        (self.asked < self.extent.trimmed).then(|| Gap { from: self.asked.next(), to: self.extent.trimmed })
    }

    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Ends the walk here.
    pub fn stop(&mut self) {
        self.end.get_or_insert(End::Early);
    }

    /// Where the next walk goes on, if this one is over and may have left something.
    pub fn next_after(&self) -> Option<Offset> {
        (self.end == Some(End::Early)).then_some(self.seen)
    }

    /// The next entries, encoded; they share the memory of what was read at once. None if the walk is
    /// over; if it is not afterwards, it goes on. An error has given
    /// nothing out, and leaves the walk before what could not be read.
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
                // What was found before it is given out first; whoever comes next is told.
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

    /// What is read next: nothing that is not needed.
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

    /// What comes next is no longer kept, since the log was trimmed meanwhile. Before the first entry it
    /// belongs to the gap; behind one, the next walk tells it (DEL-3).
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

/// Where the entries of `runs` after `after` lie, up to the head.
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

/// The last entry, up to the head, that the index knows to be one of `runs`.
fn known_of(runs: &[RunRecord], head: Offset) -> Offset {
    let of_runs = runs
        .iter()
        .flat_map(|run| [Some(run.accepted), run.started, run.completed.map(|(completed, _)| completed)]);
    of_runs.flatten().filter(|offset| *offset <= head).max().unwrap_or_default()
}
