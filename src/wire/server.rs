//! Frames that the service sends, except entries, which `wire::entry` encodes.

use quintet_kernel::{
    connection::{self, Gap},
    ids::{ConnectionId, Epoch, MessageId, Offset, RunId, Timestamp, Title, UserId},
    json::Json,
    limits::Limits,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    client::{FrameError, Nonce},
    codes::ErrorCode,
};

/// The name and version of this contract, and the WebSocket subprotocol.
pub const PROTOCOL: &str = "quintet.v1";

/// A frame from the service that is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// `ready`: the connection is open.
    Ready(Ready),
    /// `caught_up`: the stored entries have been sent.
    CaughtUp(CaughtUp),
    /// `accepted`: a message is durable.
    Accepted(Accepted),
    /// `error`: a frame was rejected.
    Error(Error),
    /// `renewed`: the lifetime was extended.
    Renewed(Renewed),
    /// `pong`: the reply to a `ping`.
    Pong(Pong),
    /// `draining`: the service is about to stop.
    Draining(Draining),
}

impl ServerFrame {
    /// Encodes the frame as JSON.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("every key of a frame is a string")
    }
}

/// The first frame on an authenticated connection (CONN-2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ready {
    /// The version of the contract, `quintet.v1`.
    pub protocol: &'static str,
    /// The connection's id in the service's log.
    pub connection_id: ConnectionId,
    /// The user that the connection authenticated as (ISO-1).
    pub user_id: UserId,
    /// The journal's epoch; a cursor of another epoch is not valid here.
    pub epoch: Epoch,
    /// The next entry has the offset `resumed_after + 1` (DEL-3).
    pub resumed_after: Offset,
    /// The offset of the user's last entry at this moment.
    pub head: Offset,
    /// The requested entries that cannot be sent, because they were trimmed or never existed (DEL-3).
    pub gap: Option<Gap>,
    /// The interval of the service's pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// The limits that apply to this client.
    pub limits: ClientLimits,
}

/// The limits that apply to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ClientLimits {
    /// Bytes of one frame from the client; a longer one closes the connection with 1009.
    pub frame_bytes_max: u64,
    /// Bytes of a message's `text`, encoded as UTF-8.
    pub text_bytes_max: u64,
    /// Bytes of a call's encoded `results` and `error` together.
    pub results_bytes_max: u64,
    /// Nesting depth of `results`.
    pub results_depth_max: u64,
    /// Characters of a thread's title.
    pub title_chars_max: u64,
    /// Runs of the user that are accepted and not yet completed.
    pub open_runs_max: u64,
    /// Messages queued behind the active run of one thread.
    pub queued_messages_max: u64,
    /// Malformed frames of one connection; the last of them closes it with 4400 (CONN-4).
    pub invalid_frames_max: u64,
    /// Concurrent commands of one connection; further frames are not read until one finishes.
    pub commands_max: u64,
    /// Time within which a ping must be answered, in milliseconds (CONN-5).
    pub pong_timeout_ms: u64,
    /// Concurrent connections of the user.
    pub user_connections_max: u64,
    /// Sustained frames per second of the user, over all connections.
    pub user_frames_per_second_max: u64,
}

/// The gateway's part of [`ClientLimits`]; the rest are settings of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    /// The value of [`ClientLimits::frame_bytes_max`].
    pub frame_bytes_max: u64,
    /// The value of [`ClientLimits::pong_timeout_ms`].
    pub pong_timeout_ms: u64,
    /// The value of [`ClientLimits::user_connections_max`].
    pub user_connections_max: u64,
    /// The value of [`ClientLimits::user_frames_per_second_max`].
    pub user_frames_per_second_max: u64,
}

impl ClientLimits {
    /// Collects the limits of the user's log, of the connection, and of the gateway.
    pub fn new(user: &Limits, connection: &connection::ConnectionLimits, socket: SocketLimits) -> Self {
        Self {
            frame_bytes_max: socket.frame_bytes_max,
            text_bytes_max: user.text_bytes_max as u64,
            results_bytes_max: user.results_bytes_max as u64,
            results_depth_max: Json::DEPTH_MAX as u64,
            title_chars_max: Title::CHARS_MAX as u64,
            open_runs_max: user.open_runs_max as u64,
            queued_messages_max: user.queued_messages_max as u64,
            invalid_frames_max: connection.invalid_frames_max.into(),
            commands_max: connection.commands_max.into(),
            pong_timeout_ms: socket.pong_timeout_ms,
            user_connections_max: socket.user_connections_max,
            user_frames_per_second_max: socket.user_frames_per_second_max,
        }
    }
}

/// All entries up to `head`, the head at the time of the resume, have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CaughtUp {
    /// The `head` of `ready`.
    pub head: Offset,
}

/// The acknowledgement of a message: it and its run are durable from now on (DEL-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accepted {
    /// The id of the message, chosen by the client.
    pub message_id: MessageId,
    /// The run that answers the message.
    pub run_id: RunId,
    /// The offset of the `user_message`.
    pub message_offset: Offset,
    /// True if the message had been accepted before; the rest of the reply is the original one (DEL-6).
    pub duplicate: bool,
}

/// The reply to a frame that was rejected. It had no effect, unless `code` is `unavailable` (DEL-7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Error {
    /// The machine-readable reason, the same as over HTTP.
    pub code: ErrorCode,
    /// A description for people, without any text of the client.
    pub message: String,
    /// True if the connection closes after this frame.
    pub fatal: bool,
    /// The `message_id` of the rejected frame, if it has a valid one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The `run_id` of the rejected frame, if it has a valid one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The time to wait before a retry, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Error {
    /// Creates an error that is not fatal and refers to no message or run.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, fatal: false, message_id: None, run_id: None, retry_after_ms: None }
    }
}

impl From<FrameError> for Error {
    fn from(e: FrameError) -> Self {
        Self { message_id: e.message_id, run_id: e.run_id, ..Self::new(e.code, e.message) }
    }
}

/// The connection's lifetime was extended to that of the newer credential (AUTH-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Renewed {
    /// The credential's expiry, in Unix milliseconds.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
/// The reply to a client's `ping`, with its nonce.
pub struct Pong {
    /// The nonce of the `ping`, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

/// The service is about to stop or restart; the connection closes with 1012 (CONN-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Draining {
    /// The time to wait before a reconnect, in milliseconds.
    pub reconnect_after_ms: u64,
}
