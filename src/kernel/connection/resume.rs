//! Resumption from a cursor: directly after it, or after a `gap` that names the missing entries (DEL-3); or the
//! start at the head, which requests no stored entry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Offset};

/// The position in the log at which a client starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeCursor {
    /// After an entry.
    After {
        /// The epoch of the cursor; `None` means that of this journal.
        epoch: Option<Epoch>,
        /// The offset of the last entry that the client applied; 0 for none.
        after: Offset,
    },
    /// At the head of the log when the client attaches. It requests no entry up to there, so none can be missing,
    /// and it is a cursor of no epoch.
    Head,
}

impl Default for ResumeCursor {
    /// Returns the beginning of the log.
    fn default() -> Self {
        Self::After { epoch: None, after: Offset::ZERO }
    }
}

impl ResumeCursor {
    /// Returns the offset of the last entry that the client applied; `None` for a start at the head.
    pub fn after(self) -> Option<Offset> {
        match self {
            Self::After { after, .. } => Some(after),
            Self::Head => None,
        }
    }
}

/// The offsets `from` to `to`, inclusive, that a reader requested and the log does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Gap {
    /// The first missing offset.
    pub from: Offset,
    /// The last missing offset.
    pub to: Offset,
}

/// The position at which a reader resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resumption {
    /// The next entry has the following offset.
    pub resumed_after: Offset,
    /// The requested entries that cannot be sent.
    pub gap: Option<Gap>,
}

impl Resumption {
    /// Resolves a cursor in a log that holds the entries after `trimmed` up to `head`.
    ///
    /// - A cursor of another epoch resumes at the oldest stored entry; the gap covers all that were trimmed. If
    ///   none were, the gap is 0 to 0: it reports the change of epoch, and no entry is missing.
    /// - A cursor before the oldest entry resumes there; the gap covers the trimmed entries.
    /// - A cursor past the head resumes at the head; the gap covers the entries that this log never had.
    /// - A start at the head resumes at `head`, without a gap. Entries that are appended after `head` was looked up
    ///   follow it.
    pub fn of(cursor: ResumeCursor, epoch: Epoch, trimmed: Offset, head: Offset) -> Self {
        let ResumeCursor::After { epoch: theirs, after } = cursor else {
            return Self { resumed_after: head, gap: None };
        };
        if theirs.is_some_and(|theirs| theirs != epoch) {
            let from = Offset(trimmed.0.min(1));
            Self { resumed_after: trimmed, gap: Some(Gap { from, to: trimmed }) }
        } else if after < trimmed {
            Self { resumed_after: trimmed, gap: Some(Gap { from: after.next(), to: trimmed }) }
        } else if after > head {
            Self { resumed_after: head, gap: Some(Gap { from: head.next(), to: after }) }
        } else {
            Self { resumed_after: after, gap: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const HERE: Epoch = Epoch(Uuid::from_u128(1));
    const ELSEWHERE: Epoch = Epoch(Uuid::from_u128(2));

    fn resume(epoch: Option<Epoch>, after: u64, trimmed: u64, head: u64) -> (u64, Option<(u64, u64)>) {
        let cursor = ResumeCursor::After { epoch, after: Offset(after) };
        let Resumption { resumed_after, gap } = Resumption::of(cursor, HERE, Offset(trimmed), Offset(head));
        (resumed_after.0, gap.map(|gap| (gap.from.0, gap.to.0)))
    }

    #[test]
    fn cursor_inside_the_log_continues_right_after_it() {
        assert_eq!(resume(None, 0, 0, 0), (0, None));
        assert_eq!(resume(None, 0, 0, 9), (0, None));
        assert_eq!(resume(None, 5, 0, 9), (5, None), "no epoch is this one");
        assert_eq!(resume(Some(HERE), 9, 4, 9), (9, None));
        assert_eq!(resume(Some(HERE), 4, 4, 9), (4, None), "what follows is kept");
    }

    #[test]
    fn entries_missing_in_the_log_are_a_gap() {
        assert_eq!(resume(Some(HERE), 1, 4, 9), (4, Some((2, 4))));
        assert_eq!(resume(None, 0, 4, 9), (4, Some((1, 4))));
        assert_eq!(resume(Some(HERE), 12, 4, 9), (9, Some((10, 12))));
        assert_eq!(resume(None, u64::MAX, 0, 0), (0, Some((1, u64::MAX))));
    }

    #[test]
    fn another_epoch_starts_over_at_the_oldest_entry_kept() {
        for after in [0, 3, 9, 100, u64::MAX] {
            assert_eq!(resume(Some(ELSEWHERE), after, 4, 9), (4, Some((1, 4))));
            assert_eq!(resume(Some(ELSEWHERE), after, 0, 9), (0, Some((0, 0))));
        }
    }

    /// DEL-3: nothing before the head is requested, so nothing is missing, also where entries were trimmed.
    #[test]
    fn start_at_the_head_has_no_gap() {
        for (trimmed, head) in [(0, 0), (0, 9), (4, 9), (9, 9)] {
            let resumption = Resumption::of(ResumeCursor::Head, HERE, Offset(trimmed), Offset(head));
            assert_eq!(resumption, Resumption { resumed_after: Offset(head), gap: None });
        }
    }

    proptest! {
        /// DEL-3: any cursor resumes inside the log, and within one epoch the cursor, the
        /// gap and the following entries are contiguous.
        #[test]
        fn del_3_no_silent_hole(after: u64, trimmed in 0u64..1000, kept in 0u64..1000) {
            let head = trimmed + kept;
            for epoch in [None, Some(HERE), Some(ELSEWHERE)] {
                let (resumed_after, gap) = resume(epoch, after, trimmed, head);
                prop_assert!((trimmed..=head).contains(&resumed_after));
                if epoch == Some(ELSEWHERE) {
                    prop_assert_eq!(gap.map(|gap| gap.1), Some(trimmed));
                    continue;
                }
                match gap {
                    None => prop_assert_eq!(resumed_after, after),
                    Some((from, to)) => {
                        prop_assert!(from <= to);
                        prop_assert_eq!(from, after.min(head) + 1);
                        prop_assert_eq!(to, resumed_after.max(after));
                    }
                }
            }
        }
    }
}
