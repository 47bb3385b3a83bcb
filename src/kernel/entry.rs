//! What a user's log holds: messages, and the five events of their runs.
//!
//! An [`Entry`] does not name its user: inside one user's machines there is no other (ISO-4).
//! The wire form, which does, is made by `wire::entry` once, for journal and connections alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName},
    json::Json,
};

/// One line of a user's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub offset: Offset,
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub timestamp: Timestamp,
    pub agent_name: AgentName,
    pub body: Body,
}

/// A message of the user, or an event of the run that it caused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    UserMessage { message_id: MessageId, text: String },
    Event { seq: Seq, event: Event },
}

/// The five events of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `agent_started`: the run begins (RUN-1).
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

/// A piece of what the agent thinks or says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thought {
    pub kind: ThoughtKind,
    pub delta: String,
    /// The run's earlier deltas of this kind are withdrawn, as after a restart.
    pub reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThoughtKind {
    /// How the agent comes to its answer.
    Reasoning,
    /// The answer itself, in pieces; all of them are the final response.
    Answer,
    /// A sign of life of long work.
    Progress,
}

/// A tool call as it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub call_id: CallId,
    pub tool_name: ToolName,
    /// A JSON object.
    pub parameters: Json,
    pub by: By,
}

/// Who executes a call, and so who closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Agent,
    /// The user's own front end: a question, an approval, a tool of the page (RUN-11).
    Client,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallResult {
    pub status: CallStatus,
    /// Any JSON, or null.
    pub results: Json,
    pub error: Option<String>,
}

impl CallResult {
    pub fn ok(results: Json) -> Self {
        Self { status: CallStatus::Ok, results, error: None }
    }

    pub fn error(error: impl Into<String>) -> Self {
        Self { status: CallStatus::Error, results: Json::null(), error: Some(error.into()) }
    }

    /// A call that somebody else ended: `cancelled`, `timed_out` or `unknown` (RUN-7).
    pub fn cut_short(status: CallStatus, why: &str) -> Self {
        Self { status, results: Json::null(), error: Some(why.to_owned()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    Ok,
    Error,
    TimedOut,
    Cancelled,
    /// The tool may or may not have acted: a crash came between (RUN-9).
    Unknown,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completion {
    pub status: RunStatus,
    /// The concatenated `answer` deltas since the last reset, of a run that succeeded.
    pub final_response: Option<String>,
    pub error: Option<RunError>,
    pub duration_ms: u64,
    pub usage: Option<Usage>,
}

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

/// Why a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RunError {
    pub code: RunErrorCode,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunErrorCode {
    /// The agent attempted an illegal step (RUN-10).
    Violation,
    AgentError,
    AgentPanic,
    StepTimeout,
    RunTimeout,
    InvalidScript,
    Upstream,
    LimitReached,
    /// The run was resumed too often by processes that then died (RUN-6).
    ResumeLimit,
    NodeLost,
}

/// What a run consumed of a language model, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}
