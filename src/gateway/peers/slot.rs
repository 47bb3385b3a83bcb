//! One open socket: its peer, its authentication state, and whether it was displaced.

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

/// The registration of an open socket, removed when the last clone is dropped. The socket and each of its
/// requests hold a clone.
#[derive(Clone)]
pub struct SocketSlot(Arc<SlotInner>);

struct SlotInner {
    peers: Peers,
    /// The remote address of the socket, possibly a proxy.
    address: IpAddr,
    displacement: Arc<Displacement>,
    at: Mutex<SlotState>,
}

#[derive(Clone, Copy)]
struct SlotState {
    peer: PeerKey,
    standing: SlotStanding,
}

/// The authentication state of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotStanding {
    /// Not authenticated and may be displaced. Holds the socket's id among those of its peer.
    Stranger(u64),
    /// An authenticated request is in progress.
    Busy,
    /// Carries an authenticated connection, which counts against its user.
    Member,
}

/// Signals a socket that it is displaced.
#[derive(Debug, Default)]
pub(super) struct Displacement {
    displaced: AtomicBool,
    /// The connection's task closes the socket with a close frame; while false, I/O on the socket fails.
    announced: AtomicBool,
    waker: AtomicWaker,
}

impl SocketSlot {
    /// Creates the registration of a socket that is listed as unauthenticated with this `id`.
    pub(super) fn new(
        peers: Peers,
        address: IpAddr,
        peer: PeerKey,
        id: u64,
        displacement: Arc<Displacement>,
    ) -> Self {
        let at = Mutex::new(SlotState { peer, standing: SlotStanding::Stranger(id) });
        Self(Arc::new(SlotInner { peers, address, displacement, at }))
    }

    /// Returns the remote address of the socket, which may be a proxy.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Resolves the peer address of a request and moves the socket to that peer.
    ///
    /// # Errors
    /// When that peer has reached its limit on sockets.
    pub fn resolve(&self, headers: &http::HeaderMap) -> Result<PeerAddr, PeerFull> {
        let peers = &self.0.peers;
        let resolved = peers.resolve(self.0.address, headers);
        let mut at = self.at();
        let peer = PeerKey::from(resolved.0);
        if peer != at.peer {
            let mut sockets = peers.sockets();
            peers.room_of_peer(&mut sockets, peer)?;
            if let SlotStanding::Stranger(id) = at.standing {
                sockets.mark_authenticated(at.peer, id);
            }
            sockets.leave(at.peer);
            // Only after `room_of_peer` succeeded: an error leaves the socket with its previous peer.
            let id = sockets.enter(peer, self.0.displacement.clone());
            if let SlotStanding::Stranger(own) = &mut at.standing {
                *own = id;
            } else {
                sockets.mark_authenticated(peer, id);
            }
            at.peer = peer;
        }
        Ok(resolved)
    }

    /// Marks the socket as busy with an authenticated request.
    pub fn is_busy(&self) {
        self.stand(SlotStanding::Busy);
    }

    /// Marks the socket as an authenticated connection until it is closed.
    pub fn is_member(&self) {
        self.stand(SlotStanding::Member);
    }

    fn stand(&self, standing: SlotStanding) {
        let mut at = self.at();
        if let SlotStanding::Stranger(id) = at.standing {
            self.0.peers.sockets().mark_authenticated(at.peer, id);
        }
        // A connection stays authenticated until it closes; later requests cannot demote it.
        if at.standing != SlotStanding::Member {
            at.standing = standing;
        }
    }

    /// Marks the end of a request: unless it carries a connection, the socket may be displaced again. Returns
    /// whether the request was authenticated.
    pub fn is_idle(&self) -> bool {
        let mut at = self.at();
        if at.standing == SlotStanding::Busy {
            let mut sockets = self.0.peers.sockets();
            let id = sockets.mark_unauthenticated(at.peer, self.0.displacement.clone());
            at.standing = SlotStanding::Stranger(id);
            return true;
        }
        at.standing == SlotStanding::Member
    }

    /// Leaves closing a displaced socket to the connection's task, which sends a close frame first.
    pub fn announces(&self) {
        self.0.displacement.announced.store(true, Ordering::Release);
    }

    /// Resolves once the socket is displaced.
    pub fn poll_displaced(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.displacement.poll(cx)
    }

    /// Resolves once the socket is displaced, unless the connection's task closes it.
    pub fn poll_breaks(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.displacement.announced.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.0.displacement.poll(cx)
    }

    fn at(&self) -> MutexGuard<'_, SlotState> {
        self.0.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SlotInner {
    fn drop(&mut self) {
        let at = *self.at.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut sockets = self.peers.sockets();
        if let SlotStanding::Stranger(id) = at.standing {
            sockets.mark_authenticated(at.peer, id);
        }
        sockets.leave(at.peer);
    }
}

impl Displacement {
    /// Marks the socket as displaced and wakes its task.
    pub(super) fn displace(&self) {
        self.displaced.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.displaced.load(Ordering::Acquire) {
            self.waker.register(cx.waker());
            // Check again: `displace` may have run between the check and the registration.
            if !self.displaced.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
