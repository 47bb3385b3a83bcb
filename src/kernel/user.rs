//! One user's log as two pure functions: [`UserState::decide`] says which entries a command adds,
//! [`UserState::evolve`] moves the state on by one entry. Recovery is a fold of `evolve`.
//!
//! ```text
//!   send_message ─▶ line of its thread: [ running | waiting, waiting … ]
//!                                           │ agent_completed: the next in line starts
//! ```
//!
//! Guarantees: a thread has at most one active run (RUN-8); every accepted message stands in a line
//! until its run completed (RUN-6); the same message id is the same run (DEL-6); a refused command
//! changes nothing.

use std::collections::{BTreeMap, VecDeque};

use super::{
    entry::{Body, By, Call, CallResult, CallStatus, Entry, Event, RunError, RunErrorCode, Thought},
    ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp},
    limits::Limits,
    run::{AnyRun, Breach, Closer, Cut, Ending, Run, Step, Violation},
};

/// All that a user's next decision depends on: the head, and what is not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserState {
    head: Offset,
    /// Threads with a run that is not completed, each with its runs in order of acceptance.
    lines: BTreeMap<ThreadId, VecDeque<RunId>>,
    /// Every run that is accepted and not completed.
    runs: BTreeMap<RunId, OpenRun>,
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

/// Something that is asked of the log. Time, new ids and facts about the past come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Send(Send),
    /// The user ends a run. `ended`: the journal knows the run, and that it is over.
    Cancel {
        run_id: RunId,
        ended: bool,
    },
    /// The user answers a call that waits for the client (RUN-11). `past`: what the journal knows of
    /// the call if its run is over.
    Answer {
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
    },
    /// An agent moves its run on.
    Step {
        run_id: RunId,
        step: AgentStep,
    },
    /// The service ends a run: panic, deadline, loss of the agent (RUN-6, RUN-7).
    Cut {
        run_id: RunId,
        cut: Cut,
    },
    /// The service closes one call, as at a deadline of its own.
    CloseCall {
        run_id: RunId,
        call_id: CallId,
        status: CallStatus,
    },
    /// A run that a crash orphaned is taken up again: calls of the agent that are open close as
    /// `unknown`, but for those in `keep` (idempotent tools, RUN-9); calls of the client stay open.
    Resume {
        run_id: RunId,
        keep: Vec<CallId>,
    },
}

/// A message to accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    pub message_id: MessageId,
    pub thread_id: ThreadId,
    pub text: String,
    pub agent_name: AgentName,
    pub on_busy: OnBusy,
    /// A fresh id for its run, used only if the message is new.
    pub run_id: RunId,
    /// What the journal knows of this `message_id`, if it is not among the recent ones.
    pub earlier: Option<Receipt>,
}

/// What a message to a busy thread does (RUN-8).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// It waits; messages of a thread run one after another, in order of acceptance.
    #[default]
    Enqueue,
    /// It is refused with `thread_busy`.
    Reject,
    /// The active run and whatever waits end as `cancelled`; then it runs.
    Interrupt,
}

/// What the journal knows of a call whose run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PastCall {
    OfClient,
    /// Unknown, or executed by the agent.
    NotOfClient,
}

/// The steps that are an agent's to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentStep {
    Think(Thought),
    Open(Call),
    Close { call_id: CallId, result: CallResult },
    Complete(Ending),
}

impl AgentStep {
    fn into_step(self) -> Step {
        match self {
            AgentStep::Think(thought) => Step::Think(thought),
            AgentStep::Open(call) => Step::Open(call),
            AgentStep::Close { call_id, result } => Step::Close { call_id, result, closer: Closer::Agent },
            AgentStep::Complete(ending) => Step::Complete(ending),
        }
    }
}

/// The entries that a command adds, and what its author is told once they are durable (DEL-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub entries: Vec<Entry>,
    pub reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is accepted: a promise once the entries are durable (DEL-5).
    Accepted { receipt: Receipt, duplicate: bool },
    /// Done as asked, or there was nothing left to do.
    Done,
    /// The agent's step was illegal, and its run has failed (RUN-10).
    Violated(Breach),
    /// The agent's step was over a limit, and its run has failed.
    LimitReached(&'static str),
}

