//! What can happen to a connection.

use serde::{Deserialize, Serialize};

use super::effect::Timer;
use crate::kernel::{
    ids::{Epoch, Offset},
    ticket::Identity,
};

/// Something happened. Inputs are taken one at a time; what belongs to one (the text of a frame, the
/// bytes of a chunk) stays with the caller until its effects are done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The client said `hello`; `credential`: it brought one along.
    Hello {
        cursor: Asked,
        credential: bool,
    },
    /// The client brought a new credential.
    Renew,
    /// The client's own `ping`, as a frame of the protocol.
    Ping,
    /// The client asks for something that concerns its log.
    Command,
    /// A text frame that cannot be understood (CONN-4).
    Unclear,
    /// A text frame that is understood and too large in one of its fields; it does not count as unclear.
    Oversized,
    /// A frame beyond the rate of its user, or of its peer before `ready`; it is not acted on.
    Throttled {
        retry_after_ms: u64,
    },
    /// A ping of the transport, which the transport answers by itself.
    Pinged,
    /// The answer to a ping of the service (CONN-5).
    Pong,
    Binary,
    NotUtf8,
    TooLong,
    /// The bytes are not WebSocket frames.
    Garbled,
    /// The peer began a message and did not complete it in time.
    MessageLate,
    /// The incomplete messages of the user's connections hold more bytes than they may (ISO-6).
    UnfinishedMax,
    /// The socket is not authenticated, and its place is needed for another one (ISO-6).
    Displaced,

    /// A credential was looked at.
    Verified(Identity),
    Unverified(Unverified),
    /// The user's machines are there, and this is what the log spans. `epoch` is that of the cursor if the
    /// log continues it, else the journal's (DEL-3).
    Attached {
        epoch: Epoch,
        trimmed: Offset,
        head: Offset,
    },
    Unattached(Unattached),

    /// The entries that the last [`Effect::ReadOn`](super::Effect::ReadOn) asked for, or the first of them.
    Chunk {
        first: Offset,
        last: Offset,
    },
    /// Retention passed the reader: what would come next is no longer kept.
    Outrun,
    /// The journal cannot say what comes next.
    Unreadable,
    /// A command is carried out or refused; `reply`: the client is told by a frame of its own.
    Answered {
        reply: bool,
    },
    /// Everything that was sent is with the operating system.
    Flushed,

    /// A timer that was armed has run out.
    Elapsed(Timer),
    /// The service begins to drain (CONN-6).
    Drain {
        reconnect_after_ms: u64,
    },
    /// Runs have reached a safe point, and this is the log's head there.
    Drained {
        head: Offset,
    },
    /// The client closed.
    PeerClosed,
    /// The socket broke.
    Gone,
}

/// The cursor as a client names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// None is taken as the epoch of this journal.
    pub epoch: Option<Epoch>,
    /// The last offset that the client has applied.
    pub after: Offset,
}

/// Why a credential did not yield an identity (AUTH-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unverified {
    /// Invalid, expired or spent: all look the same.
    Refused,
    /// The key set or the ticket store cannot be reached.
    Unavailable,
    /// The peer's credentials were refused too often; this one was not checked.
    Limited { retry_after_ms: u64 },
}

/// Why a user's machines cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unattached {
    Unavailable,
    /// The user has as many connections as a user may have.
    UserFull,
    /// The service has as many connections as it may have.
    ServiceFull,
}

/// An [`Input`] without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputName {
    Hello,
    Renew,
    Ping,
    Command,
    Unclear,
    Oversized,
    Throttled,
    Pinged,
    Pong,
    Binary,
    NotUtf8,
    TooLong,
    Garbled,
    MessageLate,
    UnfinishedMax,
    Displaced,
    Verified,
    Unverified,
    Attached,
    Unattached,
    Chunk,
    Outrun,
    Unreadable,
    Answered,
    Flushed,
    Elapsed(Timer),
    Drain,
    Drained,
    PeerClosed,
    Gone,
}

impl Input {
    /// Whether it comes of a frame that is acted on or answered, so that it may be left unread.
    pub fn is_client_frame(&self) -> bool {
        matches!(
            self,
            Input::Hello { .. }
                | Input::Renew
                | Input::Ping
                | Input::Command
                | Input::Unclear
                | Input::Oversized
                | Input::Throttled { .. }
                | Input::Pinged
        )
    }

    pub fn name(&self) -> InputName {
        match self {
            Input::Hello { .. } => InputName::Hello,
            Input::Renew => InputName::Renew,
            Input::Ping => InputName::Ping,
            Input::Command => InputName::Command,
            Input::Unclear => InputName::Unclear,
            Input::Oversized => InputName::Oversized,
            Input::Throttled { .. } => InputName::Throttled,
            Input::Pinged => InputName::Pinged,
            Input::Pong => InputName::Pong,
            Input::Binary => InputName::Binary,
            Input::NotUtf8 => InputName::NotUtf8,
            Input::TooLong => InputName::TooLong,
            Input::Garbled => InputName::Garbled,
            Input::MessageLate => InputName::MessageLate,
            Input::UnfinishedMax => InputName::UnfinishedMax,
            Input::Displaced => InputName::Displaced,
            Input::Verified(_) => InputName::Verified,
            Input::Unverified(_) => InputName::Unverified,
            Input::Attached { .. } => InputName::Attached,
            Input::Unattached(_) => InputName::Unattached,
            Input::Chunk { .. } => InputName::Chunk,
            Input::Outrun => InputName::Outrun,
            Input::Unreadable => InputName::Unreadable,
            Input::Answered { .. } => InputName::Answered,
            Input::Flushed => InputName::Flushed,
            Input::Elapsed(timer) => InputName::Elapsed(*timer),
            Input::Drain { .. } => InputName::Drain,
            Input::Drained { .. } => InputName::Drained,
            Input::PeerClosed => InputName::PeerClosed,
            Input::Gone => InputName::Gone,
        }
    }
}
