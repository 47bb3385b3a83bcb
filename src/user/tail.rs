//! The newest entries of a log in memory, and its head, for live readers.
//!
//! Guarantee (DEL-1, DEL-4): the tail holds durable entries only, consecutive up to the head, within limits
//! that do not depend on the readers. It is a cache: all other entries are in the journal.

use std::collections::VecDeque;

use super::sync::{Mutex, watch};
use crate::{
    journal::{
        ReadLimit,
        lines::{Lines, LinesBuilder},
    },
    kernel::ids::Offset,
};

quintet_runtime::limits! {
    /// The limits of one user's tail.
    pub struct TailLimits {
        /// Latest entries of one user kept in memory while the user is connected or has runs.
        pub tail_entries_max: usize = 4_096, in 1..=1_000_000;
        /// Bytes of these entries.
        pub tail_bytes_max: usize = 256 * 1024, in 1_024..=1_073_741_824;
    }
}

/// The newest entries of one user's log, and the offset of the last one.
#[derive(Debug)]
pub struct Tail {
    limits: TailLimits,
    recent: Mutex<RecentBatches>,
    head: watch::Sender<Offset>,
}

/// Consecutive batches, oldest first.
#[derive(Debug, Default)]
struct RecentBatches {
    batches: VecDeque<Lines>,
    entries: usize,
    bytes: usize,
}

impl Tail {
    /// Creates a tail without entries, whose head is 0.
    pub fn new(limits: TailLimits) -> Self {
        Self { limits, recent: Mutex::default(), head: watch::channel(Offset::ZERO).0 }
    }

    /// Adds durable entries after the head and wakes the readers (DEL-1).
    pub fn publish(&self, lines: Lines) {
        let last = lines.last();
        self.recent.lock().push(lines, &self.limits);
        self.raise(last);
    }

    /// Raises the head to at least `head`.
    pub fn raise(&self, head: Offset) {
        self.head.send_if_modified(|known| {
            let later = head > *known;
            if later {
                *known = head;
            }
            later
        });
    }

    /// Returns the offset of the last durable entry that is known; 0 if there is none.
    pub fn head(&self) -> Offset {
        *self.head.borrow()
    }

    /// Returns a receiver of changes of the head.
    pub fn watch(&self) -> watch::Receiver<Offset> {
        self.head.subscribe()
    }

    /// Returns the entries after `after`, up to `through` and the limit, or `None` if they are not in memory.
    pub fn read(&self, after: Offset, through: Offset, limit: ReadLimit) -> Option<Lines> {
        self.recent.lock().read(after, through, limit)
    }

    /// Drops all entries and keeps the head.
    pub fn clear(&self) {
        *self.recent.lock() = RecentBatches::default();
    }
}

impl RecentBatches {
    fn push(&mut self, lines: Lines, limits: &TailLimits) {
        if self.batches.back().is_some_and(|last| last.last().next() != lines.first()) {
            *self = RecentBatches::default();
        }
        self.entries += lines.len();
        self.bytes += lines.as_bytes().len();
        self.batches.push_back(lines);
        while self.entries > limits.tail_entries_max || self.bytes > limits.tail_bytes_max {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.entries -= oldest.len();
            self.bytes -= oldest.as_bytes().len();
        }
    }

