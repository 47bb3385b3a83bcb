//! The traits that authors implement: [`Agent`] and [`Tool`].
//!
//! An agent gets a [`Run`] and takes its steps. It has access to the run and, for reading, to the user's own
//! log only (ISO-4). When it returns, its run ends (RUN-6).

use std::sync::Arc;

use async_trait::async_trait;
use quintet_kernel::{
    ids::{AgentName, CallId, MessageId, RunId, ThreadId},
    json::Json,
};

use crate::{
    error::{AgentError, ToolError},
    history::History,
    phase::{Completed, Started},
    run::Run,
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

    /// Executes one run. The future is dropped when the run ends in another way, such as a cancel or a timeout.
    ///
    /// # Errors
    ///
    /// An error closes open calls and ends the run as `failed`. `?` converts the error of a step, which the run
    /// has seen already, and any other error, which is logged and hidden from the user.
    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError>;
}

/// A tool, which an agent may call. It may have effects, and it returns a result.
///
/// Tools are usually written with typed arguments, as a function ([`tool`](crate::tool)) or as a
/// [`TypedTool`](crate::TypedTool). This trait is for tools whose schema is known only at run time.
///
/// # Examples
///
/// ```
/// use quintet_agent::{Json, Tool, ToolContext, ToolError, async_trait};
/// use serde_json::{Value, json};
///
/// /// A tool of another service.
/// struct Remote {
///     name: String,
///     schema: Value,
/// }
///
/// #[async_trait]
/// impl Tool for Remote {
///     fn name(&self) -> &str {
///         &self.name
///     }
///
///     fn description(&self) -> &str {
///         "Echoes its parameters."
///     }
///
///     fn parameters_schema(&self) -> Value {
///         self.schema.clone()
///     }
///
///     async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, ToolError> {
///         Ok(Json::from(json!({"echo": parameters.to_value()})))
///     }
/// }
/// ```
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// Returns the name of the tool: 1 to 128 visible ASCII characters, unique among the tools of its agent.
    /// Checked when its agent is registered.
    fn name(&self) -> &str;

    /// Returns what the tool does, for language models and users.
    fn description(&self) -> &str;

    /// Returns the JSON Schema of the parameters, which are an object.
    fn parameters_schema(&self) -> serde_json::Value;

    /// Returns true if a call that was open at a crash may be repeated (RUN-9), because executing it twice
    /// has the same effect as once.
    fn idempotent(&self) -> bool {
        false
    }

    /// Returns the timeout of one call, in milliseconds, after which it closes as `timed_out`.
    fn call_timeout_ms(&self) -> u64 {
        super::call::CALL_TIMEOUT_MS
    }

    /// Executes a call.
    ///
    /// # Errors
    ///
    /// An error closes the call as `error`, and the run continues.
    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError>;
}

/// The message to be answered by a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The id of the run.
    pub run_id: RunId,
    /// The thread of the message.
    pub thread_id: ThreadId,
    /// The id of the message.
    pub message_id: MessageId,
    /// The name under which the agent is registered.
    pub agent_name: AgentName,
    /// The text of the message, 1 byte to 64 KiB.
    pub text: String,
}

/// The context of a tool call.
#[derive(Clone)]
pub struct ToolContext {
    /// The run that makes the call.
    pub run_id: RunId,
    /// The id of this call, which is the same if the call is repeated after a crash.
    pub call_id: CallId,
    /// The user's own log before the run.
    pub history: History,
}
