//! The trait [`Tool`], which authors implement.

use async_trait::async_trait;
use quintet_kernel::{
    ids::{CallId, RunId},
    json::Json,
};

use crate::{error::ToolError, history::History};

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
