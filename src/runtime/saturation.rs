//! The limits that refuse work right now.
//!
//! Guarantee: whichever limit is reached, operators see it: a gauge is 1, one WARN is logged when the
//! limit is first reached and one INFO when it has refused nothing for [`SATURATED_FOR`], however often it
//! refuses in between (ISO-6).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Time without a refusal after which a limit no longer counts as reached.
pub const SATURATED_FOR: Duration = Duration::from_secs(15);

/// What shares the bound of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole service: while it is reached, everyone's new work is refused.
    Service,
    /// One user; other users are not affected.
    User,
    /// One peer address; other addresses are not affected.
    Peer,
}

impl Scope {
    /// The name in logs, labels and `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::User => "user",
            Self::Peer => "peer",
        }
    }
}

/// Records which limits are reached. Cloning shares the record.
#[derive(Clone, Debug, Default)]
pub struct Saturation(Arc<Mutex<BTreeMap<&'static str, Reached>>>);

#[derive(Clone, Copy, Debug)]
struct Reached {
    scope: Scope,
    last: Instant,
    refusals: u64,
}

impl Saturation {
    /// Records that `limit`, the name of a setting, refused something.
    pub fn reached(&self, limit: &'static str, scope: Scope) {
        metrics::counter!("quintet_rejected_total", "limit" => limit).increment(1);
        let now = Instant::now();
        let mut limits = self.limits();
        if let Some(known) = limits.get_mut(limit) {
            known.last = now;
            known.refusals = known.refusals.saturating_add(1);
            return;
        }
        limits.insert(limit, Reached { scope, last: now, refusals: 1 });
        metrics::gauge!("quintet_limit_reached", "limit" => limit, "scope" => scope.as_str()).set(1.0);
        drop(limits);
        tracing::warn!(limit, scope = scope.as_str(), "limit reached: work is refused until there is room");
    }

    /// Returns the limits that are reached, by name.
    pub fn current(&self) -> Vec<(&'static str, Scope)> {
        let now = Instant::now();
        let limits = self.limits();
        let reached = limits.iter().filter(|(_, reached)| !reached.is_over(now));
        reached.map(|(limit, reached)| (*limit, reached.scope)).collect()
    }

    /// Forgets the limits that are no longer reached. Call it at least every [`SATURATED_FOR`].
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        self.limits().retain(|limit, reached| {
            let is_over = reached.is_over(now);
            if is_over {
                // Under the lock: a refusal at the same time sets it to 1 afterwards.
                metrics::gauge!("quintet_limit_reached", "limit" => *limit, "scope" => reached.scope.as_str()).set(0.0);
                over.push((*limit, *reached));
            }
            !is_over
        });
        for (limit, Reached { scope, refusals, .. }) in over {
            tracing::info!(limit, scope = scope.as_str(), refusals, "limit no longer reached");
        }
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<&'static str, Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reached {
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
