//! Operation of the service: configuration, telemetry and upkeep.
//!
//! - [`config`]: merges flags, variables, the file and defaults into [`config::Settings`]
//! - [`metrics`]: the metrics; `telemetry`: the log; `drain`: signals; `notify`: reports to systemd (all three with
//!   the feature `cli`)
//! - [`limits`]: limits of retention, disk and log; [`disk`]: measures and trims the journal

pub mod config;
pub mod disk;
#[cfg(feature = "cli")]
pub mod drain;
pub mod limits;
pub mod metrics;
#[cfg(feature = "cli")]
pub mod notify;
#[cfg(feature = "cli")]
pub mod telemetry;

#[cfg(test)]
mod docs;
