//! What a trace says: one record for each transition of the service, in the kernel's words.
//!
//! Guarantee: no text, result, parameter, token or ticket is in it, and no name that somebody else
//! chose (see [`super::names`]); run, connection and journal ids are the service's own. The schema is
//! documented in `docs/model/traces.md`.

use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::kernel::{
    connection::{self, Effect, Input},
    entry::{Body, By, CallStatus, Entry, Event, RunErrorCode, RunStatus},
    ids::{CallId, ConnectionId, Epoch, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
    limits::Limits,
    run::{Cut, Ending},
    ticket::Identity,
    user::{AgentStep, Command, Decision, OnBusy, PastCall, Receipt, Refusal, Reply, Resumes},
};

/// One line of a trace: its number within its process, and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub n: u64,
    #[serde(flatten)]
    pub record: Record,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Record {
    /// A process begins on a journal.
    Start(Start),
    /// A hub learnt what a log says.
    Recovered(Recovered),
    /// A hub learnt what a log says, and whoever watches it could not: until the next time, what is
    /// appended cannot be judged.
    Unlearnt {
        user: UserId,
        head: Offset,
    },
    /// The journal says that a log reaches at least to here.
    Head {
        user: UserId,
        head: Offset,
    },
    /// A hub has decided what it was asked, and this came of it at the journal.
    Append(Append),
    /// A socket was accepted.
    Accepted {
        connection: ConnectionId,
        identity: Option<Identity>,
        effects: Vec<Effect>,
    },
    /// A connection's machine has taken an input; no effects: none, or it was rejected.
    Step {
        connection: ConnectionId,
        input: Input,
        rejected: bool,
        effects: Vec<Effect>,
    },
    /// A frame, or entries `from` … `to` of this user, have been handed to the socket.
    Sent {
        connection: ConnectionId,
        frame: FrameKind,
    },
    /// The close frame has been handed to the socket.
    Closed {
        connection: ConnectionId,
        code: u16,
    },
    Ticket {
        ticket: String,
        at: Timestamp,
        what: TicketDid,
    },
    /// The clock was set back: whatever ticket is outstanding is good for nobody any more.
    TicketsVoid,
    Drain {
        stage: DrainStage,
    },
    /// The process ended in order.
    Stop,
    /// So many records that belong here are lost: the writer did not keep up, or the file failed.
    Lost {
        records: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub format: u32,
    pub epoch: Epoch,
    pub version: String,
    pub limits: TracedLimits,
    pub connection: connection::Limits,
}

/// The format of the traces that this writes.
pub const FORMAT: u32 = 1;

/// The kernel's limits that count things; those in bytes cannot be checked without the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedLimits {
    pub open_calls_max: usize,
    pub run_calls_max: usize,
    pub run_events_max: u64,
    pub open_runs_max: usize,
    pub queued_messages_max: usize,
    pub recent_messages_max: usize,
    /// Traces of earlier versions resume without a bound.
    #[serde(default = "unbounded")]
    pub run_resumes_max: u32,
    #[serde(default = "unbounded")]
    pub run_resumes_total_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    pub user: UserId,
    pub head: Offset,
    /// Every run that is accepted and not completed, in order of acceptance.
    pub open: Vec<OpenRun>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRun {
    pub accepted: Offset,
    /// Its `user_message` and its events; thoughts that follow one another are counted.
    pub entries: Vec<TracedEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    pub user: UserId,
    /// The head that the batch follows.
    pub expected: Offset,
    pub decided: Vec<Decided>,
    /// The entries of all decisions, in order.
    pub entries: Vec<TracedEntry>,
    pub outcome: Outcome,
}

/// What the journal said to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Appended,
    /// Somebody appended first: nothing of the batch is in the log.
    Refused,
    /// It failed: the batch is in the log or it is not.
    Unknown,
    /// The decisions added nothing, so nothing was asked of the journal.
    Nothing,
    /// The hub gave up on its decisions before it asked the journal.
    Forgotten,
}

/// A command, what it was answered, and how many entries it added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub command: TracedCommand,
    pub answer: Answer,
    pub entries: u64,
    /// Commands of this kind in a row, each with as much to it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u64,
}

/// A command to a log, without its texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracedCommand {
    Send {
        run: RunId,
        thread: ThreadId,
        message: MessageId,
        on_busy: OnBusy,
        earlier: Option<(RunId, Offset)>,
        /// Whether the earlier message has other content (DEL-6).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        differs: bool,
    },
    Cancel {
        run: RunId,
        ended: bool,
    },
    Answer {
        run: RunId,
        call: CallId,
        status: CallStatus,
        past: Past,
    },
    Think {
        run: RunId,
    },
    Open {
        run: RunId,
        call: CallId,
        by: By,
    },
    Close {
        run: RunId,
        call: CallId,
        status: CallStatus,
    },
    Succeed {
        run: RunId,
    },
    Fail {
        run: RunId,
        how: Early,
    },
    Cut {
        run: RunId,
        how: Early,
    },
    CloseCall {
        run: RunId,
        call: CallId,
        status: CallStatus,
    },
    Resume {
        run: RunId,
        keep: Vec<CallId>,
        #[serde(default)]
        resumes: Resumes,
    },
}

