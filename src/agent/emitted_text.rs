//! Reads the text that a run has emitted back from its log, piece by piece.
//!
//! Guarantee: at most one page of the log is in memory, independent of the length of the text. A failed read is
//! retried until the run's own timeout; text counts as emitted only once it has been read.

use std::{collections::VecDeque, time::Duration};

use quintet_journal::{JournalError, ReadLimit};
use quintet_kernel::{
    entry::{Body, Event, ThoughtKind},
    ids::{Offset, RunId},
};
use quintet_wire as wire;

use crate::host::{RunHandle, TextSpan};

/// A reader of the text of one kind of thought since its last reset.
pub(super) struct EmittedTextReader {
    handle: RunHandle,
    run_id: RunId,
    kind: ThoughtKind,
    /// The last entry read, and the last entry of the text.
    after: Offset,
    last: Offset,
    page: VecDeque<String>,
}

impl EmittedTextReader {
    pub(super) fn new(handle: RunHandle, run_id: RunId, kind: ThoughtKind, span: TextSpan) -> Self {
        let after = Offset(span.first.0.saturating_sub(1));
        Self { handle, run_id, kind, after, last: span.last, page: VecDeque::new() }
    }

    /// Returns the next piece, or `None` after the last.
    pub(super) async fn next(&mut self) -> Option<String> {
        let mut wait = RETRY_FIRST;
        loop {
            if let Some(piece) = self.page.pop_front() {
                return Some(piece);
            }
            if self.after >= self.last {
                return None;
            }
            if let Err(error) = self.turn_page().await {
                tracing::warn!(run_id = %self.run_id, %error, "the log of a run cannot be read back");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_LAST);
            }
        }
    }

    async fn turn_page(&mut self) -> Result<(), JournalError> {
        let lines = self.handle.read(self.after, PAGE).await?;
        if lines.is_empty() || lines.first() != self.after.next() {
            let what = format!("entry {} of an open run is missing", self.after.next());
            return Err(JournalError::Damaged(what));
        }
        let mut page = VecDeque::new();
        for (offset, line) in lines.iter().take_while(|(offset, _)| *offset <= self.last) {
            let (_, entry) = wire::entry::decode(&line)
                .map_err(|error| JournalError::Damaged(format!("entry {offset}: {error}")))?;
            let Some(entry) = entry.into_run() else { continue };
            match entry.body {
                Body::Event { event: Event::Thinking(thought), .. }
                    if entry.run_id == self.run_id && thought.kind == self.kind =>
                {
                    page.push_back(thought.delta);
                }
                _ => {}
            }
        }
        (self.page, self.after) = (page, lines.last());
        Ok(())
    }
}

/// The limits of one read.
const PAGE: ReadLimit = ReadLimit { entries_max: 1024, bytes_max: 256 * 1024 };

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
