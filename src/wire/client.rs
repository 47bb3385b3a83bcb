//! Frames that clients send: text in, a well-formed frame or a reason out.
//!
//! Guarantee: a [`ClientFrame`] keeps every rule of the contract that can be checked without knowing
//! who sends it; whatever else arrives is a [`FrameError`] that names what is wrong, never a panic,
//! and repeats nothing of the client's text (CONN-4).
//!
//! How a frame is read: `wire::fields`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{codes::ErrorCode, fields::Fields, form::Form};
use crate::kernel::{
    entry::CallResult,
    ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId},
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

    /// Takes a string or a number that is short enough.
    pub fn read(raw: &RawValue) -> Option<Self> {
        let scalar = !raw.get().starts_with(['{', '[', 't', 'f', 'n']);
        let short = raw.get().len() <= Self::BYTES_MAX;
        if scalar && short { Json::from_raw(raw).ok().map(Self) } else { None }
    }
}

/// Bytes of a ticket that are read at all; those of the service are shorter.
pub const TICKET_BYTES_MAX: usize = 256;
/// Bytes of a token that are read at all; the gateway may be set to less, never to more.
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
        Fields::decode(text, |fields| fields.frame())
    }

    /// The frame as a client writes it.
    pub fn encode(&self) -> String {
        serde_json::to_string(&Form::from(self)).expect("every key of a frame is a string")
    }
}

impl SendMessage {
    /// Reads the body of `POST /v1/messages`: the fields of the frame.
    pub fn decode(body: &str) -> Result<Self, FrameError> {
        Fields::decode(body, |fields| fields.send_message())
    }
}

/// Reads the body of `POST /v1/runs/{id}/calls/{call_id}`: the fields of `complete_call` but the ids.
pub fn decode_answer(body: &str) -> Result<CallResult, FrameError> {
    Fields::decode(body, |fields| fields.answer())
}

#[cfg(test)]
mod tests;
