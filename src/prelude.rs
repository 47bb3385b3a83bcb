//! The names that a program needs that embeds a [`Service`] or runs its command line: `use quintet::prelude::*;`.

pub use crate::{
    agent::{
        Agent, AgentError, Answer, CallResult, CallStatus, Completed, Json, Run, Started, Task, ThoughtKind,
        Tool, ToolContext, ToolError, TypedTool, async_trait,
        schemars::{self, JsonSchema},
        tool,
    },
    service::{AgentSet, Drained, Running, Service, ServiceBuilder, ServiceError, TokenKeys},
};
