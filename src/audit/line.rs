//! Decodes a stored entry by the table of entries in `docs/protocol.md`, independently of `quintet-wire`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A decoded entry.
#[derive(Debug)]
pub(super) enum DecodedLine<'a> {
    /// A message, or an event of its run.
    Run(Head<'a>, LineBody<'a>),
    /// `thread_updated`, `thread_erased` or `log_erased`.
    Change(ChangeLine<'a>),
    /// `erased`: the entry that stood here is unknown (DEL-8).
    Erased { offset: u64, timestamp: u64 },
}

/// The fields of every entry of a run.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub offset: u64,
    pub user_id: Cow<'a, str>,
    pub thread_id: Cow<'a, str>,
    pub run_id: Cow<'a, str>,
    pub timestamp: u64,
    pub agent_name: Cow<'a, str>,
}

/// A change of a thread, or of the whole log.
#[derive(Debug)]
pub(super) struct ChangeLine<'a> {
    pub offset: u64,
    pub user_id: Cow<'a, str>,
    pub timestamp: u64,
    /// The thread; `None` if the change is of the whole log.
    pub thread_id: Option<Cow<'a, str>>,
    /// The last erased offset, if the change is an erasure.
    pub erased_through: Option<u64>,
    /// The id of the erasure, if the change is one.
    pub receipt: Option<Cow<'a, str>>,
}

/// The fields that entries of any kind have at their top level, before the kind is known.
#[derive(Debug, Deserialize)]
struct RawHead<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    offset: u64,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    run_id: Option<Cow<'a, str>>,
    timestamp: u64,
    #[serde(borrow)]
    agent_name: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct UpdatedFields<'a> {
    #[serde(borrow)]
    title: Nullable<Cow<'a, str>>,
    #[serde(rename = "archived")]
    _archived: bool,
}

#[derive(Debug, Deserialize)]
struct ErasureFields<'a> {
    erased_through: u64,
    #[serde(borrow)]
    receipt: Cow<'a, str>,
}

/// The fields of `erased`, which has no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasedFields<'a> {
    #[serde(rename = "type", borrow)]
    _kind: Cow<'a, str>,
    offset: u64,
    timestamp: u64,
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
        let raw: RawHead<'a> = parse(line)?;
        if raw.kind == "erased" {
            let ErasedFields { offset, timestamp, _kind } = parse(line)?;
            return Ok(DecodedLine::Erased { offset, timestamp });
        }
        let RawHead { kind, offset, user_id, thread_id, run_id, timestamp, agent_name } = raw;
        let user_id = required("user_id", user_id)?;
        if !(1..=256).contains(&user_id.len()) {
            return Err("user_id is not 1 to 256 bytes".into());
        }
        if matches!(&*kind, "thread_updated" | "thread_erased" | "log_erased") {
            let thread_id = match &*kind {
                "log_erased" => None,
                _ => Some(required("thread_id", thread_id)?),
            };
            thread_id.as_deref().map_or(Ok(()), |thread_id| name("thread_id", thread_id))?;
            let (erased_through, receipt) = erasure(&kind, line)?.unzip();
            let change = ChangeLine { offset, user_id, timestamp, thread_id, erased_through, receipt };
            return Ok(DecodedLine::Change(change));
        }
        let thread_id = required("thread_id", thread_id)?;
        let agent_name = required("agent_name", agent_name)?;
        let run_id = required("run_id", run_id)?;
        name("thread_id", &thread_id)?;
        name("agent_name", &agent_name)?;
        uuid_v7("run_id", &run_id)?;
        let head = Head { offset, user_id, thread_id, run_id, timestamp, agent_name };
        let body = match &*kind {
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
                    uuid_v7("merged_into", into)?;
                }
                LineBody::Event(end.seq, LineEvent::End(end))
            }
            other => return Err(format!("{other:?} is not a type of entry")),
        };
        Ok(DecodedLine::Run(head, body))
    }
}

/// Checks the fields of a change, and returns the last erased offset and the receipt if it is an erasure.
fn erasure<'a>(kind: &str, line: &'a [u8]) -> Result<Option<(u64, Cow<'a, str>)>, String> {
    if kind == "thread_updated" {
        let UpdatedFields { title, _archived } = parse(line)?;
        let is_title =
            |title: &str| (1..=200).contains(&title.chars().count()) && !title.chars().any(char::is_control);
        return match title.value() {
            Some(title) if !is_title(title) => {
                Err("title is not 1 to 200 characters without control characters".into())
            }
            Some(_) | None => Ok(None),
        };
    }
    let ErasureFields { erased_through, receipt } = parse(line)?;
    uuid_v7("receipt", &receipt)?;
    Ok(Some((erased_through, receipt)))
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("missing field `{field}`"))
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
fn uuid_v7(field: &str, text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            14 => *b == b'7',
            19 => matches!(b, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    if form { Ok(()) } else { Err(format!("{field} {text:?} is not a UUIDv7 in lower case")) }
}

fn one_of(field: &str, text: &str, legal: &[&str]) -> Result<(), String> {
    if legal.contains(&text) {
        Ok(())
    } else {
        Err(format!("{field} {text:?} is not one of {}", legal.join(", ")))
    }
}
