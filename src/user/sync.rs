//! Locks and counters of the shared primitives, so that a model checker of schedules can take their
//! place. `cfg(quintet_loom)` is ours: the usual `cfg(loom)` would change tokio as well.

#[cfg(quintet_loom)]
pub use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
#[cfg(not(quintet_loom))]
pub use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A mutex whose holder never leaves it broken: what it guards is consistent at every await and panic.
#[derive(Debug, Default)]
pub struct Mutex<T>(Inner<T>);

#[cfg(quintet_loom)]
type Inner<T> = loom::sync::Mutex<T>;
#[cfg(not(quintet_loom))]
type Inner<T> = std::sync::Mutex<T>;

#[cfg(quintet_loom)]
pub type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;
#[cfg(not(quintet_loom))]
pub type Guard<'a, T> = std::sync::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    pub fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
