//! Error codes and WebSocket close codes ([RFC 6455, section 7.4]).
//!
//! Guarantee: each close code determines whether and how the client reconnects (CONN-3); each refusal of
//! the kernel maps to exactly one error code.
//!
//! [RFC 6455, section 7.4]: https://www.rfc-editor.org/rfc/rfc6455#section-7.4

use quintet_kernel::{
    connection::{Cause, Fault, Payload},
    user::Refusal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason for which a request failed, the same on WebSocket and HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ErrorCode {
    /// The text is not JSON, not an object, or has no `type`.
    MalformedFrame,
    /// The `type` is not one of a client frame.
    UnknownType,
    /// A field is missing, of the wrong type, or out of its range.
    InvalidField,
    /// The credential is missing, invalid, or expired.
    Unauthenticated,
    /// The resource does not exist or belongs to another user; the two are indistinguishable (ISO-3).
    NotFound,
    /// The `Origin` or `Host` of the request is not on its allow-list (AUTH-4).
    Forbidden,
    /// The run has already ended (RUN-5).
    RunEnded,
    /// The call was already closed (RUN-11).
    CallClosed,
    /// The thread has an active run and `on_busy` is `reject` (RUN-8).
    ThreadBusy,
    /// The `message_id` belongs to an accepted message with other content (DEL-6).
    MessageIdReused,
    /// No agent of this name is registered.
    UnknownAgent,
    /// The body or one of its fields exceeds its size limit.
    TooLarge,
    /// The user or peer sends too fast; `retry_after_ms` is set.
    RateLimited,
    /// A quota of the user, such as the number of open runs, is exhausted.
    LimitReached,
    /// The service is shutting down and accepts no new work (CONN-6).
    Draining,
    /// The journal did not confirm the write, which may or may not be durable; retrying the same request is
    /// safe (DEL-7).
    Unavailable,
    /// An error of the service itself.
    Internal,
}

impl ErrorCode {
    /// All error codes.
    pub const ALL: [ErrorCode; 17] = [
        ErrorCode::MalformedFrame,
        ErrorCode::UnknownType,
        ErrorCode::InvalidField,
        ErrorCode::Unauthenticated,
        ErrorCode::NotFound,
        ErrorCode::Forbidden,
        ErrorCode::RunEnded,
        ErrorCode::CallClosed,
        ErrorCode::ThreadBusy,
        ErrorCode::MessageIdReused,
        ErrorCode::UnknownAgent,
        ErrorCode::TooLarge,
        ErrorCode::RateLimited,
        ErrorCode::LimitReached,
        ErrorCode::Draining,
        ErrorCode::Unavailable,
        ErrorCode::Internal,
    ];

    /// Returns the code as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::MalformedFrame => "malformed_frame",
            ErrorCode::UnknownType => "unknown_type",
            ErrorCode::InvalidField => "invalid_field",
            ErrorCode::Unauthenticated => "unauthenticated",
            ErrorCode::NotFound => "not_found",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::RunEnded => "run_ended",
            ErrorCode::CallClosed => "call_closed",
            ErrorCode::ThreadBusy => "thread_busy",
            ErrorCode::MessageIdReused => "message_id_reused",
            ErrorCode::UnknownAgent => "unknown_agent",
            ErrorCode::TooLarge => "too_large",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::LimitReached => "limit_reached",
            ErrorCode::Draining => "draining",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Internal => "internal",
        }
    }

    /// Returns the HTTP status for this code.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorCode::MalformedFrame
            | ErrorCode::UnknownType
            | ErrorCode::InvalidField
            | ErrorCode::UnknownAgent => 400,
            ErrorCode::Unauthenticated => 401,
            ErrorCode::Forbidden => 403,
            ErrorCode::NotFound => 404,
            ErrorCode::RunEnded
            | ErrorCode::CallClosed
            | ErrorCode::ThreadBusy
            | ErrorCode::MessageIdReused => 409,
            ErrorCode::TooLarge => 413,
            ErrorCode::RateLimited | ErrorCode::LimitReached => 429,
            ErrorCode::Internal => 500,
            ErrorCode::Draining | ErrorCode::Unavailable => 503,
        }
    }
}

