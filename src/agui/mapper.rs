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
//! | `TOOL_CALL_END`, or the end of `TOOL_CALL_CHUNK`s | the call is opened |
//! | `TOOL_CALL_RESULT` | the call is closed |
//! | `RUN_FINISHED`, `RUN_ERROR` | the end of the response |
//! | `STATE_*`, `MESSAGES_SNAPSHOT`, `ACTIVITY_*`, `RAW`, `CUSTOM`, marks of spans, unknown types | none |
//!
//! Guarantees: an event that is illegal in its place is a [`Violation`] (RUN-10). A response has one end, after which no
//! step follows. `RUN_FINISHED` is the end of a response in which each message and the arguments of each call are
//! complete.
//!
//! Pure: events in, steps out as values. A clone of a mapper reads a response again from the same state.

use std::collections::BTreeSet;

use quintet_agent::{ThoughtKind, Usage};

use crate::{
    calls::{Calls, RemoteCall},
    event::{Event, Interrupt, Outcome, TokenUsage, ToolContent},
    limits::RemoteLimits,
    texts::{Family, Text, Texts},
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

#[derive(Clone, Debug)]
struct Running {
    run_id: String,
    /// The message or call that `…_CHUNK` events have opened.
    chunk: Option<Chunk>,
    steps: BTreeSet<String>,
    /// Number of `THINKING_TEXT_MESSAGE_START`s, which have no id.
    thinkings: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    Message(Family, String),
    Call(String),
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
                settings.check_run(name, &running.run_id, &thread_id, &run_id)?;
                let mut steps = running.close_chunk(name, texts, calls)?;
                let end = finish(settings, running, texts, calls, outcome)?;
                let usage = usage.map(|usage| total(&usage));
                steps.push(Step::Finish(Finish { end, usage, waiting: calls.waiting() }));
                *phase = Phase::Ended;
                Ok(steps)
            }
            (Phase::Running(running), event) => running.apply(settings, texts, calls, event),
        }
    }
}

impl Running {
    fn new(run_id: String) -> Self {
        Self { run_id, chunk: None, steps: BTreeSet::new(), thinkings: 0 }
    }

    /// Applies an event between the start and the end of a response.
    fn apply(
        &mut self,
        settings: &MapperSettings,
        texts: &mut Texts,
        calls: &mut Calls,
        event: Event,
    ) -> Result<Vec<Step>, MapError> {
        use Event as E;
        let (limits, name) = (&settings.limits, event.name());
        let mut steps = Vec::new();
        if self.ends_chunk(&event) {
            steps = self.close_chunk(name, texts, calls)?;
        }
        match event {
            E::TextMessageStart { message_id, role, subagent_run_id } => {
                let kind = kind_of(role.as_deref(), subagent_run_id.is_some());
                texts.start(limits, name, (Family::Message, settings.id(name, &message_id)?), kind)?;
            }
            E::TextMessageContent { message_id, delta } => {
                let text = texts.write(limits, name, (Family::Message, &message_id), &delta)?;
                steps.extend(text.map(Step::Text));
            }
            E::TextMessageEnd { message_id } => {
                let texts = texts.end(name, (Family::Message, &message_id))?;
                steps.extend(texts.into_iter().map(Step::Text));
            }
            E::TextMessageChunk { message_id, role, delta, subagent_run_id } => {
                let kind = kind_of(role.as_deref(), subagent_run_id.is_some());
                let message = self.message_chunk(settings, texts, name, Family::Message, message_id, kind)?;
                let key = (Family::Message, &*message);
                let text = texts.write(limits, name, key, &delta.unwrap_or_default())?;
                steps.extend(text.map(Step::Text));
            }
            E::ReasoningMessageStart { message_id } => {
                let key = (Family::Reasoning, settings.id(name, &message_id)?);
                texts.start(limits, name, key, Some(ThoughtKind::Reasoning))?;
            }
            E::ReasoningMessageContent { message_id, delta } => {
                let text = texts.write(limits, name, (Family::Reasoning, &message_id), &delta)?;
                steps.extend(text.map(Step::Text));
            }
            E::ReasoningMessageEnd { message_id } => {
                let texts = texts.end(name, (Family::Reasoning, &message_id))?;
                steps.extend(texts.into_iter().map(Step::Text));
            }
            E::ReasoningMessageChunk { message_id, delta } => {
                let (family, kind) = (Family::Reasoning, Some(ThoughtKind::Reasoning));
                let message = self.message_chunk(settings, texts, name, family, message_id, kind)?;
                let text = texts.write(limits, name, (family, &message), &delta.unwrap_or_default())?;
                steps.extend(text.map(Step::Text));
            }
            E::ThinkingTextMessageStart {} => {
                self.thinkings += 1;
                let previous = (self.thinkings - 1).to_string();
                if texts.is_open((Family::Thinking, &previous)) {
                    return Err(Violation::OpenedTwice(name).into());
                }
                let key = (Family::Thinking, &*self.thinkings.to_string());
                texts.start(limits, name, key, Some(ThoughtKind::Reasoning))?;
            }
            E::ThinkingTextMessageContent { delta } => {
                let id = self.thinkings.to_string();
                let text = texts.write(limits, name, (Family::Thinking, &id), &delta)?;
                steps.extend(text.map(Step::Text));
            }
            E::ThinkingTextMessageEnd {} => {
                let texts = texts.end(name, (Family::Thinking, &self.thinkings.to_string()))?;
                steps.extend(texts.into_iter().map(Step::Text));
            }
            E::ToolCallStart { tool_call_id, tool_call_name, parent_message_id } => {
                let call = settings.call(name, tool_call_id, tool_call_name, parent_message_id)?;
                calls.start(limits, name, call)?;
            }
            E::ToolCallArgs { tool_call_id, delta } => {
                calls.arguments(limits, name, &tool_call_id, &delta)?
            }
            E::ToolCallEnd { tool_call_id } => steps.push(Step::Call(calls.complete(name, &tool_call_id)?)),
            E::ToolCallChunk { tool_call_id, tool_call_name, parent_message_id, delta } => {
                let id = match (&self.chunk, tool_call_id, tool_call_name) {
                    (Some(Chunk::Call(id)), None, _) => id.clone(),
                    (Some(Chunk::Call(id)), Some(new), _) if *id == new => new,
                    (_, Some(id), Some(tool)) => {
                        calls.start(
                            limits,
                            name,
                            settings.call(name, id.clone(), tool, parent_message_id)?,
                        )?;
                        self.chunk = Some(Chunk::Call(id.clone()));
                        id
                    }
                    (_, None, _) | (_, _, None) => return Err(Violation::NoId(name).into()),
                };
                calls.arguments(limits, name, &id, &delta.unwrap_or_default())?;
            }
            E::ToolCallResult { message_id, tool_call_id, content } => {
                if calls.result(name, &tool_call_id)? {
                    steps.push(Step::Result { call_id: tool_call_id, message_id, content });
                }
            }
            E::StepStarted { step_name } => {
                if self.steps.len() >= limits.open_messages_max {
                    return Err(MapError::Limit("open_messages_max"));
                }
                steps.extend(texts.progress(settings.id(name, &step_name)?).map(Step::Text));
                if !self.steps.insert(step_name) {
                    return Err(Violation::OpenedTwice(name).into());
                }
            }
            E::StepFinished { step_name } => {
                if !self.steps.remove(&step_name) {
                    return Err(Violation::NotOpen(name).into());
                }
            }
            E::SubagentStarted { name: subagent } => {
                steps.extend(texts.progress(settings.id(name, &subagent)?).map(Step::Text));
            }
            // Marks of spans, and what has no counterpart in a run.
            E::ReasoningStart {}
            | E::ReasoningEnd {}
            | E::ReasoningEncryptedValue {}
            | E::ThinkingStart {}
            | E::ThinkingEnd {}
            | E::SubagentFinished {}
            | E::SubagentError {}
            | E::StateSnapshot {}
            | E::StateDelta {}
            | E::MessagesSnapshot {}
            | E::ActivitySnapshot {}
            | E::ActivityDelta {}
            | E::Raw {}
            | E::Custom {}
            | E::Unknown => {}
            E::RunStarted { .. } | E::RunFinished { .. } | E::RunError { .. } => {
                unreachable!("applied by the mapper")
            }
        }
        Ok(steps)
    }

