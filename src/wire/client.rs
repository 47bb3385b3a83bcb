//! Frames that clients send: text in, a well-formed frame or a reason out.
//!
//! Guarantee: a [`ClientFrame`] keeps every rule of the contract that can be checked without knowing
//! who sends it; whatever else arrives is a [`FrameError`] that names what is wrong, never a panic,
//! and repeats nothing of the client's text (CONN-4).
//!
//! A frame is read in two passes: one finds the known fields and where their values stand, one reads
//! each value that its type has. Neither builds a tree nor recurses, so no nesting overruns it.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::codes::ErrorCode;
use crate::kernel::{
    entry::{CallResult, CallStatus},
    ids::{AgentName, CallId, Epoch, InvalidId, MessageId, Offset, RunId, ThreadId},
    json::Json,
    limits::Limits,
    user::OnBusy,
};

/// A frame of a client, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    Hello(Hello),
    SendMessage(SendMessage),
    CancelRun(CancelRun),
    CompleteCall(CompleteCall),
    Renew(Renew),
    Ping(Ping),
}

/// Opens the conversation: who, and where the client's cursor stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub credential: Option<Credential>,
    pub epoch: Option<Epoch>,
    pub after: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessage {
    pub message_id: MessageId,
    pub thread_id: ThreadId,
    pub text: String,
    pub agent_name: Option<AgentName>,
    pub on_busy: OnBusy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRun {
    pub run_id: RunId,
}

/// The user's answer to a call that waits for the client (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteCall {
    pub run_id: RunId,
    pub call_id: CallId,
    pub result: CallResult,
}

/// A newer credential of the same user (AUTH-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    pub credential: Credential,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    pub nonce: Option<Nonce>,
}

/// A secret that says who a client is. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Ticket(String),
    Token(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Ticket(_) => "Ticket(…)",
            Credential::Token(_) => "Token(…)",
        })
    }
}

/// What a `ping` carries and its `pong` brings back unchanged: a string or a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Nonce(Json);

impl JsonSchema for Nonce {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nonce".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"], "maxLength": Self::BYTES_MAX - 2})
    }
}

impl Nonce {
    /// Bytes of the nonce as it is written.
    pub const BYTES_MAX: usize = 128;

    fn read(raw: &RawValue) -> Option<Self> {
        let scalar = !raw.get().starts_with(['{', '[', 't', 'f', 'n']);
        let short = raw.get().len() <= Self::BYTES_MAX;
        if scalar && short { Json::from_raw(raw).ok().map(Self) } else { None }
    }
}

/// Bytes of a ticket that are read at all; those of the service are shorter.
pub const TICKET_BYTES_MAX: usize = 256;
/// Bytes of a token that are read at all.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of `text`. The kernel may be set to less, never to more.
pub const TEXT_BYTES_MAX: usize = Limits::DEFAULT.text_bytes_max;

/// A frame that cannot be understood, or not be taken. It has changed nothing (CONN-4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameError {
    pub code: ErrorCode,
    /// What is wrong, in words of ours.
    pub message: String,
    /// The field that is wrong, if it is one.
    pub field: Option<&'static str>,
    /// The `message_id` of the frame, if it has one that is well-formed.
    pub message_id: Option<MessageId>,
    /// The `run_id` of the frame, if it has one that is well-formed.
    pub run_id: Option<RunId>,
}

impl ClientFrame {
    /// The frame that `text` is.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let fields: Fields<'_> = match serde_json::from_str(text) {
            Ok(fields) => fields,
            Err(e) if e.is_data() => {
                return Err(malformed("a frame is a JSON object, its type a string, once"));
            }
            Err(_) => return Err(malformed("a frame is a JSON text, which this is not")),
        };
        fields.frame().map_err(|wrong| FrameError {
            code: wrong.code,
            message: wrong.message,
            field: wrong.field,
            message_id: fields
                .message_id
                .and_then(|raw| string(raw))
                .and_then(|id| MessageId::parse(&id).ok()),
            run_id: fields.run_id.and_then(|raw| string(raw)).and_then(|id| RunId::parse(&id).ok()),
        })
    }
}

