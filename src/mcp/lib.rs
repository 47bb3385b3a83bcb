//! Tools of [MCP](https://modelcontextprotocol.io) servers for the agents of Quintet.
//!
//! An [`McpServer`] is one configured server, either a child process (stdio) or an address (streamable HTTP). It is a
//! [`ToolSource`](quintet_agent::tool::ToolSource): its tools have the names `server/tool`.
//!
//! # Guarantees
//!
//! - A server that is down, hangs or breaks the protocol ends calls and not runs: a call to a server that is down
//!   closes as `error` at once, one whose server stops in mid-call closes as `error`, and one that takes too long as
//!   `timed_out`. The server is restarted, with growing pauses.
//! - A call that is dropped, because its run was cancelled or its timeout has passed, is cancelled at the server.
//! - A question of a server reaches only the run whose call it belongs to (ISO-2, RUN-11).
//! - A call that was open at a crash is repeated only if the operator trusts the hints of the server (RUN-9).
//! - A child process gets the variables that the configuration names and no others (AUTH-6); it and its
//!   descendants are killed with the service, also if the service is killed.
//! - All that a server sends is bounded: frames, tools, descriptions, schemas, results, progress, questions and log
//!   lines ([`McpLimits`]).
//! - No message of the protocol is logged (AUTH-6); each server has a thread of its own, on which the logging of the
//!   protocol library is off.
//!
//! # The parts
//!
//! ```text
//!            calls, questions                 frames
//!   McpTool ◀───────────────▶ supervisor ◀──────────────▶ child process │ HTTP
//!   (agent's thread)          (thread of the server)
//! ```
//!
//! # Examples
//!
//! ```no_run
//! use quintet_agent::tool::ToolSource;
//! use quintet_mcp::{McpServer, ServerConfig};
//! use quintet_upstream::{HttpClient, HttpOptions};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let config: ServerConfig = serde_json::from_str(
//!     r#"{"name": "files", "command": ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]}"#,
//! )?;
//! let server = McpServer::start(config, HttpClient::new(&HttpOptions::default())?)?;
//! server.tried().await;
//! for tool in server.tools().iter() {
//!     println!("{}: {}", tool.name(), tool.description());
//! }
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod call;
mod catalog;
pub mod config;
mod connection;
mod counts;
mod elicitation;
mod guarded;
mod handler;
mod log;
mod open_calls;
mod phase;
mod process;
mod questions;
mod results;
mod server;
mod state;
mod stderr;
mod supervisor;
#[cfg(test)]
mod tests;
mod thread;
mod tool;

pub use self::{
    config::{ConfigError, McpLimits, ServerConfig},
    server::{McpError, McpServer},
    state::ServerState,
};
