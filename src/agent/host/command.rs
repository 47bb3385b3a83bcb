//! The inputs of a hub from its agents.

use quintet_kernel::{ids::RunId, run::EarlyEnd, user::AgentStep};
use tokio::sync::oneshot;

use super::{run_ended::RunEnded, taken::Message};

/// An input from an agent.
pub enum AgentCommand {
    /// A step of the run, with an optional reply once it is durable or refused.
    Step {
        /// The run.
        run_id: RunId,
        /// The step.
        step: AgentStep,
        /// Receives the outcome.
        reply: Option<oneshot::Sender<Result<(), RunEnded>>>,
    },
    /// The messages that wait for the run are taken (RUN-12).
    TakeMessages {
        /// The run.
        run_id: RunId,
        /// Receives the messages once they are durably the run's own.
        reply: oneshot::Sender<Result<Vec<Message>, RunEnded>>,
    },
    /// The early end of the run.
    Cut {
        /// The run.
        run_id: RunId,
        /// The reason.
        cut: EarlyEnd,
        /// Receives a reply once the end is durable.
        reply: oneshot::Sender<()>,
    },
    /// The agent of a resumed run waits for its client (RUN-11).
    Parked {
        /// The run.
        run_id: RunId,
    },
}
