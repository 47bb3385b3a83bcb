//! Effects: the orders of the connection's machine to its caller.

use serde::{Deserialize, Serialize};

use super::{
    cause::Cause,
    payload::{Blank, Payload},
    resume::{Gap, ResumeCursor},
    timer::Timer,
};
use crate::{
    ids::{Offset, Timestamp},
    ticket::Identity,
};

/// The effects of one or more steps, to be performed in order.
pub type Effects<P = ()> = Vec<Effect<P>>;

/// One order to the caller, with everything that it takes to perform it. Serialized without the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound(serialize = "", deserialize = "P: Blank"))]
pub enum Effect<P: Payload = ()> {
    /// Verify the credential; completes with `Verified` or `VerifyError`.
    Verify(#[serde(skip)] P::Credential),
    /// Create or find the user's machines and open the log at the cursor; completes with `Attached` or
    /// `AttachError`.
    Attach {
        /// The identity of the verified credential.
        identity: Identity,
        /// The cursor in `hello`.
        cursor: ResumeCursor,
    },
    /// Append a frame to the output.
    Send(ServerFrame<P>),
    /// Append the entries to the output, one frame each.
    SendChunk(#[serde(skip)] P::Entries),
    /// Execute the command; completes with `Answered`.
    Execute(#[serde(skip)] P::Command),
    /// Write the whole output to the socket; completes with one `Flushed`.
    Flush,
    /// Read the entries from `after + 1` up to `through`, waiting until there is at least one; completes with
    /// `Chunk`, `Outrun` or `Unreadable`.
    ReadOn {
        /// The offset of the last entry sent.
        after: Offset,
        /// The last offset to read.
        through: Offset,
    },
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

/// A frame to the client, except the entries of the log, which [`Effect::SendChunk`] sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound(serialize = "", deserialize = "P: Blank"))]
pub enum ServerFrame<P: Payload = ()> {
    /// `ready`, sent once and before any entry, answer or `caught_up` (CONN-2).
    Ready {
        /// The next entry has the following offset.
        resumed_after: Offset,
        /// The offset of the last entry in the log.
        head: Offset,
        /// The requested entries that the log does not have.
        gap: Option<Gap>,
    },
    /// `caught_up`: the entries up to the head named in `ready` have been sent.
    CaughtUp {
        /// The head named in `ready`.
        offset: Offset,
    },
    /// The reply to a command.
    Answer(#[serde(skip)] P::Answer),
    /// `error`, about a fault that the connection itself found.
    Error {
        /// The fault.
        fault: Fault<P>,
        /// True if the connection closes after this frame.
        fatal: bool,
    },
    /// `renewed` (AUTH-3).
    Renewed {
        /// The expiry of the new credential.
        expires_at: Timestamp,
    },
    /// `pong`, with the nonce of its `ping`.
    Pong(#[serde(skip)] P::Nonce),
    /// `draining` (CONN-6).
    Draining {
        /// The delay after which the client should reconnect.
        reconnect_after_ms: u64,
    },
}

/// The subject of an `error` frame that the connection itself sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound(serialize = "", deserialize = "P: Blank"))]
pub enum Fault<P: Payload = ()> {
    /// A frame is malformed (CONN-4).
    Unclear(#[serde(skip)] P::Malformed),
    /// A field of a frame exceeds its size limit.
    Oversized(#[serde(skip)] P::Malformed),
    /// A frame other than `hello` arrived before `ready` (CONN-1).
    BeforeHello(#[serde(skip)] P::Subject),
    /// A second `hello` arrived.
    SecondHello,
    /// The credential is missing, invalid, or another user's.
    Unauthenticated,
    /// The credential could not be verified.
    Unavailable,
    /// The user or peer exceeds its rate.
    RateLimited {
        /// The delay after which the next frame is accepted.
        retry_after_ms: u64,
        /// The ids of the frame above the rate.
        #[serde(skip)]
        subject: P::Subject,
    },
}

impl<P: Payload> Effect<P> {
    /// Returns the effect without its content, as observers and traces see it.
    pub fn outline(&self) -> Effect {
        match self {
            Effect::Verify(_) => Effect::Verify(()),
            Effect::Attach { identity, cursor } => {
                Effect::Attach { identity: identity.clone(), cursor: *cursor }
            }
            Effect::Send(frame) => Effect::Send(frame.outline()),
            Effect::SendChunk(_) => Effect::SendChunk(()),
            Effect::Execute(_) => Effect::Execute(()),
            Effect::Flush => Effect::Flush,
            Effect::ReadOn { after, through } => Effect::ReadOn { after: *after, through: *through },
            Effect::PingPeer => Effect::PingPeer,
            Effect::Arm(timer) => Effect::Arm(*timer),
            Effect::Disarm(timer) => Effect::Disarm(*timer),
            Effect::ExpireAt(time) => Effect::ExpireAt(*time),
            Effect::Close(cause) => Effect::Close(*cause),
        }
    }
}

impl<P: Payload> ServerFrame<P> {
    fn outline(&self) -> ServerFrame {
        match self {
            ServerFrame::Ready { resumed_after, head, gap } => {
                ServerFrame::Ready { resumed_after: *resumed_after, head: *head, gap: *gap }
            }
            ServerFrame::CaughtUp { offset } => ServerFrame::CaughtUp { offset: *offset },
            ServerFrame::Answer(_) => ServerFrame::Answer(()),
            ServerFrame::Error { fault, fatal } => {
                ServerFrame::Error { fault: fault.outline(), fatal: *fatal }
            }
            ServerFrame::Renewed { expires_at } => ServerFrame::Renewed { expires_at: *expires_at },
            ServerFrame::Pong(_) => ServerFrame::Pong(()),
            ServerFrame::Draining { reconnect_after_ms } => {
                ServerFrame::Draining { reconnect_after_ms: *reconnect_after_ms }
            }
        }
    }
}

impl<P: Payload> Fault<P> {
    fn outline(&self) -> Fault {
        match self {
            Fault::Unclear(_) => Fault::Unclear(()),
            Fault::Oversized(_) => Fault::Oversized(()),
            Fault::BeforeHello(_) => Fault::BeforeHello(()),
            Fault::SecondHello => Fault::SecondHello,
            Fault::Unauthenticated => Fault::Unauthenticated,
            Fault::Unavailable => Fault::Unavailable,
            Fault::RateLimited { retry_after_ms, .. } => {
                Fault::RateLimited { retry_after_ms: *retry_after_ms, subject: () }
            }
        }
    }
}

/// The output of the machine during one step.
pub(super) struct StepOutput<'a, P: Payload> {
    effects: &'a mut Effects<P>,
    pub(super) rejected: bool,
}

impl<'a, P: Payload> StepOutput<'a, P> {
    pub(super) fn new(effects: &'a mut Effects<P>) -> Self {
        Self { effects, rejected: false }
    }

    pub(super) fn push(&mut self, effect: Effect<P>) {
        self.effects.push(effect);
    }
}
