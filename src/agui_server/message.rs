//! Messages of a `MESSAGES_SNAPSHOT`.

use quintet_kernel::{ids::MessageId, json::Json};
use serde::Serialize;

use crate::ids::CallRef;

/// A message of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// A message that the front end sent, unchanged.
    Given(Json),
    /// A message of a run.
    Role(RoleMessage),
}

/// A message of a run, by its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum RoleMessage {
    /// The message of the user.
    User {
        /// The id that the client chose.
        id: MessageId,
        /// The text.
        content: String,
    },
    /// A text of the agent, or one call.
    Assistant {
        /// The id of the message.
        id: String,
        /// The text; `None` for a call.
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// The call; empty for a text.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// Reasoning of the agent.
    Reasoning {
        /// The id of the message.
        id: String,
        /// The text.
        content: String,
    },
    /// The result of a call.
    Tool {
        /// The id of the message.
        id: String,
        /// The call.
        tool_call_id: String,
        /// The result, encoded as text.
        content: String,
        /// The error, if the call did not succeed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// A call of an assistant message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The id of the call.
    pub id: String,
    #[serde(rename = "type")]
    kind: CallKind,
    /// The tool and its arguments.
    pub function: Function,
}

/// The tool of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// The name of the tool.
    pub name: String,
    /// The parameters, as JSON text.
    pub arguments: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum CallKind {
    Function,
}

impl RoleMessage {
    /// Creates the message of a call. As in AG-UI's reducers, its id is that of the call.
    pub(crate) fn call(call: &CallRef, name: &str, parameters: &Json) -> Self {
        let function = Function { name: name.to_owned(), arguments: parameters.as_str().to_owned() };
        let id = call.to_string();
        let call = ToolCall { id: id.clone(), kind: CallKind::Function, function };
        Self::Assistant { id, content: None, tool_calls: vec![call] }
    }

    /// Returns the id of the message.
    pub fn id(&self) -> &str {
        match self {
            Self::User { id, .. } => id.as_str(),
            Self::Assistant { id, .. } | Self::Reasoning { id, .. } | Self::Tool { id, .. } => id,
        }
    }

    /// Returns the text of a streamed message; `None` for the others.
    pub(crate) fn streamed_text(&mut self) -> Option<&mut String> {
        match self {
            Self::Assistant { content: Some(text), .. } | Self::Reasoning { content: text, .. } => Some(text),
            Self::Assistant { content: None, .. } | Self::User { .. } | Self::Tool { .. } => None,
        }
    }
}
