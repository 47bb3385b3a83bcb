//! The decoder of the predecessor's client frames: an envelope whose fields may also stand in its `payload`.
//!
//! Guarantee: the decoder builds no tree and recurses only into `payload`, so deep nesting cannot exhaust the stack.

use std::borrow::Cow;

use quintet_kernel::{
    ids::{AgentName, InvalidId, MessageId, RunId, ThreadId, UserId},
    user::{NewMessage, OnBusy},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::aliases::Alias;
use crate::{
    client::{CancelRun, FrameError, TEXT_BYTES_MAX},
    codes::ErrorCode,
};

/// A well-formed frame of a legacy client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegacyFrame {
    /// `send_message` in today's protocol.
    Message(NewMessage),
    /// `cancel_run` in today's protocol.
    Cancel(CancelRun),
    /// A frame that has a reply at most, and no effect.
    Ack(Ack),
}

/// The reply to a frame without an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// `pong`.
    Pong,
    /// `heartbeat_ack`.
    Heartbeat,
    /// `system_message` with this `status`.
    System(&'static str),
    /// No frame.
    None,
}

/// The sender of a frame, and the ids that the frame gets if it names none.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    /// The user that the connection authenticated as.
    pub user_id: &'a UserId,
    /// The thread of messages without `thread_id`.
    pub thread_id: ThreadId,
    /// The id of the message if the frame has no `message_id`; not used before.
    pub message_id: MessageId,
}

/// Decodes the text of one WebSocket message.
///
/// # Errors
///
/// Returns a [`FrameError`] if `text` is not a JSON object with a type in [`ALIASES`](super::ALIASES), names another user,
/// or lacks a field of its type. The error repeats no text of the client (CONN-4).
pub fn decode(text: &str, sender: &Sender<'_>) -> Result<LegacyFrame, FrameError> {
    let envelope: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        malformed(if error.is_data() { "a frame is a JSON object" } else { "a frame is a JSON text" })
    })?;
    let frame = Frame::new(envelope);
    frame.read(sender).map_err(|error| FrameError {
        message_id: frame.id(|fields| fields.message_id, MessageId::parse).ok().flatten(),
        run_id: frame.id(|fields| fields.run_id, RunId::parse).ok().flatten(),
        ..error
    })
}

/// The fields of an envelope or payload. Others are ignored; one that appears twice is an error.
#[derive(Clone, Copy, Default, Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    thread_id: Option<&'a RawValue>,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    run_id: Option<&'a RawValue>,
    #[serde(borrow)]
    agent_name: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    user_request: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    query: Option<&'a RawValue>,
    #[serde(borrow)]
    task: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Returns the first text field that is present.
    fn words(&self) -> Option<&'a RawValue> {
        let texts =
            [self.content, self.text, self.message, self.user_request, self.request, self.query, self.task];
        texts.into_iter().flatten().find(|raw| raw.get() != "null")
    }
}

/// An envelope and its payload.
struct Frame<'a> {
    envelope: Fields<'a>,
    /// The payload; `Err` if it is not an object.
    payload: Result<Fields<'a>, FrameError>,
}

