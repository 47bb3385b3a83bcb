//! The order of events as the specification states it, written without the mapper: chunks become starts, contents and
//! ends first, then each rule is checked over sets.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;

/// The result of reading a response.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// The number of legal events from the start.
    pub(super) legal: usize,
    /// The texts of the answer's messages, and their ids, in the order in which the messages began.
    pub(super) messages: Vec<(String, String)>,
    /// The calls whose arguments are complete, with them, and those with a result.
    pub(super) calls: BTreeMap<String, String>,
    pub(super) results: BTreeSet<String>,
    pub(super) finished: bool,
}

pub(super) fn read(events: &[Event]) -> Reading {
    let mut reading = Reading::default();
    let mut state = State::default();
    let mut chunk: Option<Event> = None;
    for event in events {
        let mut plain = Vec::new();
        if !expand(event, &mut chunk, &mut plain) || !plain.into_iter().all(|event| state.take(event)) {
            break;
        }
        reading.legal += 1;
    }
    reading.messages = state.messages;
    reading.calls = state.complete;
    reading.results = state.results;
    reading.finished = state.finished;
    reading
}

/// Replaces chunks. Returns false if a chunk lacks its id. `chunk` is the event that ends what chunks have opened.
fn expand(event: &Event, chunk: &mut Option<Event>, plain: &mut Vec<Event>) -> bool {
    let (start, content, end) = match event.clone() {
        Event::Raw {} | Event::Unknown => {
            plain.push(event.clone());
            return true;
        }
        Event::TextMessageChunk { message_id, delta, .. } => {
            let open = match chunk {
                Some(Event::TextMessageEnd { message_id }) => Some(message_id.clone()),
                _ => None,
            };
            let Some(id) = message_id.or(open) else { return false };
            (
                Event::TextMessageStart { message_id: id.clone(), role: None, subagent_run_id: None },
                Event::TextMessageContent { message_id: id.clone(), delta: delta.unwrap() },
                Event::TextMessageEnd { message_id: id },
            )
        }
        Event::ToolCallChunk { tool_call_id, tool_call_name, delta, .. } => {
            let open = match chunk {
                Some(Event::ToolCallEnd { tool_call_id }) => Some(tool_call_id.clone()),
                _ => None,
            };
            let Some(id) = tool_call_id.or(open) else { return false };
            (
                Event::ToolCallStart {
                    tool_call_id: id.clone(),
                    tool_call_name: tool_call_name.unwrap_or(id.clone()),
                    parent_message_id: None,
                },
                Event::ToolCallArgs { tool_call_id: id.clone(), delta: delta.unwrap() },
                Event::ToolCallEnd { tool_call_id: id },
            )
        }
        other => {
            plain.extend(chunk.take());
            plain.push(other);
            return true;
        }
    };
    if chunk.as_ref() != Some(&end) {
        plain.extend(chunk.replace(end));
        plain.push(start);
    }
    plain.push(content);
    true
}

#[derive(Default)]
struct State {
    started: bool,
    ended: bool,
    finished: bool,
    /// The places of open messages in `messages`.
    open: BTreeMap<String, usize>,
    messages: Vec<(String, String)>,
    receiving: BTreeMap<String, String>,
    complete: BTreeMap<String, String>,
    results: BTreeSet<String>,
    steps: BTreeSet<String>,
}

impl State {
    /// Takes an event. Returns false if it is illegal.
    fn take(&mut self, event: Event) -> bool {
        if event == Event::Unknown {
            return true;
        }
        if self.ended {
            return false;
        }
        if !self.started && !matches!(event, Event::RunStarted { .. } | Event::RunError { .. }) {
            return false;
        }
        match event {
            Event::RunStarted { .. } => !std::mem::replace(&mut self.started, true),
            Event::RunError { .. } => {
                self.ended = true;
                true
            }
            Event::RunFinished { .. } => {
                let closed = self.open.is_empty() && self.receiving.is_empty() && self.steps.is_empty();
                (self.ended, self.finished) = (closed, closed);
                closed
            }
            Event::TextMessageStart { message_id, .. } => {
                self.messages.push((message_id.clone(), String::new()));
                self.open.insert(message_id, self.messages.len() - 1).is_none()
            }
            Event::TextMessageContent { message_id, delta } => {
                let place = self.open.get(&message_id);
                place.is_some_and(|place| {
                    self.messages[*place].1.push_str(&delta);
                    true
                })
            }
            Event::TextMessageEnd { message_id } => self.open.remove(&message_id).is_some(),
            Event::ToolCallStart { tool_call_id: id, .. } => {
                !self.complete.contains_key(&id) && self.receiving.insert(id, String::new()).is_none()
            }
            Event::ToolCallArgs { tool_call_id: id, delta } => {
                let arguments = self.receiving.get_mut(&id);
                arguments.is_some_and(|arguments| {
                    arguments.push_str(&delta);
                    true
                })
            }
            Event::ToolCallEnd { tool_call_id: id } => {
                let arguments = self.receiving.remove(&id);
                arguments.is_some_and(|arguments| self.complete.insert(id, arguments).is_none())
            }
            Event::ToolCallResult { tool_call_id: id, .. } => {
                id != "f" && self.complete.contains_key(&id) && self.results.insert(id)
            }
            Event::StepStarted { step_name } => self.steps.insert(step_name),
            Event::StepFinished { step_name } => self.steps.remove(&step_name),
            _ => true,
        }
    }
}
