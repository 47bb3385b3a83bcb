//! The lock of this folder's shared primitives: the standard one, or the one that loom explores.

#[cfg(not(quintet_loom))]
pub use std::sync::Mutex;

#[cfg(quintet_loom)]
pub use loom::sync::Mutex;
