//! What a connection orders its caller to do.

use serde::{Deserialize, Serialize};

use super::resume::Gap;
use crate::kernel::{
    ids::{Offset, Timestamp},
    ticket::Identity,
};

/// Orders of one or more steps, first come first done.
pub type Effects = Vec<Effect>;

/// One order. What it does not carry (texts, bytes, answers) belongs to the input it answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Look at the credential of the frame at hand; ends in `Verified` or `Unverified`.
    Verify,
    /// Make or find this user's machines and a cursor in its log; ends in `Attached` or `Unattached`.
    Attach(Identity),
    /// Put a frame behind those sent so far.
    Send(ServerFrame),
    /// Put the entries of the chunk at hand behind what was sent so far.
    SendChunk,
    /// Carry out the command at hand; ends in `Answered`.
    Execute,
    /// See to it that everything sent reaches the socket; ends in one `Flushed`.
    Flush,
    /// Stand behind `after` and fetch what follows, as soon as there is something, up to `through`; ends
    /// in `Chunk`, `Outrun` or `Unreadable`.
    ReadOn {
        after: Offset,
        through: Offset,
    },
    /// Send a ping of the transport.
    PingPeer,
    /// Start a timer, or start it anew; ends in `Elapsed` unless it is disarmed.
    Arm(Timer),
    Disarm(Timer),
    /// Start the timer [`Timer::Expiry`] to run out at this moment of the wall's clock (AUTH-3).
    ExpireAt(Timestamp),
    /// Send the close frame that belongs to the cause and let go of the socket. The last effect ever.
    Close(Cause),
}

/// A frame to the client; answers to its commands are the caller's to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerFrame {
    Ready {
        resumed_after: Offset,
        head: Offset,
        gap: Option<Gap>,
    },
    CaughtUp {
        offset: Offset,
    },
    /// The answer to the command at hand.
    Answer,
    Error {
        fault: Fault,
        fatal: bool,
    },
    Renewed {
        expires_at: Timestamp,
    },
    Pong,
    Draining {
        reconnect_after_ms: u64,
    },
}

/// What an `error` frame of the connection itself is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The frame at hand cannot be understood (CONN-4).
    Unclear,
    /// A field of the frame at hand is larger than it may be.
    Oversized,
    /// Something other than `hello` came before it was accepted (CONN-1).
    BeforeHello,
    /// `hello` is the first frame, once.
    SecondHello,
    /// No valid credential of this user.
    Unauthenticated,
    /// Credentials cannot be checked right now.
    Unavailable,
    RateLimited {
        retry_after_ms: u64,
    },
}

/// What may run out. How long each takes is the caller's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// For the client to say `hello`.
    Hello,
    /// For the service to verify and attach.
    SetUp,
    /// Until the next ping.
    Heartbeat,
    /// For the peer to answer a ping.
    Pong,
    /// For the peer to take what is being sent.
    Stall,
    /// For a reader to take the last entries of a drain.
    Leave,
    /// Of the credential.
    Expiry,
}

impl Timer {
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

/// Why a connection closed. `wire::CloseCode` gives each its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    PeerClosed,
    Gone,
    NotUtf8,
    TooLong,
    Binary,
    /// The bytes are not WebSocket frames (RFC 6455).
    Garbled,
    /// Too many frames that could not be understood (CONN-4).
    TooManyUnclear,
    /// `hello` brought no valid credential.
    Unauthenticated,
    /// The credential expired (AUTH-3).
    Expired,
    NoHello,
    NoPong,
    /// A message was not complete in time.
    MessageLate,
    /// The peer does not read (CONN-5).
    Stalled,
    /// The peer read so slowly that retention passed it.
    Outrun,
    /// The peer kept sending beyond its rate.
    Flooding,
    /// The user's incomplete messages hold too many bytes.
    UnfinishedMax,
    UserFull,
    ServiceFull,
    /// The socket was not authenticated and made room for another one.
    Displaced,
    Draining,
    /// Journal or credential store cannot be reached, or not in time.
    Unavailable,
    /// The entries that were read do not follow those that were sent (DEL-2).
    Discontinuous,
}

impl Cause {
    /// Every cause.
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

/// What the machine writes to while it takes one input.
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
