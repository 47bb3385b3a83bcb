//! The reasons for which a connection closes.

use serde::{Deserialize, Serialize};

/// The reason for which a connection closed. `wire::CloseCode` maps each to a close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The peer sent a close frame.
    PeerClosed,
    /// The socket failed.
    Gone,
    /// A text message is not UTF-8.
    NotUtf8,
    /// A message exceeds `frame_bytes_max`.
    TooLong,
    /// The peer sent a binary message.
    Binary,
    /// The peer violated the framing of RFC 6455.
    Garbled,
    /// The peer sent too many malformed frames (CONN-4).
    TooManyUnclear,
    /// `hello` had no valid credential.
    Unauthenticated,
    /// The credential expired (AUTH-3).
    Expired,
    /// No `hello` arrived in time (CONN-5).
    NoHello,
    /// No answer to a ping arrived in time (CONN-5).
    NoPong,
    /// A fragmented message was not completed in time.
    MessageLate,
    /// The peer does not read (CONN-5).
    Stalled,
    /// The reader is so slow that entries it has not read were trimmed.
    Outrun,
    /// The peer kept exceeding its rate.
    Flooding,
    /// The user's incomplete messages exceed their memory budget.
    UnfinishedMax,
    /// The user has reached the limit of connections per user.
    UserFull,
    /// The service has reached its limit of connections.
    ServiceFull,
    /// The socket was not yet authenticated and its slot was given to another one (ISO-6).
    Displaced,
    /// The service is draining (CONN-6).
    Draining,
    /// The journal or the credential store is unavailable, or did not respond in time.
    Unavailable,
    /// The journal returned entries that do not continue those sent (DEL-2).
    Discontinuous,
}

impl Cause {
    /// All causes.
    pub const ALL: [Cause; 22] = [
        Cause::PeerClosed,
        Cause::Gone,
        Cause::NotUtf8,
        Cause::TooLong,
        Cause::Binary,
        Cause::Garbled,
        Cause::TooManyUnclear,
        Cause::Unauthenticated,
        Cause::Expired,
        Cause::NoHello,
        Cause::NoPong,
        Cause::MessageLate,
        Cause::Stalled,
        Cause::Outrun,
        Cause::Flooding,
        Cause::UnfinishedMax,
        Cause::UserFull,
        Cause::ServiceFull,
        Cause::Displaced,
        Cause::Draining,
        Cause::Unavailable,
        Cause::Discontinuous,
    ];
}
