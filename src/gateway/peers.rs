//! Peer addresses: the open sockets of each, and rate limits on its failed and unauthenticated requests.
//!
//! Guarantees: sockets that are not authenticated are bounded in total and per address. The oldest such
//! socket of the address with the most is displaced by a new one, so unauthenticated peers cannot lock out
//! users (ISO-6). Memory is bounded regardless of the number of addresses.
//!
//! - [`slot`]: one open socket; `rates`: a leaky bucket per peer
//! - [`forwarded`]: client addresses behind trusted proxies

pub mod forwarded;
mod rates;
pub mod slot;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::{forwarded::TrustedProxies, slot::SocketSlot};
use self::{rates::Rates, slot::Displacement};
use super::limits::GatewayLimits;
use crate::runtime::saturation::{Saturation, Scope};

/// The address of a request: that of its socket, or the one stated by a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub IpAddr);

/// The unit that limits on peers apply to: an IPv4 address, or the /64 of an IPv6 address, the usual
/// allocation to one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(IpAddr);

/// Sockets and rate limits of all peers. Clones share them.
#[derive(Clone)]
pub struct Peers(Arc<PeersInner>);

struct PeersInner {
    limits: GatewayLimits,
    trusted: TrustedProxies,
    saturation: Saturation,
    sockets: Mutex<Sockets>,
    failures: Rates,
    frames: Rates,
}

/// The peer has exceeded its rate of failures or of unauthenticated frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many refused requests from this address; try again in {retry_after_ms} ms")]
pub struct PeerLimited {
    /// Milliseconds after which the rate allows another attempt.
    pub retry_after_ms: u64,
}

/// The peer has reached `peer_sockets_max`, and all of its sockets are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer_sockets_max is reached")]
pub struct PeerFull;

/// The number of open sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketsOpen {
    /// Sockets that carry an authenticated request or connection.
    pub authenticated: usize,
    /// All other sockets, which new sockets may displace.
    pub unauthenticated: usize,
}

#[derive(Default)]
struct Sockets {
    open: usize,
    unauthenticated: usize,
    of_peer: HashMap<PeerKey, OfPeer>,
    /// Peers with unauthenticated sockets, ordered by the number of these.
    crowds: BTreeSet<(usize, PeerKey)>,
    next: u64,
}

#[derive(Default)]
struct OfPeer {
    open: usize,
    /// Unauthenticated sockets by id, oldest first.
    unauthenticated: BTreeMap<u64, Arc<Displacement>>,
}

impl From<IpAddr> for PeerKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 => v4,
        })
    }
}

impl Peers {
    /// Creates the registry without any sockets.
    pub fn new(limits: GatewayLimits, trusted: TrustedProxies, saturation: Saturation) -> Self {
        let failures = Rates::new(
            limits.peer_auth_failures_per_minute_max,
            Duration::from_secs(60),
            limits.peer_auth_failures_per_minute_max,
            limits.peers_max,
        );
        let burst = limits.peer_frames_per_second_max.saturating_mul(FRAMES_BURST_S);
        let frames =
            Rates::new(limits.peer_frames_per_second_max, Duration::from_secs(1), burst, limits.peers_max);
        let sockets = Mutex::default();
        Self(Arc::new(PeersInner { limits, trusted, saturation, sockets, failures, frames }))
    }

    /// Registers a socket accepted from `address`, as unauthenticated. Displaces another one if a limit is
    /// reached.
    ///
    /// # Errors
    /// When the peer has reached its limit and none of its sockets can be displaced.
    pub fn accept(&self, address: IpAddr) -> Result<SocketSlot, PeerFull> {
        let peer = PeerKey::from(address);
        let mut sockets = self.sockets();
        // Sockets of a proxy are counted for its clients, once the first request states the address.
        if !self.0.trusted.contains(address) {
            self.room_of_peer(&mut sockets, peer)?;
        }
        // Any peer may be displaced here: the limit is one of the whole service.
        if sockets.unauthenticated >= self.unauthenticated_max() {
            self.0.saturation.reached("unauthenticated_sockets_max", Scope::Service);
            sockets.displace_one();
        }
        let displacement = Arc::new(Displacement::default());
        let id = sockets.enter(peer, displacement.clone());
        drop(sockets);
        Ok(SocketSlot::new(self.clone(), address, peer, id, displacement))
    }

    /// Displaces an unauthenticated socket because `sockets_max` is reached. Returns whether there was one.
    pub fn make_room(&self) -> bool {
        let is_made = self.sockets().displace_one();
        if !is_made {
            self.0.saturation.reached("sockets_max", Scope::Service);
        }
        is_made
    }

    /// Returns the peer address of a request on a socket with the remote address `address`.
    pub fn resolve(&self, address: IpAddr, headers: &http::HeaderMap) -> PeerAddr {
        PeerAddr(self.0.trusted.resolve(address, headers))
    }

    /// Checks whether a credential of this peer may be verified.
    ///
    /// # Errors
    /// When the peer has exceeded `peer_auth_failures_per_minute_max`.
    pub fn may_try(&self, peer: PeerAddr) -> Result<(), PeerLimited> {
        let checked = self.0.failures.check(peer.0.into());
        checked.map_err(|wait| self.limited("peer_auth_failures_per_minute_max", wait))
    }

