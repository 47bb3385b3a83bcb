//! Frames that the service sends besides entries, which `wire::entry` encodes.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    client::{FrameError, Nonce},
    codes::ErrorCode,
};
use crate::kernel::{
    connection,
    ids::{ConnectionId, Epoch, MessageId, Offset, RunId, Timestamp, UserId},
    json::Json,
    limits::Limits,
};

/// The name of this contract, and of the WebSocket subprotocol.
pub const PROTOCOL: &str = "quintet.v1";

/// A frame of the service that is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    Ready(Ready),
    CaughtUp(CaughtUp),
    Accepted(Accepted),
    Error(Error),
    Renewed(Renewed),
    Pong(Pong),
    Draining(Draining),
}

impl ServerFrame {
    /// The frame as it is sent.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("every key of a frame is a string")
    }
}

/// The first frame on an authenticated connection (CONN-2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ready {
    /// `quintet.v1`.
    pub protocol: &'static str,
    /// Names this connection in the service's log.
    pub connection_id: ConnectionId,
    pub user_id: UserId,
    /// The journal's name: a cursor of another epoch means nothing here.
    pub epoch: Epoch,
    /// Entries continue at `resumed_after + 1` (DEL-3).
    pub resumed_after: Offset,
    /// The offset of the last entry at this moment.
    pub head: Offset,
    /// What the client asked for and will not get, because it is no longer kept or never was (DEL-3).
    pub gap: Option<Gap>,
    /// How often the service pings.
    pub heartbeat_ms: u64,
    pub limits: ClientLimits,
}

/// Offsets `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Gap {
    pub from: Offset,
    pub to: Offset,
}

/// The bounds that a client has to keep, or can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ClientLimits {
    /// Bytes of one frame from the client; above, the connection closes with 1009.
    pub frame_bytes_max: u64,
    /// Bytes of a message's `text`, in UTF-8.
    pub text_bytes_max: u64,
    /// Bytes of a call's `results` and `error` together, as they are written.
    pub results_bytes_max: u64,
    /// Levels of arrays and objects in `results`.
    pub results_depth_max: u64,
    /// Runs of the user that are accepted and not completed.
    pub open_runs_max: u64,
    /// Messages that wait behind the active run of one thread.
    pub queued_messages_max: u64,
    /// Frames that cannot be understood; the last of them closes the connection with 4400 (CONN-4).
    pub unclear_frames_max: u64,
    /// Commands of this connection that are carried out at once; further ones wait unread.
    pub commands_max: u64,
    /// Time for the answer to a ping, in milliseconds (CONN-5).
    pub pong_wait_ms_max: u64,
    /// Connections of the user at once.
    pub user_connections_max: u64,
    /// Frames of the user a second, over all connections, in the long run.
    pub user_frames_per_second_max: u64,
}

/// The bounds of the gateway that a client has to know; the rest of [`ClientLimits`] is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    pub frame_bytes_max: u64,
    pub pong_wait_ms_max: u64,
    pub user_connections_max: u64,
    pub user_frames_per_second_max: u64,
}

impl ClientLimits {
    pub fn new(user: &Limits, connection: &connection::Limits, socket: SocketLimits) -> Self {
        Self {
            frame_bytes_max: socket.frame_bytes_max,
            text_bytes_max: user.text_bytes_max as u64,
            results_bytes_max: user.results_bytes_max as u64,
            results_depth_max: Json::DEPTH_MAX as u64,
            open_runs_max: user.open_runs_max as u64,
            queued_messages_max: user.queued_messages_max as u64,
            unclear_frames_max: connection.unclear_frames_max.into(),
            commands_max: connection.commands_max.into(),
            pong_wait_ms_max: socket.pong_wait_ms_max,
            user_connections_max: socket.user_connections_max,
            user_frames_per_second_max: socket.user_frames_per_second_max,
        }
    }
}

impl From<connection::Gap> for Gap {
    fn from(gap: connection::Gap) -> Self {
        Self { from: gap.from, to: gap.to }
    }
}

/// Everything up to `head`, the head when the client resumed, has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CaughtUp {
    pub head: Offset,
}

/// A promise: the message and its run survive any crash from here on (DEL-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accepted {
    pub message_id: MessageId,
    pub run_id: RunId,
    /// The offset of the `user_message`.
    pub message_offset: Offset,
    /// The message was accepted before; the answer is the same (DEL-6).
    pub duplicate: bool,
}

/// A frame that was not carried out. Nothing has changed, unless `code` is `unavailable` (DEL-7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
    /// The connection closes after this.
    pub fatal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Error {
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

/// The connection now lives as long as the newer credential (AUTH-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Renewed {
    /// Unix milliseconds.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pong {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

/// The service is about to stop or restart; the connection closes with 1012 (CONN-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Draining {
    pub reconnect_after_ms: u64,
}
