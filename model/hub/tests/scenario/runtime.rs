//! The parts of `runtime` that `src/user/` and `src/agent/host/` use, on shuttle's tasks.

pub use quintet::runtime::{clock, ids, limits, saturation};

#[path = "../../../../src/runtime/sync.rs"]
pub mod sync;
#[path = "tasks.rs"]
pub mod tasks;
