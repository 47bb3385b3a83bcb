//! The SDK for authors of agents. An agent holds a [`Run`] and takes its steps; it has no other access.
//!
//! - [`Agent`], [`Tool`] ([`roles`]): the traits that authors implement; [`tool`](fn@tool), [`TypedTool`]
//!   ([`typed`]): tools with typed arguments; [`AgentError`], [`ToolError`] ([`error`]): their errors
//! - [`Run`] ([`run`]): the kernel's typestate for agents; [`phase`]: its phases; [`call`]: one tool call;
//!   [`Answer`] ([`answer`]): the answer to a question
//! - [`replay`]: skips recorded steps after a restart (RUN-9)
//! - [`gate`], [`turns`]: fair scheduling of agents by user (ISO-6); [`limits`]: its limits
//! - [`supervisor`]: executes agents on threads separate from the service's I/O (RUN-6)
//! - [`rehearsal`]: an agent that plays scripts
//! - [`history`]: read access to the user's own log
//! - [`host`]: the interface to the service; authors of agents do not need it

pub mod answer;
pub mod call;
mod emitted_text;
pub mod error;
pub mod gate;
pub mod history;
pub mod host;
pub mod limits;
pub mod phase;
mod redact;
pub mod rehearsal;
pub mod replay;
pub mod roles;
pub mod run;
mod step_writer;
pub mod supervisor;
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
    answer::Answer,
    call::{Answered, AskedCall, Executed, OpenCall},
    error::{AgentError, ToolError},
    history::History,
    host::RunEnded,
    limits::AgentLimits,
    phase::{CanOpen, CanThink, Completed, ExecutingTools, Started, Thinking},
    roles::{Agent, Task, Tool, ToolContext},
    run::{AfterClose, Run},
    supervisor::{AgentRegistry, Executor, RegistrationError},
    typed::{FnTool, TypedTool, tool},
};