/// Why a command adds nothing. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the thread has an active run")]
    ThreadBusy,
    #[error("{0} is reached")]
    LimitReached(&'static str),
    #[error("no such run or call")]
    NotFound,
    #[error("the run has ended")]
    RunEnded,
    #[error("the call is closed")]
    CallClosed,
    #[error("{what} is longer than {bytes_max} bytes")]
    TooLarge { what: &'static str, bytes_max: usize },
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

impl UserState {
    /// The state of a log that ends at `head`, of which only `unfinished` (every entry of every run
    /// that is not completed, in order) and the latest messages still matter.
    pub fn recover<'a>(
        head: Offset,
        recent: impl IntoIterator<Item = (MessageId, Receipt)>,
        unfinished: impl IntoIterator<Item = &'a Entry>,
        limits: &Limits,
    ) -> Result<Self, Misfit> {
        let mut state = UserState::default();
        for entry in unfinished {
            state.apply(entry)?;
        }
        state.head = head;
        state.recent = recent.into_iter().collect();
        state.forget(limits);
        Ok(state)
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

    /// What `command` adds to the log, at the time `at`.
    pub fn decide(&self, command: Command, limits: &Limits, at: Timestamp) -> Result<Decision, Refusal> {
        match command {
            Command::Send(send) => self.send(send, limits, at),
            Command::Cancel { run_id, ended } => self.cancel(run_id, ended, at),
            Command::Answer { run_id, call_id, result, past } => {
                self.answer(run_id, call_id, result, past, limits, at)
            }
            Command::Step { run_id, step } => self.step(run_id, step, limits, at),
            Command::Cut { run_id, cut } => {
                let mut draft = Draft::new(self, at);
                draft.end(run_id, cut).ok_or(Refusal::RunEnded)?;
                draft.start_next(run_id);
                Ok(draft.decided(Reply::Done))
            }
            Command::CloseCall { run_id, call_id, status } => self.close_call(run_id, call_id, status, at),
            Command::Resume { run_id, keep } => self.resume(run_id, keep, at),
        }
    }

    fn send(&self, send: Send, limits: &Limits, at: Timestamp) -> Result<Decision, Refusal> {
        if let Some(receipt) = self.recent(&send.message_id).or(send.earlier) {
            let reply = Reply::Accepted { receipt, duplicate: true };
            return Ok(Decision { entries: vec![], reply });
        }
        if send.text.len() > limits.text_bytes_max {
            return Err(Refusal::TooLarge { what: "text", bytes_max: limits.text_bytes_max });
        }
        let line = self.lines.get(&send.thread_id);
        let busy = line.is_some();
        let interrupt = busy && send.on_busy == OnBusy::Interrupt;
        if busy && send.on_busy == OnBusy::Reject {
            return Err(Refusal::ThreadBusy);
        }
        if !interrupt {
            if line.is_some_and(|line| line.len() > limits.queued_messages_max) {
                return Err(Refusal::LimitReached("queued_messages_max"));
            }
            if self.runs.len() >= limits.open_runs_max {
                return Err(Refusal::LimitReached("open_runs_max"));
            }
        }
        let mut draft = Draft::new(self, at);
        if let Some(line) = line.filter(|_| interrupt) {
            for run_id in line {
                draft.end(*run_id, Cut::Cancelled);
            }
        }
        let run = OpenRun {
            thread_id: send.thread_id,
            message_id: send.message_id.clone(),
            agent_name: send.agent_name,
            accepted: draft.next_offset(),
            progress: Progress::Waiting,
        };
        let receipt = Receipt { run_id: send.run_id, offset: run.accepted };
        draft.push(send.run_id, &run, Body::UserMessage { message_id: send.message_id, text: send.text });
        if !busy || interrupt {
            draft.start(send.run_id, &run);
        }
        Ok(draft.decided(Reply::Accepted { receipt, duplicate: false }))
    }

    fn cancel(&self, run_id: RunId, ended: bool, at: Timestamp) -> Result<Decision, Refusal> {
        let mut draft = Draft::new(self, at);
        match draft.end(run_id, Cut::Cancelled) {
            Some(()) => {
                draft.start_next(run_id);
                Ok(draft.decided(Reply::Done))
            }
            None if ended => Err(Refusal::RunEnded),
            None => Err(Refusal::NotFound),
        }
    }

    fn answer(
        &self,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        if result_bytes(&result) > limits.results_bytes_max {
            return Err(Refusal::TooLarge { what: "results", bytes_max: limits.results_bytes_max });
        }
        // A call that the run opened and that is open no more is told from one that never was by what
        // the journal says: who executed it is not kept in memory once it is closed.
        let closed = || match past {
            Some(PastCall::OfClient) => Refusal::CallClosed,
            Some(PastCall::NotOfClient) | None => Refusal::NotFound,
        };
        let (open, run) = self.begun(run_id).ok_or_else(closed)?;
        match run.open_calls().get(&call_id) {
            Some(call) if call.by == By::Client => {
                let step = Step::Close { call_id, result, closer: Closer::Client };
                let event = run.decide(step, at).expect("the client may close a call that it executes");
                let mut draft = Draft::new(self, at);
                draft.event(run_id, open, run.seq().next(), event);
                Ok(draft.decided(Reply::Done))
            }
            Some(_) => Err(Refusal::NotFound),
            None => Err(closed()),
        }
    }

    fn step(
        &self,
        run_id: RunId,
        step: AgentStep,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let mut draft = Draft::new(self, at);
        let over = over_limit(run, &step, limits);
        let completes = matches!(step, AgentStep::Complete(_));
        let (code, message, reply) = match (over, run.decide(step.into_step(), at)) {
            (None, Ok(event)) => {
                draft.event(run_id, open, run.seq().next(), event);
                if completes {
                    draft.start_next(run_id);
                }
                return Ok(draft.decided(Reply::Done));
            }
            (_, Err(violation)) => {
                (RunErrorCode::Violation, violation.to_string(), Reply::Violated(violation.breach))
            }
            (Some(limit), Ok(_)) => {
                (RunErrorCode::LimitReached, format!("{limit} is reached"), Reply::LimitReached(limit))
            }
        };
        draft.end(run_id, Cut::Failed(RunError { code, message }));
        draft.start_next(run_id);
        Ok(draft.decided(reply))
    }

    fn close_call(
        &self,
        run_id: RunId,
        call_id: CallId,
        status: CallStatus,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let result = CallResult::cut_short(status, why(status));
        let step = Step::Close { call_id, result, closer: Closer::Service };
        let event = run.decide(step, at).map_err(|_| Refusal::CallClosed)?;
        let mut draft = Draft::new(self, at);
        draft.event(run_id, open, run.seq().next(), event);
        Ok(draft.decided(Reply::Done))
    }

    fn resume(&self, run_id: RunId, keep: Vec<CallId>, at: Timestamp) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let mut draft = Draft::new(self, at);
        let mut seq = run.seq();
        for (call_id, call) in run.open_calls() {
            if call.by == By::Client || keep.contains(call_id) {
                continue;
            }
            let result = CallResult::cut_short(CallStatus::Unknown, why(CallStatus::Unknown));
            let step = Step::Close { call_id: call_id.clone(), result, closer: Closer::Service };
            let event = run.decide(step, at).expect("the service may close a call that is open");
            seq = seq.next();
            draft.event(run_id, open, seq, event);
        }
        Ok(draft.decided(Reply::Done))
    }

    fn begun(&self, run_id: RunId) -> Option<(&OpenRun, &AnyRun)> {
        match self.runs.get(&run_id) {
            Some(open @ OpenRun { progress: Progress::Begun(run), .. }) => Some((open, run)),
            _ => None,
        }
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

/// Entries in the making, one after another on the head.
struct Draft<'a> {
    state: &'a UserState,
    at: Timestamp,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    fn new(state: &'a UserState, at: Timestamp) -> Self {
        Self { state, at, entries: Vec::new() }
    }

    fn next_offset(&self) -> Offset {
        Offset(self.state.head.0 + self.entries.len() as u64 + 1)
    }

    fn push(&mut self, run_id: RunId, run: &OpenRun, body: Body) {
        self.entries.push(Entry {
            offset: self.next_offset(),
            thread_id: run.thread_id.clone(),
            run_id,
            timestamp: self.at,
            agent_name: run.agent_name.clone(),
            body,
        });
    }

    fn event(&mut self, run_id: RunId, run: &OpenRun, seq: Seq, event: Event) {
        self.push(run_id, run, Body::Event { seq, event });
    }

    fn start(&mut self, run_id: RunId, run: &OpenRun) -> AnyRun {
        let (started, event) = Run::start(run.message_id.clone(), self.at);
        self.event(run_id, run, started.seq(), event);
        AnyRun::Started(started)
    }

    /// Ends an open run, waiting or begun; `None` if there is no such run.
    fn end(&mut self, run_id: RunId, cut: Cut) -> Option<()> {
        let open = self.state.runs.get(&run_id)?;
        let run = match &open.progress {
            // One that waited starts and completes in one step, and is never active (RUN-8).
            Progress::Waiting => self.start(run_id, open),
            Progress::Begun(run) => run.clone(),
        };
        let mut seq = run.seq();
        let why = why(cut.closes_calls_as());
        for event in run.end(cut, why, self.at) {
            seq = seq.next();
            self.event(run_id, open, seq, event);
        }
        Some(())
    }

    /// Starts the next in the line of a run that has just ended, if that run was the active one (RUN-8).
    fn start_next(&mut self, ended: RunId) {
        let Some(run) = self.state.runs.get(&ended) else { return };
        let line = &self.state.lines[&run.thread_id];
        if let (Progress::Begun(_), Some(next)) = (&run.progress, line.iter().find(|id| **id != ended)) {
            let run = &self.state.runs[next];
            self.start(*next, run);
        }
    }

    fn decided(self, reply: Reply) -> Decision {
        Decision { entries: self.entries, reply }
    }
}

fn why(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok | CallStatus::Error => "the call was closed",
        CallStatus::TimedOut => "the time allowed ran out",
        CallStatus::Cancelled => "the run ended before the call did",
        CallStatus::Unknown => {
            "the service stopped while the call was open; whether it took effect is not known"
        }
    }
}

fn result_bytes(result: &CallResult) -> usize {
    result.results.as_str().len() + result.error.as_ref().map_or(0, String::len)
}

/// The name of the limit that a step would exceed.
fn over_limit(run: &AnyRun, step: &AgentStep, limits: &Limits) -> Option<&'static str> {
    use super::entry::ThoughtKind;
    let terminal = matches!(step, AgentStep::Complete(_) | AgentStep::Close { .. });
    if !terminal && run.seq().0 >= limits.run_events_max {
        return Some("run_events_max");
    }
    match step {
        AgentStep::Think(thought) => {
            let kept = if thought.reset { 0 } else { run.answer().len() };
            if thought.delta.len() > limits.delta_bytes_max {
                Some("delta_bytes_max")
            } else if thought.kind == ThoughtKind::Answer
                && kept + thought.delta.len() > limits.answer_bytes_max
            {
                Some("answer_bytes_max")
            } else {
                None
            }
        }
        AgentStep::Open(call) => {
            if call.parameters.as_str().len() > limits.parameters_bytes_max {
                Some("parameters_bytes_max")
            } else if run.open_calls().len() >= limits.open_calls_max {
                Some("open_calls_max")
            } else if run.calls_opened() >= limits.run_calls_max {
                Some("run_calls_max")
            } else {
                None
            }
        }
        AgentStep::Close { result, .. } => {
            (result_bytes(result) > limits.results_bytes_max).then_some("results_bytes_max")
        }
        AgentStep::Complete(_) => None,
    }
}
