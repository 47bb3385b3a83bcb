//! The six shapes of an entry, field for field in the order in which they are written.
//!
//! One struct each writes, reads and describes (schema) its shape, so the three cannot disagree.
//! What is optional here may be missing; what may be null is always there.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::kernel::{
    entry::{By, CallStatus, RunError, RunStatus, ThoughtKind, Usage},
    ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName, UserId},
    json::Json,
};

/// Declares shapes: the fields of every entry come first, then those of the shape.
macro_rules! shapes {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $tag:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)* }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type", rename = $tag)]
        pub struct $name<'a> {
            /// The position in the user's log: 1, 2, 3 … without a gap.
            pub offset: Offset,
            pub user_id: Cow<'a, UserId>,
            pub thread_id: Cow<'a, ThreadId>,
            pub run_id: RunId,
            /// Unix milliseconds.
            pub timestamp: Timestamp,
            $($(#[$meta])* pub $field: $type,)*
        }
    )* };
}

shapes! {
    /// A message of the user, as it is accepted.
    UserMessage "user_message" {
        message_id: Cow<'a, MessageId>,
        text: Cow<'a, str>,
        agent_name: Cow<'a, AgentName>,
    }

    /// The first event of a run.
    AgentStarted "agent_started" {
        /// The number within the run: 1, 2, 3 … without a gap.
        seq: Seq,
        agent_name: Cow<'a, AgentName>,
        message_id: Cow<'a, MessageId>,
    }

    /// A piece of what the agent thinks or says.
    AgentThinking "agent_thinking" {
        /// The number within the run: 1, 2, 3 … without a gap.
        seq: Seq,
        agent_name: Cow<'a, AgentName>,
        kind: ThoughtKind,
        delta: Cow<'a, str>,
        /// True: the run's earlier deltas of this kind are withdrawn.
        #[serde(default, skip_serializing_if = "is_false")]
        reset: bool,
    }

    /// A tool call is opened.
    ToolExecuting "tool_executing" {
        /// The number within the run: 1, 2, 3 … without a gap.
        seq: Seq,
        agent_name: Cow<'a, AgentName>,
        call_id: Cow<'a, CallId>,
        tool_name: Cow<'a, ToolName>,
        #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
        parameters: Cow<'a, Json>,
        /// Who executes the call, and so who closes it.
        by: By,
    }

    /// A tool call is closed.
    ToolCompleted "tool_completed" {
        /// The number within the run: 1, 2, 3 … without a gap.
        seq: Seq,
        agent_name: Cow<'a, AgentName>,
        call_id: Cow<'a, CallId>,
        tool_name: Cow<'a, ToolName>,
        status: CallStatus,
        /// Any JSON, or null.
        results: Cow<'a, Json>,
        #[serde(deserialize_with = "present")]
        error: Option<Cow<'a, str>>,
        duration_ms: u64,
    }

    /// The last event of a run.
    AgentCompleted "agent_completed" {
        /// The number within the run: 1, 2, 3 … without a gap.
        seq: Seq,
        agent_name: Cow<'a, AgentName>,
        status: RunStatus,
        /// The concatenated `answer` deltas since the last reset, of a run that succeeded.
        #[serde(deserialize_with = "present")]
        final_response: Option<Cow<'a, str>>,
        #[serde(deserialize_with = "present")]
        error: Option<Cow<'a, RunError>>,
        duration_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    }
}

/// Reads a field that may be null but not missing: naming a function makes serde insist on the key.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(d)
}

fn is_false(reset: &bool) -> bool {
    !reset
}
