//! The state of a log that decisions depend on, and `evolve`: how an entry moves it on.

use std::collections::{BTreeMap, VecDeque};

use crate::kernel::{
    entry::{Body, Entry, Event},
    ids::{AgentName, MessageId, Offset, RunId, Seq, ThreadId, Timestamp},
    limits::Limits,
    run::{AnyRun, Run, Violation},
};

/// All that a user's next decision depends on: the head, and what is not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserState {
    pub(super) head: Offset,
    /// Threads with a run that is not completed, each with its runs in order of acceptance.
    pub(super) lines: BTreeMap<ThreadId, VecDeque<RunId>>,
    /// Every run that is accepted and not completed.
    pub(super) runs: BTreeMap<RunId, OpenRun>,
    /// The latest messages, oldest first, at most `recent_messages_max`.
    recent: VecDeque<(MessageId, Receipt)>,
}

/// A run between its `user_message` and its `agent_completed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenRun {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    pub accepted: Offset,
    pub progress: Progress,
}

/// Whether a run waits in its thread's line or has begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    Waiting,
    Begun(AnyRun),
}

/// What a sender is told of its message: always the same for the same `message_id` (DEL-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub run_id: RunId,
    /// Of the `user_message`.
    pub offset: Offset,
}

impl UserState {
    /// The state of a log that ends at `head`, of which only `unfinished` (every entry of every run
    /// that is not completed, in order) and the latest messages still matter.
    pub fn recover<'a>(
        head: Offset,
        recent: impl IntoIterator<Item = (MessageId, Receipt)>,
        unfinished: impl IntoIterator<Item = &'a Entry>,
        limits: &Limits,
    ) -> Result<Self, Misfit> {
        let mut recovering = Recovering::default();
        unfinished.into_iter().try_for_each(|entry| recovering.take(entry))?;
        Ok(recovering.finish(head, recent, limits))
    }

    /// The offset of the last entry.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Every run that is accepted and not completed.
    pub fn open_runs(&self) -> &BTreeMap<RunId, OpenRun> {
        &self.runs
    }

    /// The answer to a message that was accepted a short while ago.
    pub fn recent(&self, message_id: &MessageId) -> Option<Receipt> {
        self.recent.iter().rev().find(|(id, _)| id == message_id).map(|(_, receipt)| *receipt)
    }

    /// Moves on by the entry after the head. A misfit leaves the state as it was.
    pub fn evolve(&mut self, entry: &Entry, limits: &Limits) -> Result<(), Misfit> {
        let expected = self.head.next();
        if entry.offset != expected {
            return Err(Misfit::Offset { expected, found: entry.offset });
        }
        self.apply(entry)?;
        self.head = entry.offset;
        if let Body::UserMessage { message_id, .. } = &entry.body {
            let receipt = Receipt { run_id: entry.run_id, offset: entry.offset };
            self.recent.push_back((message_id.clone(), receipt));
            self.forget(limits);
        }
        Ok(())
    }

    fn forget(&mut self, limits: &Limits) {
        let excess = self.recent.len().saturating_sub(limits.recent_messages_max);
        self.recent.drain(..excess);
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Misfit> {
        let run_id = entry.run_id;
        match &entry.body {
            Body::UserMessage { message_id, .. } => {
                if self.runs.contains_key(&run_id) {
                    return Err(Misfit::Accepted(run_id));
                }
                let run = OpenRun {
                    thread_id: entry.thread_id.clone(),
                    message_id: message_id.clone(),
                    agent_name: entry.agent_name.clone(),
                    accepted: entry.offset,
                    progress: Progress::Waiting,
                };
                self.lines.entry(run.thread_id.clone()).or_default().push_back(run_id);
                self.runs.insert(run_id, run);
                Ok(())
            }
            Body::Event { seq, event } => self.apply_event(run_id, *seq, event, entry.timestamp),
        }
    }

    fn apply_event(&mut self, run_id: RunId, seq: Seq, event: &Event, at: Timestamp) -> Result<(), Misfit> {
        let open = self.runs.get_mut(&run_id).ok_or(Misfit::NoSuchRun(run_id))?;
        let last = match &open.progress {
            Progress::Waiting => Seq::default(),
            Progress::Begun(run) => run.seq(),
        };
        if seq != last.next() {
            return Err(Misfit::Seq { run_id, expected: last.next(), found: seq });
        }
        let run = match (std::mem::replace(&mut open.progress, Progress::Waiting), event) {
            (Progress::Waiting, Event::Started { message_id }) => {
                AnyRun::Started(Run::start(message_id.clone(), at).0)
            }
            (Progress::Waiting, _) => return Err(Misfit::NotStarted(run_id)),
            (Progress::Begun(run), event) => match run.evolve(event, at) {
                Ok(run) => run,
                Err(violation) => {
                    open.progress = Progress::Begun((*violation.run).clone());
                    return Err(violation.into());
                }
            },
        };
        if let AnyRun::Completed(_) = run {
            let OpenRun { thread_id, .. } = self.runs.remove(&run_id).expect("it was there a moment ago");
            let line = self.lines.get_mut(&thread_id).expect("an open run stands in its thread's line");
            line.retain(|other| *other != run_id);
            if line.is_empty() {
                self.lines.remove(&thread_id);
            }
        } else {
            open.progress = Progress::Begun(run);
        }
        Ok(())
    }
}

/// A state that is read back an entry at a time, so that nobody has to hold them all.
#[derive(Debug, Default)]
pub struct Recovering(UserState);

impl Recovering {
    /// Takes the next entry of a run that is not completed.
    pub fn take(&mut self, unfinished: &Entry) -> Result<(), Misfit> {
        self.0.apply(unfinished)
    }

    /// The state of the log that ends at `head` with these latest messages.
    pub fn finish(
        self,
        head: Offset,
        recent: impl IntoIterator<Item = (MessageId, Receipt)>,
        limits: &Limits,
    ) -> UserState {
        let mut state = UserState { head, recent: recent.into_iter().collect(), ..self.0 };
        state.forget(limits);
        state
    }
}

/// An entry that does not fit the state: the log is not one that this kernel wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("entry {found} stands where {expected} belongs")]
    Offset { expected: Offset, found: Offset },
    #[error("event {found:?} of run {run_id} stands where {expected:?} belongs")]
    Seq { run_id: RunId, expected: Seq, found: Seq },
    #[error("run {0} is accepted twice")]
    Accepted(RunId),
    #[error("an event of run {0}, which is not open")]
    NoSuchRun(RunId),
    #[error("run {0} has not started")]
    NotStarted(RunId),
    #[error(transparent)]
    Violation(#[from] Violation),
}
