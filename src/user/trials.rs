//! Resumes one suspected run at a time (RUN-6).
//!
//! A run is suspected if the process that last resumed it died before the run's agent made a step. All runs
//! that such a process resumed are suspected, and at most one of them is the cause. So each is resumed on its
//! own, in a *trial*, and the others wait: a process that dies in a trial counts against one run alone.
//!
//! ```text
//!   recovery: other runs are resumed ─▶ `resume_settle_timeout_ms` ─▶ trials, one by one
//!   a trial ends: a step, the end of the run, a wait for its client, or `resume_trial_timeout_ms`
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

/// The trials of one process: one at a time, over all users.
#[derive(Debug)]
pub(crate) struct Trials {
    turns: Arc<Semaphore>,
    /// The time at which the unsuspected runs were resumed, which start first.
    recovered: watch::Sender<Instant>,
    settle: Duration,
}

/// The right to hold a trial, until dropped.
pub(crate) type TrialPermit = OwnedSemaphorePermit;

impl Trials {
    pub(crate) fn new(settle: Duration) -> Self {
        Self { turns: Arc::new(Semaphore::new(1)), recovered: watch::channel(Instant::now()).0, settle }
    }

    /// Restarts the wait for the first trial, after unsuspected runs were resumed.
    pub(crate) fn recovered(&self) {
        self.recovered.send_replace(Instant::now());
    }

    /// Waits for a permit, in order of the calls.
    pub(crate) fn permit(&self) -> impl Future<Output = TrialPermit> + Send + 'static {
        let (turns, mut recovered, settle) = (self.turns.clone(), self.recovered.subscribe(), self.settle);
        async move {
            loop {
                let since = *recovered.borrow_and_update();
                sleep_until(since + settle).await;
                if *recovered.borrow() == since {
                    break;
                }
            }
            turns.acquire_owned().await.expect("the semaphore is never closed")
        }
    }
}
