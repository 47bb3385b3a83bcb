//! Frames that clients send, decoded from the text of one WebSocket message or HTTP body.
//!
//! Guarantee: a [`ClientFrame`] satisfies every rule of the contract that does not depend on its sender.
//! All other input is a [`FrameError`] that names the fault, never a panic, and the error repeats no text
//! of the client (CONN-4).
//!
//! - `fields`: the decoder; [`form`]: the fields of each frame, for the encoder and the JSON Schema

mod fields;
pub mod form;

use std::fmt;

use quintet_kernel::{
    connection::ResumeCursor,
    entry::CallResult,
    ids::{CallId, MessageId, RunId, ThreadId},
    json::Json,
    limits::Limits,
    user::{NewMessage, ThreadUpdate},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use self::{fields::Fields, form::Form};
use super::codes::ErrorCode;

/// A well-formed frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// `hello`: the first frame of a connection.
    Hello(Hello),
    /// `send_message`: a message of the user.
    SendMessage(NewMessage),
    /// `cancel_run`: ends a run.
    CancelRun(CancelRun),
    /// `complete_call`: the result of a call of the client.
    CompleteCall(CompleteCall),
    /// `update_thread`: the title of a thread, or whether it is archived.
    UpdateThread(UpdateThread),
    /// `erase_thread`: erases a thread.
    EraseThread(EraseThread),
    /// `renew`: a newer credential.
    Renew(Renew),
    /// `ping`: requests a `pong`.
    Ping(Ping),
}

/// The first frame of a connection: the credential and the cursor to resume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// `None` if the handshake request already carried a credential.
    pub credential: Option<Credential>,
    /// The position at which the entries begin.
    pub cursor: ResumeCursor,
}

/// A request to end a run early (RUN-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRun {
    /// The run to end.
    pub run_id: RunId,
}

/// The client's result for a call that only a client can complete (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteCall {
    /// The run of the call.
    pub run_id: RunId,
    /// The call to close.
    pub call_id: CallId,
    /// The outcome; its status is `ok` or `error`.
    pub result: CallResult,
}

/// A change of the properties of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateThread {
    /// The thread to change.
    pub thread_id: ThreadId,
    /// The changes.
    pub update: ThreadUpdate,
}

/// A request to erase a thread (DEL-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseThread {
    /// The thread to erase.
    pub thread_id: ThreadId,
}

/// A newer credential of the same user, which extends the connection's lifetime (AUTH-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    /// The newer credential.
    pub credential: Credential,
}

/// An application-level ping; the reply is a `pong` with the same nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// A value that the `pong` returns unchanged.
    pub nonce: Option<Nonce>,
}

/// A secret that authenticates a client. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A single-use ticket (AUTH-1), 1 to [`TICKET_BYTES_MAX`] bytes.
    Ticket(String),
    /// A JWT ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)), 1 to [`TOKEN_BYTES_MAX`] bytes.
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

/// The value of a `ping` that its `pong` returns unchanged: a string or a number.
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
    /// Longest encoded nonce, in bytes of JSON text.
    pub const BYTES_MAX: usize = 128;

    /// Reads a JSON string or number of at most [`Self::BYTES_MAX`] bytes; returns `None` for anything else.
    pub fn read(raw: &RawValue) -> Option<Self> {
        let scalar = !raw.get().starts_with(['{', '[', 't', 'f', 'n']);
        let short = raw.get().len() <= Self::BYTES_MAX;
        if scalar && short { Json::from_raw(raw).ok().map(Self) } else { None }
    }
}

/// Longest ticket that is read, in bytes. Tickets that the service issues are shorter.
pub const TICKET_BYTES_MAX: usize = 256;
/// Longest token that is read, in bytes. The gateway's setting may be lower, never higher.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest `text`, in bytes of UTF-8. The kernel's setting may be lower, never higher.
pub const TEXT_BYTES_MAX: usize = Limits::DEFAULT.text_bytes_max;

/// A frame that was rejected before it had any effect (CONN-4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameError {
    /// The kind of fault.
    pub code: ErrorCode,
    /// A description of the fault, without any text of the client.
    pub message: String,
    /// The name of the invalid field, if the fault is in one field.
    pub field: Option<&'static str>,
    /// The frame's `message_id`, if it is present once and well-formed.
    pub message_id: Option<MessageId>,
    /// The frame's `run_id`, if it is present once and well-formed.
    pub run_id: Option<RunId>,
}

impl ClientFrame {
    /// Decodes the text of one WebSocket message.
    ///
    /// # Errors
    ///
    /// Returns a [`FrameError`] if `text` is not a JSON object with a known `type`, or if a field of that type
    /// is missing, given twice, or outside its rule. Unknown fields are ignored.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        Fields::decode(text, |fields| fields.frame())
    }

    /// Encodes the frame as a client sends it.
    pub fn encode(&self) -> String {
        serde_json::to_string(&Form::from(self)).expect("every key of a frame is a string")
    }
}

/// Decodes the body of `POST /v1/messages`, which has the fields of `send_message` without `type`.
///
/// # Errors
///
/// As [`ClientFrame::decode`].
pub fn decode_message(body: &str) -> Result<NewMessage, FrameError> {
    Fields::decode(body, |fields| fields.send_message())
}

/// Decodes the body of `POST /v1/runs/{id}/calls/{call_id}`: the fields of `complete_call` without the ids,
/// which are in the path.
///
/// # Errors
///
/// As [`ClientFrame::decode`].
pub fn decode_answer(body: &str) -> Result<CallResult, FrameError> {
    Fields::decode(body, |fields| fields.answer())
}

/// Decodes the body of `PATCH /v1/threads/{id}`: the fields of `update_thread` without the id, which is in the path.
///
/// # Errors
///
/// As [`ClientFrame::decode`].
pub fn decode_update(body: &str) -> Result<ThreadUpdate, FrameError> {
    Fields::decode(body, |fields| fields.update())
}

#[cfg(test)]
mod tests;