fn malformed(message: &str) -> FrameError {
    let message = message.to_owned();
    FrameError { code: ErrorCode::MalformedFrame, message, field: None, message_id: None, run_id: None }
}

/// What is wrong, before it is known which ids the frame carries.
struct Wrong {
    code: ErrorCode,
    field: Option<&'static str>,
    message: String,
}

fn invalid(field: &'static str, rule: &str) -> Wrong {
    Wrong { code: ErrorCode::InvalidField, field: Some(field), message: format!("{field} {rule}") }
}

/// Declares the fields that any frame has, and the pass that finds them.
macro_rules! fields {
    ($($field:ident),*) => {
        /// The known fields of a frame, each as the text of its value; `None` for missing and for null.
        #[derive(Default)]
        struct Fields<'a> {
            kind: String,
            /// A known field that stands twice: which of the two is meant, nobody can say.
            repeated: Option<&'static str>,
            $($field: Option<&'a RawValue>,)*
        }

        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        #[allow(non_camel_case_types, reason = "the fields' own names")]
        enum Key {
            r#type,
            $($field,)*
            #[serde(other)]
            Unknown,
        }

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                let mut kind: Option<String> = None;
                let mut seen = Seen::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::r#type => {
                            if kind.replace(map.next_value()?).is_some() {
                                return Err(serde::de::Error::duplicate_field("type"));
                            }
                        }
                        $(Key::$field => {
                            let raw: &'de RawValue = map.next_value()?;
                            if std::mem::replace(&mut seen.$field, true) {
                                fields.repeated = Some(stringify!($field));
                            }
                            fields.$field = (raw.get() != "null").then_some(raw);
                        })*
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                fields.kind = kind.ok_or_else(|| serde::de::Error::missing_field("type"))?;
                Ok(fields)
            }
        }

        #[derive(Default)]
        struct Seen {
            $($field: bool,)*
        }
    };
}

fields!(
    ticket, token, epoch, after, message_id, thread_id, text, agent_name, on_busy, run_id, call_id, status,
    results, error, nonce
);

struct FieldsVisitor;

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(FieldsVisitor)
    }
}

