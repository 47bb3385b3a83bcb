//! The events of an agent's responses as steps of a run: one table over phase and event.
//!
//! ```text
//!            RUN_STARTED             RUN_FINISHED
//!   Waiting ─────────────▶ Running ────────────────▶ Ended ── next_response ──▶ Waiting
//!      └──── RUN_ERROR ───────┴───── RUN_ERROR ────────▲
//! ```
//!
//! | event | step |
//! |---|---|
//! | `TEXT_MESSAGE_*` of the role `assistant` | `answer`; of a subagent `progress`; of another role none |
//! | `REASONING_MESSAGE_*`, `THINKING_TEXT_MESSAGE_*` | `reasoning` |
//! | `STEP_STARTED`, `SUBAGENT_STARTED` | a line of `progress` |
//! | `TOOL_CALL_END`, or the end of `TOOL_CALL_CHUNK`s | the call is opened; a repeated one is none, or a line of `progress` |
//! | `TOOL_CALL_RESULT` | the call is closed |
//! | `RUN_FINISHED`, `RUN_ERROR` | the end of the response |
//! | `CUSTOM` named `on_interrupt` | a question at the end of the response ([`crate::langgraph`]) |
//! | `STATE_*`, `MESSAGES_SNAPSHOT`, `ACTIVITY_*`, `RAW`, other `CUSTOM`, marks of spans, unknown types | none |
//!
//! Guarantees: an event that is illegal in its place is a [`Violation`] (RUN-10). A response has one end, after which no
//! step follows. `RUN_FINISHED` is the end of a response in which each message and the arguments of each call are
//! complete.
//!
//! Pure: events in, steps out as values. A clone of a mapper reads a response again from the same state.

mod running;

use std::collections::BTreeSet;

use quintet_agent::Usage;
use serde_json::Value;

use self::running::Running;
use crate::{
    calls::{Calls, RemoteCall},
    event::{Event, Interrupt, Outcome, ToolContent},
    limits::RemoteLimits,
    texts::{Text, Texts},
    violation::{MapError, Violation},
};

/// A step of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A piece of text.
    Text(Text),
    /// A call whose arguments are complete.
    Call(RemoteCall),
    /// The result of a call.
    Result {
        /// The call.
        call_id: String,
        /// The id of the message of the result.
        message_id: Option<String>,
        /// The result.
        content: ToolContent,
    },
    /// The response is complete.
    Finish(Finish),
    /// The agent failed.
    Fail {
        /// The agent's message.
        message: String,
        /// The agent's error code.
        code: Option<String>,
    },
}

/// The end of a complete response.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The outcome.
    pub end: End,
    /// The tokens used, if the agent reports them.
    pub usage: Option<Usage>,
    /// The calls of the run that wait for a result, in their order.
    pub waiting: Vec<String>,
}

/// The outcome of a complete response.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Complete, unless calls wait for a result.
    Success,
    /// The agent waits for answers to these questions.
    Interrupt(Vec<Interrupt>),
    /// The agent waits for answers to these questions, which it has reported by `CUSTOM` events ([`crate::langgraph`]).
    CustomInterrupt(Vec<Interrupt>),
    /// The agent's operator stopped the run.
    Cancelled,
    /// An outcome of a later version, which is not known to be a success (DEL-7).
    Unknown,
}

/// The settings of a mapper.
#[derive(Clone, Debug)]
pub struct MapperSettings {
    /// Limits of the run.
    pub limits: RemoteLimits,
    /// The id of the thread as it was sent, if events must have it (ISO-2).
    pub thread_id: Option<String>,
    /// The names of the tools of the front end.
    pub client_tools: BTreeSet<String>,
}

/// The state of a run between two events of its agent.
#[derive(Clone, Debug)]
pub struct EventMapper {
    settings: MapperSettings,
    phase: Phase,
    texts: Texts,
    calls: Calls,
}

#[derive(Clone, Debug)]
enum Phase {
    Waiting { run_id: String },
    Running(Running),
    Ended,
}

impl EventMapper {
    /// Creates a mapper that waits for the response to the request with this run id.
    pub fn new(settings: MapperSettings, run_id: impl Into<String>) -> Self {
        let phase = Phase::Waiting { run_id: run_id.into() };
        Self { settings, phase, texts: Texts::default(), calls: Calls::default() }
    }

    /// Closes a call with the client's answer, between two responses (RUN-11).
    pub fn answer(&mut self, call_id: &str) {
        self.calls.answer(call_id);
    }

    /// Waits for the response to a further request of the run.
    pub fn next_response(&mut self, run_id: impl Into<String>) {
        self.calls.next_response();
        self.phase = Phase::Waiting { run_id: run_id.into() };
    }

