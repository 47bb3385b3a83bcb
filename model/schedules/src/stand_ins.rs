//! Signals as tokio documents them, of loom's locks: what the shared primitives are explored with.
//!
//! Tokio's own are checked by tokio, with loom. What is checked here is their use: each stand-in does
//! what the documentation of the real one promises in one step under one lock, and nothing more.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use loom::sync::{Arc, Mutex};

/// Of `tokio::sync::watch`: a value, and everyone who waits for it to change.
pub mod watch {
    use std::ops::Deref;

    use super::*;

    #[derive(Debug)]
    pub struct Sender<T>(Arc<Mutex<State<T>>>);

    #[derive(Debug)]
    pub struct Receiver<T>(Arc<Mutex<State<T>>>);

    #[derive(Debug)]
    struct State<T> {
        value: T,
        waiting: Vec<Waker>,
    }

    /// A value as it was.
    #[derive(Debug)]
    pub struct Ref<T>(T);

    /// The sender is gone: never so here, where whoever waits holds it.
    #[derive(Debug)]
    pub struct RecvError;

    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let shared = Arc::new(Mutex::new(State { value, waiting: Vec::new() }));
        (Sender(shared.clone()), Receiver(shared))
    }

    impl<T: Copy> Sender<T> {
        pub fn borrow(&self) -> Ref<T> {
            Ref(self.0.lock().expect("no holder panics").value)
        }

        /// Wakes whoever waits if `change` says that it changed something.
        pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
            let mut state = self.0.lock().expect("no holder panics");
            let changed = change(&mut state.value);
            let waiting = if changed { std::mem::take(&mut state.waiting) } else { Vec::new() };
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            changed
        }

        pub fn send_replace(&self, value: T) {
            self.send_if_modified(|held| {
                *held = value;
                true
            });
        }

        pub fn subscribe(&self) -> Receiver<T> {
            Receiver(self.0.clone())
        }
    }

    impl<T: Copy> Receiver<T> {
        pub fn borrow(&self) -> Ref<T> {
            Ref(self.0.lock().expect("no holder panics").value)
        }

        /// Looks, and listens if it is not so yet, in one step: nothing that is sent is missed.
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

    impl<T: Default> Default for Sender<T> {
        fn default() -> Self {
            channel(T::default()).0
        }
    }

    impl<T> Deref for Ref<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }
}

/// Of `tokio::sync::Notify`, as far as it is used: whoever has begun to listen hears the next call.
#[derive(Debug, Default)]
pub struct Notify(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    made: usize,
    waiting: Vec<Waker>,
}

impl Notify {
    pub fn notify_waiters(&self) {
        let mut calls = self.0.lock().expect("no holder panics");
        calls.made += 1;
        let waiting = std::mem::take(&mut calls.waiting);
        drop(calls);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Listens from here on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, heard: self.0.lock().expect("no holder panics").made }
    }
}

#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    heard: usize,
}

impl Notified<'_> {
    /// Listens already: for a call to all there is nothing to add.
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

/// Of `tokio_util::sync::CancellationToken`: once cancelled, it stays so.
#[derive(Debug, Default)]
pub struct CancellationToken(Mutex<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    cancelled: bool,
    waiting: Vec<Waker>,
}

impl CancellationToken {
    pub fn cancel(&self) {
        let mut state = self.0.lock().expect("no holder panics");
        state.cancelled = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

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
