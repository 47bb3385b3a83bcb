//! A decision under construction.

use super::{
    command::{Decision, Reply},
    state::{OpenRun, Progress, UserState},
};
use crate::{
    entry::{Body, CallStatus, Entry, Event, LogErased, RunEntry, ThreadChange, ThreadEntry},
    ids::{Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp},
    run::{AnyRun, EarlyEnd, Run},
};

/// The entries of a decision so far; their offsets continue the head.
pub(super) struct Draft<'a> {
    state: &'a UserState,
    at: Timestamp,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a UserState, at: Timestamp) -> Self {
        Self { state, at, entries: Vec::new() }
    }

    /// Returns the offset of the next entry.
    pub(super) fn next_offset(&self) -> Offset {
        Offset(self.state.head.0 + self.entries.len() as u64 + 1)
    }

    /// Appends an entry of `run`.
    pub(super) fn push(&mut self, run_id: RunId, run: &OpenRun, body: Body) {
        self.entries.push(Entry::Run(RunEntry {
            offset: self.next_offset(),
            thread_id: run.thread_id.clone(),
            run_id,
            timestamp: self.at,
            agent_name: run.agent_name.clone(),
            body,
        }));
    }

    /// Appends a change of a thread.
    pub(super) fn change(&mut self, thread_id: ThreadId, change: ThreadChange) {
        let (offset, timestamp) = (self.next_offset(), self.at);
        self.entries.push(Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change }));
    }

    /// Appends `log_erased`.
    pub(super) fn log_erased(&mut self, through: Offset, receipt: ReceiptId) {
        let (offset, timestamp) = (self.next_offset(), self.at);
        self.entries.push(Entry::LogErased(LogErased { offset, timestamp, through, receipt }));
    }

    /// Appends an event of `run`.
    pub(super) fn event(&mut self, run_id: RunId, run: &OpenRun, seq: Seq, event: Event) {
        self.push(run_id, run, Body::Event { seq, event });
    }

    /// Appends `agent_started` and returns the started run.
    pub(super) fn start(&mut self, run_id: RunId, run: &OpenRun) -> AnyRun {
        let (started, event) = Run::start(run.message_id.clone(), self.at);
        self.event(run_id, run, started.seq(), event);
        AnyRun::Started(started)
    }

    /// Ends an open run, queued or started. Returns `None` if no such run is open.
    pub(super) fn end(&mut self, run_id: RunId, cut: EarlyEnd) -> Option<()> {
        let open = self.state.runs.get(&run_id)?;
        let run = match &open.progress {
            // A queued run starts and completes in the same batch, and is never active (RUN-8).
            Progress::Waiting => self.start(run_id, open),
            Progress::Begun(run) => run.clone(),
        };
        self.cut(run_id, open, &run, cut);
        Some(())
    }

    /// Starts a queued run and ends it as merged into the run `into` (RUN-12). Like a queued run that is cancelled, it
    /// is never active (RUN-8).
    pub(super) fn merge(&mut self, run_id: RunId, open: &OpenRun, into: RunId) {
        let (run, event) = Run::start(open.message_id.clone(), self.at);
        self.event(run_id, open, run.seq(), event);
        let (run, event) = run.merge(into, self.at);
        self.event(run_id, open, run.seq(), event);
    }

    /// Closes the open calls of `run`, which may be ahead of the state, and ends it (RUN-7).
    pub(super) fn cut(&mut self, run_id: RunId, open: &OpenRun, run: &AnyRun, cut: EarlyEnd) {
        let mut seq = run.seq();
        let why = why(cut.closes_calls_as());
        for event in run.end(cut, why, self.at) {
            seq = seq.next();
            self.event(run_id, open, seq, event);
        }
    }

    /// Starts the next queued run of the thread of `ended`, if `ended` was the active run (RUN-8).
    pub(super) fn start_next(&mut self, ended: RunId) {
        let Some(run) = self.state.runs.get(&ended) else { return };
        let line = &self.state.lines[&run.thread_id];
        if let (Progress::Begun(_), Some(next)) = (&run.progress, line.iter().find(|id| **id != ended)) {
            let run = &self.state.runs[next];
            self.start(*next, run);
        }
    }

    /// Completes the decision.
    pub(super) fn decided(self, reply: Reply) -> Decision {
        Decision::new(self.entries, reply)
    }
}

/// Returns the `error` text of a call that the service closes with `status`.
pub(super) fn why(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok | CallStatus::Error | CallStatus::Declined => "the call was closed",
        CallStatus::TimedOut => "the time allowed ran out",
        CallStatus::Cancelled => "the run ended before the call did",
        CallStatus::Unknown => {
            "the service stopped while the call was open; whether it took effect is not known"
        }
    }
}
