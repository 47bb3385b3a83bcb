//! The `id` of a server-sent event, `epoch:offset`, which a browser returns as [`Last-Event-ID`].
//!
//! Guarantee: [`EventId::parse`] accepts the output of `Display`, and the same form with another epoch (DEL-3).
//!
//! [`Last-Event-ID`]: https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header

use std::fmt;

use quintet_kernel::ids::{Epoch, Offset};

/// A position in a user's log, with the epoch of the journal it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The epoch of the journal.
    pub epoch: Epoch,
    /// The offset of the entry.
    pub offset: Offset,
}

impl EventId {
    /// Parses an id as displayed. Surrounding spaces and tabs belong to the header and are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, offset) = text.trim_matches([' ', '\t']).rsplit_once(':')?;
        let digits = Some(offset).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        let offset = Offset(digits.parse().ok()?);
        Some(Self { epoch: Epoch::of_cursor(epoch).ok()?, offset })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const EPOCH: Epoch = Epoch(Uuid::from_u128(7));

    #[test]
    fn del_3_a_last_event_id_is_a_cursor_or_is_refused() {
        let id = |after| Some(EventId { epoch: EPOCH, offset: Offset(after) });
        for after in [0, 12, u64::MAX] {
            assert_eq!(EventId::parse(&format!("{EPOCH}:{after}")), id(after));
        }
        assert_eq!(EventId::parse(&format!(" {EPOCH}:12\t")), id(12));
        for bad in [
            "",
            "12",
            ":12",
            &format!("{EPOCH}"),
            &format!("{EPOCH}:"),
            &format!("{EPOCH}:-1"),
            &format!("{EPOCH}:+1"),
            &format!("{EPOCH}: 1"),
            &format!("{EPOCH}:18446744073709551616"),
            "\u{e9}:1",
            &format!("{}:1", "x".repeat(65)),
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
        for other in ["x:1", "a:b:1", &format!("{{{EPOCH}}}:1")] {
            assert_eq!(
                EventId::parse(other),
                Some(EventId { epoch: Epoch::FOREIGN, offset: Offset(1) }),
                "{other}"
            );
        }
    }
}
