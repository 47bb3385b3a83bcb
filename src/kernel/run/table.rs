//! The dynamic API: a run in any phase, and the transition table over phase and step (RUN-10).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    phases::{
        AfterClose, CallReopened, Completed, EarlyEnd, Ending, ExecutingTools, OpenCall, Run, RunCore,
        Started, Thinking,
    },
    violation::{Breach, PhaseName, StepName},
};
use crate::{
    entry::{Call, CallOwner, CallResult, Completion, Event, RunStatus, Thought},
    ids::{CallId, RunId, Seq, Timestamp},
};

/// A run in any phase, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnyRun {
    /// After `agent_started`; nothing was thought yet.
    Started(Run<Started>),
    /// The agent has thought, and no call is open.
    Thinking(Run<Thinking>),
    /// At least one call is open.
    ExecutingTools(Run<ExecutingTools>),
    /// After `agent_completed`; no step is legal.
    Completed(Run<Completed>),
}

/// A step that an agent, a client or the service attempts on a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Emits `agent_thinking`.
    Think(Thought),
    /// Opens a call with `tool_executing`.
    Open(Call),
    /// Closes an open call with `tool_completed`.
    Close {
        /// The call to close.
        call_id: CallId,
        /// The outcome of the call.
        result: CallResult,
        /// The party that closes it.
        closer: Closer,
    },
    /// Ends the run with `agent_completed`.
    Complete(Ending),
    /// Ends the run with `agent_completed`, status `merged`: another run has taken its message (RUN-12).
    Merge {
        /// The run that took the message.
        into: RunId,
    },
}

/// The party that closes a call. Agents and clients close their own calls, the service any call (RUN-7,
/// RUN-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closer {
    /// The agent of the run: closes calls with [`CallOwner::Agent`].
    Agent,
    /// The user's client: closes calls with [`CallOwner::Client`].
    Client,
    /// The service: closes any call.
    Service,
}

impl Closer {
    fn may_close(self, by: CallOwner) -> bool {
        match self {
            Closer::Agent => by == CallOwner::Agent,
            Closer::Client => by == CallOwner::Client,
            Closer::Service => true,
        }
    }
}

impl AnyRun {
    /// Applies a step. The `match` is the whole transition table, phase × step.
    ///
    /// # Errors
    ///
    /// Returns a [`Violation`] with the unchanged run if the step is not legal in the run's phase (RUN-10).
    pub fn step(self, step: Step, at: Timestamp) -> Result<(AnyRun, Event), Violation> {
        use AnyRun as R;
        use Step as S;
        Ok(match (self, step) {
            (R::Started(run), S::Think(thought)) => run.think(thought).map_run(R::Thinking),
            (R::Thinking(run), S::Think(thought)) => run.think(thought).map_run(R::Thinking),
            (R::ExecutingTools(run), S::Think(thought)) => run.think(thought).map_run(R::ExecutingTools),

            (R::Thinking(run), S::Open(call)) => run
                .open(call, at)
                .map_err(|CallReopened(run)| {
                    Violation::new(R::Thinking(run), StepName::Open, Breach::CallReopened)
                })?
                .map_run(R::ExecutingTools),
            (R::ExecutingTools(run), S::Open(call)) => run
                .open(call, at)
                .map_err(|CallReopened(run)| {
                    Violation::new(R::ExecutingTools(run), StepName::Open, Breach::CallReopened)
                })?
                .map_run(R::ExecutingTools),

            (R::ExecutingTools(run), S::Close { call_id, result, closer }) => {
                if run.open_calls().get(&call_id).is_some_and(|call| !closer.may_close(call.by)) {
                    return Err(Violation::new(
                        R::ExecutingTools(run),
                        StepName::Close,
                        Breach::CallOfAnother,
                    ));
                }
                let (after, event) = run.close(call_id, result, at).map_err(|run| {
                    Violation::new(R::ExecutingTools(run), StepName::Close, Breach::CallNotOpen)
                })?;
                match after {
                    AfterClose::Thinking(run) => (R::Thinking(run), event),
                    AfterClose::ExecutingTools(run) => (R::ExecutingTools(run), event),
                }
            }

            (R::Started(run), S::Merge { into }) => run.merge(into, at).map_run(R::Completed),
            (R::Started(run), S::Complete(Ending::Cut(cut))) => run.end(cut, at).map_run(R::Completed),
            (R::Thinking(run), S::Complete(ending)) => run.complete(ending, at).map_run(R::Completed),

            (run, step) => {
                let breach = Breach::of(&run, &step);
                return Err(Violation::new(run, step.name(), breach));
            }
        })
    }

