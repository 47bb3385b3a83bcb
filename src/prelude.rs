//! The names that a program needs that embeds a [`Service`] or runs its command line: `use quintet::prelude::*;`.

pub use crate::{
    agent::{Agent, Completed, Run, Started, Task, Tool, ToolContext, Unfinished},
    kernel::{
        entry::{CallStatus, ThoughtKind},
        ids::{AgentName, ToolName},
        json::Json,
    },
    service::{AgentSet, Drained, Running, Service, ServiceBuilder, ServiceError, TokenKeys},
};
