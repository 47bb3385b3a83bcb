//! Events of a peer over time, as a leaky bucket each (GCRA), for a bounded number of peers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::PeerKey;

/// Counts events by peer. A peer without events costs nothing.
pub(super) struct Rates {
    /// Time in which one event leaks away.
    interval: Duration,
    /// The level of a full bucket.
    full: Duration,
    levels: Mutex<Recent>,
}

/// The moments at which buckets are empty again, in two generations: when the young one is full, it becomes
/// the old one, and what was in the old one is forgotten.
struct Recent {
    young: HashMap<PeerKey, Instant>,
    old: HashMap<PeerKey, Instant>,
    generation_max: usize,
}

impl Rates {
    /// `events` in each `period` in the long run, and `burst` at once.
    pub(super) fn new(events: u32, period: Duration, burst: u32, peers_max: usize) -> Self {
        let interval = period / events.max(1);
        let recent =
            Recent { young: HashMap::new(), old: HashMap::new(), generation_max: (peers_max / 2).max(1) };
        Self { interval, full: interval * burst.max(1), levels: Mutex::new(recent) }
    }

    /// Whether the peer's bucket has room for one more event; otherwise the time until it has.
    pub(super) fn check(&self, peer: PeerKey) -> Result<(), Duration> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(empty_at) = levels.find(peer) else { return Ok(()) };
        let over = (empty_at + self.interval).saturating_duration_since(Instant::now() + self.full);
        if over.is_zero() { Ok(()) } else { Err(over) }
    }

    /// Adds an event to the peer's bucket; a full one takes no more.
    pub(super) fn count(&self, peer: PeerKey) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let level = levels.find(peer).unwrap_or(now).max(now) + self.interval;
        levels.set(peer, level.min(now + self.full));
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.young.len() + levels.old.len()
    }
}

impl Recent {
    fn find(&self, peer: PeerKey) -> Option<Instant> {
        self.young.get(&peer).or_else(|| self.old.get(&peer)).copied()
    }

    fn set(&mut self, peer: PeerKey, level: Instant) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(&peer) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(peer, level);
    }
}
