//! The earlier runs of a thread, folded for agents that continue a conversation, such as language models.
//!
//! Guarantees: a run reads only what was completed before it, so it reads the same after a restart, except for trimmed
//! entries. The reads of one conversation are bounded in bytes, independent of the length of the log (ISO-6).

use std::collections::BTreeMap;

use bytes::Bytes;
use quintet_journal::{JournalError, ReadLimit, RunRecord};
use quintet_kernel::{
    entry::{Body, Call, CallResult, Completion, Entry, Event, RunEntry, RunStatus},
    ids::{CallId, Offset, RunId},
};
use quintet_wire as wire;

use crate::history::History;

/// A completed run of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// The text of the user's message, and of the messages that the run took while it executed.
    pub message: String,
    /// The calls of the run, in the order in which they were opened.
    pub calls: Vec<(Call, CallResult)>,
    /// The final response, if the run succeeded.
    pub answer: Option<String>,
    /// The status with which the run ended.
    pub status: RunStatus,
}

impl PastRun {
    /// Returns the length of the texts, parameters and results, in bytes.
    pub fn bytes(&self) -> usize {
        let call = |(call, result): &(Call, CallResult)| {
            call.parameters.as_str().len()
                + result.results.as_str().len()
                + result.error.as_ref().map_or(0, String::len)
        };
        self.message.len()
            + self.answer.as_ref().map_or(0, String::len)
            + self.calls.iter().map(call).sum::<usize>()
    }
}

impl History {
    /// Returns the runs on the path from this run's message to the root of its thread that were completed before this
    /// run, oldest first: the newest ones whose texts fit into `bytes_max` bytes, at least one. A run that is too
    /// large for a bounded read has no `calls`.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the journal cannot be read.
    pub async fn conversation(&self, bytes_max: usize) -> Result<Vec<PastRun>, JournalError> {
        let mut reader = Reader { history: self, bytes_left: READ_BYTES_MAX };
        let (mut runs, mut bytes) = (Vec::new(), 0);
        let own = self.path(self.message(), 1).await?;
        let mut next = own.first().map_or(Offset::ZERO, |own| own.parent);
        'all: while next > Offset::ZERO {
            let page = self.path(next, RECORDS_MAX).await?;
            next = page.last().map_or(Offset::ZERO, |last| last.parent);
            for record in &page {
                // An earlier run of the thread may have ended after this one began, in a resumed log.
                let Some((completed, _)) = record.completed.filter(|(at, _)| *at < self.end()) else {
                    continue;
                };
                let Some((run, into)) = reader.run(record, completed).await? else { break 'all };
                bytes += run.bytes();
                if bytes > bytes_max && !runs.is_empty() {
                    break 'all;
                }
                runs.push((record.run_id, into, run));
            }
        }
        runs.reverse();
        Ok(merged(runs))
    }
}

/// Adds the messages that a run has taken to the message of that run (RUN-12).
fn merged(runs: Vec<(RunId, Option<RunId>, PastRun)>) -> Vec<PastRun> {
    let mut conversation: Vec<(RunId, PastRun)> = Vec::new();
    for (run_id, into, run) in runs {
        match conversation.iter_mut().find(|(other, _)| into == Some(*other)) {
            Some((_, taker)) => {
                taker.message.push_str("\n\n");
                taker.message.push_str(&run.message);
            }
            None => conversation.push((run_id, run)),
        }
    }
    conversation.into_iter().map(|(_, run)| run).collect()
}

/// Reads runs within a budget of bytes.
struct Reader<'a> {
    history: &'a History,
    bytes_left: usize,
}

impl Reader<'_> {
    /// Returns a run, and the run that took its message; `None` if its message was trimmed or erased, or the budget
    /// is spent.
    async fn run(
        &mut self,
        record: &RunRecord,
        completed: Offset,
    ) -> Result<Option<(PastRun, Option<RunId>)>, JournalError> {
        let Some(RunEntry { body: Body::UserMessage { text: message, .. }, .. }) =
            self.entry(record.accepted).await?
        else {
            return Ok(None);
        };
        let Some(RunEntry { body: Body::Event { event: Event::Completed(completion), .. }, .. }) =
            self.entry(completed).await?
        else {
            return Ok(None);
        };
        let started = record.started.unwrap_or(completed);
        let calls = self.calls(record, started, completed).await?;
        let Completion { status, final_response: answer, merged_into, .. } = completion;
        Ok(Some((PastRun { message, calls, answer, status }, merged_into)))
    }

    /// Returns the entry of a run at an offset; `None` if it was trimmed or erased, or the budget is spent.
    async fn entry(&mut self, offset: Offset) -> Result<Option<RunEntry>, JournalError> {
        let after = Offset(offset.0.saturating_sub(1));
        let page = self.page(after, 1).await?;
        let Some((found, line)) = page.into_iter().next().filter(|(found, _)| *found == offset) else {
            return Ok(None);
        };
        decoded(found, &line).map(Entry::into_run)
    }

    /// Returns the calls of a run between two offsets, without those that are not closed there.
    async fn calls(
        &mut self,
        record: &RunRecord,
        started: Offset,
        completed: Offset,
    ) -> Result<Vec<(Call, CallResult)>, JournalError> {
        let (mut calls, mut results) = (Vec::new(), BTreeMap::<CallId, CallResult>::new());
        let mut after = started;
        while after.next() < completed {
            let page = self.page(after, PAGE_ENTRIES_MAX).await?;
            let Some((last, _)) = page.last() else { return Ok(Vec::new()) };
            after = *last;
            for (offset, line) in page.into_iter().take_while(|(offset, _)| *offset < completed) {
                let Some(entry) = decoded(offset, &line)?.into_run() else { continue };
                match entry.body {
                    _ if entry.run_id != record.run_id => {}
                    Body::Event { event: Event::ToolExecuting(call), .. } => calls.push(call),
                    Body::Event { event: Event::ToolCompleted { call_id, result, .. }, .. } => {
                        results.insert(call_id, result);
                    }
                    _ => {}
                }
            }
        }
        let closed = |call: Call| results.remove(&call.call_id).map(|result| (call, result));
        Ok(calls.into_iter().filter_map(closed).collect())
    }

    /// Returns entries after an offset; none if the budget is spent.
    async fn page(
        &mut self,
        after: Offset,
        entries_max: usize,
    ) -> Result<Vec<(Offset, Bytes)>, JournalError> {
        if self.bytes_left == 0 {
            return Ok(Vec::new());
        }
        let limit = ReadLimit { entries_max, bytes_max: self.bytes_left.min(PAGE_BYTES_MAX) };
        let lines = self.history.read(after, limit).await?;
        self.bytes_left = self.bytes_left.saturating_sub(lines.as_bytes().len());
        Ok(lines.iter().collect())
    }
}

fn decoded(offset: Offset, line: &Bytes) -> Result<Entry, JournalError> {
    let (_, entry) = wire::entry::decode(line)
        .map_err(|error| JournalError::Damaged(format!("entry {offset}: {error}")))?;
    Ok(entry)
}

/// Bytes of the log that are read for one conversation.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records of runs that are read at once.
const RECORDS_MAX: usize = 32;

const PAGE_ENTRIES_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 256 * 1024;
