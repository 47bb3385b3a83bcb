//! Checks the events of one run: their order (RUN-1 … RUN-5, RUN-7) and their fields.

use std::collections::HashMap;

use super::{
    line::{CompletedFields, Executing, Head, LineEvent, ThinkingFields, ToolCompleted},
    report::{Findings, UnfinishedRun},
};

/// The check of a run between its `user_message` and its `agent_completed`.
#[derive(Debug)]
pub(super) struct RunCheck {
    pub run_id: String,
    pub thread_id: String,
    pub accepted: u64,
    agent_name: String,
    /// False if the beginning of the run was trimmed and is assumed to be legal.
    whole: bool,
    message_id: Option<String>,
    /// True if the message waits for the active run to take it.
    steers: bool,
    seq: Option<u64>,
    pub started: Option<u64>,
    started_at: Option<u64>,
    thought: bool,
    /// Every opened call, by id.
    calls: HashMap<String, CallCheck>,
    answer: blake3::Hasher,
}

#[derive(Debug)]
struct CallCheck {
    tool_name: String,
    opened_at: u64,
    by_client: bool,
    open: bool,
}

impl RunCheck {
    /// Creates the check of a run whose entries are all stored.
    pub(super) fn accepted(head: &Head<'_>, message_id: &str, steers: bool) -> Self {
        let message_id = Some(message_id.to_owned());
        Self { whole: true, message_id, steers, seq: Some(0), ..Self::cut(head, head.offset) }
    }

    /// Creates the check of a run whose beginning was trimmed.
    pub(super) fn cut(head: &Head<'_>, accepted: u64) -> Self {
        Self {
            run_id: head.run_id.to_string(),
            thread_id: head.thread_id.to_string(),
            accepted,
            agent_name: head.agent_name.to_string(),
            whole: false,
            message_id: None,
            steers: false,
            seq: None,
            started: None,
            started_at: None,
            thought: false,
            calls: HashMap::new(),
            answer: blake3::Hasher::new(),
        }
    }

    /// Checks the next event of this run and adds violations to `findings`.
    pub(super) fn event(
        &mut self,
        head: &Head<'_>,
        seq: u64,
        event: &LineEvent<'_>,
        findings: &mut Findings,
    ) {
        let (offset, run_id) = (head.offset, self.run_id.clone());
        let mut wrong =
            |rule: &'static str, what: String| findings.violation(rule, offset, Some(&run_id), what);
        match self.seq {
            // RUN-2
            Some(last) if seq != last + 1 => wrong("RUN-2", format!("seq {seq} follows seq {last}")),
            _ => {}
        }
        self.seq = Some(seq);
        if head.thread_id != self.thread_id {
            wrong("ENTRY", format!("thread {:?} is not the run's, {:?}", head.thread_id, self.thread_id));
        }
        if head.agent_name != self.agent_name {
            wrong("ENTRY", format!("agent {:?} is not the run's, {:?}", head.agent_name, self.agent_name));
        }
        // RUN-1
        match (event, self.started) {
            (LineEvent::Started { .. }, Some(_)) => wrong("RUN-1", "a second agent_started".into()),
            (LineEvent::Started { .. }, None) if seq != 1 => {
                wrong("RUN-1", format!("agent_started has seq {seq}"))
            }
            (LineEvent::Started { .. }, None) => self.whole = true,
            (_, None) if self.whole => wrong("RUN-1", "an event before agent_started".into()),
            _ => {}
        }
        match event {
            LineEvent::Started { message_id } => {
                if self.message_id.as_deref().is_some_and(|own| own != message_id) {
                    wrong("RUN-1", format!("agent_started names message {message_id:?}, not the run's own"));
                }
                self.started.get_or_insert(offset);
                self.started_at.get_or_insert(head.timestamp);
            }
            LineEvent::Thinking(thinking) => self.thinks(thinking),
            LineEvent::Executing(executing) => self.opens(executing, head.timestamp, &mut wrong),
            LineEvent::Completed(completed) => self.closes(completed, head.timestamp, &mut wrong),
            LineEvent::End(end) => self.ends(end, head.timestamp, &mut wrong),
        }
    }

