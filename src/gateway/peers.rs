//! Peer addresses: the sockets that each has open, and the failures and frames of each that came without
//! an identity.
//!
//! Guarantees: sockets that are not authenticated are bounded, in all and by address, and the oldest of
//! the address that has the most makes room for a new one, so that strangers keep no user out (ISO-6);
//! what is kept for it is bounded, however many addresses there are.
//!
//! - [`place`]: one open socket among them; [`rates`]: events of an address over time
//! - [`forwarded`]: the address behind a trusted proxy

pub mod forwarded;
pub mod place;
mod rates;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::{forwarded::TrustedProxies, place::Place};
use self::{place::Displacement, rates::Rates};
use super::limits::GatewayLimits;
use crate::runtime::saturation::{Saturation, Scope};

/// The address that a request came from: of its socket, or as a trusted proxy states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub IpAddr);

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, which is what one customer of
/// a network gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(IpAddr);

/// The sockets and rates of all peers. Cloning shares them.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    limits: GatewayLimits,
    trusted: TrustedProxies,
    saturation: Saturation,
    sockets: Mutex<Sockets>,
    failures: Rates,
    frames: Rates,
}

/// A peer has failed, or sent, too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many refused requests from this address; try again in {retry_after_ms} ms")]
pub struct PeerLimited {
    pub retry_after_ms: u64,
}

/// The peer has as many sockets as it may have, all of them authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer_sockets_max is reached")]
pub struct PeerFull;

/// How many sockets are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketsOpen {
    pub authenticated: usize,
    pub unauthenticated: usize,
}

#[derive(Default)]
struct Sockets {
    open: usize,
    strangers: usize,
    of_peer: HashMap<PeerKey, OfPeer>,
    /// The peers that have strangers, by their number.
    crowds: BTreeSet<(usize, PeerKey)>,
    next: u64,
}

#[derive(Default)]
struct OfPeer {
    open: usize,
    /// Sockets that are not authenticated, the oldest first.
    strangers: BTreeMap<u64, Arc<Displacement>>,
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
        Self(Arc::new(Inner { limits, trusted, saturation, sockets, failures, frames }))
    }

    /// Takes a place for a socket that was accepted from `address`; nothing is known of it yet.
    pub fn accept(&self, address: IpAddr) -> Result<Place, PeerFull> {
        let peer = PeerKey::from(address);
        let mut sockets = self.sockets();
        // A proxy's sockets are its clients': each counts once its first request says whose it is.
        if !self.0.trusted.contains(address) {
            self.room_of_peer(&mut sockets, peer)?;
        }
        if sockets.strangers >= self.strangers_max() {
            self.0.saturation.reached("unauthenticated_sockets_max", Scope::Service);
            sockets.displace_one();
        }
        let displacement = Arc::new(Displacement::default());
        let id = sockets.enter(peer, displacement.clone());
        drop(sockets);
        Ok(Place::new(self.clone(), address, peer, id, displacement))
    }

    /// Makes room for a socket where `sockets_max` is reached. Whether there was a socket to displace.
    pub fn make_room(&self) -> bool {
        let is_made = self.sockets().displace_one();
        if !is_made {
            self.0.saturation.reached("sockets_max", Scope::Service);
        }
        is_made
    }

    /// The address that a request on a socket of `address` came from.
    pub fn resolve(&self, address: IpAddr, headers: &http::HeaderMap) -> PeerAddr {
        PeerAddr(self.0.trusted.resolve(address, headers))
    }

    /// Whether a credential of this peer may be checked.
    pub fn may_try(&self, peer: PeerAddr) -> Result<(), PeerLimited> {
        let checked = self.0.failures.check(peer.0.into());
        checked.map_err(|wait| self.limited("peer_auth_failures_per_minute_max", wait))
    }

    /// Counts a credential or a request of this peer that was refused.
    pub fn failed(&self, peer: PeerAddr) {
        self.0.failures.count(peer.0.into());
    }

    /// Counts a frame that came before its connection was open.
    pub fn frame(&self, peer: PeerAddr) -> Result<(), PeerLimited> {
        let counted = self.0.frames.check(peer.0.into());
        self.0.frames.count(peer.0.into());
        counted.map_err(|wait| self.limited("peer_frames_per_second_max", wait))
    }

    pub fn sockets_open(&self) -> SocketsOpen {
        let sockets = self.sockets();
        let unauthenticated = sockets.strangers;
        SocketsOpen { authenticated: sockets.open - unauthenticated, unauthenticated }
    }

    /// A peer whose share is used up gives one of its own strangers for the new socket.
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

    /// ISO-6: no address takes all sockets, whatever the settings.
    fn peer_max(&self) -> usize {
        self.0.limits.peer_sockets_max.min(self.0.limits.sockets_max / 4 * 3).max(1)
    }

    /// ISO-6: strangers take half of all sockets at most, whatever the settings.
    fn strangers_max(&self) -> usize {
        self.0.limits.unauthenticated_sockets_max.min(self.0.limits.sockets_max / 2).max(1)
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    /// Takes up a socket as a stranger, the newest of its peer.
    fn enter(&mut self, peer: PeerKey, displacement: Arc<Displacement>) -> u64 {
        self.open += 1;
        self.of_peer.entry(peer).or_default().open += 1;
        self.estrange(peer, displacement)
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

    /// Lists a socket of `peer` as a stranger.
    fn estrange(&mut self, peer: PeerKey, displacement: Arc<Displacement>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.strangers += 1;
        let strangers = &mut self.of_peer.entry(peer).or_default().strangers;
        self.crowds.remove(&(strangers.len(), peer));
        strangers.insert(id, displacement);
        self.crowds.insert((strangers.len(), peer));
        id
    }

    /// Takes a socket off the list of strangers; it may have been displaced.
    fn befriend(&mut self, peer: PeerKey, id: u64) {
        let Some(of_peer) = self.of_peer.get_mut(&peer) else { return };
        let before = of_peer.strangers.len();
        if of_peer.strangers.remove(&id).is_some() {
            self.strangers -= 1;
            self.crowds.remove(&(before, peer));
            if before > 1 {
                self.crowds.insert((before - 1, peer));
            }
        }
    }

    /// Displaces the oldest stranger of the peer that has the most.
    fn displace_one(&mut self) -> bool {
        self.crowds.last().copied().is_some_and(|(_, peer)| self.displace_of(peer))
    }

    fn displace_of(&mut self, peer: PeerKey) -> bool {
        let strangers = self.of_peer.get(&peer).map(|of_peer| &of_peer.strangers);
        let Some((id, displacement)) = strangers.and_then(BTreeMap::first_key_value) else { return false };
        let (id, displacement) = (*id, displacement.clone());
        self.befriend(peer, id);
        displacement.displace();
        metrics::counter!("quintet_sockets_displaced_total").increment(1);
        true
    }
}

/// Seconds of frames that a peer may send at once.
const FRAMES_BURST_S: u32 = 10;

#[cfg(test)]
mod tests;
