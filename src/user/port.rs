//! What an agent holds of its run: it can move this run on and read this user's log, nothing else.

use crate::{
    journal::{JournalError, ReadLimit, lines::Lines},
    kernel::{
        entry::CallResult,
        ids::{CallId, Offset},
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
pub struct RunPort {}

impl RunPort {
    /// Hands a step over without waiting for the disk; waits only for room. A step that turns out
    /// illegal is told to the next call.
    pub async fn post(&self, step: AgentStep) -> Result<(), Stopped> {
        let _ = step;
        todo!()
    }

    /// Takes a step and waits until it is durable (DEL-1, RUN-9).
    pub async fn take(&self, step: AgentStep) -> Result<(), Stopped> {
        let _ = step;
        todo!()
    }

    /// Waits for the close of a call that is open `by` the client, or that the service may close
    /// (deadline): returns what it closed with (RUN-11). Immediate if it has closed already.
    pub async fn closed(&self, call_id: &CallId) -> Result<CallResult, Stopped> {
        let _ = call_id;
        todo!()
    }

    /// Ends the run early (RUN-7): the agent panicked, gave up, or cannot go on.
    pub async fn cut(&self, cut: Cut) {
        let _ = cut;
        todo!()
    }

    /// Resolves when the run has ended, whoever ended it.
    pub async fn ended(&self) {
        todo!()
    }

    /// Reads the user's own log.
    pub async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let _ = (after, limit);
        todo!()
    }
}
