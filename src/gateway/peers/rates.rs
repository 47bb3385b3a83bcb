//! A leaky bucket (GCRA) per peer, for a bounded number of peers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::PeerKey;

/// Counts events per peer. A peer whose bucket is empty needs no entry.
pub(super) struct Rates {
    /// Time in which one event drains from a bucket.
    interval: Duration,
    /// Time in which a full bucket drains.
    full: Duration,
    levels: Mutex<RecentPeers>,
}

/// The times at which buckets are empty, in two generations: when the young one is full, it replaces the old
/// one, whose entries are dropped.
struct RecentPeers {
    young: HashMap<PeerKey, Instant>,
    old: HashMap<PeerKey, Instant>,
    generation_max: usize,
}

impl Rates {
    /// Allows `events` per `period`, with bursts of `burst`.
    pub(super) fn new(events: u32, period: Duration, burst: u32, peers_max: usize) -> Self {
        let interval = period / events.max(1);
        let recent = RecentPeers {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: (peers_max / 2).max(1),
        };
        Self { interval, full: interval * burst.max(1), levels: Mutex::new(recent) }
    }

    /// Checks whether the peer's bucket has room for an event. Otherwise returns the time until it has.
    pub(super) fn check(&self, peer: PeerKey) -> Result<(), Duration> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(empty_at) = levels.find(peer) else { return Ok(()) };
        let over = (empty_at + self.interval).saturating_duration_since(Instant::now() + self.full);
        if over.is_zero() { Ok(()) } else { Err(over) }
    }

    /// Adds an event to the peer's bucket, up to its capacity.
    pub(super) fn count(&self, peer: PeerKey) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let level = levels.find(peer).unwrap_or(now).max(now) + self.interval;
        levels.set(peer, level.min(now + self.full));
    }

    /// Returns the number of peers with an entry.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.young.len() + levels.old.len()
    }
}

impl RecentPeers {
    fn find(&self, peer: PeerKey) -> Option<Instant> {
        self.young.get(&peer).or_else(|| self.old.get(&peer)).copied()
    }

    fn set(&mut self, peer: PeerKey, level: Instant) {
        // Rotating generations bounds the memory without tracking the age of each entry.
        if self.young.len() >= self.generation_max && !self.young.contains_key(&peer) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(peer, level);
    }
}
