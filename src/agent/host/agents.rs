//! The interface between a user's hub and the agents, independent of the agents' implementation.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use async_trait::async_trait;
use quintet_kernel::{
    entry::{RunEntry, Thought, ThoughtKind},
    ids::{AgentName, MessageId, Offset, RunId, ThreadId, ToolName, UserId},
};

use super::{run_handle::RunHandle, taken::TakenRecord};

/// The registered agents.
#[async_trait]
pub trait AgentLauncher: Send + Sync + 'static {
    /// Returns the agent for messages without an `agent_name`.
    fn default_agent(&self) -> AgentName;

    /// Returns the properties of an agent, or `None` if no agent has this name.
    fn find(&self, agent_name: &AgentName) -> Option<AgentCapabilities>;

    /// Returns true if a call that was open at a crash may be repeated (RUN-9).
    fn is_idempotent(&self, agent_name: &AgentName, tool_name: &ToolName) -> bool;

    /// Launches an agent on a run and returns at once. The agent stops when the run ends; if it stops earlier,
    /// it ends the run (RUN-6).
    fn launch(&self, assignment: Assignment);

    /// Waits until the agents have their tools, for a limited time. Called before runs of an earlier process are resumed:
    /// whether an open call is repeated depends on its tool (RUN-9).
    async fn prepare(&self) {}

    /// Stops what the agents keep running, such as servers of tools, and waits for its end. Called when no run advances
    /// any more.
    async fn stop(&self) {}
}

/// The properties of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentCapabilities {
    /// True if a run is resumed from its log after a crash, false if it ends as `interrupted`.
    pub resumable: bool,
}

/// A token for the user of a run, by which time and memory are shared out. It is equal for all runs of one user
/// in this process, and neither identifies the user nor gives access to it (ISO-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

impl Owner {
    /// Creates an owner from a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the owner of a user. It is the same after the user's machines are rebuilt, so that a user whose
    /// earlier agents still compute gets no second share (ISO-6).
    pub fn of(keys: &RandomState, user_id: &UserId) -> Self {
        Self(keys.hash_one(user_id))
    }
}

/// A run to be executed by an agent.
pub struct Assignment {
    /// The owner, whose runs share the agents' time.
    pub owner: Owner,
    /// The user of the run, whose id the agent learns and no other (ISO-4).
    pub user_id: UserId,
    /// The id of the run.
    pub run_id: RunId,
    /// The thread of the message.
    pub thread_id: ThreadId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// The user's message.
    pub text: String,
    /// The offset of the message in the user's log.
    pub accepted: Offset,
    /// The events of the run so far, in order, without its thoughts.
    pub past: Vec<RunEntry>,
    /// The positions of its thoughts in the log.
    pub emitted: EmittedText,
    /// The messages that the run has taken so far, in order (RUN-12).
    pub taken: Vec<TakenRecord>,
    /// The agent's handle to the run.
    pub handle: RunHandle,
}

/// The positions of the text that a run has emitted so far. The text itself is read from the log when needed,
/// since it may be larger than memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmittedText([TextSpan; 3]);

/// The text of one kind that a run has emitted since its last reset: the `delta`s of that kind between two
/// entries of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSpan {
    /// The offset of the first entry with text, 0 if there is none.
    pub first: Offset,
    /// The offset of the last entry with text, inclusive, 0 if there is none.
    pub last: Offset,
    /// The length of the text, in bytes of UTF-8.
    pub bytes: u64,
}

impl EmittedText {
    /// Adds the next thought of the run, at `offset`.
    pub fn take(&mut self, offset: Offset, thought: &Thought) {
        let span = &mut self.0[thought.kind as usize];
        if thought.reset {
            *span = TextSpan::default();
        }
        if !thought.delta.is_empty() {
            if span.bytes == 0 {
                span.first = offset;
            }
            span.last = offset;
            span.bytes += thought.delta.len() as u64;
        }
    }

    /// Returns the position of the text of one kind.
    pub fn of(&self, kind: ThoughtKind) -> TextSpan {
        self.0[kind as usize]
    }
}

/// A shared pointer to the agents.
pub type SharedAgentLauncher = Arc<dyn AgentLauncher>;
