//! The codes that clients act on: of errors, and of closes.
//!
//! Guarantee: each close code says whether, and how, to come back (CONN-3); each refusal of the kernel
//! has exactly one error code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::{
    connection::{Cause, Fault},
    user::Refusal,
};

/// What was wrong with a request; the same on WebSocket and HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ErrorCode {
    /// Not JSON, not an object, or without a `type`.
    MalformedFrame,
    /// No frame of the client has this `type`.
    UnknownType,
    /// A field is missing, of the wrong type, or out of its range.
    InvalidField,
    /// No credential, or one that is not valid, or no longer.
    Unauthenticated,
    /// There is no such thing, or it is another user's (ISO-3).
    NotFound,
    /// The page's origin, or the host that the request names, is not on its allow-list (AUTH-4).
    Forbidden,
    RunEnded,
    CallClosed,
    ThreadBusy,
    /// The `message_id` belongs to an accepted message with other content (DEL-6).
    MessageIdReused,
    UnknownAgent,
    TooLarge,
    RateLimited,
    LimitReached,
    Draining,
    /// The journal did not say that it is done; repeating the same request is safe (DEL-7).
    Unavailable,
    /// A fault of the service's own.
    Internal,
}

impl ErrorCode {
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

    /// The code as it is written on the wire.
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

    /// The HTTP status that goes with the code.
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

impl From<Fault> for ErrorCode {
    /// The code of what a connection finds wrong itself; for `Unclear` the frame's own error says more.
    fn from(fault: Fault) -> Self {
        match fault {
            // A `hello` in the wrong place cannot be understood, though it is well-formed.
            Fault::Unclear | Fault::SecondHello => ErrorCode::MalformedFrame,
            Fault::Oversized => ErrorCode::TooLarge,
            Fault::BeforeHello | Fault::Unauthenticated => ErrorCode::Unauthenticated,
            Fault::Unavailable => ErrorCode::Unavailable,
            Fault::RateLimited { .. } => ErrorCode::RateLimited,
        }
    }
}

/// Why a connection is closed, as its close frame says (CONN-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    Normal,
    /// The bytes break RFC 6455.
    Protocol,
    NotUtf8,
    FrameTooLarge,
    /// A fault of the service's own, named in its log under the connection's id.
    Internal,
    Draining,
    OverCapacity,
    /// Too many frames that could not be understood (CONN-4), or a binary one.
    BadFrames,
    /// Not authenticated, or the credential expired (AUTH-3).
    Unauthenticated,
    Forbidden,
    /// No `hello`, no pong, or no reading in time (CONN-5).
    TimedOut,
    RateLimited,
}

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It said good-bye itself.
    None,
    /// Connect again, with a short random delay.
    Retry,
    /// Connect again, each time after a longer delay.
    RetryLater,
    /// Connect again with another credential.
    NewCredential,
    /// Connecting again would end the same way.
    Final,
}

impl CloseCode {
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

    /// The text of the close frame: what happened, and what the client does; at most 123 bytes.
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

    /// CONN-3: the table of the contract, pair by pair. A reader that retention passed may come back (4408).
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

    /// CONN-3: every close says retry or final, in the number, in the text, and in room of a close frame.
    #[test]
    fn conn_3_each_close_says_what_to_do_next() {
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
