//! Decides the inputs of a hub on top of the earlier decisions of the same batch.

use super::{HubInput, batch::Working};
use crate::{
    agent::host::{AgentCommand, RunEnded},
    batch::{BatchBuilder, PendingReply},
    handle::{Acceptance, CallReply, ClientCommand, Request, RequestError},
    journal::{JournalError, Log},
    kernel::{
        entry::{Body, CallResult, Entry, RunEntry},
        ids::{CallId, Offset, RunId, Timestamp, UserId},
        user::{
            AgentStep, Command, NewMessage, PastCall, Receipt, RecentParent, Refusal, Reply, SendCommand,
        },
    },
    recovery,
    runtime::saturation::Scope,
};

impl Working<'_> {
    pub(super) async fn handle(&mut self, batch: &mut BatchBuilder, input: HubInput, at: Timestamp) {
        match input {
            HubInput::Look => {}
            HubInput::Own(command) => {
                // A refusal means that the run or call has already ended.
                let _ = self.decide(batch, command, at);
            }
            HubInput::Request(Request { ask, lease }) => {
                self.hub.lease.get_or_insert(lease);
                self.ask(batch, ask, at).await;
            }
            HubInput::AgentCommand(AgentCommand::Step { run_id, step, reply }) => {
                let answer = match self.over_limit(batch, &step, at) {
                    Some(limit) => Err(self.end_at_limit(batch, run_id, limit, at)),
                    None => self.step(batch, run_id, step, at),
                };
                if let Some(reply) = reply {
                    batch.reply_later(PendingReply::Stepped(reply, answer));
                }
            }
            HubInput::AgentCommand(AgentCommand::TakeMessages { run_id, reply }) => {
                let taken = self.take_messages(batch, run_id, at).await;
                batch.reply_later(PendingReply::Taken(reply, taken));
            }
            HubInput::AgentCommand(AgentCommand::Parked { run_id }) => {
                // A run with other open calls has not yet shown that it survives its resume.
                if self.is_quiesced(run_id) {
                    self.prove(batch, run_id);
                }
            }
            HubInput::AgentCommand(AgentCommand::Cut { run_id, cut, reply }) => {
                // Refused if the run has already ended, which is the intended outcome.
                let _ = self.decide(batch, Command::Cut { run_id, cut }, at);
                batch.reply_later(PendingReply::Cut(reply));
            }
        }
    }

    fn step(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        step: AgentStep,
        at: Timestamp,
    ) -> Result<(), RunEnded> {
        match self.decide(batch, Command::Step { run_id, step }, at) {
            Some(Ok((Reply::Violated(breach), _))) => {
                tracing::warn!(%run_id, %breach, "an agent attempted an illegal step");
                metrics::counter!("quintet_violations_total").increment(1);
                Err(RunEnded::Violated(breach))
            }
            Some(Ok((Reply::LimitReached(limit), _))) => {
                self.hub.shared.saturation.reached(limit, Scope::User);
                Err(RunEnded::LimitReached(limit))
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(RunEnded::Ended),
            None => Err(RunEnded::Unavailable),
        }
    }

    async fn ask(&mut self, batch: &mut BatchBuilder, ask: ClientCommand, at: Timestamp) {
        match ask {
            // A run that advanced now would be cut off in its next call (CONN-6).
            ClientCommand::Cancel { reply, .. } if self.hub.shared.is_quiescing() => {
                batch.reply_later(PendingReply::Done(reply, Err(RequestError::Draining)));
            }
            ClientCommand::CompleteCall { reply, .. } if self.hub.shared.is_quiescing() => {
                batch.reply_later(PendingReply::CallCompleted(reply, Err(RequestError::Draining)));
            }
            ClientCommand::Send { message, run_id, reply } => {
                let answer = self.send(batch, message, run_id, at).await;
                batch.reply_later(PendingReply::Accepted(reply, answer));
            }
            ClientCommand::Cancel { run_id, reply } => {
                let answer = self.cancel(batch, run_id, at).await;
                batch.reply_later(PendingReply::Done(reply, answer));
            }
            ClientCommand::CompleteCall { run_id, call_id, result, past, reply } => {
                let answer = self.answer(batch, run_id, call_id, result, past, at);
                batch.reply_later(PendingReply::CallCompleted(reply, answer));
            }
            ClientCommand::Erase { reply, .. } if self.hub.shared.is_quiescing() => {
                batch.reply_later(PendingReply::Erasing(reply, Err(RequestError::Draining)));
            }
            ClientCommand::UpdateThread { thread_id, update, reply } => {
                let answer = self.update_thread(batch, thread_id, update, at).await;
                batch.reply_later(PendingReply::Done(reply, answer));
            }
            ClientCommand::Erase { scope, receipt, reply } => {
                let answer = self.erase(batch, scope, receipt, at);
                batch.reply_later(PendingReply::Erasing(reply, answer));
            }
            ClientCommand::WaitingCalls { reply } => {
                // Sent with the batch: a call that was decided in it is durable by then (DEL-1).
                let waiting = self.waiting_calls(at);
                batch.reply_later(PendingReply::Waiting(reply, Ok(waiting)));
            }
            // Open runs were resumed at the start of the batch.
            ClientCommand::Recover { reply } => batch.reply_later(PendingReply::Done(reply, Ok(()))),
        }
    }

    async fn send(
        &mut self,
        batch: &mut BatchBuilder,
        message: NewMessage,
        run_id: RunId,
        at: Timestamp,
    ) -> Result<Acceptance, RequestError> {
        let earlier = match self.known.view.recent(&message.message_id) {
            Some(receipt) => Some(receipt),
            None => {
                let found = self.hub.log.message(&message.message_id).await?;
                if let Some(receipt) = found {
                    self.require_known(batch, receipt.offset)?;
                }
                found
            }
        };
        let differs = match earlier {
            Some(receipt) => differs(&*self.hub.log, &self.hub.user_id, batch, &message, receipt).await?,
            None => false,
        };
        let agent_name = message.agent_name.clone().unwrap_or_else(|| self.hub.shared.agents.default_agent());
        if earlier.is_none() {
            if self.hub.shared.is_draining() {
                return Err(RequestError::Draining);
            }
            if self.hub.shared.agents.find(&agent_name).is_none() {
                return Err(RequestError::UnknownAgent(agent_name));
            }
            self.require_room(batch, at)?;
        }
        let older_parent = match earlier {
            Some(_) => None,
            None => self.older_parent(batch, &message).await?,
        };
        let send = SendCommand { message, agent_name, run_id, earlier, differs, older_parent };
        match self.decide(batch, Command::Send(send), at) {
            Some(Ok((Reply::Accepted { receipt, duplicate }, _))) => Ok(Acceptance { receipt, duplicate }),
            Some(Err(refusal)) => {
                self.note_refusal(&refusal);
                Err(refusal.into())
            }
            Some(Ok(_)) | None => Err(RequestError::Unavailable),
        }
    }

    /// Looks the parent of a new message up in the journal, unless the recent messages determine it.
    async fn older_parent(
        &mut self,
        batch: &mut BatchBuilder,
        message: &NewMessage,
    ) -> Result<Option<Offset>, RequestError> {
        let view = &self.known.view;
        let is_older = view.recent_parent(&message.thread_id, message.parent) == RecentParent::Older;
        if !is_older || !view.has_older(&self.hub.shared.limits.kernel) {
            return Ok(None);
        }
        let found = self.hub.log.thread_message(&message.thread_id, message.parent).await?;
        if let Some(offset) = found {
            self.require_known(batch, offset)?;
        }
        Ok(found)
    }

    async fn cancel(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        at: Timestamp,
    ) -> Result<(), RequestError> {
        let open = self.known.view.open_runs().contains_key(&run_id);
        let record = if open { None } else { self.hub.log.run(run_id).await? };
        if let Some(run) = &record {
            self.require_known(batch, run.completed.map_or(run.accepted, |(completed, _)| completed))?;
        }
        let ended = record.is_some();
        self.done(batch, Command::Cancel { run_id, ended }, at)
    }

    /// Returns an error and marks the log to be read back if the journal has an entry at `offset` that this
    /// hub does not know. Decisions on an incomplete state would accept a message whose run never starts
    /// (RUN-6), or report a run as ended that has not (DEL-7).
    fn require_known(&self, batch: &mut BatchBuilder, offset: Offset) -> Result<(), RequestError> {
        if offset <= batch.follows() {
            return Ok(());
        }
        tracing::warn!(user_id = %self.hub.user_id, %offset, "the log has entries that its hub does not know");
        batch.set_stale();
        Err(RequestError::Unavailable)
    }

    /// Completes a call of an open run from memory, even while the journal is unavailable (RUN-11). To
    /// distinguish a closed call from one that never existed needs a journal read, which must not block the
    /// batch (ISO-6), so the caller reads and asks again.
    fn answer(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
        at: Timestamp,
    ) -> Result<CallReply, RequestError> {
        let past = match (self.known.view.open_runs().get(&run_id), past) {
            (None, None) => return Ok(CallReply::NotOpen),
            (None, past) => past,
            (Some(_), _) => {
                self.require_bytes_of_day(batch, at)?;
                Some(self.known.client_calls.past(run_id, &call_id))
            }
        };
        self.done(batch, Command::Answer { run_id, call_id, result, past }, at).map(|()| CallReply::Done)
    }

    pub(super) fn done(
        &mut self,
        batch: &mut BatchBuilder,
        command: Command,
        at: Timestamp,
    ) -> Result<(), RequestError> {
        match self.decide(batch, command, at) {
            Some(answer) => Ok(answer.map(|_| ())?),
            None => Err(RequestError::Unavailable),
        }
    }

    /// Decides a command on top of the earlier decisions of this batch. Returns `None` if the batch is stale, such
    /// as after the state rejected the kernel's own decision, a defect of the service; the log is then read back
    /// before the next decision.
    pub(super) fn decide(
        &mut self,
        batch: &mut BatchBuilder,
        command: Command,
        at: Timestamp,
    ) -> Option<Result<(Reply, Vec<RunEntry>), Refusal>> {
        if batch.is_stale() {
            return None;
        }
        let limits = &self.hub.shared.limits.kernel;
        let resumes = matches!(command, Command::Resume { .. });
        self.hub.observer.deciding(&command);
        let mut decided = self.known.view.decide(command, limits, at);
        if let Ok(decision) = &mut decided {
            let signals = &self.known.signals;
            decision.add_usage(|run_id| signals.get(&run_id).and_then(|signal| signal.usage()));
        }
        self.hub.observer.decided(&decided);
        let decision = match decided {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(refusal)),
        };
        for entry in &decision.entries {
            if let Err(misfit) = self.known.view.evolve(entry, limits) {
                tracing::error!(user_id = %self.hub.user_id, %misfit, "the kernel's decision does not fit its state");
                batch.set_stale();
                return None;
            }
            let Some(entry) = entry.run() else { continue };
            self.known.client_calls.take(entry);
            if let Some(past) = self.known.resumed.suspects.get_mut(&entry.run_id) {
                past.take(entry.clone());
            }
        }
        let past = match resumes {
            true => decision.entries.iter().filter_map(Entry::run).cloned().collect(),
            false => Vec::new(),
        };
        for entry in decision.entries {
            batch.push(&self.hub.user_id, entry, &decision.reply);
        }
        if let Some(erasure) = decision.erasure {
            self.known.view.begin_erasure(erasure.clone());
            batch.erase(erasure);
        }
        Some(Ok((decision.reply, past)))
    }
}