    fn thinks(&mut self, thinking: &ThinkingFields<'_>) {
        self.thought = true;
        if thinking.kind == "answer" {
            if thinking.reset {
                self.answer.reset();
            }
            self.answer.update(thinking.delta.as_bytes());
        }
    }

    fn opens(&mut self, call: &Executing<'_>, at: u64, wrong: &mut impl FnMut(&'static str, String)) {
        // RUN-3
        if self.whole && !self.thought {
            wrong("RUN-3", format!("call {:?} is opened before any agent_thinking", call.call_id));
        }
        let opened = CallCheck {
            tool_name: call.tool_name.to_string(),
            opened_at: at,
            by_client: call.by == "client",
            open: true,
        };
        // RUN-4
        if self.calls.insert(call.call_id.to_string(), opened).is_some() {
            wrong("RUN-4", format!("call {:?} is opened twice", call.call_id));
        }
    }

    fn closes(&mut self, done: &ToolCompleted<'_>, at: u64, wrong: &mut impl FnMut(&'static str, String)) {
        // RUN-4
        match self.calls.get_mut(&*done.call_id) {
            Some(call) if call.open => {
                call.open = false;
                if call.tool_name != done.tool_name {
                    wrong("RUN-4", format!("call {:?} was opened for another tool", done.call_id));
                }
                lasted(done.duration_ms, call.opened_at, at, wrong);
            }
            Some(_) => wrong("RUN-4", format!("call {:?} is closed twice", done.call_id)),
            None if self.whole => wrong("RUN-4", format!("call {:?} was never opened", done.call_id)),
            None => {
                let tool_name = done.tool_name.to_string();
                let closed = CallCheck { tool_name, opened_at: at, by_client: false, open: false };
                self.calls.insert(done.call_id.to_string(), closed);
            }
        }
    }

    fn ends(&mut self, end: &CompletedFields<'_>, at: u64, wrong: &mut impl FnMut(&'static str, String)) {
        let succeeded = end.status == "succeeded";
        for (call_id, _) in self.calls.iter().filter(|(_, call)| call.open) {
            // RUN-5, and RUN-7 for a run that was ended early.
            let rule = if succeeded { "RUN-5" } else { "RUN-7" };
            wrong(rule, format!("the run ends while call {call_id:?} is open"));
        }
        if let Some(started_at) = self.started_at {
            lasted(end.duration_ms, started_at, at, wrong);
        }
        if !succeeded {
            return;
        }
        // RUN-3
        if self.whole && !self.thought {
            wrong("RUN-3", "the run succeeds without any agent_thinking".into());
        }
        if end.error.value().is_some() {
            wrong("ENTRY", "a run that succeeded has an error".into());
        }
        let response = end.final_response.value().map_or("", |text| text);
        if self.whole && self.answer.finalize() != blake3::hash(response.as_bytes()) {
            wrong("ENTRY", "final_response differs from the answer deltas".into());
        }
    }

    /// Returns true if the run may end as merged: its message steers, and it has made no step (RUN-12).
    pub(super) fn may_be_merged(&self) -> bool {
        self.steers && !self.thought && self.calls.is_empty()
    }

    /// Returns true for a call of the client; `None` if the opening of the call is not known.
    pub(super) fn is_by_client(&self, call_id: &str) -> Option<bool> {
        self.calls.get(call_id).map(|call| call.by_client)
    }

    /// Describes a run that has not ended.
    pub(super) fn unfinished(&self, user_id: &str) -> UnfinishedRun {
        let open = self.calls.values().filter(|call| call.open);
        UnfinishedRun {
            user_id: user_id.to_owned(),
            run_id: self.run_id.clone(),
            thread_id: self.thread_id.clone(),
            accepted: self.accepted,
            started: self.started,
            open_calls: open.clone().count() as u64,
            open_client_calls: open.filter(|call| call.by_client).count() as u64,
        }
    }
}

/// Checks that a duration is not longer than the time between two entries.
fn lasted(duration_ms: u64, from: u64, to: u64, wrong: &mut impl FnMut(&'static str, String)) {
    let between = to.saturating_sub(from);
    if duration_ms > between {
        wrong("ENTRY", format!("duration_ms {duration_ms} is more than the {between} ms that passed"));
    }
}
