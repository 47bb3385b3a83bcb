//! Signals between a hub and the agent of one run: the end of the run and results of calls of the client to the agent,
//! the tokens that the agent has counted to the hub.

use std::collections::HashMap;

use quintet_kernel::{
    entry::{CallResult, Usage},
    ids::CallId,
};

use super::{
    run_ended::RunEnded,
    sync::{CancellationToken, Mutex, Notify},
};

/// The signals of one run, shared by its hub and its [`RunHandle`](super::RunHandle).
#[derive(Debug, Default)]
pub struct RunSignal {
    over: CancellationToken,
    why: Mutex<Option<RunEnded>>,
    /// Calls of the client; `Some` once they are closed and until the result is fetched.
    calls: Mutex<HashMap<CallId, Option<CallResult>>>,
    closed: Notify,
    /// The tokens that the run has used; `None` if its agent counts none.
    usage: Mutex<Option<Usage>>,
}

impl RunSignal {
    /// Signals the end of the run. The first reason is kept.
    pub fn stop(&self, why: RunEnded) {
        self.why.lock().get_or_insert(why);
        self.over.cancel();
    }

    /// Returns the reason for which the run has ended, if it has.
    pub fn stopped(&self) -> Option<RunEnded> {
        self.why.lock().clone()
    }

    /// Waits until the run has ended.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Returns the tokens that the agent has counted, for the end of the run.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.lock().filter(|usage| *usage != Usage::default())
    }

    /// Sets the tokens that the run has used so far.
    pub fn count(&self, usage: Usage) {
        *self.usage.lock() = Some(usage);
    }

    /// Registers an open call of the client.
    pub fn opened(&self, call_id: CallId) {
        self.calls.lock().insert(call_id, None);
    }

    /// Records the durable result of a call; ignored unless it is a call of the client (RUN-11).
    pub fn note_close(&self, call_id: &CallId, result: &CallResult) {
        if let Some(waiting) = self.calls.lock().get_mut(call_id) {
            *waiting = Some(result.clone());
            self.closed.notify_waiters();
        }
    }

    /// Waits until a call of the client is closed, and returns its result, once (RUN-11).
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run ends first.
    pub async fn closed(&self, call_id: &CallId) -> Result<CallResult, RunEnded> {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if let Some(result) = self.take(call_id) {
                return Ok(result);
            }
            if let Some(why) = self.stopped() {
                return Err(why);
            }
            tokio::select! {
                biased;
                () = closed => {}
                () = self.over() => {}
            }
        }
    }

    fn take(&self, call_id: &CallId) -> Option<CallResult> {
        let mut calls = self.calls.lock();
        calls.get(call_id)?.as_ref()?;
        calls.remove(call_id).flatten()
    }
}
