//! The trait [`Tool`], which authors implement.

use std::sync::Arc;

use async_trait::async_trait;
use quintet_kernel::{
    ids::{CallId, RunId},
    json::Json,
};

use crate::{answer::Answer, error::ToolError, history::History, tool_requests::ToolRequests};

/// A tool, which an agent may call. It may have effects, and it returns a result.
///
/// Tools are usually written with typed arguments, as a function ([`tool`](fn@crate::tool)) or as a
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

/// Tools that may change while the service runs, such as those of an MCP server.
#[async_trait]
pub trait ToolSource: Send + Sync + 'static {
    /// Returns the current tools.
    fn tools(&self) -> Arc<[Arc<dyn Tool>]>;

    /// Waits until the tools are known, or cannot be known for now. A service waits for it, for a limited time, before
    /// it resumes runs, and a model agent before its first request, so that runs have their tools.
    async fn prepare(&self) {}

    /// Stops what the source keeps running, such as a process, and waits for its end. Called when a service stops.
    async fn stop(&self) {}
}

#[async_trait]
impl ToolSource for Arc<[Arc<dyn Tool>]> {
    fn tools(&self) -> Arc<[Arc<dyn Tool>]> {
        self.clone()
    }
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
    pub(crate) requests: ToolRequests,
}

impl ToolContext {
    /// Emits `agent_thinking` of kind `progress`, a piece of the run's report on long work.
    pub async fn progress(&self, text: impl Into<String>) {
        self.requests.progress(text.into()).await;
    }

    /// Asks the client a question and waits for its answer (RUN-11): a call of the client, beside the tool's own.
    /// `tool_name` names the kind of question. The wait does not count against the timeout of the tool.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is invalid or the run has ended.
    pub async fn ask(&self, tool_name: &str, parameters: impl Into<Json>) -> Result<Answer, ToolError> {
        self.requests.ask(&self.call_id, tool_name, parameters.into()).await
    }
}
