//! The dynamic face: a run in whichever phase it is, and the one table that moves it (RUN-10).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    phases::{
        AfterClose, CallReopened, Completed, Course, Cut, Ending, ExecutingTools, OpenCall, Run, Started,
        Thinking,
    },
    violation::{Breach, PhaseName, StepName, Violation},
};
use crate::kernel::{
    entry::{By, Call, CallResult, Completion, Event, RunStatus, Thought},
    ids::{CallId, Seq, Timestamp},
};

/// A run in whichever phase it is: how it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnyRun {
    Started(Run<Started>),
    Thinking(Run<Thinking>),
    ExecutingTools(Run<ExecutingTools>),
    Completed(Run<Completed>),
}

/// An attempt to move a run on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Think(Thought),
    Open(Call),
    Close { call_id: CallId, result: CallResult, closer: Closer },
    Complete(Ending),
}

/// Who closes a call: agents close their own, clients theirs, the service any (RUN-7, RUN-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closer {
    Agent,
    Client,
    Service,
}

impl Closer {
    fn may_close(self, by: By) -> bool {
        match self {
            Closer::Agent => by == By::Agent,
            Closer::Client => by == By::Client,
            Closer::Service => true,
        }
    }
}

impl AnyRun {
    /// The whole table: phase × step. What is not listed is refused, and the run is as it was.
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

            (R::Started(run), S::Complete(Ending::Cut(cut))) => run.end(cut, at).map_run(R::Completed),
            (R::Thinking(run), S::Complete(ending)) => run.complete(ending, at).map_run(R::Completed),

            (run, step) => {
                let breach = Breach::of(&run, &step);
                return Err(Violation::new(run, step.name(), breach));
            }
        })
    }

    /// The event that `step` would bring, or why it is illegal; the run stays where it is.
    pub fn decide(&self, step: Step, at: Timestamp) -> Result<Event, Violation> {
        let mut run = self.clone();
        if matches!(step, Step::Think(_)) {
            // No thought depends on the answer so far: deciding without it copies nothing.
            run.course_mut().answer = Arc::default();
        }
        run.step(step, at).map(|(_, event)| event)
    }

    /// Moves on by an event that has happened. The first event of a run is [`Run::start`]'s.
    pub fn evolve(self, event: &Event, at: Timestamp) -> Result<AnyRun, Violation> {
        match Step::of(event) {
            Some(step) => self.step(step, at).map(|(run, _)| run),
            None => Err(Violation::new(self, StepName::Start, Breach::AlreadyStarted)),
        }
    }

    /// Ends the run from any phase: closes what is open, then completes (RUN-5, RUN-7). A completed
    /// run yields nothing.
    pub fn end(&self, cut: Cut, why: &str, at: Timestamp) -> Vec<Event> {
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

    pub fn seq(&self) -> Seq {
        self.course().seq
    }

    pub fn started_at(&self) -> Timestamp {
        self.course().started_at
    }

    /// The answer so far.
    pub fn answer(&self) -> &str {
        &self.course().answer
    }

    /// How many calls the run has opened in all.
    pub fn calls_opened(&self) -> usize {
        self.course().calls.len()
    }

    /// Whether the run ever opened this call.
    pub fn has_opened(&self, call_id: &CallId) -> bool {
        self.course().calls.contains(call_id)
    }

    /// The calls that are open, by id; none unless the run is executing tools.
    pub fn open_calls(&self) -> &BTreeMap<CallId, OpenCall> {
        static NONE: BTreeMap<CallId, OpenCall> = BTreeMap::new();
        match self {
            AnyRun::ExecutingTools(run) => run.open_calls(),
            AnyRun::Started(_) | AnyRun::Thinking(_) | AnyRun::Completed(_) => &NONE,
        }
    }

    pub fn phase(&self) -> PhaseName {
        match self {
            AnyRun::Started(_) => PhaseName::Started,
            AnyRun::Thinking(_) => PhaseName::Thinking,
            AnyRun::ExecutingTools(_) => PhaseName::ExecutingTools,
            AnyRun::Completed(_) => PhaseName::Completed,
        }
    }

    fn course(&self) -> &Course {
        match self {
            AnyRun::Started(run) => &run.course,
            AnyRun::Thinking(run) => &run.course,
            AnyRun::ExecutingTools(run) => &run.course,
            AnyRun::Completed(run) => &run.course,
        }
    }

    fn course_mut(&mut self) -> &mut Course {
        match self {
            AnyRun::Started(run) => &mut run.course,
            AnyRun::Thinking(run) => &mut run.course,
            AnyRun::ExecutingTools(run) => &mut run.course,
            AnyRun::Completed(run) => &mut run.course,
        }
    }
}

/// Lets a row of the table say in one word where its run is stored.
trait MapRun<R> {
    fn map_run(self, store: fn(R) -> AnyRun) -> (AnyRun, Event);
}

impl<R> MapRun<R> for (R, Event) {
    fn map_run(self, store: fn(R) -> AnyRun) -> (AnyRun, Event) {
        (store(self.0), self.1)
    }
}

impl Step {
    /// The step that an event is the trace of; none for `agent_started`, which begins a run.
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
            Event::Completed(Completion { status, error, .. }) => {
                Step::Complete(Ending::Cut(match (status, error) {
                    (RunStatus::Failed, Some(error)) => Cut::Failed(error.clone()),
                    (RunStatus::TimedOut, Some(error)) => Cut::TimedOut(error.clone()),
                    (RunStatus::Interrupted, Some(error)) => Cut::Interrupted(error.clone()),
                    _ => Cut::Cancelled,
                }))
            }
        })
    }

    pub fn name(&self) -> StepName {
        match self {
            Step::Think(_) => StepName::Think,
            Step::Open(_) => StepName::Open,
            Step::Close { .. } => StepName::Close,
            Step::Complete(Ending::Succeeded { .. }) => StepName::Succeed,
            Step::Complete(Ending::Cut(_)) => StepName::End,
        }
    }
}
