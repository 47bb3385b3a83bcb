//! One connection from the accepted socket to its close, as a hierarchical state machine without IO or clock.
//!
//! ```text
//! root ─┬─ connected ─┬─ setting_up ─┬─ handshaking   waits for `hello`
//!       │             │              ├─ verifying     its credential is looked at
//!       │             │              └─ attaching     the user's machines and the place in the log
//!       │             └─ open ───────┬─ replaying     entries up to the head told in `ready`
//!       │                            ├─ live          entries as they come
//!       │                            └─ draining      the service goes; entries still come
//!       └─ closed(cause)             nothing more is said
//! ```
//!
//! Guarantees: no client frame has an effect before `hello` is accepted (CONN-1); the first frame to an
//! opened connection is `ready` (CONN-2); nothing follows the close (CONN-3); entries are contiguous
//! (DEL-2, DEL-3) and `caught_up` comes once. An input that its state does not expect is answered with
//! [`Rejected`] and changes nothing.
//!
//! Content stays with the caller: an input says *that* a command or a chunk of entries came, an effect
//! says what to do with the one at hand. So a step costs the same whatever a frame or a chunk holds.
//!
//! - [`input`], [`effect`]: what happened, and what is to be done, in order
//! - [`resume`]: where a cursor goes on, or what is missing
//! - [`states`]: the table; [`shared`], [`session`]: what the states hold

pub mod effect;
pub mod input;
pub mod resume;
mod session;
mod shared;
mod states;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};

use statig::blocking::{InitializedStateMachine, IntoStateMachineExt};

use self::{effect::Turn, session::Peer, shared::Machine, states::State};
pub use self::{
    effect::{Cause, Effect, Effects, Fault, ServerFrame, Timer},
    input::{Asked, Input, InputName, Unattached, Unverified},
    resume::{Gap, Resumption},
    session::Phase,
    shared::Limits,
};
use crate::kernel::ticket::Identity;

/// A connection's machine. Compares, hashes and clones as a value, so that a model checker can hold it.
#[derive(Clone)]
pub struct Connection(InitializedStateMachine<Machine>);

/// The input does not belong in this phase; the machine is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not expected in phase {phase:?}")]
pub struct Rejected {
    pub phase: Phase,
    pub input: InputName,
}

impl Connection {
    /// A socket was accepted. `identity`: whom its upgrade request was authenticated as, if it
    /// carried a credential; whoever else comes has to bring one in `hello`.
    pub fn accept(identity: Option<Identity>, limits: Limits, effects: &mut Effects) -> Self {
        let peer = identity.map_or(Peer::Unknown, Peer::Known);
        let mut machine = Machine::new(limits).uninitialized_state_machine();
        *machine.state_mut() = State::Handshaking { peer };
        Self(machine.init_with_context(&mut Turn::new(effects)))
    }

    /// Takes one input; what is to be done about it is added to `effects`, in order.
    pub fn step(&mut self, input: &Input, effects: &mut Effects) -> Result<(), Rejected> {
        if input.is_client_frame() && !self.hears() {
            return Err(Rejected { phase: self.phase(), input: input.name() });
        }
        let mut turn = Turn::new(effects);
        self.0.handle_with_context(input, &mut turn);
        if turn.rejected { Err(Rejected { phase: self.phase(), input: input.name() }) } else { Ok(()) }
    }

    pub fn phase(&self) -> Phase {
        self.0.state().phase()
    }

    /// Whether the next client frame may be taken off the socket. If not, it waits there: a peer that
    /// has as much outstanding as it may have is slowed down, not refused.
    pub fn hears(&self) -> bool {
        self.0.inner().has_room() && self.0.state().listens()
    }

    /// Whom the connection is authenticated as, once it is open (ISO-1).
    pub fn identity(&self) -> Option<&Identity> {
        self.0.state().identity()
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.0.inner() == other.0.inner() && self.0.state() == other.0.state()
    }
}

impl Eq for Connection {}

impl Hash for Connection {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.inner().hash(hasher);
        self.0.state().hash(hasher);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.0.state(), self.0.inner())
    }
}
