//! What an agent holds of its run: it can move this run on and read this user's log, nothing else.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{line::Line, order::Order, signal::RunSignal};
use crate::{
    journal::{JournalError, Log, ReadLimit, lines::Lines},
    kernel::{
        entry::CallResult,
        ids::{CallId, Offset, RunId},
        limits::Limits,
        run::{Breach, Cut},
        user::AgentStep,
    },
};

/// The run is over for its agent: no further step will be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Cancelled, timed out, or ended otherwise by somebody else.
    #[error("the run has ended")]
    Ended,
    /// The agent's step was illegal (RUN-10).
    #[error("illegal step: {0}")]
    Violated(Breach),
    #[error("{0} is reached")]
    LimitReached(&'static str),
    /// The journal did not take the step; the run is taken up again when it does.
    #[error("the journal is not available")]
    Unavailable,
}

/// The way from an agent to its run. Dropping the last one of a run that is not complete ends the
/// run as `failed`, code `agent_error` (RUN-6).
#[derive(Clone)]
pub struct RunPort(Arc<Inner>);

struct Inner {
    run_id: RunId,
    hub: HubSenders,
    signal: Arc<RunSignal>,
    line: Line,
    log: Arc<dyn Log>,
    limits: Limits,
    /// The run was resumed: where it waits for its client is of note (RUN-6).
    resumed: bool,
}

/// The channels from an agent to the hub of its user.
pub(super) struct HubSenders {
    pub orders: mpsc::Sender<Order>,
    /// Takes the run when its agent is gone. Has room for every run that may be open.
    pub abandoned: mpsc::Sender<RunId>,
}

impl RunPort {
    pub(super) fn new(
        run_id: RunId,
        hub: HubSenders,
        signal: Arc<RunSignal>,
        line: Line,
        log: Arc<dyn Log>,
        limits: Limits,
        resumed: bool,
    ) -> Self {
        Self(Arc::new(Inner { run_id, hub, signal, line, log, limits, resumed }))
    }

    /// What a step may not exceed.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How long the run has waited for its user's others.
    pub fn line(&self) -> &Line {
        &self.0.line
    }

    /// Hands a step over without waiting for the disk; waits only for room. A step that turns out
    /// illegal is told to the next call.
    pub async fn post(&self, step: AgentStep) -> Result<(), Stopped> {
        self.order(|run_id| Order::Step { run_id, step, reply: None }).await
    }

    /// Takes a step and waits until it is durable (DEL-1, RUN-9).
    pub async fn take(&self, step: AgentStep) -> Result<(), Stopped> {
        let (reply, taken) = oneshot::channel();
        self.order(|run_id| Order::Step { run_id, step, reply: Some(reply) }).await?;
        // A hub that is gone without an answer took its runs with it.
        taken.await.unwrap_or(Err(Stopped::Ended))
    }

    /// Waits for the close of a call that is open `by` the client: returns what it closed with
    /// (RUN-11). Immediate if it has closed already.
    pub async fn closed(&self, call_id: &CallId) -> Result<CallResult, Stopped> {
        if self.0.resumed {
            self.order(|run_id| Order::Parked { run_id }).await?;
        }
        self.0.signal.closed(call_id).await
    }

    /// Ends the run early (RUN-7): the agent panicked, gave up, or cannot go on.
    pub async fn cut(&self, cut: Cut) {
        let (reply, done) = oneshot::channel();
        if self.order(|run_id| Order::Cut { run_id, cut, reply }).await.is_ok() {
            // Without an answer the run is over or its hub gone: nothing is left to end.
            let _ = done.await;
        }
    }

    /// Resolves when the run has ended, whoever ended it.
    pub async fn ended(&self) {
        self.0.signal.over().await;
    }

    /// Reads the user's own log.
    pub async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.0.log.read(after, limit).await
    }

    /// The user's own log spans up to here.
    pub async fn head(&self) -> Result<Offset, JournalError> {
        Ok(self.0.log.extent().await?.head)
    }

    async fn order(&self, order: impl FnOnce(RunId) -> Order) -> Result<(), Stopped> {
        if let Some(why) = self.0.signal.stopped() {
            return Err(why);
        }
        let sent = tokio::select! {
            biased;
            () = self.0.signal.over() => false,
            sent = self.0.hub.orders.send(order(self.0.run_id)) => sent.is_ok(),
        };
        if sent { Ok(()) } else { Err(self.0.signal.stopped().unwrap_or(Stopped::Ended)) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.signal.stopped().is_none() && self.hub.abandoned.try_send(self.run_id).is_err() {
            // Its hub is gone, and the run with it, or the run's own deadline will end it.
            tracing::debug!(run_id = %self.run_id, "an agent left a run whose hub is gone");
        }
    }
}
