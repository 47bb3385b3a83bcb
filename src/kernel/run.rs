//! One agent run, as two faces of one table.
//!
//! ```text
//!                think                    open                      think, open, close (others open)
//!   Started ────────────────▶ Thinking ────────────▶ ExecutingTools ───┐
//!      │                       │   ▲ │                  │        ▲─────┘
//!      │ end (not succeeded)   │   │ └ think            │ close (the last open call)
//!      ▼                       │   └────────────────────┘
//!   Completed ◀────────────────┘ complete, end
//! ```
//!
//! The typestate face ([`Run`]) has only the methods that are legal in a phase, so an illegal step
//! does not compile. The dynamic face ([`AnyRun::step`]) is one `match` over the same methods; what
//! it does not list is a [`Violation`]. Both produce the same events (RUN-1 … RUN-5, RUN-7, RUN-10).
//!
//! Guarantee: the events that leave a run, in the order in which they leave, are a legal word.

use std::{collections::BTreeMap, collections::BTreeSet, fmt, sync::Arc};

use super::{
    entry::{
        By, Call, CallResult, CallStatus, Completion, Event, RunError, RunStatus, Thought, ThoughtKind, Usage,
    },
    ids::{CallId, MessageId, Seq, Timestamp, ToolName},
};

/// A run in a phase that the compiler knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run<P> {
    course: Course,
    phase: P,
}

/// `agent_started` is out and nothing else: the agent has to think first (RUN-3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Started;

/// The agent has thought at least once, and no call is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thinking;

/// At least one call is open; the run cannot complete (RUN-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecutingTools {
    open: BTreeMap<CallId, OpenCall>,
}

/// `agent_completed` is out; nothing follows (RUN-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completed {
    pub status: RunStatus,
}

/// A call between its `tool_executing` and its `tool_completed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenCall {
    pub tool_name: ToolName,
    pub by: By,
    pub opened_at: Timestamp,
}

/// What every phase of a run knows. The shared parts make a clone cheap, whatever the run has said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Course {
    seq: Seq,
    started_at: Timestamp,
    /// Every call id that the run ever opened (RUN-4: opened once).
    calls: Arc<BTreeSet<CallId>>,
    /// The `answer` deltas since the last reset.
    answer: Arc<String>,
}

impl Course {
    fn advance(mut self) -> Self {
        self.seq = self.seq.next();
        self
    }

    fn think(mut self, thought: &Thought) -> Self {
        if thought.kind == ThoughtKind::Answer {
            let answer = Arc::make_mut(&mut self.answer);
            if thought.reset {
                answer.clear();
            }
            answer.push_str(&thought.delta);
        }
        self.advance()
    }

    fn open(mut self, call_id: &CallId) -> Result<Self, Self> {
        if self.calls.contains(call_id) {
            return Err(self);
        }
        Arc::make_mut(&mut self.calls).insert(call_id.clone());
        Ok(self.advance())
    }

    fn complete(self, ending: Ending, at: Timestamp) -> (Run<Completed>, Event) {
        let duration_ms = at.millis_since(self.started_at);
        let completion = match ending {
            Ending::Succeeded { usage } => Completion {
                status: RunStatus::Succeeded,
                final_response: Some(self.answer.as_str().to_owned()),
                error: None,
                duration_ms,
                usage,
            },
            Ending::Cut(cut) => {
                let (status, error) = cut.into_parts();
                Completion { status, final_response: None, error, duration_ms, usage: None }
            }
        };
        let phase = Completed { status: completion.status };
        (Run { course: self.advance(), phase }, Event::Completed(completion))
    }
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its final response is what it answered (contract, section 2).
    Succeeded {
        usage: Option<Usage>,
    },
    Cut(Cut),
}

/// An ending that is not a success; legal before the agent has thought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    Failed(RunError),
    Cancelled,
    TimedOut(RunError),
    Interrupted(RunError),
}

impl Cut {
    fn into_parts(self) -> (RunStatus, Option<RunError>) {
        match self {
            Cut::Failed(error) => (RunStatus::Failed, Some(error)),
            Cut::Cancelled => (RunStatus::Cancelled, None),
            Cut::TimedOut(error) => (RunStatus::TimedOut, Some(error)),
            Cut::Interrupted(error) => (RunStatus::Interrupted, Some(error)),
        }
    }

    /// How a call closes that is open when the run is cut (RUN-7).
    pub fn closes_calls_as(&self) -> CallStatus {
        match self {
            Cut::Failed(_) | Cut::Cancelled => CallStatus::Cancelled,
            Cut::TimedOut(_) => CallStatus::TimedOut,
            Cut::Interrupted(_) => CallStatus::Unknown,
        }
    }
}

