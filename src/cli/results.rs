//! The results of commands, which are all that stdout carries.

use std::io;

use anyhow::Context;

use crate::ops::telemetry::Output;

/// Writes the result of a command to stdout. Blocks until the reader has accepted it.
///
/// # Errors
/// [`StdoutClosed`] when the reader has closed the pipe, as `head` does after its last line.
pub fn print(text: &str) -> anyhow::Result<()> {
    match Output::stdout().and_then(|mut stdout| stdout.write_lines(text.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        written => written.context("stdout cannot be written to"),
    }
}

/// The reader of stdout has closed the pipe. Reported by the exit code only, since it is normal in pipelines.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reader of stdout is gone")]
pub struct StdoutClosed;
