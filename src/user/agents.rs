//! What a user's hub needs of the agents, whoever implements them.

use std::sync::Arc;

use super::port::RunPort;
use crate::kernel::{
    entry::Entry,
    ids::{AgentName, MessageId, RunId, ThreadId, ToolName},
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
    /// The run's own events so far, in order, thoughts that follow one another joined to one; empty
    /// unless the run is taken up again.
    pub past: Vec<Entry>,
    pub port: RunPort,
}

/// Agents behind one pointer.
pub type SharedAgents = Arc<dyn Agents>;
