//! The typestate API: each phase has only the methods that are legal in it, so an illegal step does not
//! compile (RUN-1 … RUN-5).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    entry::{
        Call, CallOwner, CallResult, CallStatus, Completion, Event, RunError, RunStatus, Thought,
        ThoughtKind, Usage,
    },
    ids::{CallId, MessageId, RunId, Seq, Timestamp, ToolName},
};

/// A run in the phase `P`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run<P> {
    pub(super) core: RunCore,
    phase: P,
}

/// The phase after `agent_started`: the agent has to think before it does anything else (RUN-3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Started;

/// The phase in which the agent has thought at least once and no call is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thinking;

/// The phase in which at least one call is open; the run cannot complete (RUN-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecutingTools {
    open: BTreeMap<CallId, OpenCall>,
}

/// The phase after `agent_completed`, the last event (RUN-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completed {
    /// The status with which the run ended.
    pub status: RunStatus,
}

/// A call between its `tool_executing` and its `tool_completed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenCall {
    /// The tool of the call.
    pub tool_name: ToolName,
    /// The party that executes the call, and alone may close it besides the service (RUN-11).
    pub by: CallOwner,
    /// The time of the `tool_executing`.
    pub opened_at: Timestamp,
}

/// The state that all phases share. `Arc`s make a clone cheap, independent of the length of the run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RunCore {
    pub(super) seq: Seq,
    pub(super) started_at: Timestamp,
    /// Every call id that the run has used: an id is opened at most once (RUN-4).
    pub(super) calls: Arc<BTreeSet<CallId>>,
    /// The `answer` deltas since the last reset.
    pub(super) answer: Arc<String>,
}

impl RunCore {
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
                merged_into: None,
            },
            Ending::Cut(cut) => {
                let (status, error) = cut.into_parts();
                let (final_response, usage, merged_into) = (None, None, None);
                Completion { status, final_response, error, duration_ms, usage, merged_into }
            }
        };
        self.completed(completion)
    }

    fn completed(self, completion: Completion) -> (Run<Completed>, Event) {
        let phase = Completed { status: completion.status };
        (Run { core: self.advance(), phase }, Event::Completed(completion))
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Success: the final response is the concatenated `answer` deltas since the last reset.
    Succeeded {
        /// Language model tokens, if the agent counted them.
        usage: Option<Usage>,
    },
    /// Any other end.
    Cut(EarlyEnd),
}

/// An end other than success; legal even before the agent has thought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EarlyEnd {
    /// The run ends as `failed`; its open calls close as `cancelled`.
    Failed(RunError),
    /// The run ends as `cancelled`, and so do its open calls.
    Cancelled,
    /// The run ends as `timed_out`, and so do its open calls.
    TimedOut(RunError),
    /// The run ends as `interrupted`; its open calls close as `unknown` (RUN-9).
    Interrupted(RunError),
}

impl EarlyEnd {
    fn into_parts(self) -> (RunStatus, Option<RunError>) {
        match self {
            EarlyEnd::Failed(error) => (RunStatus::Failed, Some(error)),
            EarlyEnd::Cancelled => (RunStatus::Cancelled, None),
            EarlyEnd::TimedOut(error) => (RunStatus::TimedOut, Some(error)),
            EarlyEnd::Interrupted(error) => (RunStatus::Interrupted, Some(error)),
        }
    }

    /// Returns the status with which the calls close that are open at the end (RUN-7).
    pub fn closes_calls_as(&self) -> CallStatus {
        match self {
            EarlyEnd::Failed(_) | EarlyEnd::Cancelled => CallStatus::Cancelled,
            EarlyEnd::TimedOut(_) => CallStatus::TimedOut,
            EarlyEnd::Interrupted(_) => CallStatus::Unknown,
        }
    }
}

/// An attempt to open a call id that this run has used before. Holds the unchanged run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReopened<P>(pub Run<P>);

/// A run after one of its calls closed; others may still be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterClose {
    /// No call is open.
    Thinking(Run<Thinking>),
    /// Other calls are still open.
    ExecutingTools(Run<ExecutingTools>),
}

impl<P> Run<P> {
    /// Returns the number of the last event.
    pub fn seq(&self) -> Seq {
        self.core.seq
    }

    /// Returns the answer so far: the `answer` deltas since the last reset.
    pub fn answer(&self) -> &str {
        &self.core.answer
    }

    fn with<Q>(core: RunCore, phase: Q) -> Run<Q> {
        Run { core, phase }
    }
}

