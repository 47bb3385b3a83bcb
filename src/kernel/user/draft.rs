//! The entries of a decision in the making.

use super::{
    command::{Decision, Reply},
    state::{OpenRun, Progress, UserState},
};
use crate::kernel::{
    entry::{Body, CallStatus, Entry, Event},
    ids::{Offset, RunId, Seq, Timestamp},
    run::{AnyRun, Cut, Run},
};

/// Entries in the making, one after another on the head.
pub(super) struct Draft<'a> {
    state: &'a UserState,
    at: Timestamp,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a UserState, at: Timestamp) -> Self {
        Self { state, at, entries: Vec::new() }
    }

    pub(super) fn next_offset(&self) -> Offset {
        Offset(self.state.head.0 + self.entries.len() as u64 + 1)
    }

    pub(super) fn push(&mut self, run_id: RunId, run: &OpenRun, body: Body) {
        self.entries.push(Entry {
            offset: self.next_offset(),
            thread_id: run.thread_id.clone(),
            run_id,
            timestamp: self.at,
            agent_name: run.agent_name.clone(),
            body,
        });
    }

    pub(super) fn event(&mut self, run_id: RunId, run: &OpenRun, seq: Seq, event: Event) {
        self.push(run_id, run, Body::Event { seq, event });
    }

    pub(super) fn start(&mut self, run_id: RunId, run: &OpenRun) -> AnyRun {
        let (started, event) = Run::start(run.message_id.clone(), self.at);
        self.event(run_id, run, started.seq(), event);
        AnyRun::Started(started)
    }

    /// Ends an open run, waiting or begun; `None` if there is no such run.
    pub(super) fn end(&mut self, run_id: RunId, cut: Cut) -> Option<()> {
        let open = self.state.runs.get(&run_id)?;
        let run = match &open.progress {
            // One that waited starts and completes in one step, and is never active (RUN-8).
            Progress::Waiting => self.start(run_id, open),
            Progress::Begun(run) => run.clone(),
        };
        self.cut(run_id, open, &run, cut);
        Some(())
    }

    /// Closes what is open in `run`, which may be further than the state says, and ends it (RUN-7).
    pub(super) fn cut(&mut self, run_id: RunId, open: &OpenRun, run: &AnyRun, cut: Cut) {
        let mut seq = run.seq();
        let why = why(cut.closes_calls_as());
        for event in run.end(cut, why, self.at) {
            seq = seq.next();
            self.event(run_id, open, seq, event);
        }
    }

    /// Starts the next in the line of a run that has just ended, if that run was the active one (RUN-8).
    pub(super) fn start_next(&mut self, ended: RunId) {
        let Some(run) = self.state.runs.get(&ended) else { return };
        let line = &self.state.lines[&run.thread_id];
        if let (Progress::Begun(_), Some(next)) = (&run.progress, line.iter().find(|id| **id != ended)) {
            let run = &self.state.runs[next];
            self.start(*next, run);
        }
    }

    pub(super) fn decided(self, reply: Reply) -> Decision {
        Decision { entries: self.entries, reply }
    }
}

/// Why a call closed that nobody answered, for its `error`.
pub(super) fn why(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok | CallStatus::Error => "the call was closed",
        CallStatus::TimedOut => "the time allowed ran out",
        CallStatus::Cancelled => "the run ended before the call did",
        CallStatus::Unknown => {
            "the service stopped while the call was open; whether it took effect is not known"
        }
    }
}
