//! The SDK for authors of agents: an agent holds a [`Run`] and takes its steps, and illegal steps do not compile.
//!
//! An agent answers one message of a user with one run: it thinks, calls tools, asks the client, answers, and
//! completes. Quintet writes each step to the user's log and delivers it to that user. This crate has the types of
//! the steps, the traits that authors implement, and the executor of agents; a service runs them.
//!
//! # Guarantees
//!
//! - A run has in each phase only the methods that are legal there: a result without its call, a success before a
//!   thought, or a step after the end do not compile (RUN-3, RUN-4, RUN-5).
//! - A tool is invoked only when its call is durable, and its result is returned only when that is durable (RUN-9).
//! - A resumed run repeats no step that its log holds, and no completed call (RUN-9); see [`replay`].
//! - Each run ends: an agent that returns an error, panics or drops its run ends it as `failed` (RUN-6).
//! - An agent has access to its run and, for reading, to the log of the run's user, and to nothing else (ISO-4).
//! - The agents of one user occupy at most `user_agent_threads_max` threads (ISO-6).
//!
//! # For authors of agents
//!
//! | | types | module |
//! |---|---|---|
//! | an agent | [`Agent`], [`Task`], [`AgentError`] | [`mod@agent`], [`error`] |
//! | its steps | [`Run`], [`AfterClose`], [`RunEnded`], the phases [`Started`], [`Thinking`], [`ExecutingTools`], [`Completed`] | [`run`], [`phase`] |
//! | tools | [`tool`](fn@tool), [`TypedTool`], [`Tool`], [`ToolContext`], [`ToolError`] | [`typed`], [`mod@tool`], [`error`] |
//! | tokens | [`TokenCount`], [`Usage`] | [`token_count`] |
//! | single calls | [`OpenCall`], [`Executed`] | [`call`] |
//! | questions to the client | [`Answer`], [`AskedCall`], [`Answered`] | [`answer`], [`call`] |
//! | messages to a run that executes | [`Message`], [`Run::take_messages`] | [`messages`] |
//! | the user's earlier log | [`History`] | [`history`] |
//!
//! # For services
//!
//! - [`AgentRegistry`], [`Executor`] ([`supervisor`]): the agents by name, executed on threads of their own
//! - [`AgentLimits`] ([`limits`]), [`gate`], [`turns`]: limits, and fair scheduling of agents by user
//! - [`host`]: the interface between the agents and a user's log
//! - [`rehearsal`]: an agent that plays scripts, for tests of clients
//!
//! # Examples
//!
//! An agent with one tool:
//!
//! ```
//! use std::sync::Arc;
//!
//! use quintet_agent::{
//!     Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, ThoughtKind, Tool, ToolError,
//!     async_trait, schemars::JsonSchema, tool,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Text {
//!     text: String,
//! }
//!
//! struct Counter {
//!     tools: [Arc<dyn Tool>; 1],
//! }
//!
//! impl Counter {
//!     fn new() -> Self {
//!         let count = tool("count", "Counts the words of a text.", |Text { text }, _| async move {
//!             Ok::<_, ToolError>(text.split_whitespace().count())
//!         });
//!         Self { tools: [Arc::new(count.declared_idempotent())] }
//!     }
//! }
//!
//! #[async_trait]
//! impl Agent for Counter {
//!     fn name(&self) -> &str {
//!         "counter"
//!     }
//!
//!     fn description(&self) -> &str {
//!         "Counts the words of the message."
//!     }
//!
//!     fn tools(&self) -> &[Arc<dyn Tool>] {
//!         &self.tools
//!     }
//!
//!     async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
//!         let run = run.think(ThoughtKind::Reasoning, "I count the words.").await?;
//!         let (run, count) = run.call(&*self.tools[0], json!({"text": task.text})).await?;
//!         let run = run.answer(format!("The message has {} words.", count.results.as_str())).await?;
//!         Ok(run.complete().await?)
//!     }
//! }
//!
//! let agents = AgentRegistry::new(Counter::new(), Executor::threads()?)?;
//! let names: Vec<&str> = agents.agents().map(|(name, _)| name.as_str()).collect();
//! assert_eq!(names, ["counter"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A run that has not thought cannot succeed (RUN-3):
//!
//! ```compile_fail,E0599
//! use quintet_agent::{Completed, Run, RunEnded, Started};
//!
//! async fn silent(run: Run<Started>) -> Result<Run<Completed>, RunEnded> {
//!     run.complete().await
//! }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod agent;
pub mod answer;
pub mod call;
mod call_ids;
mod clip;
pub mod conversation;
mod emitted_text;
pub mod error;
pub mod folded;
pub mod gate;
pub mod history;
pub mod host;
pub mod limits;
pub mod messages;
pub mod pacing;
mod pattern;
pub mod phase;
mod redact;
pub mod rehearsal;
pub mod replay;
pub mod run;
mod step_writer;
pub mod supervisor;
mod taken;
mod threads;
pub mod token_count;
pub mod tool;
mod tool_requests;
pub mod turns;
pub mod typed;

use quintet_runtime::sync;

pub use async_trait::async_trait;
pub use quintet_kernel::{
    entry::{CallResult, CallStatus, ThoughtKind, Usage},
    json::Json,
};
pub use schemars;

pub use self::{
    agent::{Agent, Task},
    answer::Answer,
    call::{Answered, AskedCall, Executed, OpenCall},
    conversation::PastRun,
    error::{AgentError, ToolError},
    history::History,
    host::{Message, RunEnded},
    limits::AgentLimits,
    pacing::Pacer,
    pattern::ToolPattern,
    phase::{CanOpen, CanTake, CanThink, Completed, ExecutingTools, Started, Thinking},
    replay::RecordedCall,
    run::{AfterClose, Run},
    supervisor::{AgentRegistry, Executor, RegistrationError},
    token_count::TokenCount,
    tool::{Tool, ToolContext, ToolSource},
    typed::{FnTool, TypedTool, tool},
};
