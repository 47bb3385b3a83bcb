//! Admission control: connections in total and per user, pages and exports per user, request and frame rates per user.
//!
//! Guarantees: the load of one user does not consume the share of another (ISO-6); the memory for the
//! counters is bounded, and the entry of a user is removed once idle (ISO-5).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::limits::GatewayLimits;
use crate::{
    kernel::ids::UserId,
    runtime::saturation::{Saturation, Scope},
};

/// The admission limits and their counters. Clones share the counters.
#[derive(Clone)]
pub struct Admit(Arc<AdmitInner>);

struct AdmitInner {
    limits: GatewayLimits,
    saturation: Saturation,
    connections: Mutex<SlotCounts>,
    pages: Mutex<SlotCounts>,
    exports: Mutex<SlotCounts>,
    requests: Rate,
    frames: Rate,
    unfinished: Mutex<HashMap<UserId, u64>>,
}

/// Slots in use, in total and per user.
#[derive(Default)]
struct SlotCounts {
    all: usize,
    of_user: HashMap<UserId, usize>,
}

/// The kind of resource that occupies a slot.
#[derive(Clone, Copy)]
enum Resource {
    Connection,
    Page,
    Export,
}

/// An admitted connection, page or export. Dropping it frees the slot.
pub struct Admission {
    admit: Admit,
    resource: Resource,
    user_id: UserId,
}

