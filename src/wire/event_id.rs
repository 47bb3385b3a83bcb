//! The `id:` of a server-sent event, which a browser brings back as `Last-Event-ID`: `epoch:offset`.
//!
//! Guarantee: what [`EventId`] writes it reads back, and it reads nothing else (DEL-3).

use std::fmt;

use crate::kernel::ids::{Epoch, Offset};

/// A place in a user's log, and the journal that it is a place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    pub epoch: Epoch,
    pub offset: Offset,
}

impl EventId {
    /// Takes the form that is written; spaces around it are the header's.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, offset) = text.trim_matches([' ', '\t']).split_once(':')?;
        let digits = Some(offset).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        let offset = Offset(digits.parse().ok()?);
        Some(Self { epoch: Epoch::parse(epoch).ok()?, offset })
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
            "x:1",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
