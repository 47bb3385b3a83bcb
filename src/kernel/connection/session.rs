//! Who is at the other end of a connection, and how far it has got.

use super::effect::Cause;
use crate::kernel::{ids::Offset, ticket::Identity};

/// Who is at the other end before `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    Unknown,
    /// The upgrade request was authenticated.
    Known(Identity),
}

/// An open connection: whose it is, and how far it has got.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) identity: Identity,
    /// The offset of the last entry sent; what comes next is the one after (DEL-2).
    pub(super) sent: Offset,
    pub(super) flow: Flow,
    pub(super) ping: Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flow {
    /// The next chunk is being fetched.
    Fetching,
    /// A chunk is on its way to the socket; the next is not fetched before it is there (DEL-4).
    Sending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ping {
    None,
    /// The peer owes an answer.
    Unanswered,
}

/// What a connection still has to catch up with when a drain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Backlog {
    Until(Offset),
    None,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Handshaking,
    Verifying,
    Attaching,
    Replaying,
    Live,
    Draining,
    /// The drain is over but for the last entries.
    Leaving,
    Closed(Cause),
}

impl Peer {
    pub(super) fn may_be(&self, identity: &Identity) -> bool {
        match self {
            Peer::Unknown => true,
            Peer::Known(known) => known.user_id == identity.user_id,
        }
    }
}

impl Session {
    /// Whether these entries are asked for and follow those sent (DEL-2).
    pub(super) fn expects(&self, first: Offset, last: Offset) -> bool {
        self.flow == Flow::Fetching && first.0.checked_sub(1) == Some(self.sent.0) && first <= last
    }
}
