//! Language models as agents of Quintet: OpenAI chat completions, OpenAI Responses, Anthropic Messages.
//!
//! A [`ModelAgent`] answers messages with a language model that may call tools. The text of the model is
//! emitted while it arrives; its calls are executed in parallel, after the client has approved those that
//! need it; their results go back to the model until it gives its answer.
//!
//! # Guarantees
//!
//! - A response without its terminal event never ends a run as `succeeded`. A request is repeated only before
//!   its first
//!   token.
//! - Everything that the service of a model sends is bounded in bytes and time ([`ModelLimits`]), and so are
//!   the
//!   responses, the calls and the tokens of a run.
//! - When a run ends in another way, as by a cancel, its request is closed at once.
//! - A resumed run executes no completed call again (RUN-9). A call that needs an approval is executed only
//!   after consent (RUN-11).
//! - No key is part of an error, an event or a log (AUTH-6).
//!
//! # The parts
//!
//! - [`ModelConfig`], [`ModelLimits`]: the configuration, with its limits
//! - [`ModelAgent`]: the agent
//! - [`ModelApi`]: the interface to a model, for models of other kinds
//!
//! # Budgets
//!
//! `run_tokens_max`, `thread_tokens_max` and `user_tokens_per_day_max` end a run as `failed`, code
//! `limit_reached`. They are counted from the `usage` of ended runs in the user's log, which failed and cancelled runs
//! have as well, and from what the process has counted since, so a restart frees nothing. What a service has not
//! counted, as of a response that broke off or of a process that died, is estimated. A request is made only if it fits
//! into what is left, and its response is limited to the rest: a run exceeds a budget only by what the service counts
//! differently. The budget of a day is strict for runs side by side where `output_tokens_max` limits a response;
//! without it, what arrives is counted, and open responses can exceed it together. Agents that share a [`Ledger`] count
//! each other's runs.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod agent;
mod api;
mod approval;
mod budget;
mod calls;
mod config;
mod context;
mod gathering;
mod limits;
mod metering;
mod names;
mod resume;
mod round;
mod toolbox;

pub use self::{
    agent::ModelAgent,
    api::{
        EndReason, ModelApi, ModelError, ModelEvent, ModelEvents, ModelRequest, Response, ToolCall,
        ToolResult, ToolSpec, Turn,
    },
    budget::Ledger,
    config::{ApiKind, ConfigError, ModelConfig},
    limits::ModelLimits,
};
