//! The events of one run, for one request.
//!
//! ```text
//!   absorb* ─▶ begin ─▶ entry* ─▶ (terminal event)
//!                │          └─▶ pause, when the run waits for its client alone ─▶ (terminal event)
//!                └─▶ (terminal event, if the run ended in the prefix)
//! ```
//!
//! Guarantees: the first event is `RUN_STARTED`; exactly one terminal event is sent, and none after it; it is sent
//! with every message closed. The prefix that was absorbed is sent as one snapshot, and a message that it ends in is
//! continued under its id.

use std::{collections::BTreeSet, sync::Arc};

use quintet_kernel::{
    entry::{Body, Call, CallOwner, Completion, RunError, RunStatus},
    ids::{AgentName, RunId, ThreadId},
};
use serde_json::json;

use crate::{
    event::{AssistantRole, Dialect, Event, Outcome, PROTOCOL_VERSION, ReasoningRole, TokenUsage, ToolRole},
    fold::{Change, RunFold, TextKind},
    interrupt,
    message::Message,
};

/// What an encoder is created from.
#[derive(Clone, Debug)]
pub struct EncoderSetup {
    /// The generation of the front end.
    pub dialect: Dialect,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The `runId` of the request.
    pub request_id: Arc<str>,
    /// The tools that the front end executes.
    pub front_end_tools: BTreeSet<String>,
}

/// Turns the entries of one run into events.
#[derive(Debug)]
pub struct Encoder {
    setup: EncoderSetup,
    fold: RunFold,
    /// True once the prefix has entries.
    has_prefix: bool,
    /// True if the streamed message was begun in this stream.
    is_announced: bool,
    is_over: bool,
}

impl Encoder {
    /// Creates the encoder of a run.
    pub fn new(setup: EncoderSetup, run_id: RunId) -> Self {
        let fold = RunFold::new(run_id);
        Self { setup, fold, has_prefix: false, is_announced: false, is_over: false }
    }

    /// Returns the run.
    pub fn run_id(&self) -> RunId {
        self.fold.run_id()
    }

    /// Returns true once the terminal event was returned.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true once the run has ended without an error, after which another run may begin in the same stream.
    pub fn can_be_followed(&self) -> bool {
        let status = self.fold.completion().map(|completion| completion.status);
        self.is_over
            && matches!(status, Some(RunStatus::Succeeded | RunStatus::Cancelled | RunStatus::Merged))
    }

    /// Creates the encoder of the next run in the same stream.
    pub fn next(&self, run_id: RunId) -> Self {
        Self::new(self.setup.clone(), run_id)
    }

