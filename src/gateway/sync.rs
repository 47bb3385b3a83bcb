//! The lock and the watch channel of this folder's shared primitives, re-exported so that loom can replace
//! them in schedule exploration.

pub use crate::runtime::sync::{Mutex, watch};
