//! The command line from outside: the real binary, its output, its exit codes, its shutdown.

mod command;
mod configuration;
mod ending;
mod erasing;
mod inspecting;
mod killed;
mod logging;
mod metrics;
mod models;
mod panics;
mod production;
mod signals;
mod starting;
