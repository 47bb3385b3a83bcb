//! The names of phases and steps, and the rules that a step can break (RUN-10).

use std::fmt;

/// The name of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseName {
    /// [`Started`](super::Started).
    Started,
    /// [`Thinking`](super::Thinking).
    Thinking,
    /// [`ExecutingTools`](super::ExecutingTools).
    ExecutingTools,
    /// [`Completed`](super::Completed).
    Completed,
}

/// The name of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepName {
    /// Start the run: `agent_started`.
    Start,
    /// Think: `agent_thinking`.
    Think,
    /// Open a call: `tool_executing`.
    Open,
    /// Close a call: `tool_completed`.
    Close,
    /// Complete the run as `succeeded`.
    Succeed,
    /// Complete the run with any other status.
    End,
    /// Complete the run as `merged`.
    Merge,
}

/// The rule that a step breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Breach {
    /// A second start of the run (RUN-1).
    #[error("the run has already started (RUN-1)")]
    AlreadyStarted,
    /// A step after the end of the run (RUN-5).
    #[error("no event may follow agent_completed (RUN-5)")]
    AfterCompletion,
    /// A call or a success before the first `agent_thinking` (RUN-3).
    #[error("agent_thinking must precede the first tool call and a success (RUN-3)")]
    NothingThought,
    /// A completion while a call is open (RUN-5).
    #[error("a call is still open (RUN-5)")]
    CallOpen,
    /// The end of a call that is not open (RUN-4).
    #[error("the call is not open (RUN-4)")]
    CallNotOpen,
    /// A call id that the run has used before (RUN-4).
    #[error("the run has already opened this call_id (RUN-4)")]
    CallReopened,
    /// The end of a call that belongs to another party (RUN-11).
    #[error("the call belongs to another party, which alone may close it (RUN-11)")]
    CallOfAnother,
    /// The merge of a run that has made a step (RUN-12).
    #[error("the run has made a step, so its message is its own (RUN-12)")]
    AlreadyActive,
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
