//! The names of phases and steps, and the rules that a step can break (RUN-10).

use std::fmt;

/// The name of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseName {
    Started,
    Thinking,
    ExecutingTools,
    Completed,
}

/// The name of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepName {
    Start,
    Think,
    Open,
    Close,
    Succeed,
    End,
}

/// The rule that a step breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Breach {
    #[error("the run has already started (RUN-1)")]
    AlreadyStarted,
    #[error("no event may follow agent_completed (RUN-5)")]
    AfterCompletion,
    #[error("agent_thinking must precede the first tool call and a success (RUN-3)")]
    NothingThought,
    #[error("a call is still open (RUN-5)")]
    CallOpen,
    #[error("the call is not open (RUN-4)")]
    CallNotOpen,
    #[error("the run has already opened this call_id (RUN-4)")]
    CallReopened,
    #[error("the call belongs to another party, which alone may close it (RUN-11)")]
    CallOfAnother,
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
