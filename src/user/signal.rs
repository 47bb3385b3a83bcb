//! What a hub tells the agent of one run: that it is over, and how its client closed a call.

use std::collections::HashMap;

use super::{
    port::Stopped,
    sync::{CancellationToken, Mutex, Notify},
};
use crate::kernel::{entry::CallResult, ids::CallId};

/// Shared by a run's hub and its port.
#[derive(Debug, Default)]
pub struct RunSignal {
    over: CancellationToken,
    why: Mutex<Option<Stopped>>,
    /// Calls that wait for the client; `Some` once they are closed and not yet fetched.
    calls: Mutex<HashMap<CallId, Option<CallResult>>>,
    closed: Notify,
}

impl RunSignal {
    /// Ends the run for its agent. The first reason stands.
    pub fn stop(&self, why: Stopped) {
        self.why.lock().get_or_insert(why);
        self.over.cancel();
    }

    /// Why the run is over, if it is.
    pub fn stopped(&self) -> Option<Stopped> {
        self.why.lock().clone()
    }

    /// Resolves when the run is over.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// A call waits for the client from here on.
    pub fn opened(&self, call_id: CallId) {
        self.calls.lock().insert(call_id, None);
    }

    /// A call has closed, durably; of note only if it waited for the client (RUN-11).
    pub fn note_close(&self, call_id: &CallId, result: &CallResult) {
        if let Some(waiting) = self.calls.lock().get_mut(call_id) {
            *waiting = Some(result.clone());
            self.closed.notify_waiters();
        }
    }

    /// Waits until a call that waits for the client has closed.
    pub async fn closed(&self, call_id: &CallId) -> Result<CallResult, Stopped> {
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
