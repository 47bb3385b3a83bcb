//! The phase of a connection: its state without the data.

use super::{cause::Cause, states::State};
use crate::ticket::Identity;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Waiting for `hello`.
    Handshaking,
    /// The credential of `hello` is being verified.
    Verifying,
    /// The connection is being attached to its user's machines.
    Attaching,
    /// Stored entries are being sent, up to the head in `ready`.
    Replaying,
    /// New entries are sent as they are appended.
    Live,
    /// Entries are sent until all runs are quiesced (CONN-6).
    Draining,
    /// The runs are quiesced and the last entries are being sent.
    Leaving,
    /// The close frame was sent.
    Closed(Cause),
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            State::Handshaking { .. } => Phase::Handshaking,
            State::Verifying { .. } => Phase::Verifying,
            State::Attaching { .. } => Phase::Attaching,
            State::Replaying { .. } => Phase::Replaying,
            State::Live { .. } => Phase::Live,
            State::Draining { .. } => Phase::Draining,
            State::Leaving { .. } => Phase::Leaving,
            State::Closed { cause } => Phase::Closed(*cause),
        }
    }

    /// Returns true in states that handle or refuse a client frame at once.
    pub(super) fn listens(&self) -> bool {
        match self {
            State::Handshaking { .. }
            | State::Replaying { .. }
            | State::Live { .. }
            | State::Draining { .. }
            | State::Leaving { .. } => true,
            State::Verifying { .. } | State::Attaching { .. } | State::Closed { .. } => false,
        }
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            State::Replaying { session, .. }
            | State::Live { session }
            | State::Draining { session, .. }
            | State::Leaving { session, .. } => Some(&session.identity),
            State::Handshaking { .. }
            | State::Verifying { .. }
            | State::Attaching { .. }
            | State::Closed { .. } => None,
        }
    }
}
