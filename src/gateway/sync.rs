//! The lock of this folder's shared primitives: a model checker of schedules can take its place.

pub use crate::user::sync::Mutex;
