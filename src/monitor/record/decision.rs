//! The records of one user's log: commands with their replies, and entries.

use serde::{Deserialize, Serialize};

use crate::names::Names;
use quintet_kernel::{
    entry::{Body, CallOwner, CallStatus, Event, RunEntry, RunErrorCode, RunStatus},
    ids::{CallId, MessageId, Offset, ReceiptId, RunId, ThreadId, UserId},
    run::{EarlyEnd, Ending},
    user::{
        AgentStep, Command, Decision, EraseScope, Erasure, OnBusy, PastCall, Receipt, Refusal, Reply, Resumes,
    },
};

/// An open run of a log that its hub has loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRunRecord {
    /// The offset of its `user_message`.
    pub accepted: Offset,
    /// Its `user_message` and its events. Consecutive thoughts are folded into one entry with a count.
    pub entries: Vec<TracedEntry>,
}

/// A command, its reply, and the number of entries that it added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The command.
    pub command: TracedCommand,
    /// The reply.
    pub answer: ReplyRecord,
    /// The number of entries that one such command added; 0 if it was refused.
    pub entries: u64,
    /// The number of equal commands in a row that this record stands for; above 1 only for thoughts.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u64,
}

/// A [command](Command) to a log, without content. Thread, message and call ids are pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracedCommand {
    /// The user sends a message.
    Send {
        /// A fresh id for the run, used only if the message is new.
        run: RunId,
        /// The thread of the message.
        thread: ThreadId,
        /// The idempotency key of the message (DEL-6).
        message: MessageId,
        /// The policy if the thread has an active run (RUN-8).
        on_busy: OnBusy,
        /// The journal's receipt for this message id, run and offset, if the message is older than the recent
        /// ones.
        earlier: Option<(RunId, Offset)>,
        /// True if the earlier message has other content (DEL-6).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        differs: bool,
    },
    /// The user ends a run.
    Cancel {
        /// The run to end.
        run: RunId,
        /// True if the journal has the run as completed.
        ended: bool,
    },
    /// The client completes a call of its own (RUN-11).
    Answer {
        /// The run of the call.
        run: RunId,
        /// The call to close.
        call: CallId,
        /// The status of the result.
        status: CallStatus,
        /// The journal's record of the call.
        past: PastCallRecord,
    },
    /// The agent emits `agent_thinking`.
    Think {
        /// The run of the agent.
        run: RunId,
    },
    /// The agent opens a call.
    Open {
        /// The run of the agent.
        run: RunId,
        /// The call to open.
        call: CallId,
        /// The party that executes the call.
        by: CallOwner,
    },
    /// The agent closes a call of its own.
    Close {
        /// The run of the agent.
        run: RunId,
        /// The call to close.
        call: CallId,
        /// The status of the result.
        status: CallStatus,
    },
    /// The agent ends its run as `succeeded`.
    Succeed {
        /// The run to end.
        run: RunId,
    },
    /// The agent ends its run early.
    Fail {
        /// The run to end.
        run: RunId,
        /// The status and error code of the end.
        how: Early,
    },
    /// The agent takes the messages that wait for its run (RUN-12).
    TakeMessages {
        /// The run of the agent.
        run: RunId,
    },
    /// The service ends a run (RUN-6, RUN-7).
    Cut {
        /// The run to end.
        run: RunId,
        /// The status and error code of the end.
        how: Early,
    },
    /// The service closes one call, such as at the call's own deadline.
    CloseCall {
        /// The run of the call.
        run: RunId,
        /// The call to close.
        call: CallId,
        /// The status with which the call closes.
        status: CallStatus,
    },
    /// The service resumes a run that lost its agent (RUN-6).
    Resume {
        /// The run to resume.
        run: RunId,
        /// Open calls of the agent that stay open, because their tools are idempotent (RUN-9).
        keep: Vec<CallId>,
        /// The number of earlier resumes; none in traces of earlier versions.
        #[serde(default)]
        resumes: Resumes,
    },
    /// The user changes the properties of a thread.
    UpdateThread {
        /// The thread.
        thread: ThreadId,
        /// True if the user has such a thread.
        known: bool,
    },
    /// The user erases a thread or the whole log (DEL-8).
    Erase {
        /// The thread; `None` for the whole log.
        thread: Option<ThreadId>,
        /// The id of the record of the erasure.
        receipt: ReceiptId,
    },
    /// The journal has erased every entry of an erasure (DEL-8).
    Erased {
        /// The id of the erasure.
        receipt: ReceiptId,
    },
}

