//! Which calls of the open runs the client was asked to answer: a late answer is told from one to a call
//! that never was without a look at the log (RUN-11).
//!
//! Bounded: runs by `open_runs_max`, calls of a run by `run_calls_max`; a run that completes is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::{
    entry::{Body, By, Entry, Event},
    ids::{CallId, RunId},
    user::PastCall,
};

/// The calls of the client in the open runs of one user, closed ones as well.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<RunId, BTreeSet<CallId>>);

impl Asked {
    /// Takes the next entry of a run that is open.
    pub fn take(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Event { event: Event::ToolExecuting(call), .. } if call.by == By::Client => {
                self.0.entry(entry.run_id).or_default().insert(call.call_id.clone());
            }
            Body::Event { event: Event::Completed(_), .. } => {
                self.0.remove(&entry.run_id);
            }
            _ => {}
        }
    }

    /// What is known of a call of an open run.
    pub fn past(&self, run_id: RunId, call_id: &CallId) -> PastCall {
        match self.0.get(&run_id) {
            Some(calls) if calls.contains(call_id) => PastCall::OfClient,
            _ => PastCall::NotOfClient,
        }
    }
}