/// Returns true if `message` differs in text, thread, agent or parent from the message accepted as `receipt` (DEL-6). A
/// trimmed or erased message has no content to compare.
async fn differs(
    log: &dyn Log,
    user_id: &UserId,
    batch: &BatchBuilder,
    message: &NewMessage,
    receipt: Receipt,
) -> Result<bool, JournalError> {
    let differs = |earlier: &RunEntry| {
        let Body::UserMessage { text, parent, .. } = &earlier.body else { return true };
        let agent_differs = message.agent_name.as_ref().is_some_and(|name| *name != earlier.agent_name);
        // Messages of earlier versions were sent without a parent.
        let parent_differs = message.parent.is_some() && message.parent != *parent;
        *text != message.text || earlier.thread_id != message.thread_id || agent_differs || parent_differs
    };
    if let Some(entry) = batch.entry(receipt.offset) {
        return Ok(entry.run().is_none_or(differs));
    }
    let kept = recovery::entry(log, user_id, receipt.offset).await?;
    Ok(match kept {
        Some(Entry::Run(entry)) => differs(&entry),
        Some(Entry::Thread(_) | Entry::LogErased(_)) => true,
        Some(Entry::Erased(_)) | None => false,
    })
}

/// Replies to an input that cannot be decided because the log cannot be read.
pub(super) fn fail(input: HubInput, error: &JournalError) {
    let why = match error {
        JournalError::Unavailable(_) => RequestError::Unavailable,
        JournalError::Damaged(_) => RequestError::Damaged,
    };
    match input {
        HubInput::Request(Request { ask, .. }) => match ask {
            ClientCommand::Send { reply, .. } => PendingReply::Accepted(reply, Err(why)).send(),
            ClientCommand::CompleteCall { reply, .. } => PendingReply::CallCompleted(reply, Err(why)).send(),
            ClientCommand::Cancel { reply, .. }
            | ClientCommand::UpdateThread { reply, .. }
            | ClientCommand::Recover { reply } => {
                PendingReply::Done(reply, Err(why)).send();
            }
            ClientCommand::Erase { reply, .. } => PendingReply::Erasing(reply, Err(why)).send(),
            ClientCommand::WaitingCalls { reply } => PendingReply::Waiting(reply, Err(why)).send(),
        },
        HubInput::AgentCommand(AgentCommand::Step { reply, .. }) => {
            if let Some(reply) = reply {
                PendingReply::Stepped(reply, Err(RunEnded::Unavailable)).fail();
            }
        }
        HubInput::AgentCommand(AgentCommand::TakeMessages { reply, .. }) => {
            PendingReply::Taken(reply, Err(RunEnded::Unavailable)).fail();
        }
        HubInput::AgentCommand(AgentCommand::Cut { reply, .. }) => PendingReply::Cut(reply).fail(),
        HubInput::AgentCommand(AgentCommand::Parked { .. }) | HubInput::Own(_) | HubInput::Look => {}
    }
}
