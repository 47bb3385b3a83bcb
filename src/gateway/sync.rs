//! The lock and the signal of this folder's shared primitives: a model checker of schedules can take
//! their place.

pub use crate::user::sync::{Mutex, watch};
