//! The table of the events between the start and the end of a response.

use std::collections::BTreeSet;

use quintet_agent::ThoughtKind;

use super::{MapperSettings, Step};
use crate::{
    calls::{Calls, Completed},
    event::{Event, Interrupt},
    langgraph,
    texts::{Family, Texts},
    violation::{MapError, Violation},
};

/// A response that has started.
#[derive(Clone, Debug)]
pub(super) struct Running {
    run_id: String,
    /// The message or call that `…_CHUNK` events have opened.
    chunk: Option<Chunk>,
    steps: BTreeSet<String>,
    /// Number of `THINKING_TEXT_MESSAGE_START`s, which have no id.
    thinkings: u64,
    /// The interrupts that `CUSTOM` events have reported.
    interrupts: Vec<Interrupt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    Message(Family, String),
    Call(String),
}

impl Running {
    /// Begins a response.
    pub(super) fn new(run_id: String) -> Self {
        Self { run_id, chunk: None, steps: BTreeSet::new(), thinkings: 0, interrupts: Vec::new() }
    }

    /// Returns the id of the run.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Removes and returns the interrupts that `CUSTOM` events have reported.
    pub(super) fn take_interrupts(&mut self) -> Vec<Interrupt> {
        std::mem::take(&mut self.interrupts)
    }

    /// Returns true if a step has not finished.
    pub(super) fn has_open_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Applies an event between the start and the end of a response.
    pub(super) fn apply(
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
            E::ToolCallEnd { tool_call_id } => {
                steps.extend(call_step(calls.complete(name, &tool_call_id)?, texts))
            }
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
            E::Custom { name: custom, value, raw_event } => {
                let (custom, value, raw) = (custom.as_ref(), value.as_ref(), raw_event.as_ref());
                let reported = langgraph::interrupt(custom, value, raw, self.interrupts.len());
                if reported.is_some() && self.interrupts.len() >= limits.interrupts_max {
                    return Err(MapError::Limit("interrupts_max"));
                }
                if let Some(interrupt) = reported {
                    settings.id(name, &interrupt.id)?;
                    // An agent may report what it has reported.
                    if self.interrupts.iter().all(|known| known.id != interrupt.id) {
                        self.interrupts.push(interrupt);
                    }
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
    pub(super) fn close_chunk(
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
            Some(Chunk::Call(id)) => call_step(calls.complete(event, &id)?, texts).into_iter().collect(),
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

/// Returns the step of a call whose arguments are complete. The log keeps the parameters of a call, so others with which the
/// agent has made it are a line of progress.
fn call_step(completed: Completed, texts: &mut Texts) -> Option<Step> {
    match completed {
        Completed::New(call) => Some(Step::Call(call)),
        Completed::Repeated => None,
        Completed::Changed(call) => {
            texts.progress(&format!("{} was called with {}", call.name, call.arguments)).map(Step::Text)
        }
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
