//! Joins the pieces of text of an agent that streams, so that a token is not an entry of the log.
//!
//! Guarantees: the first piece is due at once, later ones when the pause since the last has passed, or when
//! [`PENDING_BYTES_MAX`] bytes wait. Text keeps its order, and none is lost or doubled. Pure: time is an input.

use std::time::Duration;

use quintet_kernel::entry::ThoughtKind;
use tokio::time::Instant;

/// The text of one stream that has not been emitted.
#[derive(Debug)]
pub struct Pacer {
    pause: Duration,
    /// The time from which the next piece may be emitted; `None` for at once.
    next: Option<Instant>,
    pending: Vec<(ThoughtKind, String)>,
    /// The length of `pending`, in bytes.
    bytes: usize,
}

impl Pacer {
    /// Creates a pacer with the shortest time between two emissions.
    pub fn new(pause: Duration) -> Self {
        Self { pause, next: None, pending: Vec::new(), bytes: 0 }
    }

    /// Adds text.
    pub fn push(&mut self, kind: ThoughtKind, text: &str) {
        self.bytes += text.len();
        match self.pending.last_mut() {
            _ if text.is_empty() => {}
            Some((last, pending)) if *last == kind => pending.push_str(text),
            _ => self.pending.push((kind, text.to_owned())),
        }
    }

    /// Returns the time at which the text is due, or `None` if there is none.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        match self.next {
            _ if self.bytes == 0 => None,
            Some(next) if self.bytes < PENDING_BYTES_MAX => Some(next.max(now)),
            Some(_) | None => Some(now),
        }
    }

    /// Returns all text, to be emitted now.
    pub fn take(&mut self, now: Instant) -> Vec<(ThoughtKind, String)> {
        if std::mem::take(&mut self.bytes) > 0 {
            self.next = Some(now + self.pause);
        }
        std::mem::take(&mut self.pending)
    }
}

/// Bytes of waiting text from which it is due at once.
pub const PENDING_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_emitted_in_order_once_and_no_faster_than_the_pause(
            pieces in prop::collection::vec((0..2u8, "[a-c]{0,3}", 0..100_u64), 0..50),
        ) {
            let pause = Duration::from_millis(40);
            let start = Instant::now();
            let (mut pacer, mut now, mut last) = (Pacer::new(pause), start, None::<Instant>);
            let (mut sent, mut emitted) = (String::new(), String::new());
            let note = |all: &mut String, kind: ThoughtKind, text: &str| {
                text.chars().for_each(|c| all.push_str(&format!("{kind:?}{c}")));
            };
            for (kind, text, wait) in &pieces {
                let kind = if *kind == 0 { ThoughtKind::Reasoning } else { ThoughtKind::Answer };
                now += Duration::from_millis(*wait);
                pacer.push(kind, text);
                note(&mut sent, kind, text);
                if pacer.due(now) == Some(now) {
                    prop_assert!(last.is_none_or(|last| now - last >= pause));
                    pacer.take(now).iter().for_each(|(kind, text)| note(&mut emitted, *kind, text));
                    last = Some(now);
                }
            }
            pacer.take(now).iter().for_each(|(kind, text)| note(&mut emitted, *kind, text));
            prop_assert_eq!(sent, emitted);
        }
    }

    #[test]
    fn the_first_piece_is_due_at_once() {
        let (mut pacer, now) = (Pacer::new(Duration::from_millis(40)), Instant::now());
        assert_eq!(pacer.due(now), None);
        pacer.push(ThoughtKind::Answer, "a");
        assert_eq!(pacer.due(now), Some(now));
        assert_eq!(pacer.take(now), [(ThoughtKind::Answer, "a".to_owned())]);
        pacer.push(ThoughtKind::Answer, "b");
        pacer.push(ThoughtKind::Answer, "c");
        assert_eq!(pacer.due(now), Some(now + Duration::from_millis(40)));
        assert_eq!(pacer.take(now), [(ThoughtKind::Answer, "bc".to_owned())]);
    }

    #[test]
    fn long_text_does_not_wait_and_kinds_keep_their_order() {
        let (mut pacer, now) = (Pacer::new(Duration::from_millis(40)), Instant::now());
        pacer.push(ThoughtKind::Answer, "first");
        pacer.take(now);
        pacer.push(ThoughtKind::Answer, "a");
        pacer.push(ThoughtKind::Reasoning, &"b".repeat(PENDING_BYTES_MAX - 2));
        assert_eq!(pacer.due(now), Some(now + Duration::from_millis(40)));
        pacer.push(ThoughtKind::Answer, "c");
        assert_eq!(pacer.due(now), Some(now));
        let kinds: Vec<_> = pacer.take(now).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [ThoughtKind::Answer, ThoughtKind::Reasoning, ThoughtKind::Answer]);
    }
}
