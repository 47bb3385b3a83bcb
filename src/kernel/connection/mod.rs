//! The state machine of one WebSocket connection, from the accepted socket to the close frame; sans-IO and
//! without a clock.
//!
//! ```text
//! root ─┬─ connected ─┬─ setting_up ─┬─ handshaking   waits for `hello`
//!       │             │              ├─ verifying     checks the credential
//!       │             │              └─ attaching     starts the user's machines, places the cursor
//!       │             └─ open ───────┬─ replaying     sends stored entries, up to the head in `ready`
//!       │                            ├─ live          sends new entries
//!       │                            ├─ draining      sends entries until all runs are quiesced
//!       │                            └─ leaving       sends the last entries
//!       └─ closed(cause)             rejects every input
//!
//! handshaking ──▶ verifying ──▶ attaching ─┬─▶ replaying ──▶ live
//!      └── credential known ──────▲        └─────────────────▲
//!
//! replaying, live ── drain ──▶ draining ── drained ──▶ leaving      every state ──▶ closed
//! ```
//!
//! Guarantees: no client frame has an effect before `hello` is accepted (CONN-1). `ready` comes once, before
//! any entry, answer or `caught_up`; only an `error` about a frame that came before `hello` may stand before it
//! (CONN-2). Nothing follows the close frame (CONN-3). Entries are contiguous (DEL-2, DEL-3), and `caught_up`
//! is sent once. An input that the state does not expect returns [`Rejected`] and changes nothing.
//!
//! An input carries its content, and the effects that it causes carry the content on ([`Payload`]). The machine
//! does not read it, so the cost of a step does not depend on the size of a frame or chunk.
//!
//! - [`input`], [`effect`]: events in, orders out; [`payload`]: their content; [`timer`], [`cause`]
//! - [`resume`]: the position at which a cursor resumes, and its gap
//! - `states`: the transition table; `shared`, `session`: the data of the states; `phase`: their names
//!
//! The protocol below is [WebSocket, RFC 6455](https://www.rfc-editor.org/rfc/rfc6455).
//!
//! # Examples
//!
//! ```
//! use quintet_kernel::connection::{Connection, Effect, Effects, Fault, Input, ConnectionLimits, ServerFrame};
//!
//! let mut effects = Effects::new();
//! let mut connection = Connection::<()>::accept(None, ConnectionLimits::DEFAULT, &mut effects);
//! effects.clear();
//!
//! // A command before `hello` is an error and nothing else (CONN-1).
//! connection.step(&Input::Command(()), &mut effects)?;
//! let error = ServerFrame::Error { fault: Fault::BeforeHello(()), fatal: false };
//! assert_eq!(effects[0], Effect::Send(error));
//!
//! // A reply is not expected now. The input is rejected, and the machine unchanged.
//! assert!(connection.step(&Input::Answered { reply: Some(()) }, &mut effects).is_err());
//! # Ok::<(), quintet_kernel::connection::Rejected>(())
//! ```

#![deny(missing_docs, unreachable_pub)]

pub mod cause;
#[cfg(test)]
mod content_tests;
pub mod effect;
mod groups;
pub mod input;
pub mod payload;
mod phase;
pub mod resume;
mod session;
mod shared;
mod states;
#[cfg(test)]
mod tests;
pub mod timer;

use std::hash::{Hash, Hasher};

use statig::blocking::{InitializedStateMachine, IntoStateMachineExt};

pub use self::{
    cause::Cause,
    effect::{Effect, Effects, Fault, ServerFrame},
    input::{AttachError, Input, InputName, VerifyError},
    payload::Payload,
    phase::Phase,
    resume::{Gap, ResumeCursor, Resumption},
    shared::ConnectionLimits,
    timer::Timer,
};
use self::{effect::StepOutput, session::Peer, shared::Machine, states::State};
use crate::ticket::Identity;

/// The machine of one connection with content of the types `P`. It can be compared, hashed and cloned, as a
/// model checker requires.
#[derive(Clone)]
pub struct Connection<P: Payload = ()>(InitializedStateMachine<Machine<P>>);

/// The input is not expected in this phase; the machine is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not expected in phase {phase:?}")]
pub struct Rejected {
    /// The phase of the machine.
    pub phase: Phase,
    /// The rejected input.
    pub input: InputName,
}

impl<P: Payload> Connection<P> {
    /// Creates the machine of an accepted socket. `identity` is that of the upgrade request, if it had a
    /// credential; otherwise `hello` has to have one.
    pub fn accept(identity: Option<Identity>, limits: ConnectionLimits, effects: &mut Effects<P>) -> Self {
        let peer = identity.map_or(Peer::Unknown, Peer::Known);
        let mut machine = Machine::new(limits).uninitialized_state_machine();
        *machine.state_mut() = State::Handshaking { peer };
        Self(machine.init_with_context(&mut StepOutput::new(effects)))
    }

    /// Handles one input and appends the resulting effects, in order, to `effects`.
    ///
    /// # Errors
    ///
    /// Returns [`Rejected`] if the phase does not expect the input. Machine and `effects` are then unchanged.
    pub fn step(&mut self, input: &Input<P>, effects: &mut Effects<P>) -> Result<(), Rejected> {
        if input.is_client_frame() && !self.reads_frames() {
            return Err(Rejected { phase: self.phase(), input: input.name() });
        }
        let mut out = StepOutput::new(effects);
        self.0.handle_with_context(input, &mut out);
        if out.rejected { Err(Rejected { phase: self.phase(), input: input.name() }) } else { Ok(()) }
    }

    /// Returns the current phase.
    pub fn phase(&self) -> Phase {
        self.0.state().phase()
    }

    /// Returns true if the next client frame may be read from the socket. While it is false the frame stays
    /// there, so a peer at its limits gets backpressure instead of errors.
    pub fn reads_frames(&self) -> bool {
        self.0.inner().has_room() && self.0.state().listens()
    }

    /// Returns the authenticated identity once the connection is open (ISO-1).
    pub fn identity(&self) -> Option<&Identity> {
        self.0.state().identity()
    }
}

impl<P: Payload> PartialEq for Connection<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0.inner() == other.0.inner() && self.0.state() == other.0.state()
    }
}

impl<P: Payload> Eq for Connection<P> {}

impl<P: Payload> Hash for Connection<P> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.inner().hash(hasher);
        self.0.state().hash(hasher);
    }
}

impl<P: Payload> std::fmt::Debug for Connection<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.0.state(), self.0.inner())
    }
}
