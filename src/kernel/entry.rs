//! The entries of a user's log: messages, and the five events of their runs.
//!
//! An [`Entry`] has no user id: the machines of one user handle no other user's entries (ISO-4).
//! `wire::entry` adds the user id when it encodes an entry for the journal and the connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName},
    json::Json,
};

/// One entry of a user's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub offset: Offset,
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub timestamp: Timestamp,
    pub agent_name: AgentName,
    pub body: Body,
}

/// The content of an entry: a message of the user, or an event of its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    UserMessage { message_id: MessageId, text: String },
    Event { seq: Seq, event: Event },
}

/// The five events of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `agent_started`: the first event (RUN-1).
    Started { message_id: MessageId },
    /// `agent_thinking`.
    Thinking(Thought),
    /// `tool_executing`: durable before the tool is invoked (RUN-9).
    ToolExecuting(Call),
    /// `tool_completed`.
    ToolCompleted { call_id: CallId, tool_name: ToolName, result: CallResult, duration_ms: u64 },
    /// `agent_completed`: the last event (RUN-5).
    Completed(Completion),
}

/// A piece of the agent's reasoning, progress or answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thought {
    pub kind: ThoughtKind,
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
    pub call_id: CallId,
    pub tool_name: ToolName,
    /// A JSON object.
    pub parameters: Json,
    pub by: By,
}

/// The party that executes a call and completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The agent itself.
    Agent,
    /// The client: a question to the user, an approval, a tool of the front end (RUN-11).
    Client,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallResult {
    pub status: CallStatus,
    /// Any JSON value; null if there is none.
    pub results: Json,
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
    Ok,
    Error,
    /// The user declined: the answer to a question or an approval is "no" (RUN-11).
    Declined,
    TimedOut,
    Cancelled,
    /// The node was lost during the call, so the tool may or may not have acted (RUN-9).
    Unknown,
}

/// The terminal event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completion {
    pub status: RunStatus,
    /// The concatenated `answer` deltas since the last reset, if the run succeeded.
    pub final_response: Option<String>,
    pub error: Option<RunError>,
    pub duration_ms: u64,
    pub usage: Option<Usage>,
}

/// The status of a completed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Interrupted,
}

impl RunStatus {
    /// Every status, in order.
    pub const ALL: [RunStatus; 5] = [
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::TimedOut,
        RunStatus::Interrupted,
    ];

    /// Returns the status as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
            RunStatus::Interrupted => "interrupted",
        }
    }
}

/// The reason for which a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RunError {
    pub code: RunErrorCode,
    pub message: String,
}

/// The machine-readable part of a [`RunError`].
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
    pub input_tokens: u64,
    pub output_tokens: u64,
}