impl From<&Refusal> for ErrorCode {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::ThreadBusy => ErrorCode::ThreadBusy,
            Refusal::MessageIdReused => ErrorCode::MessageIdReused,
            Refusal::LimitReached(_) => ErrorCode::LimitReached,
            Refusal::NotFound => ErrorCode::NotFound,
            Refusal::RunEnded => ErrorCode::RunEnded,
            Refusal::CallClosed => ErrorCode::CallClosed,
            Refusal::TooLarge { .. } => ErrorCode::TooLarge,
        }
    }
}

impl<P: Payload> From<&Fault<P>> for ErrorCode {
    /// Maps a fault found by the connection itself. For `Unclear` the [`FrameError`](super::client::FrameError)
    /// has a more specific code.
    fn from(fault: &Fault<P>) -> Self {
        match fault {
            // A second `hello` is well-formed, but has no meaning at this point of the protocol.
            Fault::Unclear(_) | Fault::SecondHello => ErrorCode::MalformedFrame,
            Fault::Oversized(_) => ErrorCode::TooLarge,
            Fault::BeforeHello(_) | Fault::Unauthenticated => ErrorCode::Unauthenticated,
            Fault::Unavailable => ErrorCode::Unavailable,
            Fault::RateLimited { .. } => ErrorCode::RateLimited,
        }
    }
}

/// The status code of the service's close frame (CONN-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    /// The peer closed the connection, or is gone.
    Normal,
    /// The peer violated RFC 6455.
    Protocol,
    /// A text message was not valid UTF-8.
    NotUtf8,
    /// A message exceeded `frame_bytes_max`.
    FrameTooLarge,
    /// An error of the service itself, logged under the connection's id.
    Internal,
    /// The service is shutting down or restarting (CONN-6).
    Draining,
    /// The service has no slot left, or gave this one to another connection.
    OverCapacity,
    /// Too many malformed frames (CONN-4), or a binary frame.
    BadFrames,
    /// The credential is missing, invalid, or expired (AUTH-3).
    Unauthenticated,
    /// The origin or the credential has no right to connect (AUTH-4).
    Forbidden,
    /// A timeout elapsed: no `hello`, no pong, an unfinished message, or a peer that does not read (CONN-5).
    TimedOut,
    /// The user exceeded a connection or rate limit.
    RateLimited,
}

/// The client's next step after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Do nothing: the client closed the connection itself.
    None,
    /// Reconnect after a short random delay.
    Retry,
    /// Reconnect with exponential backoff.
    RetryLater,
    /// Reconnect with a new credential.
    NewCredential,
    /// Do not reconnect: the same close would follow.
    Final,
}

impl CloseCode {
    /// All close codes, in numeric order.
    pub const ALL: [CloseCode; 12] = [
        CloseCode::Normal,
        CloseCode::Protocol,
        CloseCode::NotUtf8,
        CloseCode::FrameTooLarge,
        CloseCode::Internal,
        CloseCode::Draining,
        CloseCode::OverCapacity,
        CloseCode::BadFrames,
        CloseCode::Unauthenticated,
        CloseCode::Forbidden,
        CloseCode::TimedOut,
        CloseCode::RateLimited,
    ];

    /// Returns the status code of the close frame.
    pub fn number(self) -> u16 {
        match self {
            CloseCode::Normal => 1000,
            CloseCode::Protocol => 1002,
            CloseCode::NotUtf8 => 1007,
            CloseCode::FrameTooLarge => 1009,
            CloseCode::Internal => 1011,
            CloseCode::Draining => 1012,
            CloseCode::OverCapacity => 1013,
            CloseCode::BadFrames => 4400,
            CloseCode::Unauthenticated => 4401,
            CloseCode::Forbidden => 4403,
            CloseCode::TimedOut => 4408,
            CloseCode::RateLimited => 4429,
        }
    }

    /// Returns the client's next step after a close with this code.
    pub fn retry(self) -> Retry {
        match self {
            CloseCode::Normal => Retry::None,
            CloseCode::Protocol
            | CloseCode::NotUtf8
            | CloseCode::FrameTooLarge
            | CloseCode::BadFrames
            | CloseCode::Forbidden => Retry::Final,
            CloseCode::Internal | CloseCode::Draining | CloseCode::TimedOut => Retry::Retry,
            CloseCode::OverCapacity | CloseCode::RateLimited => Retry::RetryLater,
            CloseCode::Unauthenticated => Retry::NewCredential,
        }
    }

