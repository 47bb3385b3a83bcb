//! Inputs: the events that a connection's machine reacts to.

use serde::{Deserialize, Serialize};

use super::{
    payload::{Blank, Payload, presence},
    resume::ResumeCursor,
    timer::Timer,
};
use crate::{
    ids::{Epoch, Offset},
    ticket::Identity,
};

/// An event with its content, handled one at a time. Serialized without the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound(serialize = "", deserialize = "P: Blank"))]
pub enum Input<P: Payload = ()> {
    /// The client sent `hello`, with its credential if the frame has one.
    Hello {
        /// The position to resume from.
        cursor: ResumeCursor,
        /// `None` if the upgrade request had the credential.
        #[serde(with = "presence")]
        credential: Option<P::Credential>,
    },
    /// The client sent `renew`, with a new credential.
    Renew(#[serde(skip)] P::Credential),
    /// The client sent the protocol's `ping` frame.
    Ping(#[serde(skip)] P::Nonce),
    /// The client sent a command to its user's log.
    Command(#[serde(skip)] P::Command),
    /// A text message is not a well-formed frame (CONN-4).
    Unclear(#[serde(skip)] P::Malformed),
    /// A frame is well-formed, but one of its fields exceeds its size limit. Does not count as malformed.
    Oversized(#[serde(skip)] P::Malformed),
    /// A frame exceeds the rate of its user or, before `ready`, of its peer. It has no effect.
    Throttled {
        /// The delay after which the next frame is accepted.
        retry_after_ms: u64,
        /// The ids of the frame.
        #[serde(skip)]
        subject: P::Subject,
    },
    /// A WebSocket ping arrived; the transport answers it.
    Pinged,
    /// The peer answered a ping (CONN-5).
    Pong,
    /// A binary message arrived.
    Binary,
    /// A text message is not UTF-8.
    NotUtf8,
    /// A message exceeds `frame_bytes_max`.
    TooLong,
    /// The peer violated the framing of RFC 6455.
    Garbled,
    /// The peer did not complete a fragmented message in time.
    MessageLate,
    /// The incomplete messages of the user's connections exceed their memory budget (ISO-6).
    UnfinishedMax,
    /// The socket is not authenticated and its slot is needed for another one (ISO-6).
    Displaced,

    /// The credential is valid.
    Verified(Identity),
    /// The credential is not valid or could not be verified.
    Unverified(VerifyError),
    /// The user's machines are running; the log holds the entries after `trimmed` up to `head`. `epoch` is that
    /// of the cursor if the log continues it, else the journal's (DEL-3).
    Attached {
        /// The epoch to compare the cursor with.
        epoch: Epoch,
        /// The offset of the last entry trimmed; 0 for none.
        trimmed: Offset,
        /// The offset of the last entry; 0 for none.
        head: Offset,
    },
    /// The user's machines are not available.
    Unattached(AttachError),

    /// The next entries for the last [`Effect::ReadOn`](super::Effect::ReadOn), possibly not all of them.
    Chunk {
        /// The offset of the first entry.
        first: Offset,
        /// The offset of the last entry.
        last: Offset,
        /// The entries.
        #[serde(skip)]
        entries: P::Entries,
    },
    /// The next entry was trimmed before it was read.
    Outrun,
    /// The journal could not read the next entry.
    Unreadable,
    /// A command was executed or refused.
    Answered {
        /// The reply frame; `None` if the command's entries in the log are the reply.
        #[serde(with = "presence")]
        reply: Option<P::Answer>,
    },
    /// The operating system has accepted the whole output.
    Flushed,

    /// An armed timer elapsed.
    Elapsed(Timer),
    /// The service starts to drain (CONN-6).
    Drain {
        /// The delay after which the client should reconnect.
        reconnect_after_ms: u64,
    },
    /// All runs of the user are quiesced, and `head` is the offset of the last entry.
    Drained {
        /// The offset of the last entry; 0 for none.
        head: Offset,
    },
    /// The peer sent a close frame.
    PeerClosed,
    /// The socket failed.
    Gone,
}

/// The reason for which a credential yielded no identity (AUTH-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyError {
    /// The credential is invalid, expired or already used; the three are indistinguishable.
    Refused,
    /// The key set or the ticket store is unavailable.
    Unavailable,
    /// Too many credentials of this peer were refused; this one was not checked.
    Limited {
        /// The delay after which the next credential is checked.
        retry_after_ms: u64,
    },
}

/// The reason for which a connection was not attached to its user's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachError {
    /// The journal is unavailable.
    Unavailable,
    /// The user has reached the limit of connections per user.
    UserFull,
    /// The service has reached its limit of connections.
    ServiceFull,
}

/// The name of an [`Input`], without its content.
#[expect(missing_docs, reason = "the names of the variants of `Input`, which are documented")]
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

impl<P: Payload> Input<P> {
    /// Returns true for an input that stems from a client frame and may be left unread in the socket when the
    /// connection has no room for it.
    pub fn is_client_frame(&self) -> bool {
        matches!(
            self,
            Input::Hello { .. }
                | Input::Renew(_)
                | Input::Ping(_)
                | Input::Command(_)
                | Input::Unclear(_)
                | Input::Oversized(_)
                | Input::Throttled { .. }
                | Input::Pinged
        )
    }

    /// Returns the input without its content, as observers and traces see it.
    pub fn outline(&self) -> Input {
        match self {
            Input::Hello { cursor, credential } => {
                Input::Hello { cursor: *cursor, credential: credential.as_ref().map(drop) }
            }
            Input::Renew(_) => Input::Renew(()),
            Input::Ping(_) => Input::Ping(()),
            Input::Command(_) => Input::Command(()),
            Input::Unclear(_) => Input::Unclear(()),
            Input::Oversized(_) => Input::Oversized(()),
            Input::Throttled { retry_after_ms, .. } => {
                Input::Throttled { retry_after_ms: *retry_after_ms, subject: () }
            }
            Input::Pinged => Input::Pinged,
            Input::Pong => Input::Pong,
            Input::Binary => Input::Binary,
            Input::NotUtf8 => Input::NotUtf8,
            Input::TooLong => Input::TooLong,
            Input::Garbled => Input::Garbled,
            Input::MessageLate => Input::MessageLate,
            Input::UnfinishedMax => Input::UnfinishedMax,
            Input::Displaced => Input::Displaced,
            Input::Verified(identity) => Input::Verified(identity.clone()),
            Input::Unverified(why) => Input::Unverified(*why),
            Input::Attached { epoch, trimmed, head } => {
                Input::Attached { epoch: *epoch, trimmed: *trimmed, head: *head }
            }
            Input::Unattached(why) => Input::Unattached(*why),
            Input::Chunk { first, last, .. } => Input::Chunk { first: *first, last: *last, entries: () },
            Input::Outrun => Input::Outrun,
            Input::Unreadable => Input::Unreadable,
            Input::Answered { reply } => Input::Answered { reply: reply.as_ref().map(drop) },
            Input::Flushed => Input::Flushed,
            Input::Elapsed(timer) => Input::Elapsed(*timer),
            Input::Drain { reconnect_after_ms } => Input::Drain { reconnect_after_ms: *reconnect_after_ms },
            Input::Drained { head } => Input::Drained { head: *head },
            Input::PeerClosed => Input::PeerClosed,
            Input::Gone => Input::Gone,
        }
    }

    /// Returns the name of the input.
    pub fn name(&self) -> InputName {
        match self {
            Input::Hello { .. } => InputName::Hello,
            Input::Renew(_) => InputName::Renew,
            Input::Ping(_) => InputName::Ping,
            Input::Command(_) => InputName::Command,
            Input::Unclear(_) => InputName::Unclear,
            Input::Oversized(_) => InputName::Oversized,
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
