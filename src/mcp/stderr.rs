//! The standard error of a child process in the log.
//!
//! What a server writes there may have texts of users. So it is logged at level `debug` only, under the target
//! `quintet_mcp::stderr`, as the field `stderr`, with lines bounded in length and number, without the credentials that
//! the server was given (AUTH-6).

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use quintet_upstream::Redactor;

use crate::{config::McpLimits, log::ServerLog};

/// Logs what a child writes, until it closes the stream.
pub(crate) async fn follow(
    mut stream: impl AsyncRead + Unpin,
    log: ServerLog,
    limits: McpLimits,
    redactor: Redactor,
) {
    let mut cutter = LineCutter::new(limits.log_line_bytes_max);
    let mut rate = LineRate::new(limits.log_lines_max);
    let begun = Instant::now();
    let mut buffer = [0; READ_BYTES];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                log.write(
                    |server| tracing::debug!(server, %error, "the standard error of an MCP server broke"),
                );
                break;
            }
        };
        cutter.push(&buffer[..read], |line| {
            let Some(skipped) = rate.admit(begun.elapsed()) else { return };
            log.write(|server| {
                tracing::debug!(
                    server,
                    stderr = redactor.hide(line),
                    skipped,
                    "an MCP server wrote to its standard error"
                );
            });
        });
    }
}

/// Cuts bytes into lines of bounded length.
struct LineCutter {
    line: Vec<u8>,
    bytes_max: usize,
    is_cut: bool,
}

impl LineCutter {
    fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), bytes_max, is_cut: false }
    }

    /// Adds bytes and passes on each line that they end, without control characters.
    fn push(&mut self, bytes: &[u8], mut pass: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_end) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                Some(_) | None => (part, false),
            };
            let room = self.bytes_max - self.line.len();
            self.is_cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_end {
                let mut line = String::from_utf8_lossy(&self.line).replace(|c: char| c.is_control(), " ");
                if self.is_cut {
                    line.push('…');
                }
                if !line.trim().is_empty() {
                    pass(&line);
                }
                self.line.clear();
                self.is_cut = false;
            }
        }
    }
}

/// Admits a number of lines in each second.
struct LineRate {
    lines_max: u32,
    second: u64,
    admitted: u32,
    skipped: u64,
}

impl LineRate {
    fn new(lines_max: u32) -> Self {
        Self { lines_max, second: 0, admitted: 0, skipped: 0 }
    }

    /// Returns the number of lines skipped before this one, or `None` if this one is to be skipped too.
    fn admit(&mut self, passed: Duration) -> Option<u64> {
        if passed.as_secs() != self.second {
            self.second = passed.as_secs();
            self.admitted = 0;
        }
        if self.admitted >= self.lines_max {
            self.skipped += 1;
            return None;
        }
        self.admitted += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// Bytes that are read at a time.
const READ_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_are_cut(mut cuts in prop::collection::vec(0..21_usize, 0..6)) {
            let bytes = "one\r\n\ntoo long\x1b[2J\né\nrest".as_bytes();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut cutter = LineCutter::new(6);
            let mut lines = Vec::new();
            let mut from = 0;
            for cut in cuts {
                cutter.push(&bytes[from..cut], |line| lines.push(line.to_owned()));
                from = cut;
            }
            prop_assert_eq!(lines, ["one ", "too lo…", "é"]);
            prop_assert!(cutter.line.capacity() <= 64);
        }
    }

    #[test]
    fn lines_over_the_rate_are_counted() {
        let mut rate = LineRate::new(2);
        let second = Duration::from_secs;
        assert_eq!(
            [rate.admit(second(5)), rate.admit(second(5)), rate.admit(second(5))],
            [Some(0), Some(0), None]
        );
        assert_eq!(rate.admit(second(5)), None);
        assert_eq!(rate.admit(second(6)), Some(2));
        assert_eq!(LineRate::new(0).admit(second(1)), None);
    }
}
