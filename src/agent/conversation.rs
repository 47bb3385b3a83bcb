//! The earlier runs of a thread, folded for agents that continue a conversation, such as language models.
//!
//! Guarantees: a run reads only what was completed before it, so it reads the same after a restart, except for trimmed
//! entries. The reads of one conversation are bounded in bytes, independent of the length of the log (ISO-6).

use quintet_journal::JournalError;
use quintet_kernel::{
    entry::{Call, CallResult, RunStatus},
    fold::FoldedRun,
    ids::{Offset, RunId},
};

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
    /// Returns a completed run, and the run that took its message (RUN-12).
    fn of(run: FoldedRun) -> Option<(Self, Option<RunId>)> {
        let FoldedRun { text: message, calls, completed, whole, .. } = run;
        let (_, completion) = completed?;
        let closed = calls.into_iter().filter_map(|call| Some((call.call, call.closed?.0)));
        let calls = if whole { closed.collect() } else { Vec::new() };
        let (answer, status) = (completion.final_response, completion.status);
        Some((Self { message, calls, answer, status }, completion.merged_into))
    }

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
        let mut reader = self.runs(READ_BYTES_MAX);
        let head = Offset(self.end().0.saturating_sub(1));
        let (mut runs, mut bytes) = (Vec::new(), 0);
        let own = self.path(self.message(), 1).await?;
        let mut next = own.first().map_or(Offset::ZERO, |own| own.parent);
        'all: while next > Offset::ZERO {
            let page = self.path(next, RECORDS_MAX).await?;
            next = page.last().map_or(Offset::ZERO, |last| last.parent);
            for record in &page {
                // An earlier run of the thread may have ended after this one began, in a resumed log.
                if record.completed.is_none_or(|(completed, _)| completed > head) {
                    continue;
                }
                let Some((run, into)) = reader.run(record, head).await?.and_then(PastRun::of) else {
                    break 'all;
                };
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

/// Bytes of the log that are read for one conversation.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records of runs that are read at once.
const RECORDS_MAX: usize = 32;
