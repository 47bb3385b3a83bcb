//! Decides the inputs of a hub on top of the earlier decisions of the same batch.

use super::{Input, batch::Working};
use crate::{
    agent::host::{Order, Stopped},
    journal::{JournalError, Log},
    kernel::{
        entry::{Body, CallResult, Entry},
        ids::{CallId, Offset, RunId, Timestamp, UserId},
        user::{AgentStep, Command, NewMessage, PastCall, Receipt, Refusal, Reply, Send},
    },
    runtime::saturation::Scope,
    user::{
        handle::{Accepted, Answered, Ask, Request, Unaccepted},
        recovery,
        turn::{Promise, Turn},
    },
};

impl Working<'_> {
    pub(super) async fn handle(&mut self, turn: &mut Turn, input: Input, at: Timestamp) {
        match input {
            Input::Look => {}
            Input::Own(command) => {
                // A refusal means that the run or call has already ended.
                let _ = self.decide(turn, command, at);
            }
            Input::Request(Request { ask, lease }) => {
                self.hub.lease.get_or_insert(lease);
                self.ask(turn, ask, at).await;
            }
            Input::Order(Order::Step { run_id, step, reply }) => {
                let answer = match self.over_limit(turn, &step, at) {
                    Some(limit) => Err(self.end_at_limit(turn, run_id, limit, at)),
                    None => self.step(turn, run_id, step, at),
                };
                if let Some(reply) = reply {
                    turn.promise(Promise::Stepped(reply, answer));
                }
            }
            Input::Order(Order::Parked { run_id }) => {
                // A run with other open calls has not yet shown that it survives its resume.
                if self.is_at_rest(run_id) {
                    self.prove(turn, run_id);
                }
            }
            Input::Order(Order::Cut { run_id, cut, reply }) => {
                // Refused if the run has already ended, which is the intended outcome.
                let _ = self.decide(turn, Command::Cut { run_id, cut }, at);
                turn.promise(Promise::Cut(reply));
            }
        }
    }

    fn step(
        &mut self,
        turn: &mut Turn,
        run_id: RunId,
        step: AgentStep,
        at: Timestamp,
    ) -> Result<(), Stopped> {
        match self.decide(turn, Command::Step { run_id, step }, at) {
            Some(Ok((Reply::Violated(breach), _))) => {
                tracing::warn!(%run_id, %breach, "an agent attempted an illegal step");
                metrics::counter!("quintet_violations_total").increment(1);
                Err(Stopped::Violated(breach))
            }
            Some(Ok((Reply::LimitReached(limit), _))) => {
                self.hub.shared.saturation.reached(limit, Scope::User);
                Err(Stopped::LimitReached(limit))
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(Stopped::Ended),
            None => Err(Stopped::Unavailable),
        }
    }

    async fn ask(&mut self, turn: &mut Turn, ask: Ask, at: Timestamp) {
        match ask {
            // A run that advanced now would be cut off in its next call (CONN-6).
            Ask::Cancel { reply, .. } if self.hub.shared.is_resting() => {
                turn.promise(Promise::Done(reply, Err(Unaccepted::Draining)));
            }
            Ask::Answer { reply, .. } if self.hub.shared.is_resting() => {
                turn.promise(Promise::Answered(reply, Err(Unaccepted::Draining)));
            }
            Ask::Send { message, run_id, reply } => {
                let answer = self.send(turn, message, run_id, at).await;
                turn.promise(Promise::Accepted(reply, answer));
            }
            Ask::Cancel { run_id, reply } => {
                let answer = self.cancel(turn, run_id, at).await;
                turn.promise(Promise::Done(reply, answer));
            }
            Ask::Answer { run_id, call_id, result, past, reply } => {
                let answer = self.answer(turn, run_id, call_id, result, past, at);
                turn.promise(Promise::Answered(reply, answer));
            }
            // Open runs were resumed at the start of the batch.
            Ask::Recover { reply } => turn.promise(Promise::Done(reply, Ok(()))),
        }
    }

    async fn send(
        &mut self,
        turn: &mut Turn,
        message: NewMessage,
        run_id: RunId,
        at: Timestamp,
    ) -> Result<Accepted, Unaccepted> {
        let earlier = match self.known.view.recent(&message.message_id) {
            Some(receipt) => Some(receipt),
            None => {
                let found = self.hub.log.message(&message.message_id).await?;
                if let Some(receipt) = found {
                    self.require_known(turn, receipt.offset)?;
                }
                found
            }
        };
        let differs = match earlier {
            Some(receipt) => differs(&*self.hub.log, &self.hub.user_id, turn, &message, receipt).await?,
            None => false,
        };
        let agent_name = message.agent_name.clone().unwrap_or_else(|| self.hub.shared.agents.default_agent());
        if earlier.is_none() {
            if self.hub.shared.is_draining() {
                return Err(Unaccepted::Draining);
            }
            if self.hub.shared.agents.find(&agent_name).is_none() {
                return Err(Unaccepted::UnknownAgent(agent_name));
            }
            self.require_room(turn, at)?;
        }
        let send = Send { message, agent_name, run_id, earlier, differs };
        match self.decide(turn, Command::Send(send), at) {
            Some(Ok((Reply::Accepted { receipt, duplicate }, _))) => Ok(Accepted { receipt, duplicate }),
            Some(Err(refusal)) => {
                self.note_refusal(&refusal);
                Err(refusal.into())
            }
            Some(Ok(_)) | None => Err(Unaccepted::Unavailable),
        }
    }

    async fn cancel(&mut self, turn: &mut Turn, run_id: RunId, at: Timestamp) -> Result<(), Unaccepted> {
        let open = self.known.view.open_runs().contains_key(&run_id);
        let record = if open { None } else { self.hub.log.run(run_id).await? };
        if let Some(run) = &record {
            self.require_known(turn, run.completed.map_or(run.accepted, |(completed, _)| completed))?;
        }
        let ended = record.is_some();
        self.done(turn, Command::Cancel { run_id, ended }, at)
    }

    /// Returns an error and marks the log to be read back if the journal has an entry at `offset` that this
    /// hub does not know. Decisions on an incomplete state would accept a message whose run never starts
    /// (RUN-6), or report a run as ended that has not (DEL-7).
    fn require_known(&self, turn: &mut Turn, offset: Offset) -> Result<(), Unaccepted> {
        if offset <= turn.follows() {
            return Ok(());
        }
        tracing::warn!(user_id = %self.hub.user_id, %offset, "the log has entries that its hub does not know");
        turn.set_stale();
        Err(Unaccepted::Unavailable)
    }

    /// Completes a call of an open run from memory, even while the journal is unavailable (RUN-11). To
    /// distinguish a closed call from one that never existed needs a journal read, which must not block the
    /// batch (ISO-6), so the caller reads and asks again.
    fn answer(
        &mut self,
        turn: &mut Turn,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
        at: Timestamp,
    ) -> Result<Answered, Unaccepted> {
        let past = match (self.known.view.open_runs().get(&run_id), past) {
            (None, None) => return Ok(Answered::NotOpen),
            (None, past) => past,
            (Some(_), _) => {
                self.require_bytes_of_day(turn, at)?;
                Some(self.known.asked.past(run_id, &call_id))
            }
        };
        self.done(turn, Command::Answer { run_id, call_id, result, past }, at).map(|()| Answered::Done)
    }

    fn done(&mut self, turn: &mut Turn, command: Command, at: Timestamp) -> Result<(), Unaccepted> {
        match self.decide(turn, command, at) {
            Some(answer) => Ok(answer.map(|_| ())?),
            None => Err(Unaccepted::Unavailable),
        }
    }

    /// Decides a command on top of the earlier decisions of this batch. Returns `None` if the batch is stale, such
    /// as after the state rejected the kernel's own decision, a defect of the service; the log is then read back
    /// before the next decision.
    pub(super) fn decide(
        &mut self,
        turn: &mut Turn,
        command: Command,
        at: Timestamp,
    ) -> Option<Result<(Reply, Vec<Entry>), Refusal>> {
        if turn.is_stale() {
            return None;
        }
        let limits = &self.hub.shared.limits.kernel;
        let resumes = matches!(command, Command::Resume { .. });
        self.hub.observer.deciding(&command);
        let decided = self.known.view.decide(command, limits, at);
        self.hub.observer.decided(&decided);
        let decision = match decided {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(refusal)),
        };
        for entry in &decision.entries {
            if let Err(misfit) = self.known.view.evolve(entry, limits) {
                tracing::error!(user_id = %self.hub.user_id, %misfit, "the kernel's decision does not fit its state");
                turn.set_stale();
                return None;
            }
            self.known.asked.take(entry);
            if let Some(past) = self.known.resumed.suspects.get_mut(&entry.run_id) {
                past.take(entry.clone());
            }
        }
        let past = if resumes { decision.entries.clone() } else { Vec::new() };
        for entry in decision.entries {
            turn.push(&self.hub.user_id, entry, &decision.reply);
        }
        Some(Ok((decision.reply, past)))
    }
}