/// How a run is ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    pub status: RunStatus,
    pub code: Option<RunErrorCode>,
}

/// What the journal knew of a call whose run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    NotAsked,
    OfClient,
    NotOfClient,
}

/// What a command was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Accepted { run: RunId, offset: Offset, duplicate: bool },
    Done,
    Violated,
    LimitReached(String),
    ResumeLimit(String),
    ThreadBusy,
    MessageIdReused,
    RefusedLimit(String),
    NotFound,
    RunEnded,
    CallClosed,
    TooLarge,
}

/// An entry, without its texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedEntry {
    pub run: RunId,
    pub thread: ThreadId,
    /// Of the event; of the first, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub what: What,
    /// Entries of this kind in a row, each with the next offset and the next seq.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    UserMessage { message: MessageId },
    AgentStarted { message: MessageId },
    AgentThinking,
    ToolExecuting { call: CallId, by: By },
    ToolCompleted { call: CallId, status: CallStatus },
    AgentCompleted { status: RunStatus, code: Option<RunErrorCode> },
}

/// A frame at the socket, as its own bytes tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// A message is accepted, as this run, at this offset.
    Accepted { run: RunId, offset: Offset },
    /// Consecutive entries, and the user that they name.
    Entries { user: UserId, from: Offset, to: Offset },
    /// The type of any other.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketDid {
    Issued {
        user: UserId,
        expires_at: Timestamp,
        credential_expires_at: Timestamp,
    },
    Redeemed {
        user: UserId,
    },
    /// Nobody is told which of the two it was, but the log and this.
    RefusedUnknown,
    RefusedExpired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainStage {
    /// No message is accepted from here on.
    Draining,
    /// No run moves any more, or their time is over.
    Rest,
}

fn one() -> u64 {
    1
}

fn unbounded() -> u32 {
    u32::MAX
}

fn is_one(times: &u64) -> bool {
    *times == 1
}

impl TracedLimits {
    pub fn of(limits: &Limits) -> Self {
        let Limits {
            open_calls_max,
            run_calls_max,
            run_events_max,
            open_runs_max,
            queued_messages_max,
            recent_messages_max,
            run_resumes_max,
            run_resumes_total_max,
            ..
        } = *limits;
        Self {
            open_calls_max,
            run_calls_max,
            run_events_max,
            open_runs_max,
            queued_messages_max,
            recent_messages_max,
            run_resumes_max,
            run_resumes_total_max,
        }
    }
}

impl TracedCommand {
    pub fn of(command: &Command, user_id: &UserId, names: &Names) -> Self {
        let call = |call_id: &CallId| names.call(user_id, call_id);
        match command {
            Command::Send(send) => Self::Send {
                run: send.run_id,
                thread: names.thread(user_id, &send.thread_id),
                message: names.message(user_id, &send.message_id),
                on_busy: send.on_busy,
                earlier: send.earlier.map(|Receipt { run_id, offset }| (run_id, offset)),
                differs: send.differs,
            },
            Command::Cancel { run_id, ended } => Self::Cancel { run: *run_id, ended: *ended },
            Command::Answer { run_id, call_id, result, past } => Self::Answer {
                run: *run_id,
                call: call(call_id),
                status: result.status,
                past: match past {
                    None => Past::NotAsked,
                    Some(PastCall::OfClient) => Past::OfClient,
                    Some(PastCall::NotOfClient) => Past::NotOfClient,
                },
            },
            Command::Step { run_id, step } => {
                let run = *run_id;
                match step {
                    AgentStep::Think(_) => Self::Think { run },
                    AgentStep::Open(open) => Self::Open { run, call: call(&open.call_id), by: open.by },
                    AgentStep::Close { call_id, result } => {
                        Self::Close { run, call: call(call_id), status: result.status }
                    }
                    AgentStep::Complete(Ending::Succeeded { .. }) => Self::Succeed { run },
                    AgentStep::Complete(Ending::Cut(cut)) => Self::Fail { run, how: Early::of(cut) },
                }
            }
            Command::Cut { run_id, cut } => Self::Cut { run: *run_id, how: Early::of(cut) },
            Command::CloseCall { run_id, call_id, status } => {
                Self::CloseCall { run: *run_id, call: call(call_id), status: *status }
            }
            Command::Resume { run_id, keep, resumes } => {
                Self::Resume { run: *run_id, keep: keep.iter().map(call).collect(), resumes: *resumes }
            }
        }
    }
}

