//! What an agent is and what a tool is: the two traits that authors implement.
//!
//! An agent gets a [`Run`] and moves it on; it reaches nothing else of its user than the run and, to
//! read, the user's own log (ISO-4). What it returns ends the run, one way or another (RUN-6).

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    history::History,
    run::{Completed, Run, Started},
};
use crate::{
    kernel::{
        entry::{RunError, RunErrorCode},
        ids::{AgentName, CallId, MessageId, RunId, ThreadId, ToolName},
        json::Json,
    },
    user::port::Stopped,
};

/// Somebody who answers messages.
///
/// ```
/// use async_trait::async_trait;
/// use quintet::{
///     agent::{Agent, Completed, Run, Started, Task, Unfinished},
///     kernel::{entry::ThoughtKind, ids::AgentName},
/// };
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
///         "Says what it was told."
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

    /// One or two sentences for those who choose an agent.
    fn description(&self) -> &str;

    /// Whether a run that a crash orphaned is restarted from its own log: the agent runs again from the
    /// start, and steps that the log holds are not taken twice. Worth it for an agent that takes the
    /// same steps for the same message; any other is only corrected (`reset`).
    fn resumable(&self) -> bool {
        false
    }

    /// The tools that it may call. A call that a crash left open is made again only if its tool is
    /// here and declares itself idempotent (RUN-9).
    fn tools(&self) -> &[Arc<dyn Tool>] {
        &[]
    }

    /// Carries out one run. The future is dropped when the run ends otherwise: cancelled, timed out.
    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, Unfinished>;
}

/// Something that an agent can do: it may have an effect, and it has a result.
///
/// ```
/// use async_trait::async_trait;
/// use quintet::{
///     agent::{Tool, ToolContext},
///     kernel::{ids::ToolName, json::Json},
/// };
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
///         "Turns a text around."
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

    /// JSON Schema of the parameters, which are an object.
    fn parameters_schema(&self) -> serde_json::Value;

    /// Whether a call that a crash left open may be made again (RUN-9): doing it twice is as good as
    /// doing it once.
    fn idempotent(&self) -> bool {
        false
    }

    /// How long one call may take, in milliseconds; then it closes as `timed_out`.
    fn call_ms_max(&self) -> u64 {
        super::call::CALL_MS_MAX
    }

    /// Does it. An `Err` closes the call as `error`, with this text, and the run goes on.
    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, String>;
}

/// The message that a run answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    pub text: String,
}

/// What a tool knows besides its parameters.
#[derive(Clone)]
pub struct ToolContext {
    pub run_id: RunId,
    /// Of this call; the same again if the call is made again after a crash.
    pub call_id: CallId,
    /// The user's own log, up to the run.
    pub history: History,
}

/// Why an agent returns without having completed its run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// The run is over for the agent: pass it on with `?`.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The agent gives up: calls that are open are closed, and the run ends as `failed`.
    #[error("{}", .0.message)]
    Failed(RunError),
}

impl Unfinished {
    /// Gives up with `agent_error` and a message for the user.
    pub fn because(message: impl Into<String>) -> Self {
        Self::Failed(RunError { code: RunErrorCode::AgentError, message: message.into() })
    }
}

/// The examples of `docs/agents.md` run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../docs/agents.md")]
struct AgentsPage;
