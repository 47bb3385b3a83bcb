//! What the process lends to the files of `src/user/`, on shuttle's tasks.

pub use quintet::runtime::{clock, ids, limits, saturation};

#[path = "tasks.rs"]
pub mod tasks;
