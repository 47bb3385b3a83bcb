//! The log: structured events on stderr, text for people and JSON for machines. Stdout carries the
//! ready line and nothing else.

use std::{io::IsTerminal, panic};

use tracing_subscriber::{EnvFilter, fmt};

use super::config::LogFormat;

/// Why there is no log. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("the log is in use already")]
    InUse,
}

/// Starts the log of the process. Once.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let text = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let started = if text {
        log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    started.map_err(|_| TelemetryError::InUse)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is a fault of ours, or of an agent's. A literal message was written for readers of the
/// source; a formatted one may hold anything, a user's text included, and stays out of the log.
fn log_panic(panicked: &panic::PanicHookInfo<'_>) {
    let message = panicked.payload().downcast_ref::<&'static str>().copied().unwrap_or("(formatted)");
    let place = panicked.location().map(ToString::to_string);
    tracing::error!(said = message, place, "panic");
}
