//! The messages of one run, folded from its entries: the state of a conversation at a position of the log.
//!
//! [`crate::encoder`] turns the same changes into events.

use std::collections::BTreeMap;

use quintet_kernel::{
    entry::{Body, Call, CallResult, CallStatus, Completion, Event, RunStatus, Thought, ThoughtKind},
    ids::{AgentName, CallId, RunId, Seq},
};

use crate::{
    ids::{CallRef, message_id},
    message::{Message, RoleMessage},
};

/// The messages of a run, and what is open in it.
#[derive(Clone, Debug)]
pub struct RunFold {
    run_id: RunId,
    messages: Vec<RoleMessage>,
    /// The message that the next delta of its kind continues.
    streamed: Option<Streamed>,
    /// The open calls, in the order of their ids.
    calls: BTreeMap<CallId, Call>,
    completion: Option<Completion>,
}

/// A message that is being streamed.
#[derive(Clone, Copy, Debug)]
struct Streamed {
    kind: TextKind,
    /// The position of the message.
    at: usize,
}

/// The kind of a streamed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    Answer,
    Reasoning,
}

/// A change of the messages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Started {
        agent_name: AgentName,
    },
    Progress {
        text: String,
    },
    /// The streamed message has ended.
    Ended {
        kind: TextKind,
        id: String,
    },
    /// A message begins.
    Begun {
        kind: TextKind,
        id: String,
    },
    /// Text was added to the streamed message.
    Added {
        kind: TextKind,
        id: String,
        delta: String,
    },
    /// Earlier texts of the run were withdrawn, which leaves these messages.
    Withdrawn {
        messages: Vec<Message>,
    },
    Called {
        call: CallRef,
        tool_name: String,
        arguments: String,
    },
    Returned {
        call: CallRef,
        content: String,
    },
    Completed,
}

impl RunFold {
    /// Creates the fold of a run without entries.
    pub fn new(run_id: RunId) -> Self {
        Self { run_id, messages: Vec::new(), streamed: None, calls: BTreeMap::new(), completion: None }
    }

    /// Returns the run.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Adds the next entry of the run.
    pub fn take(&mut self, agent_name: &AgentName, body: &Body) {
        self.changes(agent_name, body);
    }

    /// Returns the messages.
    pub fn messages(&self) -> impl Iterator<Item = Message> {
        self.messages.iter().cloned().map(Message::Role)
    }

    /// Returns the open calls.
    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// Ends a run whose terminal event is no longer stored, with the status that the index has of it.
    pub fn end_as(&mut self, status: RunStatus) {
        self.streamed = None;
        self.calls.clear();
        self.completion.get_or_insert(Completion {
            status,
            final_response: None,
            error: None,
            duration_ms: 0,
            usage: None,
            merged_into: None,
        });
    }

    /// Returns the terminal event of the run.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }

    /// Returns the message that is being streamed.
    pub(crate) fn streamed(&self) -> Option<(TextKind, String)> {
        self.streamed.map(|Streamed { kind, at }| (kind, self.messages[at].id().to_owned()))
    }

    /// Adds the next entry of the run, and returns its changes in order.
    pub(crate) fn changes(&mut self, agent_name: &AgentName, body: &Body) -> Vec<Change> {
        let mut changes = Vec::new();
        match body {
            Body::UserMessage { message_id, text, .. } => {
                self.messages.push(RoleMessage::User { id: message_id.clone(), content: text.clone() });
            }
            Body::Event { seq, event } => match event {
                Event::Started { .. } => changes.push(Change::Started { agent_name: agent_name.clone() }),
                Event::Thinking(thought) => self.think(*seq, thought, &mut changes),
                Event::ToolExecuting(call) => self.call(call, &mut changes),
                Event::ToolCompleted { call_id, result, .. } => self.complete(call_id, result, &mut changes),
                Event::Completed(completion) => {
                    self.end(&mut changes);
                    self.completion = Some(completion.clone());
                    changes.push(Change::Completed);
                }
            },
        }
        changes
    }

    fn think(&mut self, seq: Seq, thought: &Thought, changes: &mut Vec<Change>) {
        let kind = match thought.kind {
            ThoughtKind::Answer => TextKind::Answer,
            ThoughtKind::Reasoning => TextKind::Reasoning,
            ThoughtKind::Progress => {
                changes.push(Change::Progress { text: thought.delta.clone() });
                return;
            }
        };
        if thought.reset {
            self.withdraw(kind, changes);
        }
        if thought.delta.is_empty() {
            return;
        }
        let streamed = match self.streamed.filter(|streamed| streamed.kind == kind) {
            Some(streamed) => streamed,
            None => {
                self.end(changes);
                self.begin(kind, seq, changes)
            }
        };
        let message = &mut self.messages[streamed.at];
        let id = message.id().to_owned();
        if let Some(text) = message.streamed_text() {
            text.push_str(&thought.delta);
        }
        changes.push(Change::Added { kind, id, delta: thought.delta.clone() });
    }

