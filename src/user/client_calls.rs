//! The calls of the client in the open runs. They allow a late result to be distinguished from one for a call
//! that never existed without reading the log (RUN-11).
//!
//! Bounded by `open_runs_max` runs and `run_calls_max` calls per run; a completed run is dropped.

use std::collections::BTreeMap;

use crate::kernel::{
    entry::{Body, CallOwner, Event, RunEntry},
    ids::{CallId, Offset, RunId},
    user::PastCall,
};

/// The calls of the client in the open runs of one user, including closed ones, with the offsets of their
/// `tool_executing`.
#[derive(Debug, Default)]
pub(crate) struct ClientCalls(BTreeMap<RunId, BTreeMap<CallId, Offset>>);

impl ClientCalls {
    /// Adds the next entry of an open run.
    pub(crate) fn take(&mut self, entry: &RunEntry) {
        match &entry.body {
            Body::Event { event: Event::ToolExecuting(call), .. } if call.by == CallOwner::Client => {
                self.0.entry(entry.run_id).or_default().insert(call.call_id.clone(), entry.offset);
            }
            Body::Event { event: Event::Completed(_), .. } => {
                self.0.remove(&entry.run_id);
            }
            _ => {}
        }
    }

    /// Returns the record of a call of an open run.
    pub(crate) fn past(&self, run_id: RunId, call_id: &CallId) -> PastCall {
        match self.0.get(&run_id) {
            Some(calls) if calls.contains_key(call_id) => PastCall::OfClient,
            _ => PastCall::NotOfClient,
        }
    }

    /// Returns the offset of the `tool_executing` of a call of an open run.
    pub(crate) fn opened(&self, run_id: RunId, call_id: &CallId) -> Option<Offset> {
        self.0.get(&run_id)?.get(call_id).copied()
    }
}
