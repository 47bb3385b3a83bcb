//! Tracks which limits currently reject work.
//!
//! Guarantee: a limit that is reached is visible to operators (ISO-6). Its gauge is 1; one WARN is logged
//! when it is first reached and one INFO once it has rejected nothing for [`SATURATED_FOR`], regardless of
//! the number of rejections in between.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Time without a rejection after which a limit no longer counts as reached.
pub const SATURATED_FOR: Duration = Duration::from_secs(15);

/// The scope of a limit: which work competes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole service: while the limit is reached, new work of all users is rejected.
    Service,
    /// One user; other users are not affected.
    User,
    /// One peer address; other addresses are not affected.
    Peer,
}

impl Scope {
    /// Returns the name used in logs, metric labels and `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::User => "user",
            Self::Peer => "peer",
        }
    }
}

/// A record of the limits that are reached. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Saturation(Arc<Mutex<BTreeMap<&'static str, Reached>>>);

#[derive(Clone, Copy, Debug)]
struct Reached {
    scope: Scope,
    last: Instant,
    refusals: u64,
}

impl Saturation {
    /// Records that `limit`, the name of a setting, has rejected work.
    pub fn reached(&self, limit: &'static str, scope: Scope) {
        metrics::counter!("quintet_rejected_total", "limit" => limit).increment(1);
        self.note(limit, scope, 1);
    }

    /// Records that `limit`, which is measured whether or not it refuses something, is reached or not. Call it
    /// more often than every [`SATURATED_FOR`] while it is reached.
    pub fn measured(&self, limit: &'static str, scope: Scope, is_reached: bool) {
        if is_reached {
            self.note(limit, scope, 0);
        } else if let Some(reached) = self.limits().remove(limit) {
            reached.over(limit);
        }
    }

    fn note(&self, limit: &'static str, scope: Scope, refusals: u64) {
        let now = Instant::now();
        let mut limits = self.limits();
        if let Some(known) = limits.get_mut(limit) {
            known.last = now;
            known.refusals = known.refusals.saturating_add(refusals);
            return;
        }
        limits.insert(limit, Reached { scope, last: now, refusals });
        metrics::gauge!("quintet_limit_reached", "limit" => limit, "scope" => scope.as_str()).set(1.0);
        drop(limits);
        tracing::warn!(limit, scope = scope.as_str(), "limit reached; work is rejected until there is room");
    }

    /// Returns the limits that are currently reached, ordered by name.
    pub fn current(&self) -> Vec<(&'static str, Scope)> {
        let now = Instant::now();
        let limits = self.limits();
        let reached = limits.iter().filter(|(_, reached)| !reached.is_over(now));
        reached.map(|(limit, reached)| (*limit, reached.scope)).collect()
    }

    /// Removes limits that are no longer reached, and resets their gauges. Must be called at least every
    /// [`SATURATED_FOR`].
    pub fn sweep(&self) {
        let now = Instant::now();
        self.limits().retain(|limit, reached| {
            let is_over = reached.is_over(now);
            if is_over {
                // Under the lock: a refusal at the same time sets the gauge to 1 afterwards.
                reached.over(limit);
            }
            !is_over
        });
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<&'static str, Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reached {
    fn over(self, limit: &'static str) {
        let Self { scope, refusals, .. } = self;
        metrics::gauge!("quintet_limit_reached", "limit" => limit, "scope" => scope.as_str()).set(0.0);
        tracing::info!(limit, scope = scope.as_str(), refusals, "limit no longer reached");
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= SATURATED_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn iso_6_a_limit_counts_as_reached_until_it_has_refused_nothing_for_a_while() {
        let saturation = Saturation::default();
        assert_eq!(saturation.current(), []);
        saturation.reached("sockets_max", Scope::Service);
        tokio::time::advance(SATURATED_FOR - Duration::from_millis(1)).await;
        saturation.reached("sockets_max", Scope::Service);
        saturation.reached("user_pages_max", Scope::User);
        saturation.sweep();
        assert_eq!(saturation.current(), [("sockets_max", Scope::Service), ("user_pages_max", Scope::User)]);
        tokio::time::advance(SATURATED_FOR).await;
        assert_eq!(saturation.current(), [], "over before it is swept");
        saturation.sweep();
        assert!(saturation.limits().is_empty());
    }
}
