//! The one place that reads the clock of the wall.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::simulation;
use crate::kernel::ids::Timestamp;

/// The time now. A clock set before 1970 reads as 0.
pub fn now() -> Timestamp {
    simulation::ask(|world| world.now()).unwrap_or_else(wall)
}

/// Notices that the wall's clock is set back, for what must not live longer by it.
#[derive(Debug)]
pub struct Watched(Mutex<Look>);

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

impl Watched {
    pub fn new() -> Self {
        Self(Mutex::new(Look::take()))
    }

    /// The time now, handed on before anybody else looks, with whether the clock has been set back since
    /// the last look, by more than [`SET_BACK_MIN`].
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

impl Default for Watched {
    fn default() -> Self {
        Self::new()
    }
}

/// By how much a clock has to fall behind between two looks to count as set back: less is what a clock
/// does that is kept in time.
pub const SET_BACK_MIN: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "this module is where time enters")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
