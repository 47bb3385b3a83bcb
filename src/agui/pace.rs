//! Joins the deltas of a text to a limited rate, so that a token is not a write to the disk.

use std::time::Duration;

use quintet_agent::ThoughtKind;
use tokio::time::Instant;

/// Text of one kind that waits for its emission.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Duration,
    /// The time of the next emission.
    due: Instant,
    pending: Option<(ThoughtKind, String)>,
}

impl Pace {
    pub(crate) fn new(pause_ms: u64) -> Self {
        Self { pause: Duration::from_millis(pause_ms), due: Instant::now(), pending: None }
    }

    /// Adds text. Returns the pending text if it is of another kind, or long.
    pub(crate) fn push(&mut self, kind: ThoughtKind, text: &str) -> Option<(ThoughtKind, String)> {
        let full =
            self.pending.take_if(|(pending, held)| *pending != kind || held.len() >= PENDING_BYTES_MAX);
        match &mut self.pending {
            Some((_, pending)) => pending.push_str(text),
            None => self.pending = Some((kind, text.to_owned())),
        }
        full
    }

    /// Returns the time at which the pending text is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|_| self.due)
    }

    /// Returns the pending text, which is emitted now.
    pub(crate) fn take(&mut self) -> Option<(ThoughtKind, String)> {
        let pending = self.pending.take()?;
        self.due = Instant::now() + self.pause;
        Some(pending)
    }
}

/// Length of pending text that is emitted before it is due, in bytes.
const PENDING_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn text_is_joined_until_it_is_due() {
        let mut pace = Pace::new(40);
        assert_eq!((pace.due(), pace.push(ThoughtKind::Answer, "a")), (None, None));
        assert_eq!(pace.due(), Some(Instant::now()), "the first text is due at once");
        assert_eq!(pace.take(), Some((ThoughtKind::Answer, "a".into())));
        assert_eq!((pace.push(ThoughtKind::Answer, "b"), pace.push(ThoughtKind::Answer, "c")), (None, None));
        assert_eq!(pace.due(), Some(Instant::now() + Duration::from_millis(40)));
        let other = pace.push(ThoughtKind::Reasoning, "d");
        assert_eq!(other, Some((ThoughtKind::Answer, "bc".into())), "kinds keep their order");
        let long = "x".repeat(PENDING_BYTES_MAX);
        assert_eq!(pace.push(ThoughtKind::Reasoning, &long), None);
        assert!(pace.push(ThoughtKind::Reasoning, "e").is_some(), "long text does not wait");
    }
}