/// An erasure whose end is not in the log (DEL-8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedErasure {
    /// The pseudonym of the thread; `None` for the whole log.
    pub thread: Option<ThreadId>,
    /// The last offset of the erasure.
    pub through: Offset,
    /// The id of the record of the erasure.
    pub receipt: ReceiptId,
}

impl TracedErasure {
    pub(crate) fn of(erasure: &Erasure, user_id: &UserId, names: &Names) -> Self {
        let Erasure { scope, through, receipt, requested_at: _ } = erasure;
        Self { thread: traced_scope(scope, user_id, names), through: *through, receipt: *receipt }
    }
}

/// Returns the pseudonym of the thread that is erased; `None` for the whole log.
fn traced_scope(scope: &EraseScope, user_id: &UserId, names: &Names) -> Option<ThreadId> {
    match scope {
        EraseScope::Thread(thread_id) => Some(names.thread(user_id, thread_id)),
        EraseScope::Log => None,
    }
}

/// An early end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// The status of the run.
    pub status: RunStatus,
    /// The error code; `None` for `cancelled`.
    pub code: Option<RunErrorCode>,
}

/// The journal's record of a call that a client completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastCallRecord {
    /// The command carries no record, for instance because the call is open.
    NotAsked,
    /// The call was opened with `by: "client"`.
    OfClient,
    /// The call is unknown, or the agent executed it.
    NotOfClient,
}

/// The [reply](Reply) to a command, or its [refusal](Refusal). A refused command adds no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyRecord {
    /// The message is accepted (DEL-5).
    Accepted {
        /// The run of the message.
        run: RunId,
        /// The offset of the message.
        offset: Offset,
        /// True if the message had been accepted before (DEL-6).
        duplicate: bool,
    },
    /// The command is done, or there was nothing left to do.
    Done,
    /// The run has taken as many messages (RUN-12).
    Taken(u64),
    /// The agent's step was illegal, so its run has failed (RUN-10).
    Violated,
    /// The agent's step exceeded a limit, so its run has failed. Holds the name of the limit.
    LimitReached(String),
    /// The run has used up its resumes, so it has failed (RUN-6). Holds the name of the limit.
    ResumeLimit(String),
    /// Refused: the thread has an open run, and the message has the policy `reject` (RUN-8).
    ThreadBusy,
    /// Refused: the id names an accepted message with other content (DEL-6).
    MessageIdReused,
    /// Refused: the user has too many open runs, or the thread too many queued messages. Holds the name of
    /// the limit.
    RefusedLimit(String),
    /// Refused: the user has no such run or call (ISO-3).
    NotFound,
    /// Refused: the run has completed.
    RunEnded,
    /// Refused: the call was closed before (RUN-11).
    CallClosed,
    /// Refused: a field exceeds its size limit.
    TooLarge,
}

/// An entry, without content. Its offset follows from its place in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedEntry {
    /// The run of the entry.
    pub run: RunId,
    /// The pseudonym of the thread.
    pub thread: ThreadId,
    /// `seq` of the event, or of the first of several; `None` for a `user_message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The type of the entry, with the fields that the rules need.
    pub what: What,
    /// The number of consecutive thoughts of the run that this record stands for, each with the next `seq`; 1 for
    /// other entries.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u64,
}

/// The type of an entry, with the fields that the rules need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A message of the user.
    UserMessage {
        /// The pseudonym of the message id.
        message: MessageId,
        /// True if the message waits for the active run to take it (RUN-12).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        steers: bool,
    },
    /// The run begins (RUN-1).
    AgentStarted {
        /// The pseudonym of the id of the message that the run answers.
        message: MessageId,
    },
    /// A thought, or a piece of the answer.
    AgentThinking,
    /// A call opens.
    ToolExecuting {
        /// The pseudonym of the call.
        call: CallId,
        /// The party that executes the call.
        by: CallOwner,
    },
    /// A call closes.
    ToolCompleted {
        /// The pseudonym of the call.
        call: CallId,
        /// The status of the result.
        status: CallStatus,
    },
    /// The run ends (RUN-5).
    AgentCompleted {
        /// The status of the run.
        status: RunStatus,
        /// The error code; `None` for `succeeded`, `cancelled` and `merged`.
        code: Option<RunErrorCode>,
        /// The run that took the message, for `merged`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<RunId>,
    },
}

