//! An agent's handle to its run. It can take steps in this run and read this user's log, nothing else.

use std::sync::Arc;

use quintet_journal::{JournalError, Log, ReadLimit, RunRecord, lines::Lines};
use quintet_kernel::{
    entry::CallResult,
    ids::{CallId, Offset, RunId},
    limits::Limits,
    run::EarlyEnd,
    user::AgentStep,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    command::AgentCommand, queue_time::QueueTime, run_ended::RunEnded, signal::RunSignal, sync::Mutex,
    taken::Message,
};
use crate::token_count::TokenCount;

/// The handle of an agent to its run. If the last clone is dropped before the run is complete, the run ends as
/// `failed`, code `agent_error` (RUN-6).
#[derive(Clone)]
pub struct RunHandle(Arc<RunHandleInner>);

/// The parts, and the offsets of the messages that the run has taken.
struct RunHandleInner(RunHandleParts, Mutex<Vec<Offset>>);

/// The parts of a [`RunHandle`], provided by the hub of the run's user.
pub struct RunHandleParts {
    /// The run.
    pub run_id: RunId,
    /// The channels to the hub.
    pub hub: HubSenders,
    /// The hub's signals to this run.
    pub signal: Arc<RunSignal>,
    /// The time that the run has waited for its user's other runs.
    pub line: QueueTime,
    /// The user's own log.
    pub log: Arc<dyn Log>,
    /// The limits of a step.
    pub limits: Limits,
    /// True for a resumed run, which reports when it waits for its client (RUN-6).
    pub resumed: bool,
}

/// The channels from an agent to the hub of its user.
pub struct HubSenders {
    /// Receives the steps of the agent.
    pub agent_commands: mpsc::Sender<AgentCommand>,
    /// Receives the run when its agent is gone. Has room for every run that may be open.
    pub abandoned: mpsc::Sender<RunId>,
}

impl RunHandle {
    /// Creates the handle of one run.
    pub fn new(parts: RunHandleParts) -> Self {
        Self(Arc::new(RunHandleInner(parts, Mutex::default())))
    }

    /// Returns the limits of a step.
    pub fn limits(&self) -> &Limits {
        &self.0.0.limits
    }

    /// Returns the time that the run has waited for its user's other runs.
    pub fn line(&self) -> &QueueTime {
        &self.0.0.line
    }

    /// Queues a step without waiting until it is durable; waits only for room. If the step is illegal, the next
    /// call returns the error.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, for example after an earlier illegal step.
    pub async fn post(&self, step: AgentStep) -> Result<(), RunEnded> {
        self.command(|run_id| AgentCommand::Step { run_id, step, reply: None }).await
    }

    /// Takes a step and waits until it is durable (DEL-1, RUN-9).
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended or the step is illegal, exceeds a limit, or is not durable.
    pub async fn take(&self, step: AgentStep) -> Result<(), RunEnded> {
        let (reply, taken) = oneshot::channel();
        self.command(|run_id| AgentCommand::Step { run_id, step, reply: Some(reply) }).await?;
        // A hub that ended without a reply has ended its runs.
        taken.await.unwrap_or(Err(RunEnded::Ended))
    }

    /// Takes the messages that wait for the run, and returns once they are durably the run's own (RUN-12).
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or the messages could not be taken.
    pub async fn take_messages(&self) -> Result<Vec<Message>, RunEnded> {
        let (reply, taken) = oneshot::channel();
        self.command(|run_id| AgentCommand::TakeMessages { run_id, reply }).await?;
        // A hub that ended without a reply has ended its runs.
        let taken = taken.await.unwrap_or(Err(RunEnded::Ended))?;
        self.note_taken(taken.iter().map(|message| message.offset));
        Ok(taken)
    }

    /// Returns the count of the run's tokens.
    pub fn token_count(&self) -> TokenCount {
        TokenCount::new(self.0.0.signal.clone())
    }

    /// Notes messages that the run has taken.
    pub(crate) fn note_taken(&self, offsets: impl IntoIterator<Item = Offset>) {
        self.0.1.lock().extend(offsets);
    }

    /// Returns the offsets of the messages that the run has taken.
    pub(crate) fn taken(&self) -> Vec<Offset> {
        self.0.1.lock().clone()
    }

    /// Waits until a call of the client is closed, and returns its result (RUN-11). Returns at once if it is
    /// closed already.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run ends first.
    pub async fn closed(&self, call_id: &CallId) -> Result<CallResult, RunEnded> {
        if self.0.0.resumed {
            self.command(|run_id| AgentCommand::Parked { run_id }).await?;
        }
        self.0.0.signal.closed(call_id).await
    }

    /// Ends the run early (RUN-7), because the agent panicked, failed, or cannot continue.
    pub async fn cut(&self, cut: EarlyEnd) {
        let (reply, done) = oneshot::channel();
        if self.command(|run_id| AgentCommand::Cut { run_id, cut, reply }).await.is_ok() {
            // Without a reply the run or its hub has ended, so there is nothing left to end.
            let _ = done.await;
        }
    }

    /// Waits until the run has ended for any reason.
    pub async fn ended(&self) {
        self.0.0.signal.over().await;
    }

    /// Reads the user's own log.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the journal cannot be read.
    pub async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.0.0.log.read(after, limit).await
    }

    /// Returns the user's own log.
    pub(crate) fn log(&self) -> &Arc<dyn Log> {
        &self.0.0.log
    }

    /// Returns the head of the user's own log: the offset of its last entry.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the journal cannot be read.
    pub async fn head(&self) -> Result<Offset, JournalError> {
        Ok(self.0.0.log.extent().await?.head)
    }

    /// Returns the runs on the path from a message of the user to the root of its thread, the message's own first.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the journal cannot be read.
    pub async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.0.0.log.path(message, limit).await
    }

    async fn command(&self, command: impl FnOnce(RunId) -> AgentCommand) -> Result<(), RunEnded> {
        if let Some(why) = self.0.0.signal.stopped() {
            return Err(why);
        }
        let sent = tokio::select! {
            biased;
            () = self.0.0.signal.over() => false,
            sent = self.0.0.hub.agent_commands.send(command(self.0.0.run_id)) => sent.is_ok(),
        };
        if sent { Ok(()) } else { Err(self.0.0.signal.stopped().unwrap_or(RunEnded::Ended)) }
    }
}

impl Drop for RunHandleInner {
    fn drop(&mut self) {
        if self.0.signal.stopped().is_none() && self.0.hub.abandoned.try_send(self.0.run_id).is_err() {
            // The hub has ended with the run, or the run's own timeout will end it.
            tracing::debug!(run_id = %self.0.run_id, "an agent left a run whose hub has ended");
        }
    }
}