    /// Returns true if the event ends the message or call that chunks have opened.
    fn ends_chunk(&self, event: &Event) -> bool {
        match (&self.chunk, event) {
            (None, _) => false,
            (
                Some(_),
                Event::Raw {}
                | Event::ActivitySnapshot {}
                | Event::ActivityDelta {}
                | Event::ReasoningEncryptedValue {},
            ) => false,
            (Some(Chunk::Message(Family::Message, open)), Event::TextMessageChunk { message_id: id, .. })
            | (
                Some(Chunk::Message(Family::Reasoning, open)),
                Event::ReasoningMessageChunk { message_id: id, .. },
            )
            | (Some(Chunk::Call(open)), Event::ToolCallChunk { tool_call_id: id, .. }) => {
                id.as_ref().is_some_and(|id| id != open)
            }
            (Some(_), _) => true,
        }
    }

    /// Ends the message or call that chunks have opened.
    fn close_chunk(
        &mut self,
        event: &'static str,
        texts: &mut Texts,
        calls: &mut Calls,
    ) -> Result<Vec<Step>, MapError> {
        Ok(match self.chunk.take() {
            None => Vec::new(),
            Some(Chunk::Message(family, id)) => {
                texts.end(event, (family, &id))?.into_iter().map(Step::Text).collect()
            }
            Some(Chunk::Call(id)) => vec![Step::Call(calls.complete(event, &id)?)],
        })
    }

    /// Returns the id of the message of a chunk, which the first chunk opens.
    fn message_chunk(
        &mut self,
        settings: &MapperSettings,
        texts: &mut Texts,
        event: &'static str,
        family: Family,
        message_id: Option<String>,
        kind: Option<ThoughtKind>,
    ) -> Result<String, MapError> {
        if let Some(Chunk::Message(_, open)) = &self.chunk {
            return Ok(open.clone());
        }
        let id = message_id.ok_or(Violation::NoId(event))?;
        texts.start(&settings.limits, event, (family, settings.id(event, &id)?), kind)?;
        self.chunk = Some(Chunk::Message(family, id.clone()));
        Ok(id)
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
    running: &Running,
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
    if !running.steps.is_empty() {
        return Err(Violation::StillOpen("step").into());
    }
    match outcome {
        None => Ok(End::Success),
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

/// Returns the kind of a text message; `None` if it is not of the agent.
fn kind_of(role: Option<&str>, of_subagent: bool) -> Option<ThoughtKind> {
    match (role, of_subagent) {
        (None | Some("assistant"), false) => Some(ThoughtKind::Answer),
        (None | Some("assistant"), true) => Some(ThoughtKind::Progress),
        (Some(_), _) => None,
    }
}

/// Adds up the tokens of all models.
fn total(usage: &[TokenUsage]) -> Usage {
    usage.iter().fold(Usage::default(), |total, usage| Usage {
        input_tokens: total.input_tokens.saturating_add(usage.input_tokens.unwrap_or(0)),
        output_tokens: total.output_tokens.saturating_add(usage.output_tokens.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests;
