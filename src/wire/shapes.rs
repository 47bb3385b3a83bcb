//! The shapes of an entry, their fields in the order in which they are written.
//!
//! One struct serializes, deserializes and describes (JSON Schema) each shape, so the three agree. An optional
//! field may be missing; a nullable one is always present.

use std::borrow::Cow;

use quintet_kernel::{
    entry::{CallOwner, CallStatus, RunError, RunStatus, ThoughtKind, Usage},
    ids::{
        AgentName, CallId, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, Title, ToolName,
        UserId,
    },
    json::Json,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Declares the shapes of a run: the common fields come first, then those of the shape.
macro_rules! shapes {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $tag:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)* }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type", rename = $tag)]
        pub(super) struct $name<'a> {
            /// The position in the user's log: 1, 2, 3 … without gaps.
            pub offset: Offset,
            /// The owner of the log (ISO-1).
            pub user_id: Cow<'a, UserId>,
            /// The conversation.
            pub thread_id: Cow<'a, ThreadId>,
            /// The run that the message starts, or to which the event belongs.
            pub run_id: RunId,
            /// Unix milliseconds.
            pub timestamp: Timestamp,
            $($(#[$meta])* pub $field: $type,)*
        }
    )* };
}

shapes! {
    /// A message of the user, as accepted.
    UserMessage "user_message" {
        /// The idempotency key, chosen by the client (DEL-6).
        message_id: Cow<'a, MessageId>,
        /// The text of the user.
        text: Cow<'a, str>,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The offset of the message that this one follows in its thread, 0 for none. Missing in entries of earlier
        /// versions: the previous message of the thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Offset>,
        /// True if the message waits for the active run of its thread to take it (RUN-12).
        #[serde(default, skip_serializing_if = "is_false")]
        steer: bool,
    }

    /// The first event of a run.
    AgentStarted "agent_started" {
        /// The number of the event within its run: 1, 2, 3 … without gaps.
        seq: Seq,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The message that the run answers.
        message_id: Cow<'a, MessageId>,
    }

    /// A piece of the agent's reasoning, progress or answer.
    AgentThinking "agent_thinking" {
        /// The number of the event within its run: 1, 2, 3 … without gaps.
        seq: Seq,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The kind of text.
        kind: ThoughtKind,
        /// The new text.
        delta: Cow<'a, str>,
        /// True if the run's earlier deltas of this kind are withdrawn.
        #[serde(default, skip_serializing_if = "is_false")]
        reset: bool,
    }

    /// The start of a tool call.
    ToolExecuting "tool_executing" {
        /// The number of the event within its run: 1, 2, 3 … without gaps.
        seq: Seq,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The id of the call, unique within the run.
        call_id: Cow<'a, CallId>,
        /// The tool that is invoked.
        tool_name: Cow<'a, ToolName>,
        /// The parameters: an object.
        #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
        parameters: Cow<'a, Json>,
        /// The party that executes the call and completes it.
        by: CallOwner,
    }

    /// The end of a tool call.
    ToolCompleted "tool_completed" {
        /// The number of the event within its run: 1, 2, 3 … without gaps.
        seq: Seq,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The call of an earlier `tool_executing` of the run.
        call_id: Cow<'a, CallId>,
        /// The tool of the call.
        tool_name: Cow<'a, ToolName>,
        /// The status of the call.
        status: CallStatus,
        /// Any JSON value.
        results: Cow<'a, Json>,
        /// The error message; null if the call succeeded.
        #[serde(deserialize_with = "present")]
        error: Option<Cow<'a, str>>,
        /// Milliseconds since the `tool_executing`.
        duration_ms: u64,
    }

    /// The last event of a run.
    AgentCompleted "agent_completed" {
        /// The number of the event within its run: 1, 2, 3 … without gaps.
        seq: Seq,
        /// The agent that executes the run.
        agent_name: Cow<'a, AgentName>,
        /// The status of the run.
        status: RunStatus,
        /// The concatenated `answer` deltas since the last reset, if the run succeeded.
        #[serde(deserialize_with = "present")]
        final_response: Option<Cow<'a, str>>,
        /// The reason; null if the run succeeded or was cancelled.
        #[serde(deserialize_with = "present")]
        error: Option<Cow<'a, RunError>>,
        /// Milliseconds since the `agent_started`.
        duration_ms: u64,
        /// Language model tokens, if the agent counted them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// The run that took the message of this one, if the status is `merged` (RUN-12).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merged_into: Option<RunId>,
    }
}

/// The properties of a thread from now on, all of them.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "thread_updated")]
pub(super) struct ThreadUpdated<'a> {
    /// The position in the user's log: 1, 2, 3 … without gaps.
    pub offset: Offset,
    /// The owner of the log (ISO-1).
    pub user_id: Cow<'a, UserId>,
    /// The conversation.
    pub thread_id: Cow<'a, ThreadId>,
    /// Unix milliseconds.
    pub timestamp: Timestamp,
    /// The title; null if the thread has none.
    #[serde(deserialize_with = "present")]
    pub title: Option<Cow<'a, Title>>,
    /// True if the user has put the thread aside.
    pub archived: bool,
}

/// The entries of a thread up to an offset are erased (DEL-8).
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "thread_erased")]
pub(super) struct ThreadErased<'a> {
    /// The position in the user's log: 1, 2, 3 … without gaps.
    pub offset: Offset,
    /// The owner of the log (ISO-1).
    pub user_id: Cow<'a, UserId>,
    /// The conversation.
    pub thread_id: Cow<'a, ThreadId>,
    /// Unix milliseconds.
    pub timestamp: Timestamp,
    /// The last offset of the erasure. Later entries of the thread are kept.
    pub erased_through: Offset,
    /// The id of the record that the service keeps of the erasure.
    pub receipt: ReceiptId,
}

/// Every entry up to an offset is erased (DEL-8).
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "log_erased")]
pub(super) struct LogErased<'a> {
    /// The position in the user's log: 1, 2, 3 … without gaps.
    pub offset: Offset,
    /// The owner of the log (ISO-1).
    pub user_id: Cow<'a, UserId>,
    /// Unix milliseconds.
    pub timestamp: Timestamp,
    /// The last offset of the erasure. Later entries are kept.
    pub erased_through: Offset,
    /// The id of the record that the service keeps of the erasure.
    pub receipt: ReceiptId,
}

/// Stands in the place of an entry that was erased, and keeps nothing else of it (DEL-8).
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "erased")]
pub(super) struct Erased {
    /// The position in the user's log: 1, 2, 3 … without gaps.
    pub offset: Offset,
    /// The time of the erased entry, in Unix milliseconds.
    pub timestamp: Timestamp,
}

/// Deserializes a field that may be null but not missing: with a custom function serde requires the key.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(d)
}

fn is_false(flag: &bool) -> bool {
    !flag
}