    fn begin(&mut self, kind: TextKind, seq: Seq, changes: &mut Vec<Change>) -> Streamed {
        let message = match kind {
            TextKind::Answer => RoleMessage::Assistant {
                id: message_id(self.run_id, "text", seq),
                content: Some(String::new()),
                tool_calls: Vec::new(),
            },
            TextKind::Reasoning => RoleMessage::Reasoning {
                id: message_id(self.run_id, "reasoning", seq),
                content: String::new(),
            },
        };
        let streamed = Streamed { kind, at: self.messages.len() };
        changes.push(Change::Begun { kind, id: message.id().to_owned() });
        self.messages.push(message);
        self.streamed = Some(streamed);
        streamed
    }

    fn end(&mut self, changes: &mut Vec<Change>) {
        if let Some(Streamed { kind, at }) = self.streamed.take() {
            changes.push(Change::Ended { kind, id: self.messages[at].id().to_owned() });
        }
    }

    fn withdraw(&mut self, kind: TextKind, changes: &mut Vec<Change>) {
        let withdrawn = |message: &RoleMessage| match message {
            RoleMessage::Assistant { content, .. } => kind == TextKind::Answer && content.is_some(),
            RoleMessage::Reasoning { content, .. } => kind == TextKind::Reasoning && !content.is_empty(),
            RoleMessage::User { .. } | RoleMessage::Tool { .. } => false,
        };
        if !self.messages.iter().any(withdrawn) {
            return;
        }
        // The positions of later messages change, so the open one ends in any case.
        self.end(changes);
        match kind {
            TextKind::Answer => self.messages.retain(|message| !withdrawn(message)),
            // Front ends keep reasoning that a snapshot leaves out, so it stays there without its text.
            TextKind::Reasoning => {
                for message in &mut self.messages {
                    if let RoleMessage::Reasoning { content, .. } = message {
                        content.clear();
                    }
                }
            }
        }
        changes.push(Change::Withdrawn { messages: self.messages().collect() });
    }

    fn call(&mut self, call: &Call, changes: &mut Vec<Change>) {
        self.end(changes);
        let id = CallRef { run_id: self.run_id, call_id: call.call_id.clone() };
        self.messages.push(RoleMessage::call(&id, call.tool_name.as_str(), &call.parameters));
        changes.push(Change::Called {
            call: id,
            tool_name: call.tool_name.as_str().to_owned(),
            arguments: call.parameters.as_str().to_owned(),
        });
        self.calls.insert(call.call_id.clone(), call.clone());
    }

    /// Returns the position of a result, where front ends place it: behind its call and the results that are there.
    fn place_of_result(&self, call: &str) -> usize {
        let Some(call) = self.messages.iter().position(|message| message.id() == call) else {
            return self.messages.len();
        };
        let later = &self.messages[call + 1..];
        call + 1 + later.iter().take_while(|message| matches!(message, RoleMessage::Tool { .. })).count()
    }

    fn complete(&mut self, call_id: &CallId, result: &CallResult, changes: &mut Vec<Change>) {
        self.calls.remove(call_id);
        let call = CallRef { run_id: self.run_id, call_id: call_id.clone() };
        let (content, error) = result_text(result);
        let message = RoleMessage::Tool {
            id: call.result(),
            tool_call_id: call.to_string(),
            content: content.clone(),
            error,
        };
        let at = self.place_of_result(&call.to_string());
        if let Some(streamed) = self.streamed.as_mut().filter(|streamed| streamed.at >= at) {
            streamed.at += 1;
        }
        self.messages.insert(at, message);
        changes.push(Change::Returned { call, content });
    }
}

/// Returns the content and the error of a `tool` message. A text is shown as such, any other JSON as written.
fn result_text(result: &CallResult) -> (String, Option<String>) {
    let status = match result.status {
        CallStatus::Ok => {
            let text = serde_json::from_str::<String>(result.results.as_str());
            return (text.unwrap_or_else(|_| result.results.as_str().to_owned()), None);
        }
        CallStatus::Error => "error",
        CallStatus::Declined => "declined",
        CallStatus::TimedOut => "timed_out",
        CallStatus::Cancelled => "cancelled",
        CallStatus::Unknown => "unknown",
    };
    let error = result.error.clone().unwrap_or_else(|| status.to_owned());
    // AG-UI's result event has no member for an error, so the content has to say it.
    (serde_json::json!({ "status": status, "error": error }).to_string(), Some(error))
}