    /// Counts a refused credential or a refused unauthenticated request of this peer.
    pub fn failed(&self, peer: PeerAddr) {
        self.0.failures.count(peer.0.into());
    }

    /// Counts a frame that arrived before `ready`.
    ///
    /// # Errors
    /// When the peer has exceeded `peer_frames_per_second_max`.
    pub fn frame(&self, peer: PeerAddr) -> Result<(), PeerLimited> {
        let counted = self.0.frames.check(peer.0.into());
        self.0.frames.count(peer.0.into());
        counted.map_err(|wait| self.limited("peer_frames_per_second_max", wait))
    }

    /// Returns the numbers of open sockets.
    pub fn sockets_open(&self) -> SocketsOpen {
        let sockets = self.sockets();
        let unauthenticated = sockets.unauthenticated;
        SocketsOpen { authenticated: sockets.open - unauthenticated, unauthenticated }
    }

    /// Makes room for a socket of `peer`: at the limit, displaces one of its unauthenticated sockets.
    fn room_of_peer(&self, sockets: &mut Sockets, peer: PeerKey) -> Result<(), PeerFull> {
        let open = sockets.of_peer.get(&peer).map_or(0, |of_peer| of_peer.open);
        if open < self.peer_max() {
            return Ok(());
        }
        self.0.saturation.reached("peer_sockets_max", Scope::Peer);
        if sockets.displace_of(peer) { Ok(()) } else { Err(PeerFull) }
    }

    fn limited(&self, limit: &'static str, wait: Duration) -> PeerLimited {
        self.0.saturation.reached(limit, Scope::Peer);
        PeerLimited { retry_after_ms: (wait.as_millis() as u64).max(1) }
    }

    /// Returns the limit on sockets per peer. ISO-6: no configuration lets one address take all sockets.
    fn peer_max(&self) -> usize {
        self.0.limits.peer_sockets_max.min(self.0.limits.sockets_max / 4 * 3).max(1)
    }

    /// Returns the limit on unauthenticated sockets. ISO-6: at most half of all sockets in any configuration.
    fn unauthenticated_max(&self) -> usize {
        self.0.limits.unauthenticated_sockets_max.min(self.0.limits.sockets_max / 2).max(1)
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    /// Adds a socket as the newest unauthenticated one of its peer and returns its id.
    fn enter(&mut self, peer: PeerKey, displacement: Arc<Displacement>) -> u64 {
        self.open += 1;
        self.of_peer.entry(peer).or_default().open += 1;
        self.mark_unauthenticated(peer, displacement)
    }

    fn leave(&mut self, peer: PeerKey) {
        self.open -= 1;
        if let Some(of_peer) = self.of_peer.get_mut(&peer) {
            of_peer.open -= 1;
            if of_peer.open == 0 {
                self.of_peer.remove(&peer);
            }
        }
    }

    /// Marks a socket of `peer` as unauthenticated and returns its new id.
    fn mark_unauthenticated(&mut self, peer: PeerKey, displacement: Arc<Displacement>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.unauthenticated += 1;
        let unauthenticated = &mut self.of_peer.entry(peer).or_default().unauthenticated;
        // The ordered set is keyed by the count, so the entry is replaced when the count changes.
        self.crowds.remove(&(unauthenticated.len(), peer));
        unauthenticated.insert(id, displacement);
        self.crowds.insert((unauthenticated.len(), peer));
        id
    }

    /// Removes a socket from the unauthenticated ones, if it is still listed there.
    fn mark_authenticated(&mut self, peer: PeerKey, id: u64) {
        let Some(of_peer) = self.of_peer.get_mut(&peer) else { return };
        let before = of_peer.unauthenticated.len();
        if of_peer.unauthenticated.remove(&id).is_some() {
            self.unauthenticated -= 1;
            self.crowds.remove(&(before, peer));
            if before > 1 {
                self.crowds.insert((before - 1, peer));
            }
        }
    }

    /// Displaces the oldest unauthenticated socket of the peer with the most. Returns false if there is none.
    fn displace_one(&mut self) -> bool {
        self.crowds.last().copied().is_some_and(|(_, peer)| self.displace_of(peer))
    }

    fn displace_of(&mut self, peer: PeerKey) -> bool {
        let unauthenticated = self.of_peer.get(&peer).map(|of_peer| &of_peer.unauthenticated);
        let Some((id, displacement)) = unauthenticated.and_then(BTreeMap::first_key_value) else {
            return false;
        };
        let (id, displacement) = (*id, displacement.clone());
        // No longer listed, so that the same socket is not displaced twice before it closes.
        self.mark_authenticated(peer, id);
        displacement.displace();
        metrics::counter!("quintet_sockets_displaced_total").increment(1);
        true
    }
}

/// Burst of `peer_frames_per_second_max`, in seconds of that rate.
const FRAMES_BURST_S: u32 = 10;

#[cfg(test)]
mod tests;
