//! The steps of agents, as inputs of a hub.

use tokio::sync::oneshot;

use super::port::Stopped;
use crate::kernel::{ids::RunId, run::Cut, user::AgentStep};

/// An input from an agent.
pub enum Order {
    Step {
        run_id: RunId,
        step: AgentStep,
        reply: Option<oneshot::Sender<Result<(), Stopped>>>,
    },
    Cut {
        run_id: RunId,
        cut: Cut,
        reply: oneshot::Sender<()>,
    },
    /// The agent of a resumed run waits for its client (RUN-11).
    Parked {
        run_id: RunId,
    },
}
