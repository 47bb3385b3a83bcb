//! A batch under construction: its decisions, and the replies and effects that follow once it is durable
//! (DEL-1).

use tokio::sync::oneshot;

use super::{
    handle::{Accepted, Answered, Unaccepted},
    recovery::Past,
};
use crate::{
    agent::host::Stopped,
    journal::{
        ResumeRecord,
        lines::{Lines, LinesBuilder},
    },
    kernel::{
        entry::{Body, By, CallResult, Entry, Event, RunStatus},
        ids::{CallId, Offset, RunId, UserId},
        user::Reply,
    },
    wire,
};

/// A batch of decisions whose replies are not yet sent.
pub struct Turn {
    follows: Offset,
    entries: Vec<Entry>,
    lines: LinesBuilder,
    effects: Vec<Effect>,
    promises: Vec<Promise>,
    commands: usize,
    stale: bool,
    resumes: Vec<ResumeRecord>,
}

/// An effect of a durable batch on the agents of this process.
#[derive(Debug)]
pub enum Effect {
    /// A run has started with this entry; `text` is its message if it is in the same batch.
    Started {
        text: Option<String>,
        started: Entry,
    },
    /// A call of the client was opened (RUN-11).
    Asked {
        run_id: RunId,
        call_id: CallId,
    },
    Closed {
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
    },
    /// The run has made a step.
    Moved {
        run_id: RunId,
    },
    Completed {
        run_id: RunId,
        why: Stopped,
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
pub enum Promise {
    Accepted(oneshot::Sender<Result<Accepted, Unaccepted>>, Result<Accepted, Unaccepted>),
    Done(oneshot::Sender<Result<(), Unaccepted>>, Result<(), Unaccepted>),
    Answered(oneshot::Sender<Result<Answered, Unaccepted>>, Result<Answered, Unaccepted>),
    Stepped(oneshot::Sender<Result<(), Stopped>>, Result<(), Stopped>),
    Cut(oneshot::Sender<()>),
}

impl Promise {
    /// Sends the reply. A dropped receiver has stopped waiting and is ignored.
    pub fn keep(self) {
        match self {
            Promise::Accepted(to, answer) => drop(to.send(answer)),
            Promise::Done(to, answer) => drop(to.send(answer)),
            Promise::Answered(to, answer) => drop(to.send(answer)),
            Promise::Stepped(to, answer) => drop(to.send(answer)),
            Promise::Cut(to) => drop(to.send(())),
        }
    }

    /// Sends `Unavailable` instead, because the append was not confirmed (DEL-7).
    pub fn withdraw(self) {
        match self {
            Promise::Accepted(to, _) => drop(to.send(Err(Unaccepted::Unavailable))),
            Promise::Done(to, _) => drop(to.send(Err(Unaccepted::Unavailable))),
            Promise::Answered(to, _) => drop(to.send(Err(Unaccepted::Unavailable))),
            Promise::Stepped(to, _) => drop(to.send(Err(Stopped::Unavailable))),
            Promise::Cut(to) => drop(to),
        }
    }
}

/// The parts of a completed batch.
pub struct Decided {
    pub entries: Vec<Entry>,
    pub lines: Lines,
    pub effects: Vec<Effect>,
    pub promises: Vec<Promise>,
    pub resumes: Vec<ResumeRecord>,
    /// True if the state does not match the log: the batch must not be appended.
    pub stale: bool,
}

impl Turn {
    /// Creates an empty batch that follows `head`.
    pub fn new(head: Offset) -> Self {
        Self {
            follows: head,
            entries: Vec::new(),
            lines: LinesBuilder::new(head.next()),
            effects: Vec::new(),
            promises: Vec::new(),
            commands: 0,
            stale: false,
            resumes: Vec::new(),
        }
    }

    /// Adds an entry that the state has accepted; `reply` is the reply to its command.
    pub fn push(&mut self, user_id: &UserId, entry: Entry, reply: &Reply) {
        self.lines.push(|bytes| wire::entry::encode(user_id, &entry, bytes));
        let run_id = entry.run_id;
        if let Body::Event { event, .. } = &entry.body {
            match event {
                Event::Started { .. } => {
                    let text = self.entries.iter().rev().find_map(|earlier| match &earlier.body {
                        Body::UserMessage { text, .. } if earlier.run_id == run_id => Some(text.clone()),
                        _ => None,
                    });
                    self.effects.push(Effect::Started { text, started: entry.clone() });
                }
                Event::Thinking(_) => self.moved(run_id),
                Event::ToolExecuting(call) => {
                    if call.by == By::Client {
                        self.effects.push(Effect::Asked { run_id, call_id: call.call_id.clone() });
                    }
                    self.moved(run_id);
                }
                Event::ToolCompleted { call_id, result, .. } => {
                    let (call_id, result) = (call_id.clone(), result.clone());
                    self.effects.push(Effect::Closed { run_id, call_id, result });
                    self.moved(run_id);
                }
                Event::Completed(end) => {
                    let (status, duration_ms) = (end.status, end.duration_ms);
                    let why = why_stopped(reply);
                    self.effects.push(Effect::Completed { run_id, why, status, duration_ms });
                }
            }
        }
        self.entries.push(entry);
    }

    /// Returns the entry at `offset`, if this batch adds it.
    pub fn entry(&self, offset: Offset) -> Option<&Entry> {
        let first = self.entries.first()?.offset;
        let index = usize::try_from(offset.0.checked_sub(first.0)?).ok()?;
        self.entries.get(index)
    }

    fn moved(&mut self, run_id: RunId) {
        if !matches!(self.effects.last(), Some(Effect::Moved { run_id: last }) if *last == run_id) {
            self.effects.push(Effect::Moved { run_id });
        }
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Adds a resume record, replacing an earlier one of the same run.
    pub fn record(&mut self, record: ResumeRecord) {
        self.resumes.retain(|other| other.run_id != record.run_id);
        self.resumes.push(record);
    }

    pub fn promise(&mut self, promise: Promise) {
        self.promises.push(promise);
    }

    /// Returns the head that this batch follows.
    pub fn follows(&self) -> Offset {
        self.follows
    }

    /// Marks the state as one that does not match the log. The batch is not appended.
    pub fn set_stale(&mut self) {
        self.stale = true;
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub fn count_command(&mut self) {
        self.commands += 1;
    }

    pub fn commands(&self) -> usize {
        self.commands
    }

    pub fn bytes(&self) -> usize {
        self.lines.bytes()
    }

    pub fn decided(self) -> Decided {
        Decided {
            entries: self.entries,
            lines: self.lines.finish(),
            effects: self.effects,
            promises: self.promises,
            resumes: self.resumes,
            stale: self.stale,
        }
    }
}

fn why_stopped(reply: &Reply) -> Stopped {
    match reply {
        Reply::Violated(breach) => Stopped::Violated(*breach),
        Reply::LimitReached(limit) | Reply::ResumeLimit(limit) => Stopped::LimitReached(limit),
        Reply::Accepted { .. } | Reply::Done => Stopped::Ended,
    }
}