    /// Returns the event that `step` would emit, without changing the run.
    ///
    /// # Errors
    ///
    /// Returns a [`Violation`] if the step is illegal.
    pub fn decide(&self, step: Step, at: Timestamp) -> Result<Event, Violation> {
        let mut run = self.clone();
        if matches!(step, Step::Think(_)) {
            // Deciding a thought does not need the answer so far, and without it nothing is copied.
            run.core_mut().answer = Arc::default();
        }
        run.step(step, at).map(|(_, event)| event)
    }

    /// Applies an event of the log. The first event of a run is applied by [`Run::start`].
    ///
    /// # Errors
    ///
    /// Returns a [`Violation`] if the event is illegal here; a log that holds one is damaged.
    pub fn evolve(self, event: &Event, at: Timestamp) -> Result<AnyRun, Violation> {
        match Step::of(event) {
            Some(step) => self.step(step, at).map(|(run, _)| run),
            None => Err(Violation::new(self, StepName::Start, Breach::AlreadyStarted)),
        }
    }

    /// Returns the events that end the run from any phase: the open calls close, then the run completes (RUN-5,
    /// RUN-7). Returns no events if the run has completed. `why` becomes the `error` of the closed calls.
    pub fn end(&self, cut: EarlyEnd, why: &str, at: Timestamp) -> Vec<Event> {
        let closing = cut.closes_calls_as();
        let mut run = self.clone();
        let mut events = Vec::new();
        for call_id in self.open_calls().keys() {
            let result = CallResult::cut_short(closing, why);
            let step = Step::Close { call_id: call_id.clone(), result, closer: Closer::Service };
            let (next, event) = run.step(step, at).expect("the service may close a call that is open");
            run = next;
            events.push(event);
        }
        if !matches!(run, AnyRun::Completed(_)) {
            let (_, event) =
                run.step(Step::Complete(Ending::Cut(cut)), at).expect("with no call open a run may be cut");
            events.push(event);
        }
        events
    }

    /// Returns the number of the last event.
    pub fn seq(&self) -> Seq {
        self.core().seq
    }

    /// Returns the time of `agent_started`.
    pub fn started_at(&self) -> Timestamp {
        self.core().started_at
    }

    /// Returns the answer so far: the `answer` deltas since the last reset.
    pub fn answer(&self) -> &str {
        &self.core().answer
    }

    /// Returns the total number of calls that the run has opened.
    pub fn calls_opened(&self) -> usize {
        self.core().calls.len()
    }

    /// Returns true if the run has opened this call, whether it is still open or not.
    pub fn has_opened(&self, call_id: &CallId) -> bool {
        self.core().calls.contains(call_id)
    }

    /// Returns the open calls, by id.
    pub fn open_calls(&self) -> &BTreeMap<CallId, OpenCall> {
        static NONE: BTreeMap<CallId, OpenCall> = BTreeMap::new();
        match self {
            AnyRun::ExecutingTools(run) => run.open_calls(),
            AnyRun::Started(_) | AnyRun::Thinking(_) | AnyRun::Completed(_) => &NONE,
        }
    }

    /// Returns the name of the phase.
    pub fn phase(&self) -> PhaseName {
        match self {
            AnyRun::Started(_) => PhaseName::Started,
            AnyRun::Thinking(_) => PhaseName::Thinking,
            AnyRun::ExecutingTools(_) => PhaseName::ExecutingTools,
            AnyRun::Completed(_) => PhaseName::Completed,
        }
    }

