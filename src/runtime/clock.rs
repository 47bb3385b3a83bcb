//! The one place that reads the clock of the wall.

use std::time::SystemTime;

use super::simulation;
use crate::kernel::ids::Timestamp;

/// The time now. A clock set before 1970 reads as 0.
pub fn now() -> Timestamp {
    simulation::ask(|world| world.now()).unwrap_or_else(wall)
}

#[expect(clippy::disallowed_methods, reason = "this module is where time enters")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
