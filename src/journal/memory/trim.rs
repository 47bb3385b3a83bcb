//! Retention in memory.

use bytes::Bytes;
use quintet_kernel::ids::Timestamp;

use super::UserLog;
use crate::Retention;

impl UserLog {
    /// Trims the log and returns the number of trimmed entries.
    pub(super) fn trim(&mut self, retention: Retention, now: Timestamp) -> u64 {
        let open = self.runs.values().find(|run| run.completed.is_none());
        let bound = open.map_or(self.head.0, |run| run.accepted.0 - 1);
        let old_before = retention.age_ms_max.map_or(0, |age| now.0.saturating_sub(age));
        let bytes_max = retention.user_bytes_max.unwrap_or(u64::MAX);
        let surplus_to = retention.user_entries_max.map_or(0, |max| self.head.0.saturating_sub(max));
        let before = self.trimmed;
        let of = |line: &Bytes| line.len() as u64 + 1;
        let mut bytes: u64 = self.entries.iter().map(of).sum();
        while let Some((last, last_at)) = self.batches.front().copied() {
            if last.0 > bound || (last_at.0 >= old_before && last.0 > surplus_to && bytes <= bytes_max) {
                break;
            }
            bytes -=
                self.entries.drain(..(last.0 - self.trimmed.0) as usize).map(|line| of(&line)).sum::<u64>();
            self.batches.pop_front();
            self.trimmed = last;
        }
        self.thread_changes = self.thread_changes.split_off(&self.trimmed.next());
        self.trimmed.0 - before.0
    }
}
