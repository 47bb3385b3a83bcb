//! The synchronisation primitives of the shared types, so that a schedule checker can replace them.
//!
//! A build with `--cfg quintet_loom` takes them from loom, one with `--cfg quintet_shuttle` from shuttle, whose tokio then
//! stands in for tokio in all packages up to `quintet-user`; the usual `cfg(loom)` would change tokio itself.
//! `docs/model/concurrency.md` describes both.

#[cfg(quintet_loom)]
mod stand_ins;

#[cfg(quintet_loom)]
pub use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(quintet_shuttle)]
pub use shuttle::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(any(quintet_loom, quintet_shuttle)))]
pub use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(not(quintet_loom))]
pub use tokio::sync::{Notify, watch};
#[cfg(not(quintet_loom))]
pub use tokio_util::sync::CancellationToken;

#[cfg(quintet_loom)]
pub use self::stand_ins::{CancellationToken, Notify, watch};

#[cfg(quintet_loom)]
use loom::sync as inner;
#[cfg(quintet_shuttle)]
use shuttle::sync as inner;
#[cfg(not(any(quintet_loom, quintet_shuttle)))]
use std::sync as inner;

/// A mutex without poisoning: its data is consistent at every await and every panic.
#[derive(Debug, Default)]
pub struct Mutex<T>(inner::Mutex<T>);

/// A locked [`Mutex`], unlocked on drop.
pub type Guard<'a, T> = inner::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    /// Creates an unlocked mutex.
    pub fn new(value: T) -> Self {
        Self(inner::Mutex::new(value))
    }

    /// Waits for the lock and takes it.
    pub fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
