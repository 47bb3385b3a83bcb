//! The entries of a user's log: messages, the five events of their runs, and changes of threads.
//!
//! An [`Entry`] has no user id: the machines of one user handle no other user's entries (ISO-4).
//! `wire::entry` adds the user id when it encodes an entry for the journal and the connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{
        AgentName, CallId, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, Title, ToolName,
    },
    json::Json,
};

/// One entry of a user's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A message of the user, or an event of its run.
    Run(RunEntry),
    /// A change of a thread: `thread_updated` or `thread_erased`.
    Thread(ThreadEntry),
    /// `log_erased`: the whole log was erased (DEL-8).
    LogErased(LogErased),
    /// `erased`: stands in the place of an entry that was erased (DEL-8).
    Erased(ErasedEntry),
}

/// A message of the user, or an event of its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunEntry {
    /// The position in the user's log: 1, 2, 3 … without a gap (DEL-2).
    pub offset: Offset,
    /// The conversation to which the entry belongs.
    pub thread_id: ThreadId,
    /// The run that the message starts, or of which the entry is an event.
    pub run_id: RunId,
    /// The time at which the entry was decided.
    pub timestamp: Timestamp,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// The content.
    pub body: Body,
}

/// A change of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ThreadEntry {
    /// The position in the user's log.
    pub offset: Offset,
    /// The conversation that changed.
    pub thread_id: ThreadId,
    /// The time at which the entry was decided.
    pub timestamp: Timestamp,
    /// The change.
    pub change: ThreadChange,
}

/// The content of a [`ThreadEntry`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ThreadChange {
    /// `thread_updated`: the properties of the thread from now on, all of them.
    Updated {
        /// The title; `None` if the thread has none.
        title: Option<Title>,
        /// True if the user has put the thread aside.
        archived: bool,
    },
    /// `thread_erased`: the entries of the thread up to an offset are erased (DEL-8).
    Erased {
        /// The last offset of the erasure. Later entries of the thread are kept.
        through: Offset,
        /// The id of the record that the journal keeps of the erasure.
        receipt: ReceiptId,
    },
}

/// `log_erased`: every entry up to an offset is erased (DEL-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogErased {
    /// The position in the user's log.
    pub offset: Offset,
    /// The time at which the entry was decided.
    pub timestamp: Timestamp,
    /// The last offset of the erasure. Later entries are kept.
    pub through: Offset,
    /// The id of the record that the journal keeps of the erasure.
    pub receipt: ReceiptId,
}

/// `erased`: keeps the offset and the time of an entry that was erased, and nothing else of it (DEL-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErasedEntry {
    /// The position in the user's log.
    pub offset: Offset,
    /// The time of the erased entry.
    pub timestamp: Timestamp,
}

impl Entry {
    /// Returns the position in the user's log.
    pub fn offset(&self) -> Offset {
        match self {
            Entry::Run(entry) => entry.offset,
            Entry::Thread(entry) => entry.offset,
            Entry::LogErased(entry) => entry.offset,
            Entry::Erased(entry) => entry.offset,
        }
    }

    /// Returns the time at which the entry was decided.
    pub fn timestamp(&self) -> Timestamp {
        match self {
            Entry::Run(entry) => entry.timestamp,
            Entry::Thread(entry) => entry.timestamp,
            Entry::LogErased(entry) => entry.timestamp,
            Entry::Erased(entry) => entry.timestamp,
        }
    }

    /// Returns the conversation to which the entry belongs; `None` if it belongs to none, or was erased.
    pub fn thread_id(&self) -> Option<&ThreadId> {
        match self {
            Entry::Run(entry) => Some(&entry.thread_id),
            Entry::Thread(entry) => Some(&entry.thread_id),
            Entry::LogErased(_) | Entry::Erased(_) => None,
        }
    }

    /// Returns the entry as one of a run; `None` if it is of another kind.
    pub fn run(&self) -> Option<&RunEntry> {
        match self {
            Entry::Run(entry) => Some(entry),
            Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => None,
        }
    }

