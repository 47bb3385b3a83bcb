//! The command line: parses arguments, calls the library, and maps errors to exit codes.
//!
//! Exit codes: 0 success, 1 failure, 2 usage or configuration error. Stdout carries results only (the ready
//! line, settings, audit findings); everything else goes to stderr.

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
    // AUTH-6: files created by this process, also by SQLite, are accessible to the owner only.
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

/// Returns whether the operator can fix the error by changing a setting or an argument.
fn is_configuration(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ConfigError>().is_some()
        || error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration)
        || error.downcast_ref::<AuditError>().is_some_and(AuditError::is_not_there)
        || matches!(error.downcast_ref(), Some(EvidenceError::Journal(error)) if error.is_not_there())
        || matches!(error.downcast_ref(), Some(OpenError::NoJournal { .. }))
}

/// Exit code of usage and configuration errors, the same as clap's.
const USAGE: u8 = 2;