impl<'a> Frame<'a> {
    fn new(envelope: Fields<'a>) -> Self {
        let payload = match envelope.payload.filter(|raw| raw.get() != "null") {
            None => Ok(Fields::default()),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| invalid("payload", "must be an object")),
        };
        Self { envelope, payload }
    }

    fn read(&self, sender: &Sender<'_>) -> Result<LegacyFrame, FrameError> {
        let kind = self.envelope.kind.and_then(string);
        let kind = kind.ok_or_else(|| malformed("a frame has one type, a string"))?;
        let alias = Alias::of(&kind).ok_or_else(|| FrameError {
            code: ErrorCode::UnknownType,
            ..malformed("not a type that is understood")
        })?;
        self.is_from(sender.user_id)?;
        Ok(match alias {
            Alias::Message => LegacyFrame::Message(self.message(sender)?),
            Alias::Cancel => {
                let run_id = self.id(|fields| fields.run_id, RunId::parse)?;
                let run_id = run_id.ok_or_else(|| invalid("run_id", "is missing"))?;
                LegacyFrame::Cancel(CancelRun { run_id })
            }
            Alias::Ping => LegacyFrame::Ack(Ack::Pong),
            Alias::Heartbeat => LegacyFrame::Ack(Ack::Heartbeat),
            Alias::Connect => LegacyFrame::Ack(Ack::System("connected")),
            Alias::Disconnect => LegacyFrame::Ack(Ack::System("disconnect_acknowledged")),
            Alias::Typing => LegacyFrame::Ack(Ack::System("typing_acknowledged")),
            Alias::Reply => LegacyFrame::Ack(Ack::None),
        })
    }

    /// Refuses a frame that names another user: it is neither rewritten nor routed (ISO-1). The error is the same
    /// whether that user exists or not (ISO-3).
    fn is_from(&self, user_id: &UserId) -> Result<(), FrameError> {
        let named = self.both(|fields| fields.user_id)?;
        let foreign = named.into_iter().flatten().any(|raw| string(raw).as_deref() != Some(user_id.as_str()));
        if foreign {
            let error = invalid("user_id", "is not the user of this connection");
            return Err(FrameError { code: ErrorCode::Forbidden, ..error });
        }
        Ok(())
    }

    fn message(&self, sender: &Sender<'_>) -> Result<NewMessage, FrameError> {
        let message_id = self.id(|fields| fields.message_id, MessageId::parse)?;
        let thread_id = self.id(|fields| fields.thread_id, ThreadId::parse)?;
        Ok(NewMessage {
            message_id: message_id.unwrap_or_else(|| sender.message_id.clone()),
            thread_id: thread_id.unwrap_or_else(|| sender.thread_id.clone()),
            text: self.words()?,
            agent_name: self.id(|fields| fields.agent_name, AgentName::parse)?,
            on_busy: OnBusy::Enqueue,
            parent: None,
        })
    }

    fn words(&self) -> Result<String, FrameError> {
        let payload = self.payload.as_ref().map_err(Clone::clone)?;
        let raw = payload.words().or_else(|| self.envelope.words());
        let raw = raw.ok_or_else(|| invalid("content", "is missing"))?;
        let text = string(raw).ok_or_else(|| invalid("content", "must be a string"))?;
        match text.len() {
            0 => Err(invalid("content", "must not be empty")),
            1..=TEXT_BYTES_MAX => Ok(text.into_owned()),
            _ => {
                let error = invalid("content", &format!("is longer than {TEXT_BYTES_MAX} bytes"));
                Err(FrameError { code: ErrorCode::TooLarge, ..error })
            }
        }
    }

    /// Returns the id in the envelope or payload. Two that differ are an error: neither is guessed to be meant.
    fn id<T: Named + PartialEq>(
        &self,
        field: fn(&Fields<'a>) -> Option<&'a RawValue>,
        parse: fn(&str) -> Result<T, InvalidId>,
    ) -> Result<Option<T>, FrameError> {
        let mut found = None;
        for raw in self.both(field)?.into_iter().flatten() {
            let text = string(raw).ok_or_else(|| invalid(T::FIELD, "must be a string"))?;
            let id = parse(&text).map_err(|error| invalid(T::FIELD, &format!("must be {}", error.rule)))?;
            match &found {
                Some(other) if *other != id => {
                    return Err(invalid(T::FIELD, "differs between the frame and its payload"));
                }
                _ => found = Some(id),
            }
        }
        Ok(found)
    }

    /// Returns a field of the envelope and of the payload, each unless it is missing or null.
    fn both(
        &self,
        field: fn(&Fields<'a>) -> Option<&'a RawValue>,
    ) -> Result<[Option<&'a RawValue>; 2], FrameError> {
        let payload = self.payload.as_ref().map_err(Clone::clone)?;
        Ok([&self.envelope, payload].map(|fields| field(fields).filter(|raw| raw.get() != "null")))
    }
}

/// An id with the name of its field.
trait Named {
    const FIELD: &'static str;
}

impl Named for MessageId {
    const FIELD: &'static str = "message_id";
}

impl Named for ThreadId {
    const FIELD: &'static str = "thread_id";
}

impl Named for RunId {
    const FIELD: &'static str = "run_id";
}

impl Named for AgentName {
    const FIELD: &'static str = "agent_name";
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// A string, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn malformed(message: &str) -> FrameError {
    FrameError {
        code: ErrorCode::MalformedFrame,
        message: message.to_owned(),
        field: None,
        message_id: None,
        run_id: None,
    }
}

fn invalid(field: &'static str, rule: &str) -> FrameError {
    FrameError { code: ErrorCode::InvalidField, field: Some(field), ..malformed(&format!("{field} {rule}")) }
}