/// Returns true if `message` differs in text, thread or agent from the message accepted as `receipt` (DEL-6). A
/// trimmed message has no content to compare.
async fn differs(
    log: &dyn Log,
    user_id: &UserId,
    turn: &Turn,
    message: &NewMessage,
    receipt: Receipt,
) -> Result<bool, JournalError> {
    let differs = |earlier: &Entry| {
        let text = match &earlier.body {
            Body::UserMessage { text, .. } => text,
            Body::Event { .. } => return true,
        };
        let agent_differs = message.agent_name.as_ref().is_some_and(|name| *name != earlier.agent_name);
        *text != message.text || earlier.thread_id != message.thread_id || agent_differs
    };
    if let Some(entry) = turn.entry(receipt.offset) {
        return Ok(differs(entry));
    }
    let kept = recovery::entry(log, user_id, receipt.offset).await?;
    Ok(kept.is_some_and(|entry| differs(&entry)))
}

/// Replies to an input that cannot be decided because the log cannot be read.
pub(super) fn withdraw(input: Input, error: &JournalError) {
    let why = match error {
        JournalError::Unavailable(_) => Unaccepted::Unavailable,
        JournalError::Damaged(_) => Unaccepted::Damaged,
    };
    match input {
        Input::Request(Request { ask, .. }) => match ask {
            Ask::Send { reply, .. } => Promise::Accepted(reply, Err(why)).keep(),
            Ask::Answer { reply, .. } => Promise::Answered(reply, Err(why)).keep(),
            Ask::Cancel { reply, .. } | Ask::Recover { reply } => {
                Promise::Done(reply, Err(why)).keep();
            }
        },
        Input::Order(Order::Step { reply, .. }) => {
            if let Some(reply) = reply {
                Promise::Stepped(reply, Err(Stopped::Unavailable)).withdraw();
            }
        }
        Input::Order(Order::Cut { reply, .. }) => Promise::Cut(reply).withdraw(),
        Input::Order(Order::Parked { .. }) | Input::Own(_) | Input::Look => {}
    }
}
