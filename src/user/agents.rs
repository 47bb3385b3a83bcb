//! What a user's hub needs of the agents, whoever implements them.

use std::sync::Arc;

use super::port::RunPort;
use crate::kernel::{
    entry::{Entry, Thought, ThoughtKind},
    ids::{AgentName, MessageId, Offset, RunId, ThreadId, ToolName},
};

/// The agents that messages may name.
pub trait Agents: Send + Sync + 'static {
    /// The agent of a message that names none.
    fn default_agent(&self) -> AgentName;

    /// How an agent wants to be treated, if there is one of that name.
    fn find(&self, agent_name: &AgentName) -> Option<Treatment>;

    /// Whether a call that a crash left open may be made again (RUN-9).
    fn is_idempotent(&self, agent_name: &AgentName, tool_name: &ToolName) -> bool;

    /// Sets an agent to work on a run and returns at once. The agent stops when the run ends, and
    /// ends the run, one way or another, when it stops itself (RUN-6).
    fn launch(&self, assignment: Assignment);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// After a crash the run is restarted from its own log instead of ended as `interrupted`.
    pub resumable: bool,
}

/// A run for an agent to carry out.
pub struct Assignment {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    /// The user's message.
    pub text: String,
    /// The run's own events so far but its thoughts, in order.
    pub past: Vec<Entry>,
    /// Its thoughts: where they stand in the log.
    pub said: Said,
    pub port: RunPort,
}

/// What a run has said so far. Its text is read from the log where it is needed, and never held: it may be
/// longer than memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said([Spoken; 3]);

/// What a run has said of one kind since it last withdrew what it had said: the `delta`s of that kind
/// between two entries of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    pub first: Offset,
    pub last: Offset,
    pub bytes: u64,
}

impl Said {
    /// Takes the next thought of the run, which stands at `offset`.
    pub fn take(&mut self, offset: Offset, thought: &Thought) {
        let spoken = &mut self.0[thought.kind as usize];
        if thought.reset {
            *spoken = Spoken::default();
        }
        if !thought.delta.is_empty() {
            if spoken.bytes == 0 {
                spoken.first = offset;
            }
            spoken.last = offset;
            spoken.bytes += thought.delta.len() as u64;
        }
    }

    pub fn of(&self, kind: ThoughtKind) -> Spoken {
        self.0[kind as usize]
    }
}

/// Agents behind one pointer.
pub type SharedAgents = Arc<dyn Agents>;
