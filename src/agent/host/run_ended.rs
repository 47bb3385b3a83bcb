//! The end of a run, as its agent receives it.

use quintet_kernel::{ids::InvalidId, run::Breach};

/// The reason for which a run has ended for its agent: further steps are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunEnded {
    /// The run was cancelled, timed out, or ended by another party.
    #[error("the run has ended")]
    Ended,
    /// The agent's step was illegal (RUN-10).
    #[error("illegal step: {0}")]
    Violated(Breach),
    /// The step exceeds the limit of this name.
    #[error("{0} is reached")]
    LimitReached(&'static str),
    /// The journal did not confirm the step; the run is resumed once it does.
    #[error("the journal is not available")]
    Unavailable,
    /// The agent opened a call of a tool whose name is invalid.
    #[error("invalid tool name: {0}")]
    InvalidName(InvalidId),
}
