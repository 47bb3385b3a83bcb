//! Quintet connects chat clients and AI agents: it delivers the five events of each agent run to the user who
//! owns it, in legal order, durably and exactly once.
//!
//! A program embeds it as a [`Service`], made by a builder that checks what the command line checks:
//!
//! ```
//! use quintet::prelude::*;
//!
//! /// Repeats each message.
//! struct Echo;
//!
//! #[async_trait]
//! impl Agent for Echo {
//!     fn name(&self) -> &str {
//!         "echo"
//!     }
//!
//!     fn description(&self) -> &str {
//!         "Repeats the message."
//!     }
//!
//!     async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
//!         Ok(run.answer(task.text).await?.complete().await?)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (folder, shutdown) = (folder.path(), async {});
//! let service = Service::builder()
//!     .agent(Echo)
//!     .sqlite(folder)
//!     .bind("127.0.0.1:0")
//!     .dev()
//!     .build()?;
//! let running = service.start().await?;
//! println!("open http://{}/", running.listen);
//! // Until `shutdown` resolves, for example `tokio::signal::ctrl_c()`; then runs reach a safe point and
//! // connections close.
//! running.run_until(shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Service::builder`]: agents, journal, addresses, keys; [`Service::start`] serves on listeners of its own,
//!   [`Service::mount`] returns routes for an axum application
//! - `quintet::main`: the whole command line with the agents of the program, for a `main` of one line
//! - [`agent`]: how to write an agent; [`prelude`]: the names that most programs need
//! - the directory `docs/` of the repository: `embedding.md`, `agents.md`, `protocol.md`, `operations.md`
//!
//! # Modules
//!
//! From the core outwards; `docs/architecture.md` describes the structure.
//!
//! - [`kernel`]: the pure state machines and rules
//! - [`wire`]: encodings of entries, frames and HTTP bodies
//! - [`journal`]: durable, ordered storage of entries
//! - [`agent`]: the SDK for authors of agents, and their execution; `assistant`: the built-in agent
//! - [`user`]: the machines of one user
//! - [`gateway`]: HTTP, WebSocket and event-stream endpoints
//! - [`ops`]: configuration, telemetry and upkeep
//! - [`service`]: all of it put together: built, started or mounted, drained; `cli`: the command line
//! - [`observer`]: the traits through which checkers observe the service
//! - [`audit`], [`monitor`]: checks of journals and of live traffic against the rules
//! - [`runtime`]: clock, ids, tasks and limits
//!
//! # Features
//!
//! All are on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `assistant` | the built-in agent `assistant` with its tools |
//! | `cli` | the command line, with its log and its signal handlers |
//! | `jwks` | tokens that a key set verifies, which is fetched over HTTPS |
//! | `page` | the chat page of a development service |
//! | `prometheus` | a metrics recorder for Prometheus, and metrics of the process |

#![deny(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod gateway;
pub mod ops;
pub mod prelude;
pub mod service;

pub use quintet_agent as agent;
#[cfg(feature = "assistant")]
pub use quintet_assistant as assistant;
pub use quintet_audit as audit;
pub use quintet_journal as journal;
pub use quintet_kernel as kernel;
pub use quintet_monitor as monitor;
pub use quintet_observer as observer;
pub use quintet_runtime as runtime;
pub use quintet_tickets as tickets;
pub use quintet_user as user;
pub use quintet_wire as wire;

#[cfg(feature = "cli")]
pub use self::cli::main;
pub use self::service::{AgentSet, Running, Service, ServiceBuilder, ServiceError, TokenKeys};

/// Runs the examples of `docs/agents.md` as doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/agents.md")]
struct AgentsPage;

/// Runs the examples of `docs/embedding.md` as doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct EmbeddingGuide;
