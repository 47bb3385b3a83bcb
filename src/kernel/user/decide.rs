//! `decide`: computes the entries that a command adds, without changing the state.

use super::{
    command::{
        AgentStep, Command, Decision, NewMessage, OnBusy, PastCall, Refusal, Reply, Resumes, SendCommand,
        TakenMessage,
    },
    draft::{Draft, why},
    state::{OpenRun, Progress, Receipt, RecentParent, UserState},
};
use crate::{
    entry::{Body, CallOwner, CallResult, CallStatus, RunError, RunErrorCode, ThoughtKind},
    ids::{CallId, Offset, RunId, Timestamp},
    limits::Limits,
    run::{AnyRun, Closer, EarlyEnd, Step},
};

impl UserState {
    /// Returns the entries that `command` adds at the time `at`, and the reply.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] if the command is not valid in this state or exceeds a limit. An illegal step of
    /// an agent is not an error: it is a decision that fails the run (RUN-10).
    pub fn decide(&self, command: Command, limits: &Limits, at: Timestamp) -> Result<Decision, Refusal> {
        match command {
            Command::Send(send) => self.send(send, limits, at),
            Command::Cancel { run_id, ended } => self.cancel(run_id, ended, at),
            Command::Answer { run_id, call_id, result, past } => {
                self.answer(run_id, call_id, result, past, limits, at)
            }
            Command::Step { run_id, step } => self.step(run_id, step, limits, at),
            Command::TakeMessages { run_id } => self.take_messages(run_id, at),
            Command::Cut { run_id, cut } => {
                let mut draft = Draft::new(self, at);
                draft.end(run_id, cut).ok_or(Refusal::RunEnded)?;
                draft.start_next(run_id);
                Ok(draft.decided(Reply::Done))
            }
            Command::CloseCall { run_id, call_id, status } => self.close_call(run_id, call_id, status, at),
            Command::Resume { run_id, keep, resumes } => self.resume(run_id, keep, resumes, limits, at),
            Command::UpdateThread(update) => self.update_thread(update, at),
            Command::Erase { scope, receipt } => self.erase(scope, receipt, limits, at),
            Command::Erased { receipt } => self.erased(receipt, at),
        }
    }

    fn send(&self, send: SendCommand, limits: &Limits, at: Timestamp) -> Result<Decision, Refusal> {
        if let Some(receipt) = self.recent(&send.message.message_id).or(send.earlier) {
            if send.differs {
                return Err(Refusal::MessageIdReused);
            }
            let reply = Reply::Accepted { receipt, duplicate: true };
            return Ok(Decision::new(vec![], reply));
        }
        if send.message.text.len() > limits.text_bytes_max {
            return Err(Refusal::TooLarge { what: "text", bytes_max: limits.text_bytes_max });
        }
        let parent = self.parent(&send)?;
        let NewMessage { message_id, thread_id, text, agent_name: _, on_busy, parent: _ } = send.message;
        let line = self.lines.get(&thread_id);
        let busy = line.is_some();
        let interrupt = busy && on_busy == OnBusy::Interrupt;
        if busy && on_busy == OnBusy::Reject {
            return Err(Refusal::ThreadBusy);
        }
        if !interrupt {
            if line.is_some_and(|line| line.len() > limits.queued_messages_max) {
                return Err(Refusal::LimitReached("queued_messages_max"));
            }
            if self.runs.len() >= limits.open_runs_max {
                return Err(Refusal::LimitReached("open_runs_max"));
            }
        }
        let mut draft = Draft::new(self, at);
        if let Some(line) = line.filter(|_| interrupt) {
            for run_id in line {
                draft.end(*run_id, EarlyEnd::Cancelled);
            }
        }
        let run = OpenRun {
            thread_id,
            message_id: message_id.clone(),
            agent_name: send.agent_name,
            accepted: draft.next_offset(),
            steers: busy && on_busy == OnBusy::Steer,
            progress: Progress::Waiting,
        };
        let receipt = Receipt { run_id: send.run_id, offset: run.accepted };
        let body = Body::UserMessage { message_id, text, parent: Some(parent), steers: run.steers };
        draft.push(send.run_id, &run, body);
        if !busy || interrupt {
            draft.start(send.run_id, &run);
        }
        Ok(draft.decided(Reply::Accepted { receipt, duplicate: false }))
    }

