//! A bounded walk over the folded runs of a thread, the latest message first: the source of a page of a conversation.
//!
//! Guarantees: every run is folded as of one head, which the walk reports, so that the entries after it complete the
//! runs. No run is returned twice or skipped over a sequence of walks. The cost does not depend on the length of the
//! thread; one run is in memory at a time (DEL-4, ISO-6).

use std::collections::VecDeque;

use super::{handle::User, recovery};
use crate::{
    agent::folded::RunReader,
    journal::{Extent, JournalError, RunRecord},
    kernel::{
        entry::{Body, Entry, Event, RunStatus},
        fold::FoldedRun,
        ids::{Offset, RunId, ThreadId},
        json::Json,
    },
};

/// The limits of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunScanLimit {
    /// Greatest number of runs.
    pub runs_max: usize,
    /// Bytes of the log that are read; the walk ends there. A run that is longer is cut.
    pub bytes_max: usize,
}

/// A walk in progress. Keeps the user's machines alive.
pub struct RunScan {
    _user: User,
    extent: Extent,
    /// The runs that are left.
    records: VecDeque<RunRecord>,
    /// The position of the next walk if this one returns all its runs.
    rest: Option<Offset>,
    reader: RunReader,
    /// Every run at or after this position was returned or has no message; `None` at first.
    examined: Option<Offset>,
    returned: bool,
    over: bool,
}

impl User {
    /// Starts a walk over the runs of a thread whose messages are before the offset `before`. Returns `None` if the user
    /// has no such thread (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn runs(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: RunScanLimit,
    ) -> Result<Option<RunScan>, JournalError> {
        let log = self.log();
        if log.thread(thread_id).await?.is_none() {
            return Ok(None);
        }
        // Before the records: a run that is newer than the head is left to the entries after it.
        let extent = log.extent().await?;
        let records = log.thread_runs_before(thread_id, before, limit.runs_max.saturating_add(1)).await?;
        let mut records = VecDeque::from(records);
        let rest = if records.len() > limit.runs_max {
            records.pop_back();
            records.back().map(|last| last.accepted)
        } else {
            None
        };
        Ok(Some(RunScan {
            _user: self.clone(),
            extent,
            over: records.is_empty() && rest.is_none(),
            records,
            rest,
            reader: RunReader::new(log.clone(), limit.bytes_max),
            examined: before,
            returned: false,
        }))
    }
}

impl RunScan {
    /// Returns the offset of the last entry that the runs reflect.
    pub fn head(&self) -> Offset {
        self.extent.head
    }

    /// Returns true if the walk has ended, at the first message, at a limit, or by [`Self::stop`].
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Ends the walk.
    pub fn stop(&mut self) {
        if !self.over {
            self.over = true;
            self.rest = self.examined;
        }
    }

    /// Returns the position for the next walk, if runs are left.
    pub fn next_before(&self) -> Option<Offset> {
        self.rest.filter(|_| self.over)
    }

    /// Returns the next run; `None` if the walk has ended. Runs without a message, because it was trimmed or erased, are
    /// skipped.
    ///
    /// # Errors
    ///
    /// After an error nothing has been returned, and the walk is still before the unreadable run.
    pub async fn next(&mut self) -> Result<Option<FoldedRun>, JournalError> {
        while let Some(record) = self.records.front().filter(|_| !self.over) {
            if record.accepted <= self.extent.trimmed {
                // Earlier messages were trimmed too.
                (self.rest, self.over) = (None, true);
                break;
            }
            let run = self.reader.run(record, self.extent.head).await?;
            let cut = match &run {
                Some(run) => !run.whole,
                None => self.reader.is_spent(),
            };
            if cut && self.returned {
                // The next walk begins with this run, and has its whole budget for it.
                self.stop();
                break;
            }
            self.examined = Some(record.accepted);
            self.records.pop_front();
            self.over = self.records.is_empty();
            if run.is_some() {
                self.returned = true;
                return Ok(run);
            }
        }
        Ok(None)
    }
}

impl User {
    /// Returns the text of the message at an offset; `None` if there is no message, because it was trimmed or erased.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn message_text(&self, accepted: Offset) -> Result<Option<String>, JournalError> {
        Ok(match self.body(accepted).await? {
            Some(Body::UserMessage { text, .. }) => Some(text),
            Some(Body::Event { .. }) | None => None,
        })
    }

    /// Returns the parameters of the call that the entry at an offset opened; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn call_parameters(&self, opened: Offset) -> Result<Option<Json>, JournalError> {
        Ok(match self.body(opened).await? {
            Some(Body::Event { event: Event::ToolExecuting(call), .. }) => Some(call.parameters),
            Some(Body::Event { .. } | Body::UserMessage { .. }) | None => None,
        })
    }

    /// Returns the run that took the message of a run; `None` if none did, or the end of the run was trimmed (RUN-12).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn merged_into(&self, run: &RunRecord) -> Result<Option<RunId>, JournalError> {
        let Some((completed, RunStatus::Merged)) = run.completed else { return Ok(None) };
        Ok(match self.body(completed).await? {
            Some(Body::Event { event: Event::Completed(completion), .. }) => completion.merged_into,
            Some(Body::Event { .. } | Body::UserMessage { .. }) | None => None,
        })
    }

    async fn body(&self, offset: Offset) -> Result<Option<Body>, JournalError> {
        if offset == Offset::ZERO {
            return Ok(None);
        }
        let entry = recovery::entry(&**self.log(), self.user_id(), offset).await?;
        Ok(entry.and_then(Entry::into_run).map(|entry| entry.body))
    }
}
