//! The log: structured events on stderr, text on a terminal and JSON otherwise.
//!
//! ```text
//!   event ─▶ filter ─▶ one line, escaped and cut ─▶ bounded queue ─▶ writer thread ─▶ stderr
//!   panic ─────────────▲                            └─ full: dropped, counted
//! ```
//!
//! Guarantees: logging never blocks the caller, never panics and never ends the process, whatever stderr
//! is connected to; lines that are lost are counted and reported once there is room; no event of a
//! dependency passes at `TRACE`, where they write credentials and texts (AUTH-6); no value of a field
//! writes a control character or a bidirectional mark.
//!
//! - [`queue`]: the bounded queue and its thread; [`output`]: a descriptor that may block, fail or recover
//! - [`line`]: what a line may contain; [`text`]: the fields of a line in text

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
    line::{Form, Lines},
    queue::Queue,
};
use super::config::LogFormat;

crate::limits! {
    /// The bounds of the log.
    pub struct LogLimits {
        /// Lines of the log that wait to be written to stderr; one more is dropped and counted.
        pub log_queue_lines_max: usize = 8_192, in 16..=1_000_000;
        /// Bytes of these lines.
        pub log_queue_bytes_max: usize = 4_194_304, in 65_536..=1_073_741_824;
        /// Bytes of one line of the log; a longer one is cut.
        pub log_line_bytes_max: usize = 16_384, in 1_024..=65_536;
        /// Lines a minute about requests that are refused for one reason; further ones are counted in one line.
        pub refusal_lines_per_minute_max: u64 = 10, in 0..=100_000;
        /// Time that the process waits at its end for the log to be written.
        pub log_flush_timeout_ms: u64 = 1_000, in 0..=60_000;
    }
}

/// Why the log cannot be started. The operator can fix it.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("log: stderr cannot be used")]
    Stderr(#[source] std::io::Error),
    #[error("log: the writer's thread cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("log: already started")]
    InUse,
}

/// A handle to the log of the process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Lines,
    queue: Queue,
    flush: Duration,
}

/// Lines and writes that the log lost since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lines that were not written, because the queue was full or a write failed.
    pub dropped: u64,
    /// Writes to stderr that failed.
    pub write_errors: u64,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log of the process, and the panic hook that writes to it. Call it once.
///
/// # Errors
/// If the filter does not parse, stderr cannot be duplicated, or a log was started before.
pub fn start(filter: &str, format: LogFormat, limits: LogLimits) -> Result<Log, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let form = match format {
        LogFormat::Auto if terminal => Form::Text,
        LogFormat::Auto | LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text,
    };
    let queue = Queue::new(&limits);
    let lines = Lines { form, bytes_max: limits.log_line_bytes_max };
    let log = Log { lines, queue, flush: Duration::from_millis(limits.log_flush_timeout_ms) };
    let output = Output::stderr().map_err(TelemetryError::Stderr)?;

    let writer = log.clone();
    let layer = fmt::layer().with_writer(move || writer.clone()).log_internal_errors(false);
    let layer = match form {
        Form::Text => layer.fmt_fields(text::Fields).with_ansi(terminal).with_target(false).boxed(),
        Form::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let capped = filter_fn(may_be_logged);
    tracing_subscriber::registry()
        .with(filter)
        .with(capped)
        .with(layer)
        .try_init()
        .map_err(|_| TelemetryError::InUse)?;
    log.queue.write_to(output, log.lines).map_err(TelemetryError::Thread)?;
    LOG.set(log.clone()).map_err(|_| TelemetryError::InUse)?;
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// Returns what the log of this process has lost; nothing if none was started.
pub fn losses() -> Losses {
    LOG.get().map(|log| log.queue.losses()).unwrap_or_default()
}

/// Writes `text` to stderr, for a command that reports an error and ends. Waits at most a second, so that
/// a stderr that is full does not keep the process alive.
pub fn report(text: &str) {
    // Without stderr there is no place left to report to: the exit code remains.
    let Ok(output) = Output::stderr() else { return };
    let limits = LogLimits { log_queue_bytes_max: usize::MAX, ..LogLimits::DEFAULT };
    let queue = Queue::new(&limits);
    let lines = Lines { form: Form::Text, bytes_max: usize::MAX };
    if queue.write_to(output, lines).is_ok() {
        queue.push(text.as_bytes().to_vec());
        queue.flush(Duration::from_millis(limits.log_flush_timeout_ms));
    }
}

/// Whether an event or span may be logged, whatever the filter asks for. HTTP, WebSocket and TLS libraries
/// write headers, tickets and frames at `TRACE`, and tower-http writes whole URLs at `DEBUG` (AUTH-6).
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let crate_name = metadata.target().split("::").next().unwrap_or_default();
    let most = match crate_name {
        "quintet" => Level::TRACE,
        "tower_http" | "h2" | "hyper" | "hyper_util" | "reqwest" => Level::INFO,
        _ => Level::DEBUG,
    };
    *metadata.level() <= most
}

impl Log {
    /// Writes text for people, between the lines of the log.
    pub fn print(&self, text: &str) {
        self.queue.push(text.as_bytes().to_vec());
    }

    /// Returns a guard that flushes the log when it is dropped, also by a panic.
    #[must_use]
    pub fn flushed(&self) -> Flushed {
        Flushed(self.clone())
    }

    /// Waits until everything logged so far is written, at most `log_flush_timeout_ms`. Returns whether it is.
    pub fn flush(&self) -> bool {
        self.queue.flush(self.flush)
    }
}

/// Flushes the log when it is dropped.
#[derive(Debug)]
pub struct Flushed(Log);

impl Drop for Flushed {
    fn drop(&mut self) {
        // What is not written in time is lost: stderr takes nothing.
        self.0.flush();
    }
}

/// One call, one line: this is how the formatting layer writes.
impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.queue.push(self.lines.finish(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs a panic without the subscriber: the panic may come from within it, with its locks held.
///
/// The payload of a panic with a literal is logged; a formatted message may contain a user's text, and is
/// not (AUTH-6).
fn log_panic(panicked: &panic::PanicHookInfo<'_>) {
    thread_local! {
        static ACTIVE: Cell<bool> = const { Cell::new(false) };
    }
    // A second panic inside this hook would abort the process.
    if ACTIVE.try_with(|active| active.replace(true)).unwrap_or(true) {
        return;
    }
    if let Some(log) = LOG.get() {
        let message = panicked.payload().downcast_ref::<&'static str>().copied().unwrap_or("(formatted)");
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let fields = [("panic_message", message), ("place", &place)];
        log.queue.push(log.lines.event(Level::ERROR, "panic", &fields));
    }
    // A thread whose storage is being destroyed has no second panic to guard against.
    let _gone = ACTIVE.try_with(|active| active.set(false));
}