    /// Returns the parent of a new message: the named or the latest message of its thread; 0 if there is none.
    fn parent(&self, send: &SendCommand) -> Result<Offset, Refusal> {
        let thread_id = &send.message.thread_id;
        match self.recent_parent(thread_id, send.message.parent) {
            RecentParent::Is(parent) => Ok(parent),
            RecentParent::Older => {
                // DEL-8: the journal may still have a message that is being erased.
                let older = send.older_parent.filter(|offset| !self.erases(thread_id, *offset));
                match send.message.parent {
                    Some(_) if older != send.message.parent => Err(Refusal::NotFound),
                    _ => Ok(older.unwrap_or_default()),
                }
            }
            // ISO-3: a message of another thread looks like one that does not exist.
            RecentParent::None => Err(Refusal::NotFound),
        }
    }

    fn cancel(&self, run_id: RunId, ended: bool, at: Timestamp) -> Result<Decision, Refusal> {
        let mut draft = Draft::new(self, at);
        match draft.end(run_id, EarlyEnd::Cancelled) {
            Some(()) => {
                draft.start_next(run_id);
                Ok(draft.decided(Reply::Done))
            }
            None if ended => Err(Refusal::RunEnded),
            None => Err(Refusal::NotFound),
        }
    }

    fn answer(
        &self,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        if result_bytes(&result) > limits.results_bytes_max {
            return Err(Refusal::TooLarge { what: "results", bytes_max: limits.results_bytes_max });
        }
        // Closed calls are not kept in memory. The journal distinguishes a closed call of the client from one
        // that the agent executed or that never existed.
        let closed = || match past {
            Some(PastCall::OfClient) => Refusal::CallClosed,
            Some(PastCall::NotOfClient) | None => Refusal::NotFound,
        };
        let (open, run) = self.begun(run_id).ok_or_else(closed)?;
        match run.open_calls().get(&call_id) {
            Some(call) if call.by == CallOwner::Client => {
                let step = Step::Close { call_id, result, closer: Closer::Client };
                let event = run.decide(step, at).expect("the client may close a call that it executes");
                let mut draft = Draft::new(self, at);
                draft.event(run_id, open, run.seq().next(), event);
                Ok(draft.decided(Reply::Done))
            }
            Some(_) => Err(Refusal::NotFound),
            None => Err(closed()),
        }
    }

    fn step(
        &self,
        run_id: RunId,
        step: AgentStep,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let mut draft = Draft::new(self, at);
        let over = over_limit(run, &step, limits);
        let completes = matches!(step, AgentStep::Complete(_));
        let (code, message, reply) = match (over, run.decide(step.into_step(), at)) {
            (None, Ok(event)) => {
                draft.event(run_id, open, run.seq().next(), event);
                if completes {
                    draft.start_next(run_id);
                }
                return Ok(draft.decided(Reply::Done));
            }
            (_, Err(violation)) => {
                (RunErrorCode::Violation, violation.to_string(), Reply::Violated(violation.breach))
            }
            (Some(limit), Ok(_)) => {
                (RunErrorCode::LimitReached, format!("{limit} is reached"), Reply::LimitReached(limit))
            }
        };
        draft.end(run_id, EarlyEnd::Failed(RunError { code, message }));
        draft.start_next(run_id);
        Ok(draft.decided(reply))
    }

    /// Merges the waiting runs of the thread whose messages steer into the active run (RUN-12).
    fn take_messages(&self, run_id: RunId, at: Timestamp) -> Result<Decision, Refusal> {
        let (active, _) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let mut draft = Draft::new(self, at);
        let mut taken = Vec::new();
        for waiting_id in &self.lines[&active.thread_id] {
            let waiting = &self.runs[waiting_id];
            if waiting.steers && waiting.progress == Progress::Waiting {
                draft.merge(*waiting_id, waiting, run_id);
                taken.push(TakenMessage { message_id: waiting.message_id.clone(), offset: waiting.accepted });
            }
        }
        Ok(draft.decided(Reply::Taken(taken)))
    }