    fn core(&self) -> &RunCore {
        match self {
            AnyRun::Started(run) => &run.core,
            AnyRun::Thinking(run) => &run.core,
            AnyRun::ExecutingTools(run) => &run.core,
            AnyRun::Completed(run) => &run.core,
        }
    }

    fn core_mut(&mut self) -> &mut RunCore {
        match self {
            AnyRun::Started(run) => &mut run.core,
            AnyRun::Thinking(run) => &mut run.core,
            AnyRun::ExecutingTools(run) => &mut run.core,
            AnyRun::Completed(run) => &mut run.core,
        }
    }
}

/// Wraps the run of a transition's result in its [`AnyRun`] variant.
trait MapRun<R> {
    fn map_run(self, store: fn(R) -> AnyRun) -> (AnyRun, Event);
}

impl<R> MapRun<R> for (R, Event) {
    fn map_run(self, store: fn(R) -> AnyRun) -> (AnyRun, Event) {
        (store(self.0), self.1)
    }
}

impl Step {
    /// Returns the step that emits `event`; `None` for `agent_started`, which is [`Run::start`]'s.
    pub fn of(event: &Event) -> Option<Step> {
        Some(match event {
            Event::Started { .. } => return None,
            Event::Thinking(thought) => Step::Think(thought.clone()),
            Event::ToolExecuting(call) => Step::Open(call.clone()),
            Event::ToolCompleted { call_id, result, .. } => {
                Step::Close { call_id: call_id.clone(), result: result.clone(), closer: Closer::Service }
            }
            Event::Completed(Completion { status: RunStatus::Succeeded, usage, .. }) => {
                Step::Complete(Ending::Succeeded { usage: *usage })
            }
            Event::Completed(Completion { status: RunStatus::Merged, merged_into: Some(into), .. }) => {
                Step::Merge { into: *into }
            }
            Event::Completed(Completion { status, error, .. }) => {
                Step::Complete(Ending::Cut(match (status, error) {
                    (RunStatus::Failed, Some(error)) => EarlyEnd::Failed(error.clone()),
                    (RunStatus::TimedOut, Some(error)) => EarlyEnd::TimedOut(error.clone()),
                    (RunStatus::Interrupted, Some(error)) => EarlyEnd::Interrupted(error.clone()),
                    _ => EarlyEnd::Cancelled,
                }))
            }
        })
    }

    /// Returns the name of the step.
    pub fn name(&self) -> StepName {
        match self {
            Step::Think(_) => StepName::Think,
            Step::Open(_) => StepName::Open,
            Step::Close { .. } => StepName::Close,
            Step::Complete(Ending::Succeeded { .. }) => StepName::Succeed,
            Step::Complete(Ending::Cut(_)) => StepName::End,
            Step::Merge { .. } => StepName::Merge,
        }
    }
}

impl Breach {
    fn of(run: &AnyRun, step: &Step) -> Breach {
        match (run, step) {
            (AnyRun::Completed(_), _) => Breach::AfterCompletion,
            (_, Step::Merge { .. }) => Breach::AlreadyActive,
            (AnyRun::ExecutingTools(_), Step::Complete(_)) => Breach::CallOpen,
            (_, Step::Close { .. }) => Breach::CallNotOpen,
            _ => Breach::NothingThought,
        }
    }
}

/// A step that is illegal in the phase of its run (RUN-10), with the unchanged run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} in phase {phase:?}: {breach}")]
pub struct Violation {
    /// The phase of the run.
    pub phase: PhaseName,
    /// The step that was attempted.
    pub step: StepName,
    /// The rule that the step breaks.
    pub breach: Breach,
    /// The unchanged run.
    pub run: Box<AnyRun>,
}

impl Violation {
    fn new(run: AnyRun, step: StepName, breach: Breach) -> Self {
        Self { phase: run.phase(), step, breach, run: Box::new(run) }
    }
}