impl Fields<'_> {
    fn frame(&self) -> Result<ClientFrame, Wrong> {
        let read: fn(&Self) -> Result<ClientFrame, Wrong> = match &*self.kind {
            "hello" => Self::hello,
            "send_message" => Self::send_message,
            "cancel_run" => Self::cancel_run,
            "complete_call" => Self::complete_call,
            "renew" => Self::renew,
            "ping" => Self::ping,
            _ => {
                let message = "no frame of the client has this type".to_owned();
                return Err(Wrong { code: ErrorCode::UnknownType, field: None, message });
            }
        };
        match self.repeated {
            Some(field) => Err(invalid(field, "stands twice")),
            None => read(self),
        }
    }

    fn hello(&self) -> Result<ClientFrame, Wrong> {
        Ok(ClientFrame::Hello(Hello {
            credential: self.credential()?,
            epoch: optional(self.epoch, "epoch", Epoch::parse)?,
            after: match self.after {
                None => Offset::ZERO,
                Some(raw) => serde_json::from_str(raw.get())
                    .map_err(|_| invalid("after", "must be an integer from 0 to 2^64 - 1"))?,
            },
        }))
    }

    fn send_message(&self) -> Result<ClientFrame, Wrong> {
        Ok(ClientFrame::SendMessage(SendMessage {
            message_id: required(self.message_id, "message_id", MessageId::parse)?,
            thread_id: required(self.thread_id, "thread_id", ThreadId::parse)?,
            text: self.text()?,
            agent_name: optional(self.agent_name, "agent_name", AgentName::parse)?,
            on_busy: match self.on_busy {
                None => OnBusy::default(),
                Some(raw) => serde_json::from_str(raw.get())
                    .map_err(|_| invalid("on_busy", "must be \"enqueue\", \"reject\" or \"interrupt\""))?,
            },
        }))
    }

    fn cancel_run(&self) -> Result<ClientFrame, Wrong> {
        Ok(ClientFrame::CancelRun(CancelRun { run_id: required(self.run_id, "run_id", RunId::parse)? }))
    }

    fn complete_call(&self) -> Result<ClientFrame, Wrong> {
        Ok(ClientFrame::CompleteCall(CompleteCall {
            run_id: required(self.run_id, "run_id", RunId::parse)?,
            call_id: required(self.call_id, "call_id", CallId::parse)?,
            result: CallResult {
                status: self
                    .status
                    .and_then(call_status)
                    .ok_or_else(|| invalid("status", "must be \"ok\" or \"error\""))?,
                results: match self.results {
                    None => Json::null(),
                    Some(raw) => Json::from_raw(raw).map_err(|_| {
                        let rule = format!(
                            "must be JSON that a strict reader takes, at most {} levels deep",
                            Json::DEPTH_MAX
                        );
                        invalid("results", &rule)
                    })?,
                },
                error: match self.error {
                    None => None,
                    Some(raw) => Some(string(raw).ok_or_else(|| invalid("error", "must be a string"))?),
                },
            },
        }))
    }

    fn renew(&self) -> Result<ClientFrame, Wrong> {
        match self.credential()? {
            Some(credential) => Ok(ClientFrame::Renew(Renew { credential })),
            None => Err(invalid("token", "or ticket is needed")),
        }
    }

    fn ping(&self) -> Result<ClientFrame, Wrong> {
        let nonce = match self.nonce {
            None => None,
            Some(raw) => Some(Nonce::read(raw).ok_or_else(|| {
                invalid(
                    "nonce",
                    &format!("must be a string or a number of at most {} bytes", Nonce::BYTES_MAX),
                )
            })?),
        };
        Ok(ClientFrame::Ping(Ping { nonce }))
    }

    fn credential(&self) -> Result<Option<Credential>, Wrong> {
        match (self.ticket, self.token) {
            (None, None) => Ok(None),
            (Some(raw), None) => secret(raw, "ticket", TICKET_BYTES_MAX).map(Credential::Ticket).map(Some),
            (None, Some(raw)) => secret(raw, "token", TOKEN_BYTES_MAX).map(Credential::Token).map(Some),
            (Some(_), Some(_)) => Err(invalid("ticket", "and token exclude each other")),
        }
    }

    fn text(&self) -> Result<String, Wrong> {
        let raw = self.text.ok_or_else(|| invalid("text", "is missing"))?;
        let text = string(raw).ok_or_else(|| invalid("text", "must be a string"))?;
        match text.len() {
            0 => Err(invalid("text", "must not be empty")),
            1..=TEXT_BYTES_MAX => Ok(text),
            _ => {
                let message = format!("text is longer than {TEXT_BYTES_MAX} bytes");
                Err(Wrong { code: ErrorCode::TooLarge, field: Some("text"), message })
            }
        }
    }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn secret(raw: &RawValue, field: &'static str, bytes_max: usize) -> Result<String, Wrong> {
    string(raw)
        .filter(|secret| (1..=bytes_max).contains(&secret.len()))
        .ok_or_else(|| invalid(field, &format!("must be a string of 1 to {bytes_max} bytes")))
}

fn optional<T>(
    raw: Option<&RawValue>,
    field: &'static str,
    parse: fn(&str) -> Result<T, InvalidId>,
) -> Result<Option<T>, Wrong> {
    let Some(raw) = raw else { return Ok(None) };
    let text = string(raw).ok_or_else(|| invalid(field, "must be a string"))?;
    parse(&text).map(Some).map_err(|e| invalid(field, &format!("must be {}", e.rule)))
}

fn required<T>(
    raw: Option<&RawValue>,
    field: &'static str,
    parse: fn(&str) -> Result<T, InvalidId>,
) -> Result<T, Wrong> {
    optional(raw, field, parse)?.ok_or_else(|| invalid(field, "is missing"))
}

/// The status of a call as a client may give it.
fn call_status(raw: &RawValue) -> Option<CallStatus> {
    match string(raw)?.as_str() {
        "ok" => Some(CallStatus::Ok),
        "error" => Some(CallStatus::Error),
        _ => None,
    }
}