/// The reason for which a connection or request was rejected. Retrying later may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// Service-wide limit; the connection closes with 1013.
    #[error("connections_max is reached")]
    ConnectionsMax,
    /// Limit of the user; the connection closes with 4429.
    #[error("user_connections_max is reached")]
    UserConnectionsMax,
    /// Too many responses to this user are still being sent.
    #[error("user_pages_max is reached; try again in {retry_after_ms} ms")]
    UserPagesMax {
        /// Milliseconds after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// Another export of this user is still being sent.
    #[error("user_exports_max is reached; try again in {retry_after_ms} ms")]
    UserExportsMax {
        /// Milliseconds after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// The rate limiter already tracks the maximum number of users.
    #[error("rate_users_max is reached; try again in {retry_after_ms} ms")]
    RateUsersMax {
        /// Milliseconds after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// The request or frame rate of the user is exceeded.
    #[error("the rate limit is exceeded; try again in {retry_after_ms} ms")]
    RateLimited {
        /// Milliseconds until the rate allows the next event; at least 1.
        retry_after_ms: u64,
    },
}

impl Admit {
    /// Creates empty counters with the given limits.
    pub fn new(limits: GatewayLimits, saturation: Saturation) -> Self {
        let users_max = limits.rate_users_max;
        let requests =
            Rate::new(limits.user_requests_per_second_max, limits.user_requests_burst_max, users_max);
        let frames = Rate::new(limits.user_frames_per_second_max, limits.user_frames_burst_max, users_max);
        Self(Arc::new(AdmitInner {
            limits,
            saturation,
            connections: Mutex::default(),
            pages: Mutex::default(),
            exports: Mutex::default(),
            requests,
            frames,
            unfinished: Mutex::default(),
        }))
    }

    /// Takes a slot for an authenticated connection of a user.
    ///
    /// # Errors
    /// When `connections_max` or `user_connections_max` is reached.
    pub fn connection(&self, user_id: &UserId) -> Result<Admission, AdmissionError> {
        let mut connections = self.slots(Resource::Connection);
        if connections.all >= self.0.limits.connections_max {
            return Err(self.rejected(AdmissionError::ConnectionsMax));
        }
        if connections.of(user_id) >= self.0.limits.user_connections_max {
            return Err(self.rejected(AdmissionError::UserConnectionsMax));
        }
        connections.take(user_id);
        metrics::gauge!("quintet_connections").set(connections.all as f64);
        Ok(Admission { admit: self.clone(), resource: Resource::Connection, user_id: user_id.clone() })
    }

    /// Takes a slot for a page of a user, held from the first read until the socket has accepted the last
    /// byte (DEL-4, ISO-6).
    ///
    /// # Errors
    /// When `user_pages_max` is reached.
    pub fn page(&self, user_id: &UserId) -> Result<Admission, AdmissionError> {
        let mut pages = self.slots(Resource::Page);
        if pages.of(user_id) >= self.0.limits.user_pages_max {
            return Err(self.rejected(AdmissionError::UserPagesMax { retry_after_ms: PAGE_RETRY_MS }));
        }
        pages.take(user_id);
        Ok(Admission { admit: self.clone(), resource: Resource::Page, user_id: user_id.clone() })
    }

    /// Takes a slot for an export of a user, held as that of a page.
    ///
    /// # Errors
    /// When `user_exports_max` is reached.
    pub fn export(&self, user_id: &UserId) -> Result<Admission, AdmissionError> {
        let mut exports = self.slots(Resource::Export);
        if exports.of(user_id) >= self.0.limits.user_exports_max {
            return Err(self.rejected(AdmissionError::UserExportsMax { retry_after_ms: PAGE_RETRY_MS }));
        }
        exports.take(user_id);
        Ok(Admission { admit: self.clone(), resource: Resource::Export, user_id: user_id.clone() })
    }

    /// Counts one HTTP request of a user.
    ///
    /// # Errors
    /// When the user's request rate is exceeded, or `rate_users_max` is reached.
    pub fn request(&self, user_id: &UserId) -> Result<(), AdmissionError> {
        self.0.requests.check(user_id).map_err(|why| self.rejected(why))
    }

    /// Counts one frame of a user, over all connections.
    ///
    /// # Errors
    /// When the user's frame rate is exceeded, or `rate_users_max` is reached.
    pub fn frame(&self, user_id: &UserId) -> Result<(), AdmissionError> {
        self.0.frames.check(user_id).map_err(|why| self.rejected(why))
    }

    /// Creates the counter for the incomplete message of one connection, starting at 0 bytes.
    pub fn unfinished(&self, user_id: &UserId) -> IncompleteMessage {
        IncompleteMessage { admit: self.clone(), user_id: user_id.clone(), bytes: 0 }
    }

    /// Records that a connection was closed because of `unready_frames_max`.
    pub fn unready_frames_max_reached(&self) {
        self.0.saturation.reached("unready_frames_max", Scope::Peer);
    }

    /// Returns the number of open connections.
    pub fn connections_open(&self) -> usize {
        self.slots(Resource::Connection).all
    }

    /// Returns the number of pages that are being sent.
    pub fn pages_in_progress(&self) -> usize {
        self.slots(Resource::Page).all
    }

    /// Returns the number of exports that are being sent.
    pub fn exports_in_progress(&self) -> usize {
        self.slots(Resource::Export).all
    }

    /// Records the limit that rejected the request and returns the error.
    fn rejected(&self, why: AdmissionError) -> AdmissionError {
        let (limit, scope) = match why {
            AdmissionError::ConnectionsMax => ("connections_max", Scope::Service),
            AdmissionError::UserConnectionsMax => ("user_connections_max", Scope::User),
            AdmissionError::UserPagesMax { .. } => ("user_pages_max", Scope::User),
            AdmissionError::UserExportsMax { .. } => ("user_exports_max", Scope::User),
            AdmissionError::RateUsersMax { .. } => ("rate_users_max", Scope::Service),
            AdmissionError::RateLimited { .. } => ("rate", Scope::User),
        };
        self.0.saturation.reached(limit, scope);
        why
    }

    fn slots(&self, resource: Resource) -> MutexGuard<'_, SlotCounts> {
        let slots = match resource {
            Resource::Connection => &self.0.connections,
            Resource::Page => &self.0.pages,
            Resource::Export => &self.0.exports,
        };
        slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotCounts {
    fn of(&self, user_id: &UserId) -> usize {
        self.of_user.get(user_id).copied().unwrap_or(0)
    }

    fn take(&mut self, user_id: &UserId) {
        *self.of_user.entry(user_id.clone()).or_default() += 1;
        self.all += 1;
    }

    fn leave(&mut self, user_id: &UserId) {
        self.all -= 1;
        if let Some(of_user) = self.of_user.get_mut(user_id) {
            *of_user -= 1;
            if *of_user == 0 {
                self.of_user.remove(user_id);
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut slots = self.admit.slots(self.resource);
        slots.leave(&self.user_id);
        if let Resource::Connection = self.resource {
            metrics::gauge!("quintet_connections").set(slots.all as f64);
        }
    }
}

/// The bytes of a connection's incomplete message. They count against the user until the message is complete
/// or this is dropped (ISO-6).
pub struct IncompleteMessage {
    admit: Admit,
    user_id: UserId,
    bytes: u64,
}

/// The incomplete messages of the user have reached the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user_incomplete_bytes_max is reached")]
pub struct IncompleteMax;

impl IncompleteMessage {
    /// Sets the length to 0: the message is complete.
    pub fn clear(&mut self) {
        // A smaller value never exceeds the limit.
        let _ = self.set(0);
    }

    /// Sets the current length of the message.
    ///
    /// # Errors
    /// When the user's total exceeds `user_incomplete_bytes_max`; the previous length stays counted.
    pub fn set(&mut self, bytes: u64) -> Result<(), IncompleteMax> {
        if bytes == self.bytes {
            return Ok(());
        }
        let AdmitInner { limits, saturation, unfinished, .. } = &*self.admit.0;
        let bytes_max = limits.user_incomplete_bytes_max.max(limits.frame_bytes_max) as u64;
        let mut unfinished = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        let others = unfinished.get(&self.user_id).copied().unwrap_or(0) - self.bytes;
        let total = others.saturating_add(bytes);
        // Checked before storing, so that the counters stay consistent after an error.
        if total > bytes_max {
            saturation.reached("user_incomplete_bytes_max", Scope::User);
            return Err(IncompleteMax);
        }
        self.bytes = bytes;
        if total == 0 {
            unfinished.remove(&self.user_id);
        } else {
            unfinished.insert(self.user_id.clone(), total);
        }
        Ok(())
    }
}

impl Drop for IncompleteMessage {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A leaky bucket (GCRA) per user, for a bounded number of users.
struct Rate {
    /// Time in which one event drains from a bucket.
    interval: Duration,
    /// Time in which a full bucket drains.
    full: Duration,
    users_max: usize,
    buckets: Mutex<Buckets>,
}

/// The buckets that are not empty. A user whose bucket is empty needs no entry.
struct Buckets {
    /// The time at which the bucket of a user is empty.
    empty_at: HashMap<UserId, Instant>,
    /// When empty buckets were last removed.
    swept_at: Instant,
}

impl Rate {
    fn new(per_second: u32, burst: u32, users_max: usize) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let buckets = Buckets { empty_at: HashMap::new(), swept_at: Instant::now() };
        Self { interval, full: interval * burst.max(1), users_max, buckets: Mutex::new(buckets) }
    }

    fn check(&self, user_id: &UserId) -> Result<(), AdmissionError> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if now - buckets.swept_at >= SWEEP_INTERVAL {
            buckets.empty_at.retain(|_, empty_at| *empty_at > now);
            buckets.swept_at = now;
        }
        let tracked = buckets.empty_at.get(user_id).copied();
        let level = tracked.unwrap_or(now).max(now) + self.interval;
        let over = level.saturating_duration_since(now + self.full);
        if !over.is_zero() {
            return Err(AdmissionError::RateLimited { retry_after_ms: (over.as_millis() as u64).max(1) });
        }
        // Fail closed: without an entry, a rate cannot be enforced for the user. Tracked users are not affected.
        if tracked.is_none() && buckets.empty_at.len() >= self.users_max {
            return Err(AdmissionError::RateUsersMax { retry_after_ms: 1_000 });
        }
        buckets.empty_at.insert(user_id.clone(), level);
        Ok(())
    }
}

/// Shortest time between two removals of empty buckets.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Retry delay for a client that has reached `user_pages_max` or `user_exports_max`.
const PAGE_RETRY_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn iso_6_connections_are_limited_per_user_and_in_total() {
        let limits = GatewayLimits { connections_max: 3, user_connections_max: 2, ..GatewayLimits::DEFAULT };
        let admit = Admit::new(limits, Saturation::default());
        let first = admit.connection(&user("ada")).unwrap();
        let _second = admit.connection(&user("ada")).unwrap();
        assert_eq!(admit.connection(&user("ada")).err(), Some(AdmissionError::UserConnectionsMax));
        let third = admit.connection(&user("bob")).unwrap();
        assert_eq!(admit.connection(&user("cyd")).err(), Some(AdmissionError::ConnectionsMax));
        drop(first);
        assert!(admit.connection(&user("ada")).is_ok());
        drop(third);
        assert_eq!(admit.connections_open(), 1);
        assert_eq!(
            admit.slots(Resource::Connection).of_user.len(),
            1,
            "iso_5: a user without connections is forgotten"
        );
    }

    #[test]
    fn iso_6_pages_are_limited_separately_from_connections() {
        let limits = GatewayLimits { user_connections_max: 1, user_pages_max: 2, ..GatewayLimits::DEFAULT };
        let admit = Admit::new(limits, Saturation::default());
        let _connection = admit.connection(&user("ada")).unwrap();
        let first = admit.page(&user("ada")).unwrap();
        let _second = admit.page(&user("ada")).unwrap();
        assert!(matches!(admit.page(&user("ada")).err(), Some(AdmissionError::UserPagesMax { .. })));
        let bobs = admit.page(&user("bob")).unwrap();
        drop((first, bobs));
        assert!(admit.page(&user("ada")).is_ok());
        assert_eq!((admit.pages_in_progress(), admit.connections_open()), (1, 1));
        assert_eq!(admit.slots(Resource::Page).of_user.len(), 1, "iso_5: a user without pages is forgotten");
    }

    #[test]
    fn iso_6_incomplete_messages_of_a_user_share_a_bound() {
        let limits =
            GatewayLimits { user_incomplete_bytes_max: 100, frame_bytes_max: 60, ..GatewayLimits::DEFAULT };
        let admit = Admit::new(limits, Saturation::default());
        let (mut one, mut two) = (admit.unfinished(&user("ada")), admit.unfinished(&user("ada")));
        assert_eq!((one.set(60), two.set(40)), (Ok(()), Ok(())));
        assert_eq!(two.set(41), Err(IncompleteMax));
        assert_eq!(admit.unfinished(&user("bob")).set(60), Ok(()));
        assert_eq!(one.set(0), Ok(()));
        assert_eq!(two.set(60), Ok(()));
        drop((one, two));
        assert!(admit.0.unfinished.lock().unwrap().is_empty(), "iso_5: nothing is left of a user");
    }

    #[tokio::test(start_paused = true)]
    async fn iso_6_rates_are_per_user_and_refill() {
        let limits = GatewayLimits {
            user_requests_per_second_max: 10,
            user_requests_burst_max: 3,
            ..GatewayLimits::DEFAULT
        };
        let admit = Admit::new(limits, Saturation::default());
        for _ in 0..3 {
            assert_eq!(admit.request(&user("ada")), Ok(()));
        }
        assert_eq!(admit.request(&user("ada")), Err(AdmissionError::RateLimited { retry_after_ms: 100 }));
        assert_eq!(admit.request(&user("bob")), Ok(()));
        tokio::time::advance(Duration::from_millis(101)).await;
        assert_eq!(admit.request(&user("ada")), Ok(()));
        assert!(admit.request(&user("ada")).is_err());
    }

    /// ISO-6: operators see which limit refuses work, and whose work: that of one user or everyone's.
    #[tokio::test(start_paused = true)]
    async fn iso_6_each_refusal_is_recorded_under_its_limit_and_scope() {
        let limits = GatewayLimits {
            connections_max: 2,
            user_connections_max: 1,
            user_pages_max: 1,
            user_requests_burst_max: 1,
            user_frames_burst_max: 1,
            user_incomplete_bytes_max: 100,
            frame_bytes_max: 100,
            ..GatewayLimits::DEFAULT
        };
        let recorded = |refuse: &dyn Fn(&Admit)| {
            let saturation = Saturation::default();
            refuse(&Admit::new(limits, saturation.clone()));
            saturation.current()
        };
        let ada = user("ada");
        let of_user = recorded(&|admit| {
            let _place = admit.connection(&ada).unwrap();
            assert_eq!(admit.connection(&ada).err(), Some(AdmissionError::UserConnectionsMax));
        });
        assert_eq!(of_user, [("user_connections_max", Scope::User)]);
        let of_all = recorded(&|admit| {
            let _places = (admit.connection(&ada).unwrap(), admit.connection(&user("bob")).unwrap());
            assert_eq!(admit.connection(&user("cyd")).err(), Some(AdmissionError::ConnectionsMax));
        });
        assert_eq!(of_all, [("connections_max", Scope::Service)]);
        let pages = recorded(&|admit| {
            let place = admit.page(&ada).unwrap();
            assert!(matches!(admit.page(&ada).err(), Some(AdmissionError::UserPagesMax { .. })));
            assert!(admit.page(&user("bob")).is_ok());
            drop(place);
            assert!(admit.page(&ada).is_ok(), "the place is free again");
        });
        assert_eq!(pages, [("user_pages_max", Scope::User)]);
        let rates: [&dyn Fn(&Admit); 2] =
            [&|admit| assert!(admit.request(&ada).and(admit.request(&ada)).is_err()), &|admit| {
                assert!(admit.frame(&ada).and(admit.frame(&ada)).is_err())
            }];
        for rate in rates {
            assert_eq!(recorded(rate), [("rate", Scope::User)]);
        }
        let unfinished = recorded(&|admit| assert!(admit.unfinished(&ada).set(101).is_err()));
        assert_eq!(unfinished, [("user_incomplete_bytes_max", Scope::User)]);
        let unready = recorded(&|admit| admit.unready_frames_max_reached());
        assert_eq!(unready, [("unready_frames_max", Scope::Peer)]);
    }

    #[tokio::test(start_paused = true)]
    async fn iso_5_idle_users_are_forgotten_and_their_number_is_bounded() {
        let admit =
            Admit::new(GatewayLimits { rate_users_max: 2, ..GatewayLimits::DEFAULT }, Saturation::default());
        for name in ["ada", "bob"] {
            assert_eq!(admit.request(&user(name)), Ok(()));
        }
        assert!(matches!(admit.request(&user("cyd")), Err(AdmissionError::RateUsersMax { .. })));
        assert_eq!(admit.request(&user("ada")), Ok(()), "a tracked user is not affected by the others");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(admit.request(&user("cyd")), Ok(()));
        assert_eq!(admit.0.requests.buckets.lock().unwrap().empty_at.len(), 1);
    }
}
