//! Carries out the effects of durable entries on the agents of this process, and reacts to their end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Known, batch::Working};
use crate::{
    agent::host::{Assignment, QueueTime, RunHandle, RunHandleParts, RunSignal},
    batch::RunEffect,
    journal::JournalError,
    kernel::{
        entry::{Body, CallOwner, Event, RunEntry, RunError, RunErrorCode},
        ids::{CallId, RunId},
        run::EarlyEnd,
        user::{Command, Progress},
    },
    recovery::{self, Past},
};

impl Working<'_> {
    /// Carries out an effect. An error means that a run has started but has no agent.
    pub(super) async fn apply(&mut self, effect: RunEffect) -> Result<(), JournalError> {
        match effect {
            RunEffect::Started { text, started } => self.start(text, started).await?,
            RunEffect::Resumed { run_id, past } => {
                tracing::info!(%run_id, events = past.events.len(), "a run is resumed");
                self.launch(run_id, past);
                self.known.resumed.launched(run_id);
            }
            RunEffect::ClientCallOpened { run_id, call_id } => {
                if let Some(signal) = self.known.signals.get(&run_id) {
                    signal.opened(call_id);
                }
            }
            RunEffect::Closed { run_id, call_id, result } => {
                if let Some(signal) = self.known.signals.get(&run_id) {
                    signal.note_close(&call_id, &result);
                }
            }
            RunEffect::Advanced { run_id } => {
                self.known.resumed.outlived(run_id);
                self.moved(run_id);
            }
            RunEffect::Outlived { run_id } => self.known.resumed.outlived(run_id),
            RunEffect::Completed { run_id, why, status, duration_ms } => {
                metrics::counter!("quintet_runs_completed_total", "status" => status.as_str()).increment(1);
                metrics::histogram!("quintet_run_seconds")
                    .record(Duration::from_millis(duration_ms).as_secs_f64());
                tracing::info!(%run_id, status = status.as_str(), "run completed");
                self.hub.deadlines.forget(run_id);
                self.known.resumed.completed(run_id);
                if let Some(signal) = self.known.signals.remove(&run_id) {
                    signal.stop(why);
                }
            }
        }
        Ok(())
    }

    /// Launches an agent on a run that has just started, unless the same batch ended the run.
    async fn start(&mut self, text: Option<String>, started: RunEntry) -> Result<(), JournalError> {
        let run_id = started.run_id;
        let Some(open) = self.known.view.open_runs().get(&run_id) else {
            return Ok(());
        };
        let accepted = open.accepted;
        let text = match text {
            Some(text) => text,
            None => recovery::text(&*self.hub.log, &self.hub.user_id, accepted).await?,
        };
        tracing::info!(%run_id, "run started");
        self.launch(run_id, Past { text, events: vec![started], ..Past::default() });
        Ok(())
    }

    fn launch(&mut self, run_id: RunId, past: Past) {
        let at = self.hub.now();
        let Some(open) = self.known.view.open_runs().get(&run_id) else { return };
        if self.hub.shared.agents.find(&open.agent_name).is_none() {
            let message = format!("no agent is named {} any more", open.agent_name);
            let error = RunError { code: RunErrorCode::AgentError, message };
            self.known.own.push_back(Command::Cut { run_id, cut: EarlyEnd::Failed(error) });
            return;
        }
        let resumed = self.known.resumed.records.contains_key(&run_id);
        let signal = Arc::new(RunSignal::default());
        // Calls that are open in the agent's past are registered even if this batch already closes them: the
        // result is delivered next, like any other (RUN-11).
        let Past { text, events, emitted, taken, waited, last_step: _ } = past;
        for call_id in client_calls_in(&events) {
            signal.opened(call_id.clone());
        }
        self.known.signals.insert(run_id, signal.clone());
        let line = QueueTime::default();
        let handle = RunHandle::new(RunHandleParts {
            run_id,
            hub: self.known.senders(),
            signal,
            line: line.clone(),
            log: self.hub.log.clone(),
            limits: self.hub.shared.limits.kernel,
            resumed,
        });
        let assignment = Assignment {
            owner: self.hub.shared.owner(&self.hub.user_id),
            user_id: self.hub.user_id.clone(),
            run_id,
            thread_id: open.thread_id.clone(),
            message_id: open.message_id.clone(),
            agent_name: open.agent_name.clone(),
            text,
            accepted: open.accepted,
            past: events,
            emitted,
            taken,
            handle,
        };
        if let Progress::Begun(run) = &open.progress {
            self.hub.deadlines.resumed(run_id, run, &waited, line, Instant::now(), at);
        }
        self.hub.shared.agents.launch(assignment);
    }

    fn moved(&mut self, run_id: RunId) {
        let at = self.hub.now();
        let open = self.known.view.open_runs().get(&run_id);
        if let Some(Progress::Begun(run)) = open.map(|open| &open.progress)
            && self.known.signals.contains_key(&run_id)
        {
            self.hub.deadlines.moved(run_id, run, Instant::now(), at);
        }
    }

    /// Returns true if a call of the run waits for the client.
    fn waits_for_client(&self, run_id: RunId) -> bool {
        self.open_calls(run_id).any(|by| by == CallOwner::Client)
    }

    /// Returns true if the run waits for the client only, so that the end of this process would cut nothing off
    /// (CONN-6).
    pub(super) fn is_quiesced(&self, run_id: RunId) -> bool {
        self.waits_for_client(run_id) && self.open_calls(run_id).all(|by| by == CallOwner::Client)
    }

    fn open_calls(&self, run_id: RunId) -> impl Iterator<Item = CallOwner> {
        let open = self.known.view.open_runs().get(&run_id);
        let run = match open.map(|open| &open.progress) {
            Some(Progress::Begun(run)) => Some(run),
            Some(Progress::Waiting) | None => None,
        };
        run.into_iter().flat_map(|run| run.open_calls().values().map(|call| call.by))
    }

    /// Ends runs that have lost their agent or timed out, before any other input (RUN-6).
    pub(super) fn enforce_deadlines(&mut self) {
        while let Ok(run_id) = self.known.abandoned.try_recv() {
            self.known.abandon(run_id);
        }
        let now = Instant::now();
        if self.hub.deadlines.next().is_some_and(|next| next <= now) {
            self.known.own.extend(self.hub.deadlines.passed(&self.known.view, now));
        }
    }
}

impl Known {
    pub(super) fn abandon(&mut self, run_id: RunId) {
        if self.signals.contains_key(&run_id) {
            let message = "the agent stopped without completing the run".to_owned();
            let error = RunError { code: RunErrorCode::AgentError, message };
            self.own.push_back(Command::Cut { run_id, cut: EarlyEnd::Failed(error) });
        }
    }
}

/// Returns the calls of the client that are open after these entries of a run.
fn client_calls_in(past: &[RunEntry]) -> BTreeSet<&CallId> {
    let mut client_calls = BTreeSet::new();
    for entry in past {
        match &entry.body {
            Body::Event { event: Event::ToolExecuting(call), .. } if call.by == CallOwner::Client => {
                client_calls.insert(&call.call_id);
            }
            Body::Event { event: Event::ToolCompleted { call_id, .. }, .. } => {
                client_calls.remove(call_id);
            }
            _ => {}
        }
    }
    client_calls
}
