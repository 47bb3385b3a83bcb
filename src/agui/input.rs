//! The body of a request: `RunAgentInput`.

use quintet_agent::CallResult;
use quintet_kernel::entry::CallStatus;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::ClientTool;

/// A request to run an agent. Fields that 0.0.59 requires are always present.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAgentInput<'a> {
    /// The thread.
    pub thread_id: &'a str,
    /// The run.
    pub run_id: &'a str,
    /// The version of the protocol; absent for 0.0.59.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<&'static str>,
    /// The state of the front end, which is empty.
    pub state: Map<String, Value>,
    /// The conversation, oldest first.
    pub messages: &'a [Message],
    /// The tools of the front end.
    pub tools: &'a [Tool<'a>],
    /// Facts about the front end, of which there are none.
    pub context: [(); 0],
    /// The configured data.
    pub forwarded_props: &'a Value,
    /// The answers to interrupts.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub resume: &'a [ResumeEntry],
}

/// A message of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Message {
    /// A message of the user.
    User {
        /// The id, unique in the conversation.
        id: String,
        /// The text.
        content: String,
    },
    /// A message of the agent.
    Assistant {
        /// The id.
        id: String,
        /// The text, if there is one.
        #[serde(skip_serializing_if = "String::is_empty")]
        content: String,
        /// The calls.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// The result of a call.
    Tool {
        /// The id.
        id: String,
        /// The call.
        tool_call_id: String,
        /// The result as text.
        content: String,
        /// The reason for which there is no result.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// A call in a message of the agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCall {
    /// The id.
    pub id: String,
    /// Always `function`.
    pub r#type: FunctionType,
    /// The tool and its arguments.
    pub function: FunctionCall,
}

/// The only type of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionType {
    /// A call of a function.
    Function,
}

/// A tool and its arguments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionCall {
    /// The name of the tool.
    pub name: String,
    /// The arguments, conventionally JSON.
    pub arguments: String,
}

/// A tool of the front end.
#[derive(Clone, Debug, Serialize)]
pub struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

/// The answer to an interrupt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeEntry {
    /// The interrupt.
    pub interrupt_id: String,
    /// Whether there is an answer.
    pub status: ResumeStatus,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// The status of the client's call and its reason, if there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// Whether an interrupt was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResumeStatus {
    /// The user answered, possibly with a refusal.
    Resolved,
    /// There is no answer.
    Cancelled,
}

impl ToolCall {
    /// Creates a call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let function = FunctionCall { name: name.into(), arguments: arguments.into() };
        Self { id: id.into(), r#type: FunctionType::Function, function }
    }
}

impl<'a> From<&'a ClientTool> for Tool<'a> {
    fn from(tool: &'a ClientTool) -> Self {
        Self { name: &tool.name, description: &tool.description, parameters: &tool.parameters }
    }
}

impl Message {
    /// Creates the message of a call's result. A refusal is worded as one (RUN-11).
    pub fn result(id: String, tool_call_id: String, result: &CallResult) -> Self {
        let (content, error) = match result.status {
            CallStatus::Ok => (text_of(&result.results.to_value()), None),
            status => {
                let problem = match status {
                    CallStatus::Declined => "The user declined",
                    CallStatus::TimedOut => "The call timed out",
                    CallStatus::Cancelled => "The call was cancelled",
                    CallStatus::Ok | CallStatus::Error | CallStatus::Unknown => "The call failed",
                };
                let text = match result.error.as_deref() {
                    None | Some("") => format!("{problem}."),
                    Some(reason) => format!("{problem}: {reason}"),
                };
                (text.clone(), Some(text))
            }
        };
        Self::Tool { id, tool_call_id, content, error }
    }
}

/// Returns a value as the text of a message: a string as it is, anything else as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
