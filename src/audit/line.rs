//! Decodes a stored entry by the table of entries in `docs/protocol.md`, independently of `quintet-wire`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A decoded entry.
#[derive(Debug)]
pub(super) struct DecodedLine<'a> {
    pub head: Head<'a>,
    pub body: LineBody<'a>,
}

/// The fields of every entry.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    pub offset: u64,
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    #[serde(borrow)]
    pub thread_id: Cow<'a, str>,
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    pub timestamp: u64,
    #[serde(borrow)]
    pub agent_name: Cow<'a, str>,
}

#[derive(Debug)]
pub(super) enum LineBody<'a> {
    Message(MessageFields<'a>),
    Event(u64, LineEvent<'a>),
}

#[derive(Debug)]
pub(super) enum LineEvent<'a> {
    Started { message_id: Cow<'a, str> },
    Thinking(ThinkingFields<'a>),
    Executing(Executing<'a>),
    Completed(ToolCompleted<'a>),
    End(CompletedFields<'a>),
}

#[derive(Debug, Deserialize)]
pub(super) struct MessageFields<'a> {
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Missing in entries of earlier versions.
    pub parent: Option<u64>,
    #[serde(default)]
    pub steer: bool,
}

#[derive(Debug, Deserialize)]
struct StartedFields<'a> {
    seq: u64,
    #[serde(borrow)]
    message_id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ThinkingFields<'a> {
    seq: u64,
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub delta: Cow<'a, str>,
    #[serde(default)]
    pub reset: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Executing<'a> {
    seq: u64,
    #[serde(borrow)]
    pub call_id: Cow<'a, str>,
    #[serde(borrow)]
    pub tool_name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: &'a RawValue,
    #[serde(borrow)]
    pub by: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolCompleted<'a> {
    seq: u64,
    #[serde(borrow)]
    pub call_id: Cow<'a, str>,
    #[serde(borrow)]
    pub tool_name: Cow<'a, str>,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(rename = "results")]
    _results: &'a RawValue,
    #[serde(rename = "error", borrow)]
    _error: Nullable<Cow<'a, str>>,
    pub duration_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct CompletedFields<'a> {
    seq: u64,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(borrow)]
    pub final_response: Nullable<Cow<'a, str>>,
    #[serde(borrow)]
    pub error: Nullable<EndError<'a>>,
    pub duration_ms: u64,
    #[serde(borrow)]
    pub merged_into: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EndError<'a> {
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    #[serde(rename = "message")]
    _message: Cow<'a, str>,
}

/// A field that must be present but may be `null`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Nullable<T> {
    Value(T),
    Null(()),
}

impl<T> Nullable<T> {
    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Nullable::Value(value) => Some(value),
            Nullable::Null(()) => None,
        }
    }
}

const KINDS: [&str; 3] = ["reasoning", "answer", "progress"];
const BY: [&str; 2] = ["agent", "client"];
const CALL_STATUS: [&str; 6] = ["ok", "error", "declined", "timed_out", "cancelled", "unknown"];
const RUN_STATUS: [&str; 6] = ["succeeded", "failed", "cancelled", "timed_out", "interrupted", "merged"];
const RUN_ERRORS: [&str; 10] = [
    "violation",
    "agent_error",
    "agent_panic",
    "step_timeout",
    "run_timeout",
    "invalid_script",
    "upstream",
    "limit_reached",
    "resume_limit",
    "node_lost",
];

impl<'a> DecodedLine<'a> {
    /// Decodes a line.
    ///
    /// # Errors
    ///
    /// Returns a description of the first fault if the line is not an entry.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, String> {
        let head: Head<'a> = parse(line)?;
        name("thread_id", &head.thread_id)?;
        name("agent_name", &head.agent_name)?;
        run_id(&head.run_id)?;
        if !(1..=256).contains(&head.user_id.len()) {
            return Err("user_id is not 1 to 256 bytes".into());
        }
        let body = match &*head.kind {
            "user_message" => {
                let message: MessageFields<'a> = parse(line)?;
                name("message_id", &message.message_id)?;
                if message.text.is_empty() {
                    return Err("text is empty".into());
                }
                LineBody::Message(message)
            }
            "agent_started" => {
                let StartedFields { seq, message_id } = parse(line)?;
                name("message_id", &message_id)?;
                LineBody::Event(seq, LineEvent::Started { message_id })
            }
            "agent_thinking" => {
                let thinking: ThinkingFields<'a> = parse(line)?;
                one_of("kind", &thinking.kind, &KINDS)?;
                LineBody::Event(thinking.seq, LineEvent::Thinking(thinking))
            }
            "tool_executing" => {
                let executing: Executing<'a> = parse(line)?;
                name("call_id", &executing.call_id)?;
                name("tool_name", &executing.tool_name)?;
                one_of("by", &executing.by, &BY)?;
                if !executing.parameters.get().trim_start().starts_with('{') {
                    return Err("parameters is not an object".into());
                }
                LineBody::Event(executing.seq, LineEvent::Executing(executing))
            }
            "tool_completed" => {
                let completed: ToolCompleted<'a> = parse(line)?;
                name("call_id", &completed.call_id)?;
                name("tool_name", &completed.tool_name)?;
                one_of("status", &completed.status, &CALL_STATUS)?;
                LineBody::Event(completed.seq, LineEvent::Completed(completed))
            }
            "agent_completed" => {
                let end: CompletedFields<'a> = parse(line)?;
                one_of("status", &end.status, &RUN_STATUS)?;
                if let Some(error) = end.error.value() {
                    one_of("error.code", &error.code, &RUN_ERRORS)?;
                }
                if (end.status == "merged") != end.merged_into.is_some() {
                    return Err("merged_into is there exactly if the status is merged".into());
                }
                if let Some(into) = &end.merged_into {
                    run_id(into)?;
                }
                LineBody::Event(end.seq, LineEvent::End(end))
            }
            other => return Err(format!("{other:?} is not a type of entry")),
        };
        Ok(Self { head, body })
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn name(field: &str, text: &str) -> Result<(), String> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7E).contains(&b)) {
        Ok(())
    } else {
        Err(format!("{field} is not 1 to 128 visible ASCII characters"))
    }
}

/// Checks that an id is a UUIDv7 (RFC 9562) in lower case, as the service generates them.
fn run_id(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            14 => *b == b'7',
            19 => matches!(b, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    if form { Ok(()) } else { Err(format!("run_id {text:?} is not a UUIDv7 in lower case")) }
}

fn one_of(field: &str, text: &str, legal: &[&str]) -> Result<(), String> {
    if legal.contains(&text) {
        Ok(())
    } else {
        Err(format!("{field} {text:?} is not one of {}", legal.join(", ")))
    }
}
