//! Frames to the predecessor's clients that are not entries. None has a field `offset`.

use quintet_kernel::ids::{Timestamp, UserId};
use serde_json::{Value, json};

use super::{
    envelope::{envelope, seconds, system_message},
    frame::Ack,
};
use crate::{
    codes::{CloseCode, ErrorCode},
    server::{Error, PROTOCOL, Ready, ServerFrame},
};

/// The five events of a run, in the order in which the welcome lists them.
pub const GOLDEN_PATH_EVENTS: [&str; 5] =
    ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

/// The view of one connection on the frames that it gets.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The user that the connection authenticated as.
    pub user_id: &'a UserId,
    /// The time at which the frame is sent.
    pub now: Timestamp,
    /// True if the client named a cursor, and can make use of a gap.
    pub resumes: bool,
}

/// Translates a frame that is not an entry. Returns `None` for a frame without a counterpart.
pub fn frame(frame: &ServerFrame, view: View<'_>) -> Option<String> {
    let value = match frame {
        ServerFrame::Ready(ready) => envelope("connection_established", welcome(ready, view), view.now),
        // The predecessor's protocol makes no difference between replayed and new events.
        ServerFrame::CaughtUp(_) => return None,
        ServerFrame::Accepted(accepted) => json!({
            "type": "ack",
            "received_type": "user_message",
            // Durable from now on (DEL-5); the events of the run report its outcome.
            "status": "accepted",
            "message_id": accepted.message_id,
            "run_id": accepted.run_id,
            "duplicate": accepted.duplicate,
            "timestamp": seconds(view.now.0),
            "user_id": view.user_id,
        }),
        ServerFrame::Error(error) => error_message(error, view),
        ServerFrame::Renewed(renewed) => {
            let data = json!({"event": "credential_renewed", "expires_at": seconds(renewed.expires_at.0)});
            system_message(data, view.now)
        }
        ServerFrame::Pong(_) => return ack(Ack::Pong, view),
        ServerFrame::Draining(draining) => {
            let data = json!({
                "event": "service_degradation", "status": "draining",
                "reconnect_after_ms": draining.reconnect_after_ms,
            });
            system_message(data, view.now)
        }
    };
    Some(value.to_string())
}

/// Encodes the reply to a frame that had no effect; `None` if it has none.
pub fn ack(ack: Ack, view: View<'_>) -> Option<String> {
    let timestamp = seconds(view.now.0);
    let value = match ack {
        Ack::Pong => json!({"type": "pong", "timestamp": timestamp, "user_id": view.user_id}),
        Ack::Heartbeat => json!({"type": "heartbeat_ack", "timestamp": timestamp, "status": "healthy"}),
        Ack::System(status) => system_message(json!({"status": status}), view.now),
        Ack::None => return None,
    };
    Some(value.to_string())
}

/// Returns the number of a close code for these clients, which know no private codes.
pub fn close_number(code: CloseCode) -> u16 {
    match code {
        CloseCode::Draining => 1001,
        CloseCode::BadFrames | CloseCode::Unauthenticated | CloseCode::Forbidden => 1008,
        CloseCode::TimedOut => 1011,
        CloseCode::RateLimited => 1013,
        CloseCode::Normal
        | CloseCode::Protocol
        | CloseCode::NotUtf8
        | CloseCode::FrameTooLarge
        | CloseCode::Internal
        | CloseCode::OverCapacity => code.number(),
    }
}

/// Returns the union of the two shapes that the predecessor had in the end, and the notice of deprecation.
fn welcome(ready: &Ready, view: View<'_>) -> Value {
    let user: String = ready.user_id.as_str().chars().take(SHOWN_CHARS).collect();
    json!({
        "event": "connection_established",
        "mode": "main",
        "user_id": format!("{user}..."),
        "connection_id": ready.connection_id,
        "connection_ready": true,
        "server_time": seconds(view.now.0),
        "timestamp": seconds(view.now.0),
        "golden_path_events": GOLDEN_PATH_EVENTS,
        "features": {"agent_orchestration": true, "full_business_logic": true},
        "config": {
            "heartbeat_interval": seconds(ready.heartbeat_ms),
            "max_message_size": ready.limits.frame_bytes_max,
        },
        "resume": {
            "epoch": ready.epoch,
            "after": ready.resumed_after,
            "gap": ready.gap.filter(|_| view.resumes),
        },
        "deprecated": {
            "replaced_by": PROTOCOL,
            "path": "/v1/ws",
            "migration": "connect to /v1/ws with the subprotocol quintet.v1; see docs/legacy.md",
        },
    })
}

fn error_message(error: &Error, view: View<'_>) -> Value {
    let (code, suggestion) = match error.code {
        ErrorCode::MalformedFrame => ("JSON_PARSE_ERROR".to_owned(), "Send one JSON object per frame."),
        ErrorCode::Unauthenticated => ("AUTH_FAILED".to_owned(), "Connect with a new token or ticket."),
        ErrorCode::UnknownType => (upper(error.code), "Use a type that docs/legacy.md lists, or quintet.v1."),
        ErrorCode::RateLimited | ErrorCode::LimitReached | ErrorCode::Draining | ErrorCode::Unavailable => {
            (upper(error.code), "Retry later.")
        }
        _ => (upper(error.code), "Correct the frame before sending it again."),
    };
    json!({
        "type": "error_message",
        "error_code": code,
        "error_message": error.message,
        "details": {
            "code": error.code, "fatal": error.fatal, "message_id": error.message_id, "run_id": error.run_id,
            "retry_after_ms": error.retry_after_ms,
        },
        "timestamp": seconds(view.now.0),
        "recovery_suggestions": [suggestion],
    })
}

fn upper(code: ErrorCode) -> String {
    code.as_str().to_ascii_uppercase()
}

/// Characters of the user id in the welcome.
const SHOWN_CHARS: usize = 8;