    /// Returns the entry as one of a run, to change it; `None` if it is of another kind.
    pub fn run_mut(&mut self) -> Option<&mut RunEntry> {
        match self {
            Entry::Run(entry) => Some(entry),
            Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => None,
        }
    }

    /// Returns the run of the entry; `None` if it is of another kind.
    pub fn run_id(&self) -> Option<RunId> {
        self.run().map(|entry| entry.run_id)
    }

    /// Returns the content of an entry of a run; `None` if it is of another kind.
    pub fn body(&self) -> Option<&Body> {
        self.run().map(|entry| &entry.body)
    }

    /// Returns the same entry at another offset.
    #[must_use]
    pub fn at(mut self, offset: Offset) -> Self {
        match &mut self {
            Entry::Run(entry) => entry.offset = offset,
            Entry::Thread(entry) => entry.offset = offset,
            Entry::LogErased(entry) => entry.offset = offset,
            Entry::Erased(entry) => entry.offset = offset,
        }
        self
    }

    /// Converts the entry to one of a run; `None` if it is of another kind.
    pub fn into_run(self) -> Option<RunEntry> {
        match self {
            Entry::Run(entry) => Some(entry),
            Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => None,
        }
    }
}

impl From<RunEntry> for Entry {
    fn from(entry: RunEntry) -> Self {
        Entry::Run(entry)
    }
}

/// The content of a [`RunEntry`]: a message of the user, or an event of its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// `user_message`: a message of the user, as accepted (DEL-5).
    UserMessage {
        /// The idempotency key that the client chose (DEL-6).
        message_id: MessageId,
        /// The text, at most `text_bytes_max` bytes ([`Limits`](crate::limits::Limits)).
        text: String,
        /// The offset of the message that this one follows in the tree of its thread, 0 for a root. `None` in
        /// entries of earlier versions, where the parent is the previous message of the thread.
        parent: Option<Offset>,
        /// True if the message waits for the active run to take it (RUN-12).
        steers: bool,
    },
    /// An event of the run.
    Event {
        /// The number of the event within its run: 1, 2, 3 … (RUN-2).
        seq: Seq,
        /// The event.
        event: Event,
    },
}

/// The five events of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `agent_started`: the first event (RUN-1).
    Started {
        /// The message that the run answers.
        message_id: MessageId,
    },
    /// `agent_thinking`: reasoning, progress, or a piece of the answer (RUN-3).
    Thinking(Thought),
    /// `tool_executing`: durable before the tool is invoked (RUN-9).
    ToolExecuting(Call),
    /// `tool_completed`: the end of a call.
    ToolCompleted {
        /// A call that an earlier [`Event::ToolExecuting`] of the run opened (RUN-4).
        call_id: CallId,
        /// The tool of the call.
        tool_name: ToolName,
        /// The outcome.
        result: CallResult,
        /// Milliseconds since the call opened; 0 if the clock was set back.
        duration_ms: u64,
    },
    /// `agent_completed`: the last event (RUN-5).
    Completed(Completion),
}

/// A piece of the agent's reasoning, progress or answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thought {
    /// The kind of text.
    pub kind: ThoughtKind,
    /// The new text, at most `delta_bytes_max` bytes ([`Limits`](crate::limits::Limits)).
    pub delta: String,
    /// True if the run's earlier deltas of this kind are withdrawn, as after a restart of the run.
    pub reset: bool,
}

/// The kind of a [`Thought`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThoughtKind {
    /// Reasoning that leads to the answer.
    Reasoning,
    /// A piece of the answer. Concatenated, the pieces are the final response.
    Answer,
    /// A progress report during long work.
    Progress,
}

/// A tool call at its start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The id of the call, used once in a run (RUN-4).
    pub call_id: CallId,
    /// The tool to invoke.
    pub tool_name: ToolName,
    /// A JSON object.
    pub parameters: Json,
    /// The party that executes the call and completes it.
    pub by: CallOwner,
}