/// Refuses a call id that this run has opened before; hands the run back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReopened<P>(pub Run<P>);

/// A run after one of its calls closed: others may still be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterClose {
    Thinking(Run<Thinking>),
    ExecutingTools(Run<ExecutingTools>),
}

impl<P> Run<P> {
    /// The number of the last event.
    pub fn seq(&self) -> Seq {
        self.course.seq
    }

    /// The answer so far: what the final response would be now.
    pub fn answer(&self) -> &str {
        &self.course.answer
    }

    fn with<Q>(course: Course, phase: Q) -> Run<Q> {
        Run { course, phase }
    }
}

impl Run<Started> {
    /// Begins a run with its first event, seq 1 (RUN-1).
    pub fn start(message_id: MessageId, at: Timestamp) -> (Self, Event) {
        let course = Course { seq: Seq(1), started_at: at, calls: Arc::default(), answer: Arc::default() };
        (Run { course, phase: Started }, Event::Started { message_id })
    }

    pub fn think(self, thought: Thought) -> (Run<Thinking>, Event) {
        (Self::with(self.course.think(&thought), Thinking), Event::Thinking(thought))
    }

    /// Ends a run that never thought; it cannot have succeeded (RUN-3).
    pub fn end(self, cut: Cut, at: Timestamp) -> (Run<Completed>, Event) {
        self.course.complete(Ending::Cut(cut), at)
    }
}

impl Run<Thinking> {
    pub fn think(self, thought: Thought) -> (Run<Thinking>, Event) {
        (Self::with(self.course.think(&thought), Thinking), Event::Thinking(thought))
    }

    /// Opens a first call. Refuses a call id that the run has used (RUN-4).
    pub fn open(
        self,
        call: Call,
        at: Timestamp,
    ) -> Result<(Run<ExecutingTools>, Event), CallReopened<Thinking>> {
        let course = self
            .course
            .open(&call.call_id)
            .map_err(|course| CallReopened(Run { course, phase: Thinking }))?;
        let open = BTreeMap::from([opened(&call, at)]);
        Ok((Self::with(course, ExecutingTools { open }), Event::ToolExecuting(call)))
    }

    /// Emits the single terminal event and ends the run (RUN-5).
    pub fn complete(self, ending: Ending, at: Timestamp) -> (Run<Completed>, Event) {
        self.course.complete(ending, at)
    }
}

impl Run<ExecutingTools> {
    pub fn think(self, thought: Thought) -> (Run<ExecutingTools>, Event) {
        (Run { course: self.course.think(&thought), phase: self.phase }, Event::Thinking(thought))
    }

    /// Opens a further call beside those that are open.
    pub fn open(
        self,
        call: Call,
        at: Timestamp,
    ) -> Result<(Run<ExecutingTools>, Event), CallReopened<ExecutingTools>> {
        let Run { course, mut phase } = self;
        match course.open(&call.call_id) {
            Ok(course) => {
                phase.open.extend([opened(&call, at)]);
                Ok((Self::with(course, phase), Event::ToolExecuting(call)))
            }
            Err(course) => Err(CallReopened(Run { course, phase })),
        }
    }

    /// Closes one open call, in any order; `Err` hands the run back if that call is not open (RUN-4).
    pub fn close(
        self,
        call_id: CallId,
        result: CallResult,
        at: Timestamp,
    ) -> Result<(AfterClose, Event), Run<ExecutingTools>> {
        let Run { course, mut phase } = self;
        let Some(call) = phase.open.remove(&call_id) else { return Err(Run { course, phase }) };
        let duration_ms = at.millis_since(call.opened_at);
        let event = Event::ToolCompleted { call_id, tool_name: call.tool_name, result, duration_ms };
        let course = course.advance();
        let after = if phase.open.is_empty() {
            AfterClose::Thinking(Self::with(course, Thinking))
        } else {
            AfterClose::ExecutingTools(Self::with(course, phase))
        };
        Ok((after, event))
    }

    /// The calls that are open, by id.
    pub fn open_calls(&self) -> &BTreeMap<CallId, OpenCall> {
        &self.phase.open
    }
}

impl Run<Completed> {
    pub fn status(&self) -> RunStatus {
        self.phase.status
    }
}

fn opened(call: &Call, at: Timestamp) -> (CallId, OpenCall) {
    (call.call_id.clone(), OpenCall { tool_name: call.tool_name.clone(), by: call.by, opened_at: at })
}

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
    fn of(run: &AnyRun, step: &Step) -> Breach {
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
    fn new(run: AnyRun, step: StepName, breach: Breach) -> Self {
        Self { phase: run.phase(), step, breach, run: Box::new(run) }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
