//! A batch under construction: its decisions, and the replies and effects that follow once it is durable
//! (DEL-1).

use tokio::sync::oneshot;

use super::{
    handle::{Acceptance, CallReply, RequestError, WaitingCall},
    recovery::Past,
};
use crate::{
    agent::host::{Message, RunEnded},
    journal::{
        ResumeRecord,
        lines::{Lines, LinesBuilder},
    },
    kernel::{
        entry::{Body, CallOwner, CallResult, Entry, Event, RunEntry, RunStatus, ThreadChange, ThreadEntry},
        ids::{CallId, Offset, RunId, ThreadId, UserId},
        user::{Erasure, Reply, ThreadProperties},
    },
    wire,
};

/// A batch of decisions whose replies are not yet sent.
pub(crate) struct BatchBuilder {
    follows: Offset,
    entries: Vec<Entry>,
    lines: LinesBuilder,
    effects: Vec<RunEffect>,
    replies: Vec<PendingReply>,
    commands: usize,
    stale: bool,
    resumes: Vec<ResumeRecord>,
    erasures: Vec<Erasure>,
}

/// An effect of a durable batch on the agents of this process.
#[derive(Debug)]
pub(crate) enum RunEffect {
    /// A run has started with this entry; `text` is its message if it is in the same batch.
    Started {
        text: Option<String>,
        started: RunEntry,
    },
    /// A call of the client was opened (RUN-11).
    ClientCallOpened {
        run_id: RunId,
        call_id: CallId,
    },
    Closed {
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
    },
    /// The run has made a step.
    Advanced {
        run_id: RunId,
    },
    Completed {
        run_id: RunId,
        why: RunEnded,
        status: RunStatus,
        duration_ms: u64,
    },
    /// A resumed run has shown that it does not crash the process.
    Outlived {
        run_id: RunId,
    },
    /// A run without an agent gets a new one, with the run's past.
    Resumed {
        run_id: RunId,
        past: Past,
    },
}

/// A reply that is sent once the batch is durable.
pub(crate) enum PendingReply {
    Accepted(oneshot::Sender<Result<Acceptance, RequestError>>, Result<Acceptance, RequestError>),
    Done(oneshot::Sender<Result<(), RequestError>>, Result<(), RequestError>),
    CallCompleted(oneshot::Sender<Result<CallReply, RequestError>>, Result<CallReply, RequestError>),
    Stepped(oneshot::Sender<Result<(), RunEnded>>, Result<(), RunEnded>),
    Taken(oneshot::Sender<Result<Vec<Message>, RunEnded>>, Result<Vec<Message>, RunEnded>),
    Erasing(oneshot::Sender<Result<Erasure, RequestError>>, Result<Erasure, RequestError>),
    Waiting(oneshot::Sender<Result<Vec<WaitingCall>, RequestError>>, Result<Vec<WaitingCall>, RequestError>),
    Cut(oneshot::Sender<()>),
}

impl PendingReply {
    /// Sends the reply. A dropped receiver has stopped waiting and is ignored.
    pub(crate) fn send(self) {
        match self {
            PendingReply::Accepted(to, answer) => drop(to.send(answer)),
            PendingReply::Done(to, answer) => drop(to.send(answer)),
            PendingReply::CallCompleted(to, answer) => drop(to.send(answer)),
            PendingReply::Stepped(to, answer) => drop(to.send(answer)),
            PendingReply::Taken(to, answer) => drop(to.send(answer)),
            PendingReply::Erasing(to, answer) => drop(to.send(answer)),
            PendingReply::Waiting(to, answer) => drop(to.send(answer)),
            PendingReply::Cut(to) => drop(to.send(())),
        }
    }

    /// Sends `Unavailable` instead, because the append was not confirmed (DEL-7).
    pub(crate) fn fail(self) {
        match self {
            PendingReply::Accepted(to, _) => drop(to.send(Err(RequestError::Unavailable))),
            PendingReply::Done(to, _) => drop(to.send(Err(RequestError::Unavailable))),
            PendingReply::CallCompleted(to, _) => drop(to.send(Err(RequestError::Unavailable))),
            PendingReply::Stepped(to, _) => drop(to.send(Err(RunEnded::Unavailable))),
            PendingReply::Taken(to, _) => drop(to.send(Err(RunEnded::Unavailable))),
            PendingReply::Erasing(to, _) => drop(to.send(Err(RequestError::Unavailable))),
            PendingReply::Waiting(to, _) => drop(to.send(Err(RequestError::Unavailable))),
            PendingReply::Cut(to) => drop(to),
        }
    }
}

/// The parts of a completed batch.
pub(crate) struct DecidedBatch {
    pub entries: Vec<Entry>,
    pub lines: Lines,
    pub effects: Vec<RunEffect>,
    pub replies: Vec<PendingReply>,
    pub resumes: Vec<ResumeRecord>,
    /// The intent of an erasure, at most one (DEL-8).
    pub erasures: Vec<Erasure>,
    /// True if the state does not match the log: the batch must not be appended.
    pub stale: bool,
}

