//! Effects: the orders of the connection's machine to its caller.

use serde::{Deserialize, Serialize};

use super::resume::Gap;
use crate::{
    ids::{Offset, Timestamp},
    ticket::Identity,
};

/// The effects of one or more steps, to be carried out in order.
pub type Effects = Vec<Effect>;

/// One order to the caller. Content that it does not carry (text, bytes, replies) belongs to the input that
/// caused it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Verify the credential of the current frame; completes with `Verified` or `Unverified`.
    Verify,
    /// Create or find the user's machines and a cursor in the log; completes with `Attached` or `Unattached`.
    Attach(Identity),
    /// Append a frame to the output.
    Send(ServerFrame),
    /// Append the entries of the current chunk to the output.
    SendChunk,
    /// Execute the current command; completes with `Answered`.
    Execute,
    /// Write the whole output to the socket; completes with one `Flushed`.
    Flush,
    /// Read the entries from `after + 1` up to `through`, waiting until there is at least one; completes with
    /// `Chunk`, `Outrun` or `Unreadable`.
    ReadOn { after: Offset, through: Offset },
    /// Send a WebSocket ping (RFC 6455, section 5.5.2).
    PingPeer,
    /// Start or restart a timer; completes with `Elapsed` unless the timer is disarmed first.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
    /// Set [`Timer::Expiry`] to elapse at this wall-clock time (AUTH-3).
    ExpireAt(Timestamp),
    /// Send the close frame for the cause and release the socket. Always the last effect.
    Close(Cause),
}

/// A frame to the client, without the content of replies, which the caller has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerFrame {
    /// `ready`, always the first frame of an open connection (CONN-2).
    Ready { resumed_after: Offset, head: Offset, gap: Option<Gap> },
    /// `caught_up`: the entries up to the head named in `ready` have been sent.
    CaughtUp { offset: Offset },
    /// The reply to the current command.
    Answer,
    /// `error`, about a fault that the connection itself found.
    Error { fault: Fault, fatal: bool },
    /// `renewed` (AUTH-3).
    Renewed { expires_at: Timestamp },
    /// `pong`, with the nonce of the current `ping`.
    Pong,
    /// `draining` (CONN-6).
    Draining { reconnect_after_ms: u64 },
}

/// The subject of an `error` frame that the connection itself sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The current frame is malformed (CONN-4).
    Unclear,
    /// A field of the current frame exceeds its size limit.
    Oversized,
    /// A frame other than `hello` arrived before `ready` (CONN-1).
    BeforeHello,
    /// A second `hello` arrived.
    SecondHello,
    /// The credential is missing, invalid, or another user's.
    Unauthenticated,
    /// The credential could not be verified.
    Unavailable,
    /// The user or peer exceeds its rate.
    RateLimited { retry_after_ms: u64 },
}

/// A timer of the connection. Durations are settings of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Limits the wait for `hello`.
    Hello,
    /// Limits verification and attachment.
    SetUp,
    /// Interval of the service's pings.
    Heartbeat,
    /// Limits the wait for the answer to a ping (CONN-5).
    Pong,
    /// Limits the time for which the socket accepts no bytes (CONN-5).
    Stall,
    /// Limits the delivery of the last entries before a drain ends (CONN-6).
    Leave,
    /// The expiry of the credential (AUTH-3).
    Expiry,
}

impl Timer {
    /// All timers.
    pub const ALL: [Timer; 7] = [
        Timer::Hello,
        Timer::SetUp,
        Timer::Heartbeat,
        Timer::Pong,
        Timer::Stall,
        Timer::Leave,
        Timer::Expiry,
    ];
}

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

/// The output of the machine during one step.
pub(super) struct Turn<'a> {
    effects: &'a mut Effects,
    pub(super) rejected: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(effects: &'a mut Effects) -> Self {
        Self { effects, rejected: false }
    }

    pub(super) fn order(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