fn one() -> u64 {
    1
}

fn is_one(times: &u64) -> bool {
    *times == 1
}

impl TracedCommand {
    pub(crate) fn of(command: &Command, user_id: &UserId, names: &Names) -> Self {
        let call = |call_id: &CallId| names.call(user_id, call_id);
        match command {
            Command::Send(send) => Self::Send {
                run: send.run_id,
                thread: names.thread(user_id, &send.message.thread_id),
                message: names.message(user_id, &send.message.message_id),
                on_busy: send.message.on_busy,
                earlier: send.earlier.map(|Receipt { run_id, offset }| (run_id, offset)),
                differs: send.differs,
            },
            Command::Cancel { run_id, ended } => Self::Cancel { run: *run_id, ended: *ended },
            Command::Answer { run_id, call_id, result, past } => Self::Answer {
                run: *run_id,
                call: call(call_id),
                status: result.status,
                past: match past {
                    None => PastCallRecord::NotAsked,
                    Some(PastCall::OfClient) => PastCallRecord::OfClient,
                    Some(PastCall::NotOfClient) => PastCallRecord::NotOfClient,
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
            Command::TakeMessages { run_id } => Self::TakeMessages { run: *run_id },
            Command::Cut { run_id, cut } => Self::Cut { run: *run_id, how: Early::of(cut) },
            Command::CloseCall { run_id, call_id, status } => {
                Self::CloseCall { run: *run_id, call: call(call_id), status: *status }
            }
            Command::Resume { run_id, keep, resumes } => {
                Self::Resume { run: *run_id, keep: keep.iter().map(call).collect(), resumes: *resumes }
            }
            Command::UpdateThread(update) => Self::UpdateThread {
                thread: names.thread(user_id, &update.thread_id),
                known: update.current.is_some(),
            },
            Command::Erase { scope, receipt } => {
                Self::Erase { thread: traced_scope(scope, user_id, names), receipt: *receipt }
            }
            Command::Erased { receipt } => Self::Erased { receipt: *receipt },
        }
    }
}

impl Early {
    fn of(cut: &EarlyEnd) -> Self {
        match cut {
            EarlyEnd::Failed(error) => Self { status: RunStatus::Failed, code: Some(error.code) },
            EarlyEnd::Cancelled => Self { status: RunStatus::Cancelled, code: None },
            EarlyEnd::TimedOut(error) => Self { status: RunStatus::TimedOut, code: Some(error.code) },
            EarlyEnd::Interrupted(error) => Self { status: RunStatus::Interrupted, code: Some(error.code) },
        }
    }
}

impl ReplyRecord {
    /// Creates the record of a hub's decision.
    pub fn of(decided: &Result<Decision, Refusal>) -> Self {
        match decided {
            Ok(Decision { reply, .. }) => match reply {
                Reply::Accepted { receipt: Receipt { run_id, offset }, duplicate } => {
                    Self::Accepted { run: *run_id, offset: *offset, duplicate: *duplicate }
                }
                Reply::Done => Self::Done,
                Reply::Taken(taken) => Self::Taken(taken.len() as u64),
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

impl DecisionRecord {
    /// Appends to a list, folding equal thoughts of a run into one element with a count.
    pub(crate) fn add(self, to: &mut Vec<DecisionRecord>) {
        let is_thought =
            matches!(self.command, TracedCommand::Think { .. }) && self.answer == ReplyRecord::Done;
        match to.last_mut() {
            Some(last) if is_thought && (&last.command, &last.answer) == (&self.command, &self.answer) => {
                last.times += self.times;
            }
            _ => to.push(self),
        }
    }
}

impl TracedEntry {
    pub(crate) fn of(entry: &RunEntry, user_id: &UserId, names: &Names) -> Self {
        let message = |message_id: &MessageId| names.message(user_id, message_id);
        let call = |call_id: &CallId| names.call(user_id, call_id);
        let (seq, what) = match &entry.body {
            Body::UserMessage { message_id, steers, .. } => {
                (None, What::UserMessage { message: message(message_id), steers: *steers })
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
                        into: completion.merged_into,
                    },
                },
            ),
        };
        Self { run: entry.run_id, thread: names.thread(user_id, &entry.thread_id), seq, what, times: 1 }
    }

    /// Appends to a list, folding consecutive thoughts of a run into one element with a count.
    pub(crate) fn add(self, to: &mut Vec<TracedEntry>) {
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
