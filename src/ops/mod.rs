//! Running the service: settings, logs, metrics, health, drain, audit.

pub mod clock;
pub mod tasks;
