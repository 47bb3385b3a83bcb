//! The command line from outside: the real binary, its output, its exit codes, its shutdown.

mod approvals;
mod command;
mod configuration;
mod ending;
mod erasing;
mod examples;
mod inspecting;
mod killed;
mod logging;
mod metrics;
mod models;
mod notify;
mod packaging;
mod panics;
mod private;
mod production;
mod signals;
mod starting;
