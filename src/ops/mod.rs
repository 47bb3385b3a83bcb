//! Running the service: what it is told, how it starts, what it reports, how it ends.
//!
//! - [`config`]: flags, variables, file and defaults made into one [`config::Settings`]
//! - [`telemetry`]: the log; [`metrics`]: the metrics; [`drain`]: signals
//! - [`service`]: all of it put together; [`limits`]: how much of the past is kept;
//!   [`disk`]: what is done before it is full

pub mod config;
pub mod disk;
pub mod drain;
pub mod limits;
pub mod metrics;
pub mod service;
pub mod telemetry;

#[cfg(test)]
mod docs;
