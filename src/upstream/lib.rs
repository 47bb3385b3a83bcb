//! HTTP to the services that agents depend on: language models, MCP servers, remote agents.
//!
//! # Guarantees
//!
//! - A redirect is not followed, so credentials reach only the configured address.
//! - An event stream is bounded: each event in bytes, each wait for data in time ([`sse`]).
//! - A [`Secret`] is printed by no `Debug`, and its header is marked as sensitive.
//!
//! # The parts
//!
//! - [`HttpClient`], [`HttpOptions`]: the client, with the settings of a proxy and of certificate authorities
//! - [`Secret`]: a credential from a file or a variable
//! - [`sse`]: server-sent events of a response
//! - [`Redactor`]: removes credentials from the texts of upstreams
//! - [`retry`]: which failures are worth another attempt, and when
//! - [`body`]: bounded bodies
//! - [`config`]: parts of configurations that upstreams share
//!
//! # Examples
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use quintet_upstream::{HttpClient, HttpOptions, sse};
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let client = HttpClient::new(&HttpOptions::default())?;
//! let response = client.repeatable().get("https://models.example.org/events").send().await?;
//! let mut events = sse::events(response, sse::SseLimits::default());
//! while let Some(event) = events.next().await {
//!     println!("{}", event?.data);
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod body;
pub mod client;
pub mod config;
pub mod redact;
pub mod retry;
pub mod secret;
pub mod sse;

pub use reqwest;

pub use self::{
    client::{HttpClient, HttpClientError, HttpOptions},
    redact::Redactor,
    secret::{Secret, SecretError},
};
