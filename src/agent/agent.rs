//! The trait [`Agent`], which authors implement.
//!
//! An agent gets a [`Run`] and takes its steps. It has access to the run and, for reading, to the user's own
//! log only (ISO-4). When it returns, its run ends (RUN-6).

use std::sync::Arc;

use async_trait::async_trait;
use quintet_kernel::ids::{AgentName, MessageId, RunId, ThreadId, UserId};

use crate::{
    error::AgentError,
    phase::{Completed, Started},
    run::Run,
    tool::Tool,
};

/// An agent, which answers messages.
///
/// # Examples
///
/// ```
/// use quintet_agent::{Agent, AgentError, Completed, Run, Started, Task, ThoughtKind, async_trait};
///
/// struct Echo;
///
/// #[async_trait]
/// impl Agent for Echo {
///     fn name(&self) -> &str {
///         "echo"
///     }
///
///     fn description(&self) -> &str {
///         "Repeats the message."
///     }
///
///     async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
///         let run = run.think(ThoughtKind::Reasoning, "I repeat the message.").await?;
///         let run = run.answer(task.text).await?;
///         Ok(run.complete().await?)
///     }
/// }
/// ```
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Returns the name by which clients choose the agent: 1 to 128 visible ASCII characters, unique among the
    /// agents of a service. Checked once, when the agent is registered.
    fn name(&self) -> &str;

    /// Returns one or two sentences for users who choose an agent.
    fn description(&self) -> &str;

    /// Returns true if a run is resumed from its log after a crash: the agent runs again from the start, and
    /// recorded steps are not repeated. Suitable for agents that take the same steps for the same message; the
    /// output of others is corrected by `reset`.
    fn resumable(&self) -> bool {
        false
    }

    /// Returns the tools that the agent may call. A call that was open at a crash is repeated only if its
    /// tool is listed here and idempotent (RUN-9).
    fn tools(&self) -> &[Arc<dyn Tool>] {
        &[]
    }

    /// Returns true if a call of this tool that was open at a crash may be repeated (RUN-9). To be overridden by
    /// agents whose tools are not all in [`Self::tools`].
    fn is_idempotent(&self, tool_name: &str) -> bool {
        self.tools().iter().any(|tool| tool.name() == tool_name && tool.idempotent())
    }

    /// Executes one run. The future is dropped when the run ends in another way, such as a cancel or a timeout.
    ///
    /// # Errors
    ///
    /// An error closes open calls and ends the run as `failed`. `?` converts the error of a step, which the run
    /// has seen already, and any other error, which is logged and hidden from the user.
    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError>;
}

/// The message to be answered by a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The id of the run.
    pub run_id: RunId,
    /// The user who sent the message. An agent learns the id of this user only, and no step takes an id (ISO-4).
    pub user_id: UserId,
    /// The thread of the message.
    pub thread_id: ThreadId,
    /// The id of the message.
    pub message_id: MessageId,
    /// The name under which the agent is registered.
    pub agent_name: AgentName,
    /// The text of the message, 1 byte to 64 KiB.
    pub text: String,
}