impl Early {
    fn of(cut: &Cut) -> Self {
        match cut {
            Cut::Failed(error) => Self { status: RunStatus::Failed, code: Some(error.code) },
            Cut::Cancelled => Self { status: RunStatus::Cancelled, code: None },
            Cut::TimedOut(error) => Self { status: RunStatus::TimedOut, code: Some(error.code) },
            Cut::Interrupted(error) => Self { status: RunStatus::Interrupted, code: Some(error.code) },
        }
    }
}

impl Answer {
    pub fn of(decided: &Result<Decision, Refusal>) -> Self {
        match decided {
            Ok(Decision { reply, .. }) => match reply {
                Reply::Accepted { receipt: Receipt { run_id, offset }, duplicate } => {
                    Self::Accepted { run: *run_id, offset: *offset, duplicate: *duplicate }
                }
                Reply::Done => Self::Done,
                Reply::Violated(_) => Self::Violated,
                Reply::LimitReached(limit) => Self::LimitReached((*limit).to_owned()),
                Reply::ResumeLimit(limit) => Self::ResumeLimit((*limit).to_owned()),
            },
            Err(Refusal::ThreadBusy) => Self::ThreadBusy,
            Err(Refusal::MessageIdReused) => Self::MessageIdReused,
            Err(Refusal::LimitReached(limit)) => Self::RefusedLimit((*limit).to_owned()),
            Err(Refusal::NotFound) => Self::NotFound,
            Err(Refusal::RunEnded) => Self::RunEnded,
            Err(Refusal::CallClosed) => Self::CallClosed,
            Err(Refusal::TooLarge { .. }) => Self::TooLarge,
        }
    }
}

impl Decided {
    /// Adds one more to a list, counted with the one before if it is like it.
    pub fn add(self, to: &mut Vec<Decided>) {
        let is_thought = matches!(self.command, TracedCommand::Think { .. }) && self.answer == Answer::Done;
        match to.last_mut() {
            Some(last) if is_thought && (&last.command, &last.answer) == (&self.command, &self.answer) => {
                last.times += self.times;
            }
            _ => to.push(self),
        }
    }
}

impl TracedEntry {
    pub fn of(entry: &Entry, user_id: &UserId, names: &Names) -> Self {
        let message = |message_id: &MessageId| names.message(user_id, message_id);
        let call = |call_id: &CallId| names.call(user_id, call_id);
        let (seq, what) = match &entry.body {
            Body::UserMessage { message_id, .. } => {
                (None, What::UserMessage { message: message(message_id) })
            }
            Body::Event { seq, event } => (
                Some(seq.0),
                match event {
                    Event::Started { message_id } => What::AgentStarted { message: message(message_id) },
                    Event::Thinking(_) => What::AgentThinking,
                    Event::ToolExecuting(open) => {
                        What::ToolExecuting { call: call(&open.call_id), by: open.by }
                    }
                    Event::ToolCompleted { call_id, result, .. } => {
                        What::ToolCompleted { call: call(call_id), status: result.status }
                    }
                    Event::Completed(completion) => What::AgentCompleted {
                        status: completion.status,
                        code: completion.error.as_ref().map(|error| error.code),
                    },
                },
            ),
        };
        Self { run: entry.run_id, thread: names.thread(user_id, &entry.thread_id), seq, what, times: 1 }
    }

    /// Adds one more to a list, counted with the one before if it is the next thought of the same run.
    pub fn add(self, to: &mut Vec<TracedEntry>) {
        match to.last_mut() {
            Some(last)
                if self.what == What::AgentThinking
                    && last.what == What::AgentThinking
                    && last.run == self.run
                    && last.seq.map(|seq| seq + last.times) == self.seq =>
            {
                last.times += self.times;
            }
            _ => to.push(self),
        }
    }
}

/// An identity under its pseudonym.
pub fn identity(identity: &Identity, names: &Names) -> Identity {
    Identity { user_id: names.user(&identity.user_id), expires_at: identity.expires_at }
}

/// An input under pseudonyms.
pub fn input(input: &Input, names: &Names) -> Input {
    match input {
        Input::Verified(verified) => Input::Verified(identity(verified, names)),
        other => other.clone(),
    }
}

/// An effect under pseudonyms.
pub fn effect(effect: &Effect, names: &Names) -> Effect {
    match effect {
        Effect::Attach(attached) => Effect::Attach(identity(attached, names)),
        other => other.clone(),
    }
}
