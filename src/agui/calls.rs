//! The tool calls of a run, over all its responses.
//!
//! ```text
//!   TOOL_CALL_START ──▶ Receiving ── TOOL_CALL_END ──▶ waiting ── TOOL_CALL_RESULT, answer of the client ──▶ answered
//! ```
//!
//! Guarantee: an id is used for one call of a run, which has one result (RUN-4). A later response may announce a call of an
//! earlier one again, once, and repeat its result: an agent of LangGraph does so when it goes on after an interrupt in a tool.

use std::collections::BTreeMap;

use quintet_kernel::ids::ToolName;

use crate::{
    limits::RemoteLimits,
    violation::{MapError, Violation},
};

/// A call whose arguments are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCall {
    /// The id that the agent chose.
    pub id: String,
    /// The name of the tool, valid as a [`ToolName`].
    pub name: String,
    /// The arguments, conventionally JSON.
    pub arguments: String,
    /// The message that made the call.
    pub parent_message_id: Option<String>,
    /// True for a tool of the front end, which the client executes (RUN-11).
    pub by_client: bool,
}

/// The calls of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    calls: BTreeMap<String, CallState>,
    /// The number of the current response.
    response: u32,
}

#[derive(Clone, Debug)]
enum CallState {
    Receiving(RemoteCall),
    Complete(CompleteCall),
}

/// A call whose arguments were complete once.
#[derive(Clone, Debug)]
struct CompleteCall {
    call: RemoteCall,
    place: usize,
    /// The latest response that has announced it.
    announced: u32,
    /// The arguments so far of a repetition.
    repeated: Option<String>,
    /// The latest response that has its result; `None` while it waits.
    answered: Option<u32>,
}

impl CallState {
    fn waits(&self) -> bool {
        matches!(self, CallState::Complete(CompleteCall { answered: None, .. }))
    }
}

/// The end of the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// A new call.
    New(RemoteCall),
    /// A call of an earlier response, unchanged.
    Repeated,
    /// A call of an earlier response, with the arguments with which the agent has made it after the client's answer.
    Changed(RemoteCall),
}

impl Calls {
    /// Begins a call, or repeats one of an earlier response.
    pub(crate) fn start(
        &mut self,
        limits: &RemoteLimits,
        event: &'static str,
        call: RemoteCall,
    ) -> Result<(), MapError> {
        match self.calls.get_mut(&call.id) {
            Some(CallState::Complete(known))
                if known.announced < self.response && known.call.name == call.name =>
            {
                (known.announced, known.repeated) = (self.response, Some(String::new()));
                return Ok(());
            }
            Some(_) => return Err(Violation::OpenedTwice(event).into()),
            None => {}
        }
        if ToolName::parse(&call.name).is_err() {
            return Err(Violation::ToolName(event).into());
        }
        if self.calls.len() >= limits.run_calls_max {
            return Err(MapError::Limit("run_calls_max"));
        }
        let is_open = |state: &&CallState| matches!(state, CallState::Receiving(_)) || state.waits();
        if self.calls.values().filter(is_open).count() >= limits.open_calls_max {
            return Err(MapError::Limit("open_calls_max"));
        }
        self.calls.insert(call.id.clone(), CallState::Receiving(call));
        Ok(())
    }

    /// Adds to the arguments of a call.
    pub(crate) fn arguments(
        &mut self,
        limits: &RemoteLimits,
        event: &'static str,
        id: &str,
        delta: &str,
    ) -> Result<(), MapError> {
        let arguments = match self.calls.get_mut(id) {
            Some(CallState::Receiving(call)) => &mut call.arguments,
            Some(CallState::Complete(CompleteCall { repeated: Some(repeated), .. })) => repeated,
            Some(CallState::Complete(_)) | None => return Err(Violation::NotOpen(event).into()),
        };
        if arguments.len() + delta.len() > limits.arguments_bytes_max {
            return Err(MapError::Limit("arguments_bytes_max"));
        }
        arguments.push_str(delta);
        Ok(())
    }

    /// Completes the arguments of a call and returns it.
    pub(crate) fn complete(&mut self, event: &'static str, id: &str) -> Result<Completed, Violation> {
        let (place, announced) = (self.calls.len(), self.response);
        let state = self.calls.get_mut(id).ok_or(Violation::NotOpen(event))?;
        match state {
            CallState::Receiving(call) => {
                let call = call.clone();
                let (repeated, answered) = (None, None);
                *state = CallState::Complete(CompleteCall {
                    call: call.clone(),
                    place,
                    announced,
                    repeated,
                    answered,
                });
                Ok(Completed::New(call))
            }
            CallState::Complete(known) => {
                let arguments = known.repeated.take().ok_or(Violation::NotOpen(event))?;
                if same_arguments(&known.call.arguments, &arguments) {
                    Ok(Completed::Repeated)
                } else if known.call.by_client {
                    Err(Violation::OtherArguments(event))
                } else {
                    Ok(Completed::Changed(RemoteCall { arguments, ..known.call.clone() }))
                }
            }
        }
    }

    /// Takes the result of a call. Returns false if the call was answered in an earlier response, so that this only
    /// repeats what is known.
    pub(crate) fn result(&mut self, event: &'static str, id: &str) -> Result<bool, Violation> {
        let Some(CallState::Complete(known)) = self.calls.get_mut(id) else {
            return Err(Violation::NotOpen(event));
        };
        if known.repeated.is_some() {
            return Err(Violation::NotOpen(event));
        }
        match known.answered {
            None if known.call.by_client => Err(Violation::ResultOfClient),
            // A second repetition in this response is one too many.
            Some(at) if at == self.response => Err(Violation::ResultTwice),
            before => {
                known.answered = Some(self.response);
                Ok(before.is_none())
            }
        }
    }

    /// Closes a call with an answer of the client, between two responses.
    pub(crate) fn answer(&mut self, id: &str) {
        if let Some(CallState::Complete(known)) = self.calls.get_mut(id) {
            known.answered = Some(self.response);
        }
    }

    /// Begins the next response.
    pub(crate) fn next_response(&mut self) {
        self.response += 1;
    }

    /// Returns true if the arguments of a call are not complete.
    pub(crate) fn are_received(&self) -> bool {
        self.calls.values().any(|state| match state {
            CallState::Receiving(_) => true,
            CallState::Complete(known) => known.repeated.is_some(),
        })
    }

    /// Returns true if the call waits for its result.
    pub(crate) fn waits(&self, id: &str) -> bool {
        self.calls.get(id).is_some_and(CallState::waits)
    }

    /// Returns the calls that wait for their results, in the order of their completion.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let mut waiting: Vec<(usize, &String)> = self
            .calls
            .iter()
            .filter_map(|(id, state)| match state {
                CallState::Complete(CompleteCall { place, answered: None, .. }) => Some((*place, id)),
                CallState::Complete(_) | CallState::Receiving(_) => None,
            })
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id.clone()).collect()
    }
}

/// Compares arguments as JSON, which an agent may format in another way when it repeats them.
fn same_arguments(first: &str, second: &str) -> bool {
    let parsed = |text: &str| match text.trim() {
        "" => Some(serde_json::Value::Object(serde_json::Map::new())),
        text => serde_json::from_str::<serde_json::Value>(text).ok(),
    };
    first == second || parsed(first).is_some_and(|first| parsed(second) == Some(first))
}
