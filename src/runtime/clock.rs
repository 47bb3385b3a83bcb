//! The wall clock. The only module that reads [`SystemTime`].

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use quintet_kernel::ids::Timestamp;
use tokio::time::Instant;

use super::simulation;

/// Returns the current time in milliseconds since 1970; 0 for an earlier time.
pub fn now() -> Timestamp {
    simulation::ask(|world| world.now()).unwrap_or_else(wall)
}

/// A wall clock that detects being set back, for lifetimes that must not be extended by it.
#[derive(Debug)]
pub struct GuardedClock(Mutex<Look>);

#[derive(Clone, Copy, Debug)]
struct Look {
    wall: Timestamp,
    instant: Instant,
}

impl Look {
    fn take() -> Self {
        Self { wall: now(), instant: Instant::now() }
    }
}

impl GuardedClock {
    /// Starts watching at the current time.
    pub fn new() -> Self {
        Self(Mutex::new(Look::take()))
    }

    /// Calls `then` with the current time and whether the clock was set back by more than [`SET_BACK_MIN`]
    /// since the last call. Calls are serialised, so `then` must be short.
    pub fn look<T>(&self, then: impl FnOnce(Timestamp, bool) -> T) -> T {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let look = Look::take();
        let passed = look.instant.saturating_duration_since(last.instant);
        let shown = Duration::from_millis(look.wall.millis_since(last.wall));
        let behind = last.wall.millis_since(look.wall);
        let set_back = passed + Duration::from_millis(behind) > shown + SET_BACK_MIN;
        *last = look;
        then(look.wall, set_back)
    }
}

impl Default for GuardedClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Minimum step back between two calls that counts as setting the clock back. Smaller steps are normal for a
/// synchronised clock.
pub const SET_BACK_MIN: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "this module is where time enters")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
