//! The command line: parses arguments, calls the library, and maps errors to exit codes.
//!
//! Exit codes: 0 success, 1 failure, 2 usage or configuration error. Stdout carries results only (the ready
//! line, settings, audit findings); everything else goes to stderr.
//!
//! Everything that belongs to a whole process is done here and in [`crate::ops::telemetry`], never by the rest
//! of the library: the umask, the limit of open files, signal handlers, the log, the panic hook and the metrics
//! recorder.

mod args;
mod commands;
mod erase;
mod inspect;
mod journal;
mod results;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    audit::{AuditError, EvidenceError},
    journal::sqlite::OpenError,
    ops::{config::ConfigError, telemetry},
    service::{AgentSet, ServiceError},
};

/// Runs the command line of Quintet with these agents: `dev`, `serve`, `audit`, `backup` and `check-config`.
/// Returns the exit code of the process.
///
/// It takes over the process, so it is meant to be all of `main`: it sets the umask and the limit of open
/// files, installs signal handlers, a log on stderr, a panic hook and a metrics recorder, and starts the
/// runtimes. A program that has these already embeds a [`Service`](crate::Service) instead.
///
/// # Examples
///
/// ```no_run
/// # use quintet::prelude::*;
/// # struct Greeter;
/// # #[async_trait]
/// # impl Agent for Greeter {
/// #     fn name(&self) -> &str { "greeter" }
/// #     fn description(&self) -> &str { "Greets." }
/// #     async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
/// #         Ok(run.answer("Hello.").await?.complete().await?)
/// #     }
/// # }
/// fn main() -> std::process::ExitCode {
///     quintet::main(quintet::AgentSet::new(Greeter))
/// }
/// ```
pub fn main(agents: AgentSet) -> ExitCode {
    // AUTH-6: files created by this process, also by SQLite, are accessible to the owner only.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let arguments = args::Arguments::parse();
    match commands::run(arguments.command, agents) {
        Ok(code) => code,
        Err(error) => {
            if !error.is::<results::StdoutClosed>() {
                telemetry::report(&format!("quintet: {error:#}\n"));
            }
            if is_configuration(&error) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Returns whether the operator can fix the error by changing a setting or an argument.
fn is_configuration(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ConfigError>().is_some()
        || error.downcast_ref::<ServiceError>().is_some_and(ServiceError::is_configuration)
        || error.downcast_ref::<AuditError>().is_some_and(AuditError::is_not_there)
        || matches!(error.downcast_ref(), Some(EvidenceError::Journal(error)) if error.is_not_there())
        || matches!(error.downcast_ref(), Some(OpenError::NoJournal { .. }))
        || is_database_address(error)
}

#[cfg(feature = "postgres")]
fn is_database_address(error: &anyhow::Error) -> bool {
    use quintet_postgres::OpenError;
    matches!(
        error.downcast_ref(),
        Some(OpenError::Address(_) | OpenError::Authorities(_) | OpenError::ShortLease { .. })
    )
}

#[cfg(not(feature = "postgres"))]
fn is_database_address(_: &anyhow::Error) -> bool {
    false
}

/// Exit code of usage and configuration errors, the same as clap's.
const USAGE: u8 = 2;