    fn read(&self, after: Offset, through: Offset, limit: ReadLimit) -> Option<Lines> {
        let wanted = after.next();
        let at = self.batches.partition_point(|lines| lines.last() < wanted);
        let first = self.batches.get(at).filter(|lines| lines.first() <= wanted)?;
        let room = usize::try_from(through.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
        let entries_max = limit.entries_max.min(room);
        let head = first.after(after, entries_max, limit.bytes_max);
        if head.len() == entries_max || head.last() < first.last() || at + 1 == self.batches.len() {
            return Some(head);
        }
        let mut together = LinesBuilder::new(wanted);
        together.extend(&head);
        for lines in self.batches.iter().skip(at + 1) {
            let more = lines.after(
                Offset(wanted.0 + together.len() as u64 - 1),
                entries_max - together.len(),
                limit.bytes_max.saturating_sub(together.bytes()),
            );
            // `after` returns at least one line, so the byte limit is enforced here.
            if more.is_empty() || together.bytes() + more.as_bytes().len() > limit.bytes_max {
                break;
            }
            together.extend(&more);
            if more.len() < lines.len() {
                break;
            }
        }
        Some(together.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ReadLimit = ReadLimit { entries_max: 1000, bytes_max: 1 << 20 };

    fn batch(first: u64, count: usize) -> Lines {
        let mut builder = LinesBuilder::new(Offset(first));
        (0..count)
            .for_each(|i| builder.push(|b| b.extend_from_slice((first + i as u64).to_string().as_bytes())));
        builder.finish()
    }

    fn read(tail: &Tail, after: u64, through: u64, limit: ReadLimit) -> Option<Vec<u64>> {
        let lines = tail.read(Offset(after), Offset(through), limit)?;
        Some(
            lines
                .iter()
                .map(|(offset, line)| {
                    assert_eq!(line, offset.0.to_string().as_bytes());
                    offset.0
                })
                .collect(),
        )
    }

    #[test]
    fn reads_across_batches_up_to_each_limit() {
        let tail = Tail::new(TailLimits::DEFAULT);
        for (first, count) in [(11, 2), (13, 1), (14, 3)] {
            tail.publish(batch(first, count));
        }
        assert_eq!(tail.head(), Offset(16));
        assert_eq!(read(&tail, 10, 99, ALL), Some((11..=16).collect()));
        assert_eq!(read(&tail, 11, 99, ALL), Some((12..=16).collect()));
        assert_eq!(read(&tail, 10, 13, ALL), Some(vec![11, 12, 13]));
        assert_eq!(read(&tail, 10, 99, ReadLimit { entries_max: 4, ..ALL }), Some(vec![11, 12, 13, 14]));
        assert_eq!(read(&tail, 10, 99, ReadLimit { bytes_max: 9, ..ALL }), Some(vec![11, 12, 13]));
        assert_eq!(read(&tail, 9, 99, ALL), None, "10 is not held");
        assert_eq!(read(&tail, 16, 99, ALL), None, "nothing after the head");
    }

    #[test]
    fn del_4_memory_stays_within_the_bounds() {
        let tail = Tail::new(TailLimits { tail_entries_max: 5, tail_bytes_max: 1000 });
        (0..100).for_each(|i| tail.publish(batch(10 + 2 * i, 2)));
        let recent = tail.recent.lock();
        assert!(recent.entries <= 5 && recent.entries >= 4);
        assert_eq!(recent.batches.iter().map(Lines::len).sum::<usize>(), recent.entries);
    }

    /// A tail that evicts by bytes stays filled up to its limit, independent of the traffic before.
    #[test]
    fn del_4_evicted_bytes_make_room() {
        let tail = Tail::new(TailLimits { tail_entries_max: 1000, tail_bytes_max: 100 });
        (0..1000).for_each(|i| tail.publish(batch(10 + 2 * i, 2)));
        let recent = tail.recent.lock();
        let held: usize = recent.batches.iter().map(|lines| lines.as_bytes().len()).sum();
        assert_eq!(held, recent.bytes);
        assert!(held <= 100 && held > 100 - batch(2000, 2).as_bytes().len(), "{held} of 100 bytes");
    }

    #[test]
    fn a_batch_larger_than_the_bounds_is_not_held_but_moves_the_head() {
        let tail = Tail::new(TailLimits { tail_entries_max: 2, tail_bytes_max: 1000 });
        tail.publish(batch(1, 3));
        assert_eq!(tail.head(), Offset(3));
        assert_eq!(read(&tail, 0, 99, ALL), None);
    }
}
