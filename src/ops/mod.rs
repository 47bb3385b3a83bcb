//! Operation of the service: configuration, startup, telemetry and shutdown.
//!
//! - [`config`]: merges flags, variables, the file and defaults into [`config::Settings`]
//! - [`agents`]: the agents of the `quintet` binary
//! - [`telemetry`]: the log; [`metrics`]: the metrics; [`drain`]: signals
//! - [`service`]: all of it put together; [`limits`]: how much of the past is kept;
//!   [`disk`]: what is done before it is full

#[cfg(feature = "assistant")]
pub mod agents;
pub mod config;
pub mod disk;
pub mod drain;
pub mod limits;
pub mod metrics;
pub mod service;
pub mod telemetry;

#[cfg(test)]
mod docs;
