//! Where a cursor goes on: right behind what the client has, or at a `gap` that says what it misses (DEL-3).

use serde::{Deserialize, Serialize};

use super::input::Asked;
use crate::kernel::ids::{Epoch, Offset};

/// Entries `from` … `to` that a reader asked for and this log no longer has, or never had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    pub from: Offset,
    pub to: Offset,
}

/// What a cursor is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resumption {
    /// The first entry to come is the one after this.
    pub resumed_after: Offset,
    pub gap: Option<Gap>,
}

impl Resumption {
    /// Places a cursor in a log that keeps the entries after `trimmed` up to `head`.
    ///
    /// - another epoch: everything kept comes, after a gap over all that is not; where everything is
    ///   kept the gap is 0 … 0, which says that the journal is another one and no entry is missing
    /// - before the oldest entry: the gap is what was trimmed
    /// - past the head: the gap is what this log does not have, and it goes on at the head
    pub fn of(asked: Asked, epoch: Epoch, trimmed: Offset, head: Offset) -> Self {
        let Asked { epoch: theirs, after } = asked;
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
        let asked = Asked { epoch, after: Offset(after) };
        let Resumption { resumed_after, gap } = Resumption::of(asked, HERE, Offset(trimmed), Offset(head));
        (resumed_after.0, gap.map(|gap| (gap.from.0, gap.to.0)))
    }

    #[test]
    fn a_cursor_inside_the_log_goes_on_right_behind_it() {
        assert_eq!(resume(None, 0, 0, 0), (0, None));
        assert_eq!(resume(None, 0, 0, 9), (0, None));
        assert_eq!(resume(None, 5, 0, 9), (5, None), "no epoch is this one");
        assert_eq!(resume(Some(HERE), 9, 4, 9), (9, None));
        assert_eq!(resume(Some(HERE), 4, 4, 9), (4, None), "what follows is kept");
    }

    #[test]
    fn what_the_log_does_not_have_is_a_gap() {
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

    proptest! {
        /// DEL-3: whatever the cursor, it goes on inside the log, and within one epoch the cursor, the
        /// gap and what follows leave no entry out.
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
