//! Commands to a user's log, and their replies.

use crate::{
    entry::{Body, Call, CallResult, CallStatus, Entry, Event, RunStatus, Thought, Usage},
    ids::{AgentName, CallId, MessageId, Offset, ReceiptId, RunId, ThreadId, Title},
    limits::Limits,
    run::{Breach, Closer, EarlyEnd, Ending, Step},
    user::{EraseScope, Erasure, Receipt},
};

/// A command to one user's log. Carries everything non-deterministic: fresh ids and journal look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The user sends a message.
    Send(SendCommand),
    /// The user ends a run.
    Cancel {
        /// The run to end.
        run_id: RunId,
        /// True if the journal has the run as completed.
        ended: bool,
    },
    /// The client completes a call of its own (RUN-11).
    Answer {
        /// The run of the call.
        run_id: RunId,
        /// The call to close.
        call_id: CallId,
        /// The outcome, at most `results_bytes_max` bytes.
        result: CallResult,
        /// The journal's record of the call, if its run has completed.
        past: Option<PastCall>,
    },
    /// An agent takes a step in its run.
    Step {
        /// The run of the agent.
        run_id: RunId,
        /// The step to take.
        step: AgentStep,
    },
    /// An agent takes the messages of its thread that wait for the active run, with [`OnBusy::Steer`] (RUN-12).
    TakeMessages {
        /// The run of the agent.
        run_id: RunId,
    },
    /// The service ends a run after a panic, at a deadline, or because its agent is lost (RUN-6, RUN-7).
    Cut {
        /// The run to end.
        run_id: RunId,
        /// The status and error of the end.
        cut: EarlyEnd,
    },
    /// The service closes one call, such as at the call's own deadline.
    CloseCall {
        /// The run of the call.
        run_id: RunId,
        /// The call to close.
        call_id: CallId,
        /// The status with which it closes.
        status: CallStatus,
    },
    /// Resumes a run that lost its agent. Open calls of the agent close as `unknown`, except those in
    /// `keep` (idempotent tools, RUN-9); calls of the client stay open. A run whose resumes have reached a
    /// limit ends as `failed`, code `resume_limit`, instead (RUN-6).
    Resume {
        /// The run to resume.
        run_id: RunId,
        /// Open calls of the agent that stay open, because their tools are idempotent.
        keep: Vec<CallId>,
        /// The number of earlier resumes.
        resumes: Resumes,
    },
    /// The user changes the properties of a thread.
    UpdateThread(UpdateThread),
    /// The user erases a thread or the whole log (DEL-8). Its open runs end as cancelled.
    Erase {
        /// The entries to erase, up to the head.
        scope: EraseScope,
        /// A fresh id for the record of the erasure.
        receipt: ReceiptId,
    },
    /// The journal has erased every entry of an erasure (DEL-8).
    Erased {
        /// The id of the erasure.
        receipt: ReceiptId,
    },
}

/// The command to change the properties of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// The changes.
    pub update: ThreadUpdate,
    /// The properties of the thread after the head; `None` if the user has no such thread.
    pub current: Option<ThreadProperties>,
}

/// Changes of the properties of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadUpdate {
    /// The new title, or `Some(None)` to remove it; `None` leaves it unchanged.
    pub title: Option<Option<Title>>,
    /// True to put the thread aside, false to bring it back; `None` leaves it unchanged.
    pub archived: Option<bool>,
}

/// The properties of a thread that the user sets. The default is that of a thread that was never updated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ThreadProperties {
    /// The title; `None` if the thread has none.
    pub title: Option<Title>,
    /// True if the user has put the thread aside.
    pub archived: bool,
}

/// The number of times that a run was resumed by a process that then died (RUN-6); the journal counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Resumes {
    /// Since the last durable step of its agent.
    pub without_step: u32,
    /// Since the run began.
    pub total: u32,
}

impl Resumes {
    /// Returns the name of the limit that forbids a further resume.
    pub fn limit_reached(self, limits: &Limits) -> Option<&'static str> {
        if self.without_step >= limits.run_resumes_max {
            Some("run_resumes_max")
        } else if self.total >= limits.run_resumes_total_max {
            Some("run_resumes_total_max")
        } else {
            None
        }
    }
}

/// A message of the user, which starts or enqueues a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct NewMessage {
    /// The idempotency key, chosen by the client: a second message with the same id is a retry.
    pub message_id: MessageId,
    /// The conversation of the message.
    pub thread_id: ThreadId,
    /// 1 to 65536 bytes of UTF-8.
    #[schemars(length(min = 1, max = Limits::DEFAULT.text_bytes_max))]
    pub text: String,
    /// The agent that answers; missing: the default agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<AgentName>,
    /// The policy if the thread has an active run; missing: `enqueue`.
    #[schemars(with = "Option<OnBusy>")]
    pub on_busy: OnBusy,
    /// The offset of the `user_message` of the thread that this one follows; 0: none, so that it begins a new
    /// branch at the root; missing: the latest message of the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Offset>,
}