/// The party that executes a call and completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOwner {
    /// The agent itself.
    Agent,
    /// The client: a question to the user, an approval, a tool of the front end (RUN-11).
    Client,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallResult {
    /// The status: success, failure, or the reason for which the service closed the call.
    pub status: CallStatus,
    /// Any JSON value; null if there is none.
    pub results: Json,
    /// The error message; `None` if the call succeeded.
    pub error: Option<String>,
}

impl CallResult {
    /// Creates the result of a call that succeeded.
    pub fn ok(results: Json) -> Self {
        Self { status: CallStatus::Ok, results, error: None }
    }

    /// Creates the result of a call that failed.
    pub fn error(error: impl Into<String>) -> Self {
        Self { status: CallStatus::Error, results: Json::null(), error: Some(error.into()) }
    }

    /// Creates the result of a question that the user declined, with an optional reason (RUN-11).
    pub fn declined(reason: Option<String>) -> Self {
        Self { status: CallStatus::Declined, results: Json::null(), error: reason }
    }

    /// Creates the result of a call that the service closed: `cancelled`, `timed_out` or `unknown` (RUN-7).
    pub fn cut_short(status: CallStatus, why: &str) -> Self {
        Self { status, results: Json::null(), error: Some(why.to_owned()) }
    }
}

/// The status of a closed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// The call succeeded.
    Ok,
    /// The call failed.
    Error,
    /// The user declined: the answer to a question or an approval is "no" (RUN-11).
    Declined,
    /// The service closed the call at a deadline of the call or of its run (RUN-7).
    TimedOut,
    /// The run ended before the call did (RUN-7).
    Cancelled,
    /// The node was lost during the call, so the tool may or may not have acted (RUN-9).
    Unknown,
}

/// The terminal event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completion {
    /// The status with which the run ended.
    pub status: RunStatus,
    /// The concatenated `answer` deltas since the last reset, if the run succeeded.
    pub final_response: Option<String>,
    /// The reason; `None` if the run succeeded or was cancelled.
    pub error: Option<RunError>,
    /// Milliseconds since `agent_started`; 0 if the clock was set back.
    pub duration_ms: u64,
    /// Language model tokens, if the run succeeded and its agent counted them.
    pub usage: Option<Usage>,
    /// The run that took the message of this one, if the status is `merged` (RUN-12).
    pub merged_into: Option<RunId>,
}

/// The status of a completed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The agent completed its answer.
    Succeeded,
    /// The agent failed, broke a rule, or exceeded a limit (RUN-10).
    Failed,
    /// The user cancelled the run, or interrupted it with a new message (RUN-8).
    Cancelled,
    /// The run, or one step of its agent, exceeded its time limit.
    TimedOut,
    /// The node that executed the run was lost, and the run could not be resumed (RUN-6).
    Interrupted,
    /// The active run of the thread took the message (RUN-12).
    Merged,
}

impl RunStatus {
    /// Every status, in order.
    pub const ALL: [RunStatus; 6] = [
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::TimedOut,
        RunStatus::Interrupted,
        RunStatus::Merged,
    ];

    /// Returns the status as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
            RunStatus::Interrupted => "interrupted",
            RunStatus::Merged => "merged",
        }
    }
}

/// The reason for which a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RunError {
    /// The reason, for programs.
    pub code: RunErrorCode,
    /// The reason, for people. Clients see it.
    pub message: String,
}

/// The machine-readable reason for which a run did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunErrorCode {
    /// The agent attempted an illegal step (RUN-10).
    Violation,
    /// The agent returned an error.
    AgentError,
    /// The agent panicked.
    AgentPanic,
    /// One step of the agent exceeded its time limit.
    StepTimeout,
    /// The run exceeded its time limit.
    RunTimeout,
    /// A scripted agent was given an invalid script.
    InvalidScript,
    /// A service that the agent depends on failed.
    Upstream,
    /// The run exceeded one of its limits.
    LimitReached,
    /// The service died too often while it resumed the run (RUN-6).
    ResumeLimit,
    /// The node that executed the run was lost (RUN-6).
    NodeLost,
}

/// Language model tokens used by a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Usage {
    /// Tokens that the models read.
    pub input_tokens: u64,
    /// Tokens that the models generated.
    pub output_tokens: u64,
}
