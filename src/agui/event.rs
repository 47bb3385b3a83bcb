//! The events of [AG-UI](https://docs.ag-ui.com/concepts/events), of the generations 0.0.59 and 1.0.0.
//!
//! Guarantee: fields and types of events that are not known here are ignored, and so are the contents of events
//! without a counterpart in a run. A known event with a missing or malformed field is an error.

use serde::Deserialize;
use serde_json::{Map, Value};

/// An event. Of each event only the fields with a meaning for a run are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Event {
    RunStarted {
        thread_id: String,
        run_id: String,
    },
    RunFinished {
        thread_id: String,
        run_id: String,
        #[serde(default)]
        outcome: Option<Outcome>,
        /// Read leniently: a mistake in it costs the figures, not the run.
        #[serde(default)]
        usage: Option<Value>,
    },
    RunError {
        message: String,
        #[serde(default)]
        code: Option<String>,
    },
    TextMessageStart {
        message_id: String,
        #[serde(default)]
        role: Option<String>,
        #[serde(default)]
        subagent_run_id: Option<String>,
    },
    TextMessageContent {
        message_id: String,
        delta: String,
    },
    TextMessageEnd {
        message_id: String,
    },
    TextMessageChunk {
        #[serde(default)]
        message_id: Option<String>,
        #[serde(default)]
        role: Option<String>,
        #[serde(default)]
        delta: Option<String>,
        #[serde(default)]
        subagent_run_id: Option<String>,
    },
    /// Of 1.0, without an effect: the messages in it carry the text.
    ReasoningStart {},
    ReasoningMessageStart {
        message_id: String,
    },
    ReasoningMessageContent {
        message_id: String,
        delta: String,
    },
    ReasoningMessageEnd {
        message_id: String,
    },
    ReasoningMessageChunk {
        #[serde(default)]
        message_id: Option<String>,
        #[serde(default)]
        delta: Option<String>,
    },
    ReasoningEnd {},
    ReasoningEncryptedValue {},
    /// Of 0.0.59, as all `Thinking…` events.
    ThinkingStart {},
    ThinkingTextMessageStart {},
    ThinkingTextMessageContent {
        delta: String,
    },
    ThinkingTextMessageEnd {},
    ThinkingEnd {},
    ToolCallStart {
        tool_call_id: String,
        tool_call_name: String,
        #[serde(default)]
        parent_message_id: Option<String>,
    },
    ToolCallArgs {
        tool_call_id: String,
        delta: String,
    },
    ToolCallEnd {
        tool_call_id: String,
    },
    ToolCallChunk {
        #[serde(default)]
        tool_call_id: Option<String>,
        #[serde(default)]
        tool_call_name: Option<String>,
        #[serde(default)]
        parent_message_id: Option<String>,
        #[serde(default)]
        delta: Option<String>,
    },
    ToolCallResult {
        #[serde(default)]
        message_id: Option<String>,
        tool_call_id: String,
        content: ToolContent,
    },
    StepStarted {
        step_name: String,
    },
    StepFinished {
        step_name: String,
    },
    SubagentStarted {
        name: String,
    },
    SubagentFinished {},
    SubagentError {},
    StateSnapshot {},
    StateDelta {},
    MessagesSnapshot {},
    ActivitySnapshot {},
    ActivityDelta {},
    Raw {},
    /// Read leniently: only one name has a meaning here ([`crate::langgraph`]).
    Custom {
        #[serde(default)]
        name: Option<Value>,
        #[serde(default)]
        value: Option<Value>,
        #[serde(default)]
        raw_event: Option<Value>,
    },
    /// A type that neither generation has.
    #[serde(other)]
    Unknown,
}

/// The end of a run that did not fail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The run is complete, or waits for results of tools of the front end.
    Success {
        /// The calls that wait for a result, if the agent lists them.
        #[serde(default)]
        pending_tool_call_ids: Option<Vec<String>>,
    },
    /// The run waits for answers, which go back in a new request.
    Interrupt {
        /// The questions.
        interrupts: Vec<Interrupt>,
    },
    /// The agent's operator stopped the run.
    Cancelled,
    /// An outcome of a later version.
    #[serde(other)]
    Unknown,
}

/// A question of the agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interrupt {
    /// The id by which the answer refers to it.
    pub id: String,
    /// The kind of question, such as `tool_call`, `input_required` and `confirmation`.
    pub reason: String,
    /// The text for the user.
    #[serde(default)]
    pub message: Option<String>,
    /// The call that waits for the answer.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// The JSON Schema of the answer.
    #[serde(default)]
    pub response_schema: Option<Map<String, Value>>,
    /// The time after which an answer is refused.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Data for front ends.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

/// The result of a tool: a text, or parts as in a user's message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ToolContent {
    /// A text, which may be JSON.
    Text(String),
    /// A list of parts.
    Parts(Vec<Value>),
}

