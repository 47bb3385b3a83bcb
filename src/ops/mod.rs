//! Operation of the service: configuration, startup, telemetry and shutdown.
//!
//! - [`config`]: merges flags, variables, the file and defaults into [`config::Settings`]
//! - [`telemetry`]: the log; [`metrics`]: the metrics; [`drain`]: signals
//! - [`service`]: assembles and runs the service; [`limits`]: retention settings

pub mod config;
pub mod drain;
pub mod limits;
pub mod metrics;
pub mod service;
pub mod telemetry;

#[cfg(test)]
mod docs;
