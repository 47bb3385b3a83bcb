//! Quintet delivers the five events of each agent run to the user who owns it, in legal order, durably and
//! exactly once.
//!
//! `docs/architecture.md` describes the structure; the modules from the core outwards:
//!
//! - [`kernel`]: the pure state machines and rules
//! - [`wire`]: encodings of entries, frames and HTTP bodies
//! - [`journal`]: durable, ordered storage of entries
//! - [`agent`]: the SDK for authors of agents, and their execution; [`assistant`]: the built-in agent
//! - [`user`]: the machines of one user
//! - [`gateway`]: HTTP, WebSocket and event-stream endpoints
//! - [`ops`]: configuration, telemetry and upkeep
//! - [`service`]: all of it put together: built, started or mounted, drained; `cli`: the command line
//! - [`audit`], [`witness`]: checks of journals and of live traffic against the rules
//! - [`runtime`]: clock, ids, tasks and limits

#[cfg(feature = "cli")]
pub mod cli;
pub mod gateway;
pub mod ops;
pub mod prelude;
pub mod service;
pub mod user;
pub mod witness;

pub use quintet_agent as agent;
#[cfg(feature = "assistant")]
pub use quintet_assistant as assistant;
pub use quintet_audit as audit;
pub use quintet_journal as journal;
pub use quintet_kernel as kernel;
pub use quintet_runtime as runtime;
pub use quintet_wire as wire;

#[cfg(feature = "cli")]
pub use self::cli::main;
pub use self::service::{AgentSet, Running, Service, ServiceBuilder, ServiceError, TokenKeys};

/// Runs the examples of `docs/agents.md` as doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/agents.md")]
struct AgentsPage;
