//! The time that a run has waited for its user's other runs.
//!
//! Guarantee: time in which a run's agent waited for a permit is not counted by the timeouts of the run and of
//! its calls, so no run times out because of the load of others (ISO-6).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::sync::Mutex;

/// The time that one run has spent waiting. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct QueueTime(Arc<Mutex<Spent>>);

#[derive(Debug, Default)]
struct Spent {
    before: Duration,
    /// The number of current waits, and the start of the first.
    waits: usize,
    since: Option<Instant>,
}

/// A guard of one wait.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct QueueTimeGuard(QueueTime);

impl QueueTime {
    /// Begins a wait. Concurrent waits count once.
    pub fn enter(&self) -> QueueTimeGuard {
        let mut spent = self.0.lock();
        spent.waits += 1;
        if spent.since.is_none() {
            spent.since = Some(Instant::now());
        }
        drop(spent);
        QueueTimeGuard(self.clone())
    }

    /// Returns the time spent waiting up to `now`.
    pub fn waited(&self, now: Instant) -> Duration {
        let spent = self.0.lock();
        let current = spent.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        spent.before + current
    }
}

impl Drop for QueueTimeGuard {
    fn drop(&mut self) {
        let mut spent = self.0.0.lock();
        spent.waits -= 1;
        if spent.waits == 0
            && let Some(since) = spent.since.take()
        {
            spent.before += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_at_the_same_time_count_once() {
        let (line, second) = (QueueTime::default(), Duration::from_secs(1));
        let first = line.enter();
        tokio::time::advance(second).await;
        let other = line.enter();
        tokio::time::advance(second).await;
        drop(first);
        tokio::time::advance(second).await;
        assert_eq!(line.waited(Instant::now()), 3 * second);
        drop(other);
        tokio::time::advance(second).await;
        assert_eq!(line.waited(Instant::now()), 3 * second);
    }
}