/// The command to accept a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendCommand {
    /// The message.
    pub message: NewMessage,
    /// The agent of the run: that of the message, or the default agent.
    pub agent_name: AgentName,
    /// A fresh id for the run, used only if the message is new.
    pub run_id: RunId,
    /// The journal's receipt for this `message_id`, if the message is older than the recent ones.
    pub earlier: Option<Receipt>,
    /// True if the message accepted under this `message_id` has other content (DEL-6). Irrelevant if there is
    /// no earlier message.
    pub differs: bool,
    /// The journal's offset of the parent, or by default of the latest message of the thread, if that message is
    /// older than the recent ones; `None` if the thread has no such message.
    pub older_parent: Option<Offset>,
}

/// The policy for a message to a thread with an active run (RUN-8).
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
    /// Queue the message: the messages of a thread run one after another, in order of acceptance.
    #[default]
    Enqueue,
    /// Refuse the message with `thread_busy`.
    Reject,
    /// End the active and all queued runs of the thread as `cancelled`, then run the message.
    Interrupt,
    /// Queue the message, for the active run to take at a step of its own; if it is not taken, it runs in its turn
    /// (RUN-12).
    Steer,
}

/// The journal's record of a call whose run has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PastCall {
    /// The call was opened with `by: "client"`.
    OfClient,
    /// The call is unknown, or the agent executed it.
    NotOfClient,
}

/// A step of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentStep {
    /// Emits `agent_thinking`.
    Think(Thought),
    /// Opens a call with `tool_executing`.
    Open(Call),
    /// Closes a call of the agent with `tool_completed`.
    Close {
        /// The call to close.
        call_id: CallId,
        /// The outcome of the call.
        result: CallResult,
    },
    /// Ends the run with `agent_completed`.
    Complete(Ending),
}

impl AgentStep {
    pub(super) fn into_step(self) -> Step {
        match self {
            AgentStep::Think(thought) => Step::Think(thought),
            AgentStep::Open(call) => Step::Open(call),
            AgentStep::Close { call_id, result } => Step::Close { call_id, result, closer: Closer::Agent },
            AgentStep::Complete(ending) => Step::Complete(ending),
        }
    }
}

/// The entries that a command adds, and the reply to send once they are durable (DEL-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The entries to append after the head, in order; none if nothing changes.
    pub entries: Vec<Entry>,
    /// The reply.
    pub reply: Reply,
    /// The intent of an erasure, to store with the entries and to pass to
    /// [`UserState::begin_erasure`](super::UserState::begin_erasure) after them (DEL-8).
    pub erasure: Option<Erasure>,
}

impl Decision {
    /// Creates a decision that erases nothing.
    pub fn new(entries: Vec<Entry>, reply: Reply) -> Self {
        Self { entries, reply, erasure: None }
    }
}

impl Decision {
    /// Adds the tokens that agents have counted to the ends of runs without a count, such as cancels and failures.
    pub fn add_usage(&mut self, counted: impl Fn(RunId) -> Option<Usage>) {
        for entry in self.entries.iter_mut().filter_map(Entry::run_mut) {
            if let Body::Event { event: Event::Completed(end), .. } = &mut entry.body
                && end.status != RunStatus::Merged
            {
                end.usage = end.usage.or_else(|| counted(entry.run_id));
            }
        }
    }
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is accepted (DEL-5).
    Accepted {
        /// The run and the offset of the message.
        receipt: Receipt,
        /// True if the message had been accepted before (DEL-6).
        duplicate: bool,
    },
    /// The command is done, or there was nothing left to do.
    Done,
    /// The run has taken these messages, in order of acceptance; their runs are merged into it (RUN-12).
    Taken(Vec<TakenMessage>),
    /// The agent's step was illegal, so its run has failed (RUN-10).
    Violated(Breach),
    /// The agent's step exceeded a limit, so its run has failed.
    LimitReached(&'static str),
    /// The run has used up its resumes under this limit, so it has failed (RUN-6).
    ResumeLimit(&'static str),
}

/// A message that a run has taken (RUN-12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenMessage {
    /// The id of the message.
    pub message_id: MessageId,
    /// The offset of its `user_message`.
    pub offset: Offset,
}

/// The reason for which a command was refused. The state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The thread has an open run, and the message has the policy [`OnBusy::Reject`] (RUN-8).
    #[error("the thread has an active run")]
    ThreadBusy,
    /// The id names an accepted message with other content (DEL-6).
    #[error("the message_id was used for a message with other content")]
    MessageIdReused,
    /// The user has as many open runs, or the thread as many queued messages, as the named limit allows.
    #[error("{0} is reached")]
    LimitReached(&'static str),
    /// The user has no such run, call, thread or erasure, or the thread no such message; those of other users look the
    /// same (ISO-3).
    #[error("no such run, call, thread or message")]
    NotFound,
    /// The run has completed.
    #[error("the run has ended")]
    RunEnded,
    /// The call was closed before (RUN-11).
    #[error("the call is closed")]
    CallClosed,
    /// A field exceeds its size limit.
    #[error("{what} is longer than {bytes_max} bytes")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its limit, in bytes.
        bytes_max: usize,
    },
}
