//! The tool calls of a run, over all its responses.
//!
//! ```text
//!   TOOL_CALL_START ──▶ Receiving ── TOOL_CALL_END ──▶ Waiting ── TOOL_CALL_RESULT, answer of the client ──▶ Answered
//! ```
//!
//! Guarantee: an id is used for one call of a run, which has one result (RUN-4).

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
    Waiting { place: usize, by_client: bool },
    Answered { response: u32 },
}

impl Calls {
    /// Begins a call.
    pub(crate) fn start(
        &mut self,
        limits: &RemoteLimits,
        event: &'static str,
        call: RemoteCall,
    ) -> Result<(), MapError> {
        if self.calls.contains_key(&call.id) {
            return Err(Violation::OpenedTwice(event).into());
        }
        if ToolName::parse(&call.name).is_err() {
            return Err(Violation::ToolName(event).into());
        }
        if self.calls.len() >= limits.run_calls_max {
            return Err(MapError::Limit("run_calls_max"));
        }
        let is_open = |state: &&CallState| !matches!(state, CallState::Answered { .. });
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
        let Some(CallState::Receiving(call)) = self.calls.get_mut(id) else {
            return Err(Violation::NotOpen(event).into());
        };
        if call.arguments.len() + delta.len() > limits.arguments_bytes_max {
            return Err(MapError::Limit("arguments_bytes_max"));
        }
        call.arguments.push_str(delta);
        Ok(())
    }

    /// Completes the arguments of a call and returns it.
    pub(crate) fn complete(&mut self, event: &'static str, id: &str) -> Result<RemoteCall, Violation> {
        let place = self.calls.len();
        let state = self.calls.get_mut(id).ok_or(Violation::NotOpen(event))?;
        let CallState::Receiving(call) = state else { return Err(Violation::NotOpen(event)) };
        let call = call.clone();
        *state = CallState::Waiting { place, by_client: call.by_client };
        Ok(call)
    }

    /// Takes the result of a call. Returns false if the call was answered in an earlier response, so that this only
    /// repeats what is known.
    pub(crate) fn result(&mut self, event: &'static str, id: &str) -> Result<bool, Violation> {
        let response = self.response;
        match self.calls.get_mut(id) {
            None | Some(CallState::Receiving(_)) => Err(Violation::NotOpen(event)),
            Some(CallState::Waiting { by_client: true, .. }) => Err(Violation::ResultOfClient),
            Some(state @ CallState::Waiting { by_client: false, .. }) => {
                *state = CallState::Answered { response };
                Ok(true)
            }
            Some(CallState::Answered { response: at }) if *at < response => {
                // A second repetition in this response is one too many.
                *at = response;
                Ok(false)
            }
            Some(CallState::Answered { .. }) => Err(Violation::ResultTwice),
        }
    }

    /// Closes a call with an answer of the client, between two responses.
    pub(crate) fn answer(&mut self, id: &str) {
        if let Some(state) = self.calls.get_mut(id) {
            *state = CallState::Answered { response: self.response };
        }
    }

    /// Begins the next response.
    pub(crate) fn next_response(&mut self) {
        self.response += 1;
    }

    /// Returns true if the arguments of a call are not complete.
    pub(crate) fn are_received(&self) -> bool {
        self.calls.values().any(|state| matches!(state, CallState::Receiving(_)))
    }

    /// Returns true if the call waits for its result.
    pub(crate) fn waits(&self, id: &str) -> bool {
        matches!(self.calls.get(id), Some(CallState::Waiting { .. }))
    }

    /// Returns the calls that wait for their results, in the order of their completion.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let mut waiting: Vec<(usize, &String)> = self
            .calls
            .iter()
            .filter_map(|(id, state)| match state {
                CallState::Waiting { place, .. } => Some((*place, id)),
                CallState::Receiving(_) | CallState::Answered { .. } => None,
            })
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id.clone()).collect()
    }
}
