//! The calls that wait for the client, over all threads (RUN-11).

use tokio::time::Instant;

use super::batch::Working;
use crate::{
    handle::WaitingCall,
    kernel::{entry::CallOwner, ids::Timestamp, user::Progress},
};

impl Working<'_> {
    /// Returns the open calls of the client, in the order in which they were opened. Bounded by `open_runs_max` and
    /// `run_calls_max`.
    pub(super) fn waiting_calls(&self, at: Timestamp) -> Vec<WaitingCall> {
        let now = Instant::now();
        let mut waiting = Vec::new();
        for (run_id, open) in self.known.view.open_runs() {
            let Progress::Begun(run) = &open.progress else { continue };
            for (call_id, call) in run.open_calls().iter().filter(|(_, call)| call.by == CallOwner::Client) {
                let Some(opened) = self.known.client_calls.opened(*run_id, call_id) else { continue };
                waiting.push(WaitingCall {
                    thread_id: open.thread_id.clone(),
                    run_id: *run_id,
                    agent_name: open.agent_name.clone(),
                    call_id: call_id.clone(),
                    tool_name: call.tool_name.clone(),
                    opened,
                    opened_at: call.opened_at,
                    deadline: self.hub.deadlines.of_call(*run_id, call_id, now, at),
                });
            }
        }
        waiting.sort_by_key(|call| call.opened);
        waiting
    }
}