    /// Returns the reason phrase of the close frame: the cause, then the client's next step; at most 123 bytes,
    /// the space that RFC 6455 leaves in a control frame.
    pub fn reason(self) -> &'static str {
        match self {
            CloseCode::Normal => "normal",
            CloseCode::Protocol => "WebSocket protocol error; final",
            CloseCode::NotUtf8 => "not UTF-8; final",
            CloseCode::FrameTooLarge => "frame over the limit; final",
            CloseCode::Internal => "fault of the service; retry",
            CloseCode::Draining => "draining or restarting; retry",
            CloseCode::OverCapacity => "over capacity; retry later",
            CloseCode::BadFrames => "frames that cannot be understood; final",
            CloseCode::Unauthenticated => "not authenticated or credential expired; new credential",
            CloseCode::Forbidden => "origin or right refused; final",
            CloseCode::TimedOut => "no hello, no pong, no whole message or no reading in time; retry",
            CloseCode::RateLimited => "connection or rate limit of the user; retry later",
        }
    }
}

impl From<Cause> for CloseCode {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::PeerClosed | Cause::Gone => CloseCode::Normal,
            Cause::NotUtf8 => CloseCode::NotUtf8,
            Cause::TooLong => CloseCode::FrameTooLarge,
            Cause::Garbled => CloseCode::Protocol,
            Cause::Binary | Cause::TooManyUnclear => CloseCode::BadFrames,
            Cause::Unauthenticated | Cause::Expired => CloseCode::Unauthenticated,
            Cause::NoHello | Cause::NoPong | Cause::MessageLate | Cause::Stalled | Cause::Outrun => {
                CloseCode::TimedOut
            }
            Cause::Flooding | Cause::UnfinishedMax | Cause::UserFull => CloseCode::RateLimited,
            Cause::ServiceFull | Cause::Displaced => CloseCode::OverCapacity,
            Cause::Draining => CloseCode::Draining,
            Cause::Unavailable | Cause::Discontinuous => CloseCode::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_code_is_written_as_it_serializes() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    /// CONN-3: each cause has the close code of the contract's table. A reader overtaken by retention may
    /// reconnect (4408).
    #[test]
    fn conn_3_each_cause_has_the_code_of_the_contract() {
        let expected = |cause| match cause {
            Cause::PeerClosed | Cause::Gone => 1000,
            Cause::Garbled => 1002,
            Cause::NotUtf8 => 1007,
            Cause::TooLong => 1009,
            Cause::Unavailable | Cause::Discontinuous => 1011,
            Cause::Draining => 1012,
            Cause::ServiceFull | Cause::Displaced => 1013,
            Cause::Binary | Cause::TooManyUnclear => 4400,
            Cause::Unauthenticated | Cause::Expired => 4401,
            Cause::NoHello | Cause::NoPong | Cause::MessageLate | Cause::Stalled | Cause::Outrun => 4408,
            Cause::Flooding | Cause::UnfinishedMax | Cause::UserFull => 4429,
        };
        for cause in Cause::ALL {
            assert_eq!(CloseCode::from(cause).number(), expected(cause), "{cause:?}");
        }
        let causes: std::collections::BTreeSet<_> = Cause::ALL.into();
        assert_eq!(causes.len(), Cause::ALL.len(), "each cause once");
        assert!(causes.contains(&Cause::Outrun));
    }

    /// CONN-3: the reason phrase of each close code fits a close frame and ends in the client's next step.
    #[test]
    fn conn_3_each_close_reason_states_the_next_step() {
        for code in CloseCode::ALL {
            let reason = code.reason();
            assert!(reason.len() <= 123, "{reason}");
            let said = match code.retry() {
                Retry::None => "normal",
                Retry::Retry => "; retry",
                Retry::RetryLater => "; retry later",
                Retry::NewCredential => "; new credential",
                Retry::Final => "; final",
            };
            assert!(reason.ends_with(said), "{code:?}: {reason}");
        }
    }
}
