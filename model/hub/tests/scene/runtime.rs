//! What the process lends to the files of `src/user/` and `src/agent/host/`, on shuttle's tasks.

pub use quintet::runtime::{clock, ids, limits, saturation};

#[path = "../../../../src/runtime/sync.rs"]
pub mod sync;
#[path = "tasks.rs"]
pub mod tasks;