    /// Applies an event. The `match` is the whole table, phase × event.
    ///
    /// # Errors
    ///
    /// Returns a [`Violation`] if the event is illegal here (RUN-10), or the limit that is reached.
    pub fn apply(&mut self, event: Event) -> Result<Vec<Step>, MapError> {
        let Self { settings, phase, texts, calls } = self;
        let name = event.name();
        match (&mut *phase, event) {
            (_, Event::Unknown) => Ok(Vec::new()),
            (Phase::Ended, _) => Err(Violation::AfterEnd(name).into()),
            (Phase::Waiting { run_id }, Event::RunStarted { thread_id, run_id: started }) => {
                settings.check_run(name, run_id, &thread_id, &started)?;
                *phase = Phase::Running(Running::new(std::mem::take(run_id)));
                Ok(Vec::new())
            }
            (Phase::Running(_), Event::RunStarted { .. }) => Err(Violation::StartedTwice.into()),
            (Phase::Waiting { .. } | Phase::Running(_), Event::RunError { message, code }) => {
                *phase = Phase::Ended;
                Ok(vec![Step::Fail { message, code }])
            }
            (Phase::Waiting { .. }, _) => Err(Violation::NotStarted(name).into()),
            (Phase::Running(running), Event::RunFinished { thread_id, run_id, outcome, usage }) => {
                settings.check_run(name, running.run_id(), &thread_id, &run_id)?;
                let mut steps = running.close_chunk(name, texts, calls)?;
                let end = finish(settings, running, texts, calls, outcome)?;
                let usage = usage.as_ref().and_then(total);
                steps.push(Step::Finish(Finish { end, usage, waiting: calls.waiting() }));
                *phase = Phase::Ended;
                Ok(steps)
            }
            (Phase::Running(running), event) => running.apply(settings, texts, calls, event),
        }
    }
}

impl MapperSettings {
    /// Checks that an event belongs to the run (ISO-2).
    fn check_run(
        &self,
        event: &'static str,
        run_id: &str,
        its_thread_id: &str,
        its_run_id: &str,
    ) -> Result<(), Violation> {
        match &self.thread_id {
            Some(thread_id) if thread_id != its_thread_id || run_id != its_run_id => {
                Err(Violation::ForeignRun(event))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks an id.
    fn id<'a>(&self, event: &'static str, id: &'a str) -> Result<&'a str, MapError> {
        if id.is_empty() {
            return Err(Violation::NoId(event).into());
        }
        if id.len() > self.limits.id_bytes_max {
            return Err(MapError::Limit("id_bytes_max"));
        }
        Ok(id)
    }

    fn call(
        &self,
        event: &'static str,
        id: String,
        name: String,
        parent_message_id: Option<String>,
    ) -> Result<RemoteCall, MapError> {
        self.id(event, &id)?;
        if let Some(parent) = &parent_message_id {
            self.id(event, parent)?;
        }
        let by_client = self.client_tools.contains(&name);
        Ok(RemoteCall { id, name, arguments: String::new(), parent_message_id, by_client })
    }
}

/// Checks that a response may finish (RUN-5), and returns its outcome.
fn finish(
    settings: &MapperSettings,
    running: &mut Running,
    texts: &Texts,
    calls: &Calls,
    outcome: Option<Outcome>,
) -> Result<End, MapError> {
    if texts.are_open() {
        return Err(Violation::StillOpen("message").into());
    }
    if calls.are_received() {
        return Err(Violation::StillOpen("call").into());
    }
    if running.has_open_steps() {
        return Err(Violation::StillOpen("step").into());
    }
    match outcome {
        None => match running.take_interrupts() {
            none if none.is_empty() => Ok(End::Success),
            interrupts => Ok(End::CustomInterrupt(interrupts)),
        },
        Some(Outcome::Success { pending_tool_call_ids }) => {
            let pending = pending_tool_call_ids.unwrap_or_default();
            if pending.iter().all(|id| calls.waits(id)) {
                Ok(End::Success)
            } else {
                Err(Violation::NotPending.into())
            }
        }
        Some(Outcome::Interrupt { interrupts }) => {
            if interrupts.len() > settings.limits.interrupts_max {
                return Err(MapError::Limit("interrupts_max"));
            }
            let ids: BTreeSet<&str> = interrupts.iter().map(|interrupt| &*interrupt.id).collect();
            let known =
                |interrupt: &Interrupt| interrupt.tool_call_id.as_ref().is_none_or(|id| calls.waits(id));
            if ids.len() != interrupts.len() || ids.is_empty() || !interrupts.iter().all(known) {
                return Err(Violation::Interrupt.into());
            }
            Ok(End::Interrupt(interrupts))
        }
        Some(Outcome::Cancelled) => Ok(End::Cancelled),
        Some(Outcome::Unknown) => Ok(End::Unknown),
    }
}

/// Adds up the tokens of all models. Returns `None` if the agent reports none.
fn total(usage: &Value) -> Option<Usage> {
    let tokens = |name: &str| {
        let counts = usage
            .as_array()?
            .iter()
            .filter_map(|model| model.get(name)?.as_u64().filter(|tokens| *tokens <= TOKENS_MAX));
        counts.reduce(u64::saturating_add)
    };
    match (tokens("inputTokens"), tokens("outputTokens")) {
        (None, None) => None,
        (input, output) => {
            Some(Usage { input_tokens: input.unwrap_or(0), output_tokens: output.unwrap_or(0) })
        }
    }
}

/// Greatest count of tokens of one response: more than any model reads, and little enough to be added up.
const TOKENS_MAX: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