impl Event {
    /// Decodes an event.
    ///
    /// # Errors
    ///
    /// Returns the place of the mistake if the text is not an event. The message has no part of the text but names of
    /// fields.
    pub fn decode(text: &str) -> Result<Self, MalformedEvent> {
        serde_json::from_str(text)
            .map_err(|error| MalformedEvent { line: error.line(), column: error.column() })
    }

    /// Returns the type as the specification spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Event::RunStarted { .. } => "RUN_STARTED",
            Event::RunFinished { .. } => "RUN_FINISHED",
            Event::RunError { .. } => "RUN_ERROR",
            Event::TextMessageStart { .. } => "TEXT_MESSAGE_START",
            Event::TextMessageContent { .. } => "TEXT_MESSAGE_CONTENT",
            Event::TextMessageEnd { .. } => "TEXT_MESSAGE_END",
            Event::TextMessageChunk { .. } => "TEXT_MESSAGE_CHUNK",
            Event::ReasoningStart {} => "REASONING_START",
            Event::ReasoningMessageStart { .. } => "REASONING_MESSAGE_START",
            Event::ReasoningMessageContent { .. } => "REASONING_MESSAGE_CONTENT",
            Event::ReasoningMessageEnd { .. } => "REASONING_MESSAGE_END",
            Event::ReasoningMessageChunk { .. } => "REASONING_MESSAGE_CHUNK",
            Event::ReasoningEnd {} => "REASONING_END",
            Event::ReasoningEncryptedValue {} => "REASONING_ENCRYPTED_VALUE",
            Event::ThinkingStart {} => "THINKING_START",
            Event::ThinkingTextMessageStart {} => "THINKING_TEXT_MESSAGE_START",
            Event::ThinkingTextMessageContent { .. } => "THINKING_TEXT_MESSAGE_CONTENT",
            Event::ThinkingTextMessageEnd {} => "THINKING_TEXT_MESSAGE_END",
            Event::ThinkingEnd {} => "THINKING_END",
            Event::ToolCallStart { .. } => "TOOL_CALL_START",
            Event::ToolCallArgs { .. } => "TOOL_CALL_ARGS",
            Event::ToolCallEnd { .. } => "TOOL_CALL_END",
            Event::ToolCallChunk { .. } => "TOOL_CALL_CHUNK",
            Event::ToolCallResult { .. } => "TOOL_CALL_RESULT",
            Event::StepStarted { .. } => "STEP_STARTED",
            Event::StepFinished { .. } => "STEP_FINISHED",
            Event::SubagentStarted { .. } => "SUBAGENT_STARTED",
            Event::SubagentFinished {} => "SUBAGENT_FINISHED",
            Event::SubagentError {} => "SUBAGENT_ERROR",
            Event::StateSnapshot {} => "STATE_SNAPSHOT",
            Event::StateDelta {} => "STATE_DELTA",
            Event::MessagesSnapshot {} => "MESSAGES_SNAPSHOT",
            Event::ActivitySnapshot {} => "ACTIVITY_SNAPSHOT",
            Event::ActivityDelta {} => "ACTIVITY_DELTA",
            Event::Raw {} => "RAW",
            Event::Custom { .. } => "CUSTOM",
            Event::Unknown => "an unknown event",
        }
    }
}

/// A text that is not an event. Fault of the remote agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an AG-UI event: mistake at line {line}, column {column}")]
pub struct MalformedEvent {
    line: usize,
    column: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_types_are_ignored() {
        let text = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":null,"timestamp":1.5,"rawEvent":[],"new":{}}"#;
        let start = Event::TextMessageStart { message_id: "m".into(), role: None, subagent_run_id: None };
        assert_eq!(Event::decode(text), Ok(start));
        assert_eq!(Event::decode(r#"{"type":"SOMETHING_NEW","messageId":7}"#), Ok(Event::Unknown));
        // The content of an event without an effect is not read.
        assert_eq!(Event::decode(r#"{"type":"STATE_DELTA","delta":"no patch"}"#), Ok(Event::StateDelta {}));
        let outcome =
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"later","x":1}}"#;
        let Ok(Event::RunFinished { outcome: Some(Outcome::Unknown), .. }) = Event::decode(outcome) else {
            panic!("an outcome of a later version is an outcome")
        };
    }

    #[test]
    fn malformed_event_is_an_error_without_its_text() {
        for text in [
            "",
            "[DONE]",
            "null",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"secret"}"#,
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":["secret"]}"#,
            r#"{"type":"TOOL_CALL_RESULT","toolCallId":"c","content":{"secret":1}}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt"}}"#,
        ] {
            let error = Event::decode(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let deep = format!(r#"{{"type":"RAW","event":{}}}"#, "[".repeat(100_000));
        assert!(Event::decode(&deep).is_err());
    }

    #[test]
    fn names_are_those_of_the_wire() {
        for name in ["THINKING_TEXT_MESSAGE_START", "REASONING_ENCRYPTED_VALUE", "SUBAGENT_ERROR", "RAW"] {
            assert_eq!(Event::decode(&format!(r#"{{"type":"{name}"}}"#)).unwrap().name(), name);
        }
    }
}
