//! The data of the states: the peer, and the progress of an open connection through the log.

use crate::{ids::Offset, ticket::Identity};

/// The peer before `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// The upgrade request had no credential.
    Unknown,
    /// The upgrade request was authenticated.
    Known(Identity),
}

/// The state of an open connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) identity: Identity,
    /// The offset of the last entry sent; the next one has the following offset (DEL-2).
    pub(super) sent: Offset,
    pub(super) flow: Flow,
    pub(super) ping: PingState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flow {
    /// The next chunk is being fetched.
    Fetching,
    /// A chunk is being written; the next one is fetched after its flush, so at most one is in memory (DEL-4).
    Sending,
}

/// The step in the cycle of fetching and sending chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PingState {
    None,
    /// A ping was sent and not yet answered.
    Unanswered,
}

/// The rest of the replay at the start of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Backlog {
    Until(Offset),
    None,
}

impl Peer {
    /// Returns true unless the upgrade request was authenticated as another user.
    pub(super) fn may_be(&self, identity: &Identity) -> bool {
        match self {
            Peer::Unknown => true,
            Peer::Known(known) => known.user_id == identity.user_id,
        }
    }
}

impl Session {
    /// Returns true if a chunk was requested and `first` to `last` continue the entries sent (DEL-2).
    pub(super) fn expects(&self, first: Offset, last: Offset) -> bool {
        self.flow == Flow::Fetching && first.0.checked_sub(1) == Some(self.sent.0) && first <= last
    }
}
