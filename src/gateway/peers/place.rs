//! One open socket: whose it is, whether it is authenticated, and whether its place was given away.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

use super::{PeerAddr, PeerFull, PeerKey, Peers};

/// The place of an open socket, free when the last clone is dropped: one is with the socket, one with each
/// request on it.
#[derive(Clone)]
pub struct Place(Arc<Inner>);

struct Inner {
    peers: Peers,
    /// The address of the socket itself.
    address: IpAddr,
    displacement: Arc<Displacement>,
    at: Mutex<At>,
}

#[derive(Clone, Copy)]
struct At {
    peer: PeerKey,
    standing: Standing,
}

/// What is known of the peer at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing: its place may be given away. The number is its place among the strangers.
    Stranger(u64),
    /// A request that is authenticated is being answered.
    Busy,
    /// It carries an authenticated connection, which counts against its user.
    Member,
}

/// Tells a socket that its place was given away.
#[derive(Debug, Default)]
pub(super) struct Displacement {
    displaced: AtomicBool,
    /// The socket's task says so to its peer; otherwise the socket breaks.
    announced: AtomicBool,
    waker: AtomicWaker,
}

impl Place {
    pub(super) fn new(
        peers: Peers,
        address: IpAddr,
        peer: PeerKey,
        id: u64,
        displacement: Arc<Displacement>,
    ) -> Self {
        let at = Mutex::new(At { peer, standing: Standing::Stranger(id) });
        Self(Arc::new(Inner { peers, address, displacement, at }))
    }

    /// The address that a request on this socket came from, and counts against from now on.
    pub fn resolve(&self, headers: &http::HeaderMap) -> Result<PeerAddr, PeerFull> {
        let peers = &self.0.peers;
        let resolved = peers.resolve(self.0.address, headers);
        let mut at = self.at();
        let peer = PeerKey::from(resolved.0);
        if peer != at.peer {
            let mut sockets = peers.sockets();
            peers.room_of_peer(&mut sockets, peer)?;
            if let Standing::Stranger(id) = at.standing {
                sockets.befriend(at.peer, id);
            }
            sockets.leave(at.peer);
            let id = sockets.enter(peer, self.0.displacement.clone());
            if let Standing::Stranger(own) = &mut at.standing {
                *own = id;
            } else {
                sockets.befriend(peer, id);
            }
            at.peer = peer;
        }
        Ok(resolved)
    }

    /// A request on this socket is authenticated.
    pub fn is_busy(&self) {
        self.stand(Standing::Busy);
    }

    /// This socket carries an authenticated connection, to its end.
    pub fn is_member(&self) {
        self.stand(Standing::Member);
    }

    fn stand(&self, standing: Standing) {
        let mut at = self.at();
        if let Standing::Stranger(id) = at.standing {
            self.0.peers.sockets().befriend(at.peer, id);
        }
        if at.standing != Standing::Member {
            at.standing = standing;
        }
    }

    /// A request was answered: the socket may wait for the next, and its place may be given away meanwhile.
    /// Whether that request was authenticated.
    pub fn is_idle(&self) -> bool {
        let mut at = self.at();
        if at.standing == Standing::Busy {
            let mut sockets = self.0.peers.sockets();
            let id = sockets.estrange(at.peer, self.0.displacement.clone());
            at.standing = Standing::Stranger(id);
            return true;
        }
        at.standing == Standing::Member
    }

    /// From here on the task of the connection closes the socket when it is displaced.
    pub fn announces(&self) {
        self.0.displacement.announced.store(true, Ordering::Release);
    }

    /// Ready once the place was given away.
    pub fn poll_displaced(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.displacement.poll(cx)
    }

    /// The same, while the socket has to break by itself.
    pub fn poll_breaks(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.displacement.announced.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.0.displacement.poll(cx)
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.0.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let at = *self.at.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut sockets = self.peers.sockets();
        if let Standing::Stranger(id) = at.standing {
            sockets.befriend(at.peer, id);
        }
        sockets.leave(at.peer);
    }
}

impl Displacement {
    pub(super) fn displace(&self) {
        self.displaced.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.displaced.load(Ordering::Acquire) {
            self.waker.register(cx.waker());
            // It may have been displaced between the look and the registration.
            if !self.displaced.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