    /// Returns the open calls.
    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.fold.open_calls()
    }

    /// Returns true if the run goes on only when its client has completed a call (RUN-11).
    pub fn waits_for_client(&self) -> bool {
        let mut calls = self.fold.open_calls().peekable();
        !self.is_over && calls.peek().is_some() && calls.all(|call| call.by == CallOwner::Client)
    }

    /// Adds the next entry of the run to the prefix, which [`Self::begin`] sends as a snapshot.
    pub fn absorb(&mut self, agent_name: &AgentName, body: &Body) {
        self.has_prefix = true;
        self.fold.take(agent_name, body);
    }

    /// Returns true if the prefix has the end of the run.
    pub fn has_ended(&self) -> bool {
        self.fold.completion().is_some()
    }

    /// Ends a run whose terminal event is no longer stored, as after a trim, with the status that the index has of it.
    pub fn end_as(&mut self, status: RunStatus) {
        self.has_prefix = true;
        self.fold.end_as(status);
    }

    /// Returns the first events: the start, the snapshot of a prefix behind the messages `before` the run, and the end of
    /// a run that has ended.
    pub fn begin(&mut self, before: Vec<Message>) -> Vec<Event> {
        let protocol_version = match self.setup.dialect {
            Dialect::V0 => None,
            Dialect::V1 => Some(PROTOCOL_VERSION),
        };
        let mut events = vec![Event::RunStarted {
            thread_id: self.setup.thread_id.clone(),
            run_id: self.setup.request_id.clone(),
            protocol_version,
        }];
        if self.has_prefix {
            let messages = before.into_iter().chain(self.fold.messages()).collect();
            events.push(Event::MessagesSnapshot { messages });
        }
        self.terminate(&mut events);
        events
    }

    /// Returns the events of the next entry of the run; none after the terminal event. A snapshot among them has the
    /// messages of the run only, and the caller adds those before it.
    pub fn entry(&mut self, agent_name: &AgentName, body: &Body) -> Vec<Event> {
        let mut events = Vec::new();
        if self.is_over {
            return events;
        }
        for change in self.fold.changes(agent_name, body) {
            self.encode(change, &mut events);
        }
        events
    }

    /// Returns the end of a run that waits for its client; none if it does not.
    pub fn pause(&mut self) -> Vec<Event> {
        if !self.waits_for_client() {
            return Vec::new();
        }
        let calls: Vec<&Call> = self.fold.open_calls().collect();
        let outcome =
            interrupt::outcome(self.setup.dialect, self.run_id(), &calls, &self.setup.front_end_tools);
        let mut events = Vec::new();
        if let Some((kind, id)) = self.fold.streamed().filter(|_| self.is_announced) {
            end(kind, id, &mut events);
        }
        events.push(self.finished(outcome, None));
        self.is_over = true;
        events
    }

    fn encode(&mut self, change: Change, events: &mut Vec<Event>) {
        match change {
            Change::Started { agent_name } => events.push(Event::Custom {
                name: "quintet.agent_started",
                value: json!({ "run_id": self.run_id(), "agent_name": agent_name }),
            }),
            Change::Progress { text } => {
                events.push(Event::Custom { name: "quintet.progress", value: json!({ "text": text }) });
            }
            Change::Begun { kind, id } => {
                begin(kind, id, events);
                self.is_announced = true;
            }
            Change::Added { kind, id, delta } => {
                if !self.is_announced {
                    // The message is that of the prefix: its id continues it.
                    begin(kind, id.clone(), events);
                    self.is_announced = true;
                }
                events.push(match kind {
                    TextKind::Answer => Event::TextMessageContent { message_id: id, delta },
                    TextKind::Reasoning => Event::ReasoningMessageContent { message_id: id, delta },
                });
            }
            Change::Ended { kind, id } => {
                if self.is_announced {
                    end(kind, id, events);
                }
                self.is_announced = false;
            }
            Change::Withdrawn { messages } => events.push(Event::MessagesSnapshot { messages }),
            Change::Called { call, tool_name, arguments } => {
                let tool_call_id = call.to_string();
                events.extend([
                    Event::ToolCallStart { tool_call_id: tool_call_id.clone(), tool_call_name: tool_name },
                    Event::ToolCallArgs { tool_call_id: tool_call_id.clone(), delta: arguments },
                    Event::ToolCallEnd { tool_call_id },
                ]);
            }
            Change::Returned { call, content } => events.push(Event::ToolCallResult {
                message_id: call.result(),
                tool_call_id: call.to_string(),
                content,
                role: ToolRole::Tool,
            }),
            Change::Completed => self.terminate(events),
        }
    }

    /// Adds the terminal event of a run that has ended.
    fn terminate(&mut self, events: &mut Vec<Event>) {
        let Some(completion) = self.fold.completion() else { return };
        let Completion { status, error, usage, merged_into, .. } = completion.clone();
        let usage = usage.map(|usage| [TokenUsage::from(usage)]);
        let end = match status {
            RunStatus::Succeeded => self.finished(None, usage),
            RunStatus::Merged => {
                let value = json!({ "merged_into": merged_into });
                events.push(Event::Custom { name: "quintet.merged", value });
                self.finished(None, usage)
            }
            RunStatus::Cancelled => match self.setup.dialect {
                Dialect::V1 => self.finished(Some(Outcome::Cancelled), usage),
                Dialect::V0 => {
                    events.push(Event::Custom { name: "quintet.cancelled", value: json!({}) });
                    self.finished(None, usage)
                }
            },
            RunStatus::Failed | RunStatus::TimedOut | RunStatus::Interrupted => failed(status, error),
        };
        events.push(end);
        self.is_over = true;
    }

    fn finished(&self, outcome: Option<Outcome>, usage: Option<[TokenUsage; 1]>) -> Event {
        let (thread_id, run_id) = (self.setup.thread_id.clone(), self.setup.request_id.clone());
        Event::RunFinished { thread_id, run_id, outcome, usage }
    }
}

fn begin(kind: TextKind, id: String, events: &mut Vec<Event>) {
    match kind {
        TextKind::Answer => {
            events.push(Event::TextMessageStart { message_id: id, role: AssistantRole::Assistant });
        }
        TextKind::Reasoning => events.extend([
            Event::ReasoningStart { message_id: id.clone() },
            Event::ReasoningMessageStart { message_id: id, role: ReasoningRole::Reasoning },
        ]),
    }
}

fn end(kind: TextKind, id: String, events: &mut Vec<Event>) {
    match kind {
        TextKind::Answer => events.push(Event::TextMessageEnd { message_id: id }),
        TextKind::Reasoning => events.extend([
            Event::ReasoningMessageEnd { message_id: id.clone() },
            Event::ReasoningEnd { message_id: id },
        ]),
    }
}

fn failed(status: RunStatus, error: Option<RunError>) -> Event {
    let (message, code) = match error {
        Some(RunError { code, message }) => (message, json!(code)),
        None => (format!("the run ended as {}", status.as_str()), json!(status)),
    };
    Event::RunError { message, code: code.as_str().unwrap_or_default().to_owned() }
}
