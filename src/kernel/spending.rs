//! The bytes that one user appends in a day, as a [leaky bucket](https://en.wikipedia.org/wiki/Leaky_bucket) (ISO-6).
//!
//! ```text
//!   an append of n bytes ─▶ level + n
//!   time passes ──────────▶ level falls evenly by `day_bytes_max` a day, to 0 at the lowest
//! ```
//!
//! Guarantee: while a user appends only below `day_bytes_max`, the appends of any period of t milliseconds have
//! at most `day_bytes_max` × (1 + t / 86,400,000) bytes, and those of the last append. The level is stored with
//! its time, so a restart does not reset it.

use super::ids::Timestamp;

/// The level of one user's bucket at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spending {
    /// Bytes that were appended and have not drained.
    pub bytes: u64,
    /// The time up to which they have drained.
    pub at: Timestamp,
}

impl Spending {
    /// Returns the level at `now`. Rounds down: the time that a part of a byte needs to drain is counted by a later
    /// call, so the sum of many short intervals does not exceed that of one long interval.
    pub fn drained(self, day_bytes_max: u64, now: Timestamp) -> Self {
        let passed = u128::from(now.0.saturating_sub(self.at.0));
        let drained = passed * u128::from(day_bytes_max) / DAY_MS;
        let Some(bytes) = u128::from(self.bytes).checked_sub(drained).filter(|left| *left > 0) else {
            return Self { bytes: 0, at: self.at.max(now) };
        };
        let counted = (drained * DAY_MS).div_ceil(u128::from(day_bytes_max.max(1)));
        // Both casts fit: `bytes` is at most the level, `counted` at most the time that has passed.
        Self { bytes: bytes as u64, at: Timestamp(self.at.0 + counted as u64) }
    }

    /// Returns the level once `bytes` more are appended at `now`.
    pub fn plus(self, bytes: u64, day_bytes_max: u64, now: Timestamp) -> Self {
        let level = self.drained(day_bytes_max, now);
        Self { bytes: level.bytes.saturating_add(bytes), ..level }
    }

    /// Returns the milliseconds until the level is below `bytes_max`; `None` if it is.
    pub fn wait_ms(self, bytes_max: u64, day_bytes_max: u64, now: Timestamp) -> Option<u64> {
        let level = self.drained(day_bytes_max, now);
        let surplus = level.bytes.checked_sub(bytes_max.max(1))? + 1;
        let wait = (u128::from(surplus) * DAY_MS).div_ceil(u128::from(day_bytes_max.max(1)));
        Some(u64::try_from(wait).unwrap_or(u64::MAX).saturating_add(level.at.0.saturating_sub(now.0)))
    }
}

/// Milliseconds of a day.
const DAY_MS: u128 = 86_400_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = DAY_MS as u64;

    #[test]
    fn iso_6_full_bucket_drains_within_a_day_and_returns_the_wait() {
        let full = Spending::default().plus(1_000, 1_000, Timestamp(DAY));
        assert_eq!(full.wait_ms(1_000, 1_000, Timestamp(DAY)), Some(DAY / 1_000));
        assert_eq!(full.wait_ms(1_000, 1_000, Timestamp(DAY + DAY / 1_000)), None);
        assert_eq!(full.drained(1_000, Timestamp(2 * DAY - DAY / 1_000)).bytes, 1);
        assert_eq!(full.drained(1_000, Timestamp(2 * DAY)).bytes, 0);
    }

    proptest! {
        /// Appends are made whenever the level is below the limit, at any times, and the level is looked at in
        /// between, as at restarts.
        #[test]
        fn iso_6_no_period_has_more_than_its_share(
            day_bytes_max in 1_u64..10_000_000,
            appends in prop::collection::vec((0_u64..2_000_000, 1_u64..200_000), 1..200),
        ) {
            let (mut spending, mut now, mut taken, mut last) = (Spending::default(), 0_u64, 0_u128, 0_u128);
            let start = appends[0].0;
            for (pause, bytes) in appends {
                now += pause;
                spending = spending.drained(day_bytes_max, Timestamp(now));
                if spending.wait_ms(day_bytes_max, day_bytes_max, Timestamp(now)).is_none() {
                    spending = spending.plus(bytes, day_bytes_max, Timestamp(now));
                    taken += u128::from(bytes);
                    last = u128::from(bytes);
                }
                let share = u128::from(day_bytes_max)
                    + u128::from(day_bytes_max) * u128::from(now - start) / DAY_MS;
                prop_assert!(taken <= share + last, "{taken} of {share}");
            }
        }

        /// The returned wait is long enough, and not much longer.
        #[test]
        fn iso_6_room_is_free_after_the_returned_wait(
            day_bytes_max in 1_u64..1_000_000_000_000,
            bytes in 0_u64..1_000_000_000_000,
            at in 0_u64..4_000_000_000_000,
            later in 0_u64..1_000_000_000,
        ) {
            let level = Spending { bytes, at: Timestamp(at) };
            let now = Timestamp(at + later);
            if let Some(wait) = level.wait_ms(day_bytes_max, day_bytes_max, now) {
                prop_assert!(level.drained(day_bytes_max, now).bytes >= day_bytes_max);
                prop_assert!(wait > 0);
                let then = Timestamp(now.0 + wait);
                prop_assert!(level.drained(day_bytes_max, then).bytes < day_bytes_max);
            } else {
                prop_assert!(level.drained(day_bytes_max, now).bytes < day_bytes_max);
            }
        }

        /// A clock that was set back neither drains nor fails, and numbers of any size are counted.
        #[test]
        fn iso_6_any_numbers_are_counted(bytes: u64, at: u64, now: u64, more: u64, day_bytes_max: u64) {
            let level = Spending { bytes, at: Timestamp(at) };
            let drained = level.drained(day_bytes_max, Timestamp(now));
            prop_assert!(drained.bytes <= bytes && drained.at.0 <= at.max(now) && drained.at.0 >= at);
            let _ = level.plus(more, day_bytes_max, Timestamp(now));
            let _ = level.wait_ms(day_bytes_max, day_bytes_max, Timestamp(now));
        }
    }
}
