//! What an illegal step is called: where it was tried, what it was, and which rule it breaks (RUN-10).

use std::fmt;

use super::table::{AnyRun, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseName {
    Started,
    Thinking,
    ExecutingTools,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepName {
    Start,
    Think,
    Open,
    Close,
    Succeed,
    End,
}

/// What is wrong with a step, apart from where it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Breach {
    #[error("the run has started already (RUN-1)")]
    AlreadyStarted,
    #[error("nothing follows agent_completed (RUN-5)")]
    AfterCompletion,
    #[error("the agent has to think before it calls a tool or succeeds (RUN-3)")]
    NothingThought,
    #[error("a call is still open (RUN-5)")]
    CallOpen,
    #[error("no such call is open (RUN-4)")]
    CallNotOpen,
    #[error("this call_id was opened before in this run (RUN-4)")]
    CallReopened,
    #[error("this call is not the closer's to close (RUN-11)")]
    CallOfAnother,
}

impl Breach {
    pub(super) fn of(run: &AnyRun, step: &Step) -> Breach {
        match (run, step) {
            (AnyRun::Completed(_), _) => Breach::AfterCompletion,
            (AnyRun::ExecutingTools(_), Step::Complete(_)) => Breach::CallOpen,
            (_, Step::Close { .. }) => Breach::CallNotOpen,
            _ => Breach::NothingThought,
        }
    }
}

/// A step that its run's phase does not allow (RUN-10). Carries the run, unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} in phase {phase:?}: {breach}")]
pub struct Violation {
    pub phase: PhaseName,
    pub step: StepName,
    pub breach: Breach,
    pub run: Box<AnyRun>,
}

impl Violation {
    pub(super) fn new(run: AnyRun, step: StepName, breach: Breach) -> Self {
        Self { phase: run.phase(), step, breach, run: Box::new(run) }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
