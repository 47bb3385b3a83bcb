//! The traits that authors implement: [`Agent`] and [`Tool`].
//!
//! An agent gets a [`Run`] and takes its steps. It has access to the run and, for reading, to the user's own
//! log only (ISO-4). When it returns, its run ends (RUN-6).

use std::sync::Arc;

use async_trait::async_trait;
use quintet_kernel::{
    entry::{RunError, RunErrorCode},
    ids::{AgentName, CallId, MessageId, RunId, ThreadId, ToolName},
    json::Json,
};

use super::{
    history::History,
    run::{Completed, Run, Started},
};
use crate::host::Stopped;

/// An agent, which answers messages.
///
/// ```
/// use async_trait::async_trait;
/// use quintet_agent::{Agent, Completed, Run, Started, Task, Unfinished};
/// use quintet_kernel::{entry::ThoughtKind, ids::AgentName};
///
/// struct Echo;
///
/// #[async_trait]
/// impl Agent for Echo {
///     fn name(&self) -> AgentName {
///         AgentName::parse("echo").expect("a valid name")
///     }
///
///     fn description(&self) -> &str {
///         "Repeats the message."
///     }
///
///     async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, Unfinished> {
///         let run = run.think(ThoughtKind::Reasoning, "I repeat the message.").await?;
///         let run = run.answer(task.text).await?;
///         Ok(run.complete().await?)
///     }
/// }
/// ```
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    fn name(&self) -> AgentName;

    /// One or two sentences for users who choose an agent.
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

    /// Executes one run. The future is dropped when the run ends in another way, such as a cancel or a timeout.
    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, Unfinished>;
}

/// A tool, which an agent may call. It may have effects, and it returns a result.
///
/// ```
/// use async_trait::async_trait;
/// use quintet_agent::{Tool, ToolContext};
/// use quintet_kernel::{ids::ToolName, json::Json};
/// use serde_json::json;
///
/// struct Reverse;
///
/// #[async_trait]
/// impl Tool for Reverse {
///     fn name(&self) -> ToolName {
///         ToolName::parse("reverse").expect("a valid name")
///     }
///
///     fn description(&self) -> &str {
///         "Reverses a text."
///     }
///
///     fn parameters_schema(&self) -> serde_json::Value {
///         json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})
///     }
///
///     fn idempotent(&self) -> bool {
///         true
///     }
///
///     async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, String> {
///         let parameters = parameters.to_value();
///         let text = parameters["text"].as_str().ok_or("text is missing")?;
///         Ok(Json::from(&json!({"text": text.chars().rev().collect::<String>()})))
///     }
/// }
/// ```
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    fn name(&self) -> ToolName;

    fn description(&self) -> &str;

    /// Returns the JSON Schema of the parameters, which are an object.
    fn parameters_schema(&self) -> serde_json::Value;

    /// Returns true if a call that was open at a crash may be repeated (RUN-9), because executing it twice
    /// has the same effect as once.
    fn idempotent(&self) -> bool {
        false
    }

    /// Returns the timeout of one call, in milliseconds, after which it closes as `timed_out`.
    fn call_ms_max(&self) -> u64 {
        super::call::CALL_MS_MAX
    }

    /// Executes a call. An `Err` closes the call as `error`, with this text, and the run continues.
    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, String>;
}

/// The message to be answered by a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    pub text: String,
}

/// The context of a tool call.
#[derive(Clone)]
pub struct ToolContext {
    pub run_id: RunId,
    /// The id of this call, which is the same if the call is repeated after a crash.
    pub call_id: CallId,
    /// The user's own log before the run.
    pub history: History,
}

/// The reason for which an agent returns without completing its run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// The run has ended for the agent; pass this error on with `?`.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The agent fails: open calls are closed and the run ends as `failed`.
    #[error("{}", .0.message)]
    Failed(RunError),
}

impl Unfinished {
    /// Creates a failure with `agent_error` and a message for the user.
    pub fn because(message: impl Into<String>) -> Self {
        Self::Failed(RunError { code: RunErrorCode::AgentError, message: message.into() })
    }
}
