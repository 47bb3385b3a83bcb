//! Tools with typed arguments and results, on top of [`Tool`].

use std::{future::Future, marker::PhantomData};

use async_trait::async_trait;
use quintet_kernel::json::Json;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    call::CALL_TIMEOUT_MS,
    error::ToolError,
    tool::{Tool, ToolContext},
};

/// A tool with typed arguments and a typed result. Every `TypedTool` is a [`Tool`]: the schema of its parameters
/// is derived from `Args`, and malformed arguments close the call as `error`, with the place of the mistake.
///
/// # Examples
///
/// ```
/// use quintet_agent::{ToolContext, ToolError, TypedTool, async_trait, schemars::JsonSchema};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Text {
///     text: String,
/// }
///
/// #[derive(Serialize)]
/// struct Reversed {
///     text: String,
/// }
///
/// struct Reverse;
///
/// #[async_trait]
/// impl TypedTool for Reverse {
///     type Args = Text;
///     type Output = Reversed;
///
///     const NAME: &'static str = "reverse";
///     const DESCRIPTION: &'static str = "Reverses a text.";
///     const IDEMPOTENT: bool = true;
///
///     async fn call(&self, args: Text, _: &ToolContext) -> Result<Reversed, ToolError> {
///         Ok(Reversed { text: args.text.chars().rev().collect() })
///     }
/// }
/// ```
#[async_trait]
pub trait TypedTool: Send + Sync + 'static {
    /// The parameters, an object.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// The result.
    type Output: Serialize + Send;

    /// The name of the tool: 1 to 128 visible ASCII characters.
    const NAME: &'static str;

    /// What the tool does.
    const DESCRIPTION: &'static str;

    /// True if a call that was open at a crash may be repeated ([`Tool::idempotent`], RUN-9).
    const IDEMPOTENT: bool = false;

    /// The timeout of one call, in milliseconds.
    const CALL_TIMEOUT_MS: u64 = CALL_TIMEOUT_MS;

    /// Executes a call.
    ///
    /// # Errors
    ///
    /// An error closes the call as `error`, and the run continues.
    async fn call(&self, args: Self::Args, context: &ToolContext) -> Result<Self::Output, ToolError>;
}

#[async_trait]
impl<T: TypedTool> Tool for T {
    fn name(&self) -> &str {
        T::NAME
    }

    fn description(&self) -> &str {
        T::DESCRIPTION
    }

    fn parameters_schema(&self) -> serde_json::Value {
        schema::<T::Args>()
    }

    fn idempotent(&self) -> bool {
        T::IDEMPOTENT
    }

    fn call_timeout_ms(&self) -> u64 {
        T::CALL_TIMEOUT_MS
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        results(&self.call(args(parameters)?, context).await?)
    }
}

/// Creates a tool from a function of its arguments and its [`ToolContext`].
///
/// # Examples
///
/// ```
/// use quintet_agent::{Tool, ToolError, schemars::JsonSchema, tool};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Dice {
///     sides: u32,
/// }
///
/// let dice = tool("dice", "Rolls a die.", |dice: Dice, _| async move {
///     match dice.sides {
///         0 | 1 => Err(ToolError::user_facing("a die has at least two sides")),
///         sides => Ok(1 + 4 % sides),
///     }
/// });
/// assert_eq!(dice.parameters_schema()["properties"]["sides"]["type"], "integer");
/// ```
pub fn tool<A, O, F, W>(name: &'static str, description: &'static str, work: F) -> FnTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + Send,
    F: Fn(A, ToolContext) -> W + Send + Sync + 'static,
    W: Future<Output = Result<O, ToolError>> + Send,
{
    FnTool { name, description, idempotent: false, call_timeout_ms: CALL_TIMEOUT_MS, work, args: PhantomData }
}

/// A tool that is a function. Created by [`tool`].
#[derive(Debug)]
pub struct FnTool<A, F> {
    name: &'static str,
    description: &'static str,
    idempotent: bool,
    call_timeout_ms: u64,
    work: F,
    args: PhantomData<fn(A)>,
}

impl<A, F> FnTool<A, F> {
    /// Declares that a call that was open at a crash may be repeated, because executing it twice has the same
    /// effect as once (RUN-9).
    #[must_use]
    pub fn declared_idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Sets the timeout of one call, in milliseconds; 30,000 without this.
    #[must_use]
    pub fn with_call_ms_max(mut self, call_timeout_ms: u64) -> Self {
        self.call_timeout_ms = call_timeout_ms;
        self
    }
}

#[async_trait]
impl<A, O, F, W> Tool for FnTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + Send,
    F: Fn(A, ToolContext) -> W + Send + Sync + 'static,
    W: Future<Output = Result<O, ToolError>> + Send,
{
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        self.description
    }

    fn parameters_schema(&self) -> serde_json::Value {
        schema::<A>()
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    fn call_timeout_ms(&self) -> u64 {
        self.call_timeout_ms
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        results(&(self.work)(args(parameters)?, context.clone()).await?)
    }
}

/// Returns the JSON Schema of a type of arguments, in one piece.
fn schema<A: JsonSchema>() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings).into_root_schema_for::<A>().to_value()
}

/// Decodes the arguments of a call. The message names the mistake and its place, for the agent that made it.
fn args<A: DeserializeOwned>(parameters: &Json) -> Result<A, ToolError> {
    serde_json::from_str(parameters.as_str())
        .map_err(|error| ToolError::user_facing(format!("the arguments are invalid: {error}")))
}

fn results(output: &impl Serialize) -> Result<Json, ToolError> {
    Ok(Json::parse(&serde_json::to_string(output)?)?)
}
