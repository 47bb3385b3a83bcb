//! The messages of a conversation as an agent sees them.
//!
//! Guarantee: each result follows the message that made its call, so that no call and no result stands alone.

use std::collections::BTreeSet;

use quintet_agent::{CallResult, conversation::PastRun};
use quintet_kernel::entry::CallOwner;

use crate::{
    calls::RemoteCall,
    event::ToolContent,
    input::{Message, ToolCall},
    texts::Text,
};

/// Returns the messages of earlier runs. Of the calls to the client only those of its tools are included: others were
/// questions about a call of the agent.
pub(crate) fn of_runs(past: &[PastRun], client_tools: &BTreeSet<String>) -> Vec<Message> {
    let mut messages = Vec::new();
    for (place, run) in past.iter().enumerate() {
        messages.push(Message::User { id: format!("past-{place}"), content: run.message.clone() });
        let shown = run.calls.iter().filter(|(call, _)| {
            call.by == CallOwner::Agent || client_tools.contains(call.tool_name.as_str())
        });
        let (mut calls, mut results) = (Vec::new(), Vec::new());
        for (call, result) in shown {
            // Ids of calls repeat from run to run.
            let id = format!("past-{place}-{}", call.call_id);
            calls.push(ToolCall::new(id.clone(), call.tool_name.as_str(), call.parameters.as_str()));
            results.push(Message::result(format!("{id}-result"), id, result));
        }
        if !calls.is_empty() {
            let id = format!("past-{place}-calls");
            messages.push(Message::Assistant { id, content: String::new(), tool_calls: calls });
            messages.extend(results);
        }
        if let Some(answer) = run.answer.as_ref().filter(|answer| !answer.is_empty()) {
            let id = format!("past-{place}-answer");
            messages.push(Message::Assistant { id, content: answer.clone(), tool_calls: Vec::new() });
        }
    }
    messages
}

/// The messages of the current run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript(Vec<Message>);

impl Transcript {
    /// Adds a piece of the answer.
    pub(crate) fn text(&mut self, text: &Text) {
        let place = self.place(&text.message_id);
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(Message::Assistant { content, .. }) => content.push_str(&text.delta),
            _ => self.0.push(Message::Assistant {
                id: text.message_id.clone(),
                content: text.delta.clone(),
                tool_calls: Vec::new(),
            }),
        }
    }

    /// Adds a call to the message that made it.
    pub(crate) fn call(&mut self, call: &RemoteCall) {
        let made = ToolCall::new(&*call.id, &*call.name, &*call.arguments);
        let place = match &call.parent_message_id {
            Some(parent) => self.place(parent),
            None => self.0.len().checked_sub(1),
        };
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(Message::Assistant { tool_calls, .. }) => tool_calls.push(made),
            _ => {
                let id = call.parent_message_id.clone().unwrap_or_else(|| format!("{}-call", call.id));
                self.0.push(Message::Assistant { id, content: String::new(), tool_calls: vec![made] });
            }
        }
    }

    /// Adds the result of a call.
    pub(crate) fn result(&mut self, call_id: &str, message_id: Option<&str>, content: &ToolContent) {
        let content = match content {
            ToolContent::Text(text) => text.clone(),
            ToolContent::Parts(parts) => serde_json::Value::from(parts.clone()).to_string(),
        };
        let id = message_id.map_or_else(|| format!("{call_id}-result"), str::to_owned);
        self.0.push(Message::Tool { id, tool_call_id: call_id.to_owned(), content, error: None });
    }

    /// Adds the client's answer to a call.
    pub(crate) fn answer(&mut self, call_id: &str, result: &CallResult) {
        self.0.push(Message::result(format!("{call_id}-result"), call_id.to_owned(), result));
    }

    /// Returns the messages.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.0
    }

    fn place(&self, message_id: &str) -> Option<usize> {
        self.0
            .iter()
            .rposition(|message| matches!(message, Message::Assistant { id, .. } if id == message_id))
    }
}