    fn close_call(
        &self,
        run_id: RunId,
        call_id: CallId,
        status: CallStatus,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let result = CallResult::cut_short(status, why(status));
        let step = Step::Close { call_id, result, closer: Closer::Service };
        let event = run.decide(step, at).map_err(|_| Refusal::CallClosed)?;
        let mut draft = Draft::new(self, at);
        draft.event(run_id, open, run.seq().next(), event);
        Ok(draft.decided(Reply::Done))
    }

    fn resume(
        &self,
        run_id: RunId,
        keep: Vec<CallId>,
        resumes: Resumes,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let (open, run) = self.begun(run_id).ok_or(Refusal::RunEnded)?;
        let reached = resumes.limit_reached(limits);
        let mut draft = Draft::new(self, at);
        let mut run = run.clone();
        let orphaned = run.open_calls().iter().filter(|(_, call)| call.by == CallOwner::Agent);
        // A run that ends here repeats no call, so none is kept open (RUN-7).
        let orphaned = orphaned.filter(|(call_id, _)| reached.is_some() || !keep.contains(call_id));
        let orphaned: Vec<CallId> = orphaned.map(|(call_id, _)| call_id.clone()).collect();
        for call_id in orphaned {
            let result = CallResult::cut_short(CallStatus::Unknown, why(CallStatus::Unknown));
            let step = Step::Close { call_id, result, closer: Closer::Service };
            let (closed, event) = run.step(step, at).expect("the service may close a call that is open");
            run = closed;
            draft.event(run_id, open, run.seq(), event);
        }
        let Some(limit) = reached else { return Ok(draft.decided(Reply::Done)) };
        // RUN-6: a run that crashes the service is not resumed for ever.
        let message =
            format!("the service stopped unexpectedly whenever it resumed the run: {limit} is reached");
        let cut = EarlyEnd::Failed(RunError { code: RunErrorCode::ResumeLimit, message });
        draft.cut(run_id, open, &run, cut);
        draft.start_next(run_id);
        Ok(draft.decided(Reply::ResumeLimit(limit)))
    }

    /// Returns a run that has started and not completed.
    fn begun(&self, run_id: RunId) -> Option<(&OpenRun, &AnyRun)> {
        match self.runs.get(&run_id) {
            Some(open @ OpenRun { progress: Progress::Begun(run), .. }) => Some((open, run)),
            _ => None,
        }
    }
}

fn result_bytes(result: &CallResult) -> usize {
    result.results.as_str().len() + result.error.as_ref().map_or(0, String::len)
}

/// Returns the name of the limit that a step would exceed.
fn over_limit(run: &AnyRun, step: &AgentStep, limits: &Limits) -> Option<&'static str> {
    let terminal = matches!(step, AgentStep::Complete(_) | AgentStep::Close { .. });
    if !terminal && run.seq().0 >= limits.run_events_max {
        return Some("run_events_max");
    }
    match step {
        AgentStep::Think(thought) => {
            let kept = if thought.reset { 0 } else { run.answer().len() };
            if thought.delta.len() > limits.delta_bytes_max {
                Some("delta_bytes_max")
            } else if thought.kind == ThoughtKind::Answer
                && kept + thought.delta.len() > limits.answer_bytes_max
            {
                Some("answer_bytes_max")
            } else {
                None
            }
        }
        AgentStep::Open(call) => {
            if call.parameters.as_str().len() > limits.parameters_bytes_max {
                Some("parameters_bytes_max")
            } else if run.open_calls().len() >= limits.open_calls_max {
                Some("open_calls_max")
            } else if run.calls_opened() >= limits.run_calls_max {
                Some("run_calls_max")
            } else {
                None
            }
        }
        AgentStep::Close { result, .. } => {
            (result_bytes(result) > limits.results_bytes_max).then_some("results_bytes_max")
        }
        AgentStep::Complete(_) => None,
    }
}
