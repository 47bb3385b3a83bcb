//! The events of AG-UI that this service sends, in the field names of both generations.
//!
//! AG-UI's `schema.json` of 1.0 and the schemas of `@ag-ui/core` 0.0.59 define them.

use std::sync::Arc;

use quintet_kernel::{
    entry::Usage,
    ids::{RunId, ThreadId, Timestamp},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::message::Message;

/// The generation of AG-UI that a front end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// 0.0.59 and its predecessors: no `protocolVersion` in the request, no outcome `cancelled`.
    V0,
    /// 1.0.
    V1,
}

/// The version that an event of the start declares.
pub const PROTOCOL_VERSION: &str = "1.0";

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of AG-UI's specification")]
pub enum Event {
    RunStarted {
        thread_id: ThreadId,
        run_id: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        protocol_version: Option<&'static str>,
    },
    RunFinished {
        thread_id: ThreadId,
        run_id: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<[TokenUsage; 1]>,
    },
    RunError {
        message: String,
        code: String,
    },
    MessagesSnapshot {
        messages: Vec<Message>,
    },
    TextMessageStart {
        message_id: String,
        role: AssistantRole,
    },
    TextMessageContent {
        message_id: String,
        delta: String,
    },
    TextMessageEnd {
        message_id: String,
    },
    ReasoningStart {
        message_id: String,
    },
    ReasoningMessageStart {
        message_id: String,
        role: ReasoningRole,
    },
    ReasoningMessageContent {
        message_id: String,
        delta: String,
    },
    ReasoningMessageEnd {
        message_id: String,
    },
    ReasoningEnd {
        message_id: String,
    },
    ToolCallStart {
        tool_call_id: String,
        tool_call_name: String,
    },
    ToolCallArgs {
        tool_call_id: String,
        delta: String,
    },
    ToolCallEnd {
        tool_call_id: String,
    },
    ToolCallResult {
        message_id: String,
        tool_call_id: String,
        content: String,
        role: ToolRole,
    },
    Custom {
        name: &'static str,
        value: Value,
    },
}

impl Event {
    /// Returns true for the events that end a run.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Event::RunFinished { .. } | Event::RunError { .. })
    }
}

/// The role of a text of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AssistantRole {
    /// The only one.
    Assistant,
}

/// The role of reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningRole {
    /// The only one.
    Reasoning,
}

/// The role of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolRole {
    /// The only one.
    Tool,
}

/// The reason for which a run finished. Absent for a plain success.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The run succeeded, except for calls that the front end has to execute (1.0 only).
    Success {
        /// The calls of the front end.
        pending_tool_call_ids: Vec<String>,
    },
    /// The run waits for answers.
    Interrupt {
        /// The questions, at least one.
        interrupts: Vec<Interrupt>,
    },
    /// The run was cancelled (1.0 only).
    Cancelled,
}

/// A question to the user.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interrupt {
    /// The id of the call, [`CallRef`](crate::CallRef) as text.
    pub id: String,
    /// Always `tool_call`: the question is a call of the conversation.
    pub reason: &'static str,
    /// The question, if the call has one as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The call.
    pub tool_call_id: String,
    /// The JSON Schema of the answer, if the call has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Map<String, Value>>,
    /// The tool and the parameters of the call.
    pub metadata: Value,
}

/// The tokens of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// Tokens that the models read.
    pub input_tokens: u64,
    /// Tokens that the models generated.
    pub output_tokens: u64,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        // Both generations accept integers up to 2^53 only.
        let bounded = |tokens: u64| tokens.min(INTEGER_MAX);
        Self { input_tokens: bounded(usage.input_tokens), output_tokens: bounded(usage.output_tokens) }
    }
}

/// An event with the members that all events have.
#[derive(Debug, Serialize)]
pub struct Sent<'a> {
    /// The event.
    #[serde(flatten)]
    pub event: &'a Event,
    /// The time of its entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// What AG-UI has no member for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
}

/// The `metadata` of an event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Metadata<'a> {
    /// The part of this service.
    pub quintet: QuintetMetadata<'a>,
}

/// The part of this service in `metadata`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QuintetMetadata<'a> {
    /// The position in the user's log, `epoch:offset`, once all events of an entry are applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The id of the run in this service, which AG-UI's `runId` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Members of the request that have no effect.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ignored: &'a [&'static str],
}

const INTEGER_MAX: u64 = (1 << 53) - 1;