impl BatchBuilder {
    /// Creates an empty batch that follows `head`.
    pub(crate) fn new(head: Offset) -> Self {
        Self {
            follows: head,
            entries: Vec::new(),
            lines: LinesBuilder::new(head.next()),
            effects: Vec::new(),
            replies: Vec::new(),
            commands: 0,
            stale: false,
            resumes: Vec::new(),
            erasures: Vec::new(),
        }
    }

    /// Adds an entry that the state has accepted; `reply` is the reply to its command.
    pub(crate) fn push(&mut self, user_id: &UserId, entry: Entry, reply: &Reply) {
        self.lines.push(|bytes| wire::entry::encode(user_id, &entry, bytes));
        match &entry {
            Entry::Run(entry) => self.effects_of(entry, reply),
            Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => {}
        }
        self.entries.push(entry);
    }

    fn effects_of(&mut self, entry: &RunEntry, reply: &Reply) {
        let run_id = entry.run_id;
        if let Body::Event { event, .. } = &entry.body {
            match event {
                Event::Started { .. } => {
                    let mut earlier = self.entries.iter().rev().filter_map(Entry::run);
                    let text = earlier.find_map(|earlier| match &earlier.body {
                        Body::UserMessage { text, .. } if earlier.run_id == run_id => Some(text.clone()),
                        _ => None,
                    });
                    self.effects.push(RunEffect::Started { text, started: entry.clone() });
                }
                Event::Thinking(_) => self.moved(run_id),
                Event::ToolExecuting(call) => {
                    if call.by == CallOwner::Client {
                        self.effects
                            .push(RunEffect::ClientCallOpened { run_id, call_id: call.call_id.clone() });
                    }
                    self.moved(run_id);
                }
                Event::ToolCompleted { call_id, result, .. } => {
                    let (call_id, result) = (call_id.clone(), result.clone());
                    self.effects.push(RunEffect::Closed { run_id, call_id, result });
                    self.moved(run_id);
                }
                Event::Completed(end) => {
                    let (status, duration_ms) = (end.status, end.duration_ms);
                    let why = run_ended(reply);
                    self.effects.push(RunEffect::Completed { run_id, why, status, duration_ms });
                }
            }
        }
    }

    /// Returns the entry at `offset`, if this batch adds it.
    pub(crate) fn entry(&self, offset: Offset) -> Option<&Entry> {
        let first = self.entries.first()?.offset();
        let index = usize::try_from(offset.0.checked_sub(first.0)?).ok()?;
        self.entries.get(index)
    }

    fn moved(&mut self, run_id: RunId) {
        if !matches!(self.effects.last(), Some(RunEffect::Advanced { run_id: last }) if *last == run_id) {
            self.effects.push(RunEffect::Advanced { run_id });
        }
    }

    pub(crate) fn effect(&mut self, effect: RunEffect) {
        self.effects.push(effect);
    }

    /// Adds a resume record, replacing an earlier one of the same run.
    pub(crate) fn record(&mut self, record: ResumeRecord) {
        self.resumes.retain(|other| other.run_id != record.run_id);
        self.resumes.push(record);
    }

    /// Adds the intent of an erasure, which ends the batch: it reaches through the last entry (DEL-8).
    pub(crate) fn erase(&mut self, erasure: Erasure) {
        self.erasures.push(erasure);
    }

    /// Returns true if the batch has the intent of an erasure.
    pub(crate) fn erases(&self) -> bool {
        !self.erasures.is_empty()
    }

    /// Returns the properties that the batch gives to a thread, if it updates it.
    pub(crate) fn properties_of(&self, thread_id: &ThreadId) -> Option<ThreadProperties> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Thread(ThreadEntry { thread_id: updated, change, .. }) if updated == thread_id => {
                match change {
                    ThreadChange::Updated { title, archived } => {
                        Some(ThreadProperties { title: title.clone(), archived: *archived })
                    }
                    ThreadChange::Erased { .. } => None,
                }
            }
            Entry::Run(_) | Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => None,
        })
    }

    pub(crate) fn reply_later(&mut self, reply: PendingReply) {
        self.replies.push(reply);
    }

    /// Returns the head that this batch follows.
    pub(crate) fn follows(&self) -> Offset {
        self.follows
    }

    /// Marks the state as one that does not match the log. The batch is not appended.
    pub(crate) fn set_stale(&mut self) {
        self.stale = true;
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn count_command(&mut self) {
        self.commands += 1;
    }

    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lines.bytes()
    }

    pub(crate) fn finish(self) -> DecidedBatch {
        DecidedBatch {
            entries: self.entries,
            lines: self.lines.finish(),
            effects: self.effects,
            replies: self.replies,
            resumes: self.resumes,
            erasures: self.erasures,
            stale: self.stale,
        }
    }
}

fn run_ended(reply: &Reply) -> RunEnded {
    match reply {
        Reply::Violated(breach) => RunEnded::Violated(*breach),
        Reply::LimitReached(limit) | Reply::ResumeLimit(limit) => RunEnded::LimitReached(limit),
        Reply::Accepted { .. } | Reply::Taken(_) | Reply::Done => RunEnded::Ended,
    }
}
