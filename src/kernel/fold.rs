//! A run folded from its entries: the message, the calls with their results, the answer and the end, without the
//! deltas.
//!
//! Guarantee: the fold depends on the entries of the run alone, in the order of the log, and not on how they are read.
//! The history of an agent and the pages of a conversation are this fold.

use crate::{
    entry::{Body, Call, CallResult, Completion, Event, RunEntry, Thought, ThoughtKind},
    ids::{AgentName, CallId, MessageId, Offset, RunId, ThreadId, Timestamp},
};

/// A run, folded from its `user_message` and its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedRun {
    /// The id of the run.
    pub run_id: RunId,
    /// The conversation of the run.
    pub thread_id: ThreadId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// Offset of the message that this one follows in its thread; 0 if there is none.
    pub parent: Offset,
    /// The text of the message.
    pub text: String,
    /// True if the message waits for the active run to take it, or was taken (RUN-12).
    pub steers: bool,
    /// The position of the `user_message`.
    pub accepted: Position,
    /// The position of the `agent_started`.
    pub started: Option<Position>,
    /// The calls, in the order in which they were opened.
    pub calls: Vec<FoldedCall>,
    /// The `answer` deltas since the last reset.
    pub answer: String,
    /// The position of the `agent_completed`, and its content.
    pub completed: Option<(Position, Completion)>,
    /// False if entries of the run were left out, because a bounded read ended before them.
    pub whole: bool,
}

/// The place of an entry in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The offset of the entry.
    pub offset: Offset,
    /// The time of the entry.
    pub at: Timestamp,
}

/// A call of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedCall {
    /// The call at its start.
    pub call: Call,
    /// The position of the `tool_executing`.
    pub opened: Position,
    /// The result and the duration in milliseconds; `None` while the call is open.
    pub closed: Option<(CallResult, u64)>,
}

impl FoldedRun {
    /// Begins a fold with a message. `parent` is that of the index, for messages of earlier versions. Returns `None` if
    /// the entry is not a `user_message`.
    pub fn begin(message: RunEntry, parent: Offset) -> Option<Self> {
        let RunEntry { offset, thread_id, run_id, timestamp, agent_name, body } = message;
        let Body::UserMessage { message_id, text, parent: named, steers } = body else { return None };
        Some(Self {
            run_id,
            thread_id,
            message_id,
            agent_name,
            parent: named.unwrap_or(parent),
            text,
            steers,
            accepted: Position { offset, at: timestamp },
            started: None,
            calls: Vec::new(),
            answer: String::new(),
            completed: None,
            whole: true,
        })
    }

    /// Adds the next entry of the log. Entries of other runs are ignored.
    pub fn take(&mut self, entry: RunEntry) {
        if entry.run_id != self.run_id {
            return;
        }
        let position = Position { offset: entry.offset, at: entry.timestamp };
        let Body::Event { event, .. } = entry.body else { return };
        match event {
            Event::Started { .. } => self.started = Some(position),
            Event::Thinking(Thought { kind: ThoughtKind::Answer, delta, reset }) => {
                if reset {
                    self.answer.clear();
                }
                self.answer.push_str(&delta);
            }
            Event::Thinking(_) => {}
            Event::ToolExecuting(call) => {
                self.calls.push(FoldedCall { call, opened: position, closed: None });
            }
            Event::ToolCompleted { call_id, result, duration_ms, .. } => {
                if let Some(call) = self.call(&call_id) {
                    call.closed = Some((result, duration_ms));
                }
            }
            Event::Completed(completion) => self.completed = Some((position, completion)),
        }
    }

    /// Returns the final response if the run succeeded, else the answer as far as it was given; `None` if there is none.
    pub fn answer(&self) -> Option<&str> {
        let response =
            self.completed.as_ref().and_then(|(_, completion)| completion.final_response.as_deref());
        response.or_else(|| (!self.answer.is_empty()).then_some(&*self.answer))
    }

    fn call(&mut self, call_id: &CallId) -> Option<&mut FoldedCall> {
        // A call is mostly closed soon after it was opened.
        self.calls.iter_mut().rev().find(|call| call.call.call_id == *call_id)
    }
}
