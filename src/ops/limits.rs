//! Settings of retention and its schedule.

use crate::journal::Retention;

crate::limits! {
    /// Limits on the entries that the journal keeps.
    pub struct RetentionLimits {
        /// Age after which an entry may be trimmed; 0 keeps entries of any age. Entries of open runs, and all
        /// later entries of the same user, are never trimmed.
        pub retention_age_ms_max: u64 = 0, in 0..=3_153_600_000_000;
        /// Entries kept per user; 0 keeps all.
        pub retention_user_entries_max: u64 = 0, in 0..=1_000_000_000_000;
        /// Interval between two trims.
        pub retention_interval_ms: u64 = 60_000, in 100..=86_400_000;
    }
}

impl RetentionLimits {
    /// Returns the limits in the form that the journal takes, with 0 as `None`.
    pub fn retention(&self) -> Retention {
        let unless_zero = |limit| (limit > 0).then_some(limit);
        Retention {
            age_ms_max: unless_zero(self.retention_age_ms_max),
            user_entries_max: unless_zero(self.retention_user_entries_max),
        }
    }

    /// Returns whether any limit is set, so that trimming is needed.
    pub fn trims(&self) -> bool {
        self.retention() != Retention::default()
    }
}
