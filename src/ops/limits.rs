//! Settings of retention and its schedule, of the disk, and of the log.

use crate::journal::Retention;

quintet_runtime::limits! {
    /// Limits on the entries that the journal keeps.
    pub struct RetentionLimits {
        /// Age after which an entry may be trimmed; 0 keeps entries of any age. Entries of open runs, and all
        /// later entries of the same user, are never trimmed.
        pub retention_age_ms_max: u64 = 0, in 0..=3_153_600_000_000;
        /// Entries kept per user; 0 keeps all.
        pub retention_user_entries_max: u64 = 0, in 0..=1_000_000_000_000;
        /// Bytes of entries kept of one user; 0 keeps all. The file does not shrink: what is trimmed makes room
        /// for new entries.
        pub retention_user_bytes_max: u64 = 0, in 0..=1_000_000_000_000_000;
        /// Time between two looks for entries that may be trimmed.
        pub retention_interval_ms: u64 = 60_000, in 100..=86_400_000;
    }
}

quintet_runtime::limits! {
    /// The bounds of the disk that the journal is on.
    pub struct DiskLimits {
        /// Free bytes of the journal's file system below which new messages are refused as `unavailable` and
        /// `/readyz` answers 503; below half of it a step of an agent ends its run as `limit_reached`. 0 sets no
        /// minimum.
        pub disk_free_bytes_min: u64 = 256 * 1024 * 1024, in 0..=1_000_000_000_000_000;
        /// Time between two looks at the free bytes.
        pub disk_check_interval_ms: u64 = 1_000, in 10..=10_000;
    }
}

quintet_runtime::limits! {
    /// Limits of the log.
    pub struct LogLimits {
        /// Log lines queued for stderr; further ones are dropped and counted.
        pub log_queue_lines_max: usize = 8_192, in 16..=1_000_000;
        /// Bytes of the log lines queued for stderr.
        pub log_queue_bytes_max: usize = 4_194_304, in 65_536..=1_073_741_824;
        /// Length of a log line in bytes; a longer one is truncated.
        pub log_line_bytes_max: usize = 16_384, in 1_024..=65_536;
        /// Log lines per minute and reason for refused requests; the others are counted in one further line.
        pub refusal_lines_per_minute_max: u64 = 10, in 0..=100_000;
        /// Timeout for writing the remaining log lines at exit.
        pub log_flush_timeout_ms: u64 = 1_000, in 0..=60_000;
    }
}

impl RetentionLimits {
    /// Returns the limits in the form that the journal takes, with 0 as `None`.
    pub fn retention(&self) -> Retention {
        let unless_zero = |limit| (limit > 0).then_some(limit);
        Retention {
            age_ms_max: unless_zero(self.retention_age_ms_max),
            user_entries_max: unless_zero(self.retention_user_entries_max),
            user_bytes_max: unless_zero(self.retention_user_bytes_max),
        }
    }

    /// Returns whether any limit is set, so that trimming is needed.
    pub fn trims(&self) -> bool {
        self.retention() != Retention::default()
    }
}
