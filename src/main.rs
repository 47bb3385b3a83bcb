//! The command line: says what was asked, calls the library, and turns what comes back into exit codes.
//!
//! 0 clean, 1 failure, 2 usage or configuration. Stdout carries what was asked for (the ready line, the
//! settings, an audit's findings); everything else goes to stderr.

mod cli;
mod commands;
mod inspect;

use std::process::ExitCode;

use clap::Parser;
use quintet::{
    audit::{AuditError, EvidenceError},
    journal::sqlite::OpenError,
    ops::{config::ConfigError, service::StartError, telemetry},
};

fn main() -> ExitCode {
    // AUTH-6: what this process makes is for its owner alone, also what SQLite makes.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let cli = cli::Cli::parse();
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            if !error.is::<commands::StdoutClosed>() {
                telemetry::report(&format!("quintet: {error:#}\n"));
            }
            if is_configuration(&error) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether the operator has to change a setting, and not the world.
fn is_configuration(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ConfigError>().is_some()
        || error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration)
        || error.downcast_ref::<AuditError>().is_some_and(AuditError::is_not_there)
        || matches!(error.downcast_ref(), Some(EvidenceError::Journal(error)) if error.is_not_there())
        || matches!(error.downcast_ref(), Some(OpenError::NoJournal { .. }))
}

/// Usage or configuration; clap exits with the same.
const USAGE: u8 = 2;