impl Run<Started> {
    /// Starts a run with its first event, `seq` 1 (RUN-1).
    pub fn start(message_id: MessageId, at: Timestamp) -> (Self, Event) {
        let core = RunCore { seq: Seq(1), started_at: at, calls: Arc::default(), answer: Arc::default() };
        (Run { core, phase: Started }, Event::Started { message_id })
    }

    /// Emits `agent_thinking`.
    pub fn think(self, thought: Thought) -> (Run<Thinking>, Event) {
        (Self::with(self.core.think(&thought), Thinking), Event::Thinking(thought))
    }

    /// Ends a run in which the agent has not thought, and which therefore has not succeeded (RUN-3).
    pub fn end(self, cut: EarlyEnd, at: Timestamp) -> (Run<Completed>, Event) {
        self.core.complete(Ending::Cut(cut), at)
    }

    /// Ends a run whose message the run `into` has taken, before any step of its own (RUN-12).
    pub fn merge(self, into: RunId, at: Timestamp) -> (Run<Completed>, Event) {
        let completion = Completion {
            status: RunStatus::Merged,
            final_response: None,
            error: None,
            duration_ms: at.millis_since(self.core.started_at),
            usage: None,
            merged_into: Some(into),
        };
        self.core.completed(completion)
    }
}

impl Run<Thinking> {
    /// Emits `agent_thinking`.
    pub fn think(self, thought: Thought) -> (Run<Thinking>, Event) {
        (Self::with(self.core.think(&thought), Thinking), Event::Thinking(thought))
    }

    /// Opens the first call.
    ///
    /// # Errors
    ///
    /// Returns [`CallReopened`] if the run has used this call id before (RUN-4).
    pub fn open(
        self,
        call: Call,
        at: Timestamp,
    ) -> Result<(Run<ExecutingTools>, Event), CallReopened<Thinking>> {
        let core =
            self.core.open(&call.call_id).map_err(|core| CallReopened(Run { core, phase: Thinking }))?;
        let open = BTreeMap::from([opened(&call, at)]);
        Ok((Self::with(core, ExecutingTools { open }), Event::ToolExecuting(call)))
    }

    /// Emits the single terminal event and ends the run (RUN-5).
    pub fn complete(self, ending: Ending, at: Timestamp) -> (Run<Completed>, Event) {
        self.core.complete(ending, at)
    }
}

impl Run<ExecutingTools> {
    /// Emits `agent_thinking` while calls are open.
    pub fn think(self, thought: Thought) -> (Run<ExecutingTools>, Event) {
        (Run { core: self.core.think(&thought), phase: self.phase }, Event::Thinking(thought))
    }

    /// Opens a further call, in parallel to the open ones.
    ///
    /// # Errors
    ///
    /// Returns [`CallReopened`] if the run has used this call id before (RUN-4).
    pub fn open(
        self,
        call: Call,
        at: Timestamp,
    ) -> Result<(Run<ExecutingTools>, Event), CallReopened<ExecutingTools>> {
        let Run { core, mut phase } = self;
        match core.open(&call.call_id) {
            Ok(core) => {
                phase.open.extend([opened(&call, at)]);
                Ok((Self::with(core, phase), Event::ToolExecuting(call)))
            }
            Err(core) => Err(CallReopened(Run { core, phase })),
        }
    }

    /// Closes one open call. Calls may close in any order.
    ///
    /// # Errors
    ///
    /// Returns the unchanged run if this call is not open (RUN-4).
    pub fn close(
        self,
        call_id: CallId,
        result: CallResult,
        at: Timestamp,
    ) -> Result<(AfterClose, Event), Run<ExecutingTools>> {
        let Run { core, mut phase } = self;
        let Some(call) = phase.open.remove(&call_id) else { return Err(Run { core, phase }) };
        let duration_ms = at.millis_since(call.opened_at);
        let event = Event::ToolCompleted { call_id, tool_name: call.tool_name, result, duration_ms };
        let core = core.advance();
        let after = if phase.open.is_empty() {
            AfterClose::Thinking(Self::with(core, Thinking))
        } else {
            AfterClose::ExecutingTools(Self::with(core, phase))
        };
        Ok((after, event))
    }

    /// Returns the open calls, by id.
    pub fn open_calls(&self) -> &BTreeMap<CallId, OpenCall> {
        &self.phase.open
    }
}

impl Run<Completed> {
    /// Returns the status with which the run ended.
    pub fn status(&self) -> RunStatus {
        self.phase.status
    }
}

fn opened(call: &Call, at: Timestamp) -> (CallId, OpenCall) {
    (call.call_id.clone(), OpenCall { tool_name: call.tool_name.clone(), by: call.by, opened_at: at })
}
