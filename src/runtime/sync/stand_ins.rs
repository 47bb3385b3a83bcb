//! Signals as tokio documents them, made of loom's locks, for the exploration of schedules.
//!
//! Tokio checks its own with loom. Checked with these is their use: each stand-in does what the
//! documentation of the real one guarantees in one step under one lock, and nothing more.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use loom::sync::{Arc, Mutex};

/// Stands in for `tokio::sync::watch`: a value, and the tasks that wait for a change.
pub mod watch {
    use std::ops::Deref;

    use super::*;

    /// The side that changes the value. Clones share it.
    #[derive(Debug)]
    pub struct Sender<T>(Arc<Mutex<State<T>>>);

    /// The side that waits for changes.
    #[derive(Debug)]
    pub struct Receiver<T>(Arc<Mutex<State<T>>>);

    #[derive(Debug)]
    struct State<T> {
        value: T,
        waiting: Vec<Waker>,
    }

    /// A copy of the value.
    #[derive(Debug)]
    pub struct Ref<T>(T);

    /// The sender is gone: impossible here, where each waiting task holds it.
    #[derive(Debug)]
    pub struct RecvError;

    /// Returns both sides of a new value.
    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let shared = Arc::new(Mutex::new(State { value, waiting: Vec::new() }));
        (Sender(shared.clone()), Receiver(shared))
    }

    impl<T: Copy> Sender<T> {
        /// Returns the value.
        pub fn borrow(&self) -> Ref<T> {
            Ref(self.0.lock().expect("no holder panics").value)
        }

        /// Wakes waiting tasks if `change` returns true.
        pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
            let mut state = self.0.lock().expect("no holder panics");
            let changed = change(&mut state.value);
            let waiting = if changed { std::mem::take(&mut state.waiting) } else { Vec::new() };
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            changed
        }

        /// Sets the value and wakes waiting tasks.
        pub fn send_replace(&self, value: T) {
            self.send_if_modified(|held| {
                *held = value;
                true
            });
        }

        /// Returns a receiver of this value.
        pub fn subscribe(&self) -> Receiver<T> {
            Receiver(self.0.clone())
        }
    }

    impl<T: Copy> Receiver<T> {
        /// Returns the value.
        pub fn borrow(&self) -> Ref<T> {
            Ref(self.0.lock().expect("no holder panics").value)
        }

        /// Checks, and registers if the condition does not hold yet, in one step: no change is missed.
        pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<T>, RecvError> {
            poll_fn(|cx| {
                let mut state = self.0.lock().expect("no holder panics");
                if wanted(&state.value) {
                    return Poll::Ready(Ok(Ref(state.value)));
                }
                state.waiting.push(cx.waker().clone());
                Poll::Pending
            })
            .await
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Deref for Ref<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }
}

/// Stands in for `tokio::sync::Notify`, as far as it is used: a registered task receives the next call.
#[derive(Debug, Default)]
pub struct Notify(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    made: usize,
    waiting: Vec<Waker>,
}

impl Notify {
    /// Wakes the registered tasks.
    pub fn notify_waiters(&self) {
        let mut calls = self.0.lock().expect("no holder panics");
        calls.made += 1;
        let waiting = std::mem::take(&mut calls.waiting);
        drop(calls);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Registers from here on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, heard: self.0.lock().expect("no holder panics").made }
    }
}

/// A registration, which resolves with the next call.
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    heard: usize,
}

impl Notified<'_> {
    /// Does nothing: the task is registered already for calls to all.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        self.notify.0.lock().expect("no holder panics").made > self.heard
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut calls = self.notify.0.lock().expect("no holder panics");
        if calls.made > self.heard {
            return Poll::Ready(());
        }
        calls.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

/// Stands in for `tokio_util::sync::CancellationToken`: once cancelled, it stays so.
#[derive(Debug, Default)]
pub struct CancellationToken(Mutex<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    cancelled: bool,
    waiting: Vec<Waker>,
}

impl CancellationToken {
    /// Cancels, and wakes the waiting tasks.
    pub fn cancel(&self) {
        let mut state = self.0.lock().expect("no holder panics");
        state.cancelled = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for the cancellation.
    pub async fn cancelled(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().expect("no holder panics");
            if state.cancelled {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
