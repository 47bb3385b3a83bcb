//! The parts of `runtime` that `src/user/` uses, on shuttle's tasks.

pub use quintet::runtime::{clock, ids, limits, saturation};

#[path = "tasks.rs"]
pub mod tasks;
