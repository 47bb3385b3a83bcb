//! The log: structured events on stderr, text on a terminal and JSON otherwise.
//!
//! ```text
//!   event ─▶ filter ─▶ one line, escaped and cut ─▶ bounded queue ─▶ writer thread ─▶ stderr
//!   panic ─────────────▲                            └─ full: dropped, counted
//! ```
//!
//! Guarantees: logging never blocks the caller, never panics and never ends the process, regardless of the
//! state of stderr. Lost lines are counted, and reported once there is room. Events of dependencies at
//! `TRACE`, where they log credentials and message texts, are suppressed (AUTH-6). Field values cannot
//! contain raw control or bidirectional formatting characters.
//!
//! - `queue`: the bounded queue and its writer thread; `output`: a descriptor that may block or fail
//! - `line`: formats and truncates lines; `text`: formats fields as text

mod line;
mod output;
mod queue;
mod text;

use std::{cell::Cell, io::IsTerminal, panic, sync::OnceLock, time::Duration};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

pub use self::output::Output;
use self::{
    line::{LineFormat, LineFormatter},
    queue::Queue,
};
use super::config::LogFormat;
pub use super::limits::LogLimits;

/// The reason for which the log could not be started. Operator fault.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The descriptor of stderr could not be duplicated.
    #[error("log: stderr cannot be used")]
    Stderr(#[source] std::io::Error),
    /// The operating system refused the writer's thread.
    #[error("log: the writer's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The process has a log or another global subscriber already.
    #[error("log: already started")]
    InUse,
}

/// A handle to the log of the process. Clones share it.
#[derive(Clone, Debug)]
pub struct LogHandle {
    lines: LineFormatter,
    queue: Queue,
    flush: Duration,
}

/// Log lines and writes lost since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lines dropped because the queue was full or a write failed.
    pub dropped: u64,
    /// Failed writes to stderr.
    pub write_errors: u64,
}

static LOG: OnceLock<LogHandle> = OnceLock::new();

/// Starts the log of the process and installs a panic hook that writes to it. Must be called once.
///
/// # Errors
/// When the filter is invalid, stderr cannot be duplicated, or a log was started before.
pub fn start(filter: &str, format: LogFormat, limits: LogLimits) -> Result<LogHandle, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let form = match format {
        LogFormat::Auto if terminal => LineFormat::Text,
        LogFormat::Auto | LogFormat::Json => LineFormat::Json,
        LogFormat::Text => LineFormat::Text,
    };
    let queue = Queue::new(&limits);
    let lines = LineFormatter { form, bytes_max: limits.log_line_bytes_max };
    let log = LogHandle { lines, queue, flush: Duration::from_millis(limits.log_flush_timeout_ms) };
    let output = Output::stderr().map_err(TelemetryError::Stderr)?;

    let writer = log.clone();
    let layer = fmt::layer().with_writer(move || writer.clone()).log_internal_errors(false);
    let layer = match form {
        LineFormat::Text => {
            layer.fmt_fields(text::EscapedFields).with_ansi(terminal).with_target(false).boxed()
        }
        LineFormat::Json => {
            layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    let capped = filter_fn(may_be_logged);
    tracing_subscriber::registry()
        .with(filter)
        .with(capped)
        .with(layer)
        .try_init()
        .map_err(|_| TelemetryError::InUse)?;
    // Only after the subscriber is installed: a failure above starts no thread.
    log.queue.write_to(output, log.lines).map_err(TelemetryError::Thread)?;
    LOG.set(log.clone()).map_err(|_| TelemetryError::InUse)?;
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// Returns the losses of this process's log, or zeros if none was started.
pub fn losses() -> Losses {
    LOG.get().map(|log| log.queue.losses()).unwrap_or_default()
}

/// Writes `text` to stderr, for a command that reports an error and exits. Waits at most one second, so that
/// a blocked stderr does not keep the process alive.
pub fn report(text: &str) {
    // Without stderr, only the exit code reports the error.
    let Ok(output) = Output::stderr() else { return };
    let limits = LogLimits { log_queue_bytes_max: usize::MAX, ..LogLimits::DEFAULT };
    let queue = Queue::new(&limits);
    let lines = LineFormatter { form: LineFormat::Text, bytes_max: usize::MAX };
    if queue.write_to(output, lines).is_ok() {
        queue.push(text.as_bytes().to_vec());
        queue.flush(Duration::from_millis(limits.log_flush_timeout_ms));
    }
}

/// Returns whether an event or span may be logged under any filter. HTTP, WebSocket and TLS libraries log
/// headers, tickets and frames at `TRACE`, and tower-http logs whole URLs at `DEBUG` (AUTH-6).
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let crate_name = metadata.target().split("::").next().unwrap_or_default();
    let most = match crate_name {
        name if name == "quintet" || name.starts_with("quintet_") => Level::TRACE,
        "tower_http" | "h2" | "hyper" | "hyper_util" | "reqwest" => Level::INFO,
        _ => Level::DEBUG,
    };
    *metadata.level() <= most
}

impl LogHandle {
    /// Writes unformatted text for humans, ordered with the lines of the log.
    pub fn print(&self, text: &str) {
        self.queue.push(text.as_bytes().to_vec());
    }

    /// Returns a guard that flushes the log on drop, also during a panic.
    #[must_use]
    pub fn flushed(&self) -> Flushed {
        Flushed(self.clone())
    }

    /// Waits until all queued lines are written, at most `log_flush_timeout_ms`. Returns whether they are.
    pub fn flush(&self) -> bool {
        self.queue.flush(self.flush)
    }
}

/// Flushes the log on drop.
#[derive(Debug)]
pub struct Flushed(LogHandle);

impl Drop for Flushed {
    fn drop(&mut self) {
        // On a timeout, the remaining lines are lost: stderr is blocked.
        self.0.flush();
    }
}

/// The formatting layer writes each line with one call.
impl std::io::Write for LogHandle {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.queue.push(self.lines.finish(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs a panic without the subscriber, because the panic may originate in it while its locks are held.
///
/// Only literal panic messages are logged. A formatted message may contain a user's text (AUTH-6).
fn log_panic(panicked: &panic::PanicHookInfo<'_>) {
    thread_local! {
        static ACTIVE: Cell<bool> = const { Cell::new(false) };
    }
    // Panicking again inside the hook would abort the process.
    if ACTIVE.try_with(|active| active.replace(true)).unwrap_or(true) {
        return;
    }
    if let Some(log) = LOG.get() {
        let message = panicked.payload().downcast_ref::<&'static str>().copied().unwrap_or("(formatted)");
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let fields = [("panic_message", message), ("place", &place)];
        log.queue.push(log.lines.event(Level::ERROR, "panic", &fields));
    }
    // Fails only while the thread's storage is being destroyed; the guard is not needed then.
    let _gone = ACTIVE.try_with(|active| active.set(false));
}
