//! What a user's hub needs of the agents, whoever implements them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::port::RunPort;
use crate::kernel::{
    entry::{Entry, Thought, ThoughtKind},
    ids::{AgentName, MessageId, Offset, RunId, ThreadId, ToolName, UserId},
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

/// Stands for the user of a run where time and memory are shared out: equal for all runs of one user in this
/// process, and of no use to find out or to reach that user (ISO-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

impl Owner {
    /// Returns the owner of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the owner that stands for a user. It stays the same when the user's machines are made anew, so
    /// that a user whose old agents still compute gets no second share (ISO-6).
    pub(super) fn of(keys: &RandomState, user_id: &UserId) -> Self {
        Self(keys.hash_one(user_id))
    }
}

/// A run for an agent to carry out.
pub struct Assignment {
    /// Shares its agents' time with the other runs of this owner.
    pub owner: Owner,
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
