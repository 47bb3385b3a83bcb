//! The SDK for authors of agents. An agent holds a [`Run`] and takes its steps; it has no other access.
//!
//! - [`Agent`], [`Tool`] ([`roles`]): the traits that authors implement
//! - [`Run`] ([`run`]): the kernel's typestate for agents; [`call`]: one tool call; [`link`]: writes steps to
//!   the log; [`replay`]: skips recorded steps after a restart (RUN-9); [`echo`]: reads emitted text back
//! - [`gate`], [`turns`]: fair scheduling of agents by user (ISO-6); [`limits`]: its limits
//! - [`supervisor`]: executes agents on threads separate from the service's I/O (RUN-6)
//! - [`rehearsal`]: an agent that plays scripts
//! - [`history`]: read access to the user's own log
//! - [`host`]: the interface to the service; authors of agents do not need it

pub mod call;
mod echo;
pub mod gate;
pub mod history;
pub mod host;
pub mod limits;
mod link;
pub mod rehearsal;
pub mod replay;
pub mod roles;
pub mod run;
pub mod supervisor;
pub mod turns;

use quintet_runtime::sync;

pub use self::{
    call::{AskedCall, Executed, OpenCall},
    history::History,
    host::Stopped,
    limits::AgentLimits,
    roles::{Agent, Task, Tool, ToolContext, Unfinished},
    run::{AfterClose, Completed, ExecutingTools, Run, Started, Thinking},
    supervisor::{Directory, Floor},
};
