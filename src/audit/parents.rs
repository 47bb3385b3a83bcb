//! Checks that each message follows an earlier message of its thread.

use std::collections::BTreeMap;

/// The messages of a log, as far as it has been read: all of them, or the latest `max`.
#[derive(Debug)]
pub(super) struct Parents {
    /// The digest of the thread of each message, by offset.
    threads: BTreeMap<u64, u128>,
    /// The ranges of erased entries, inclusive, the first offset with the last. Any of them may have been a message.
    erased: BTreeMap<u64, u64>,
    /// Every entry from this offset on has been seen, and its message is remembered.
    from: u64,
    next: u64,
    max: usize,
}

impl Parents {
    pub(super) fn new(max: usize) -> Self {
        Self { threads: BTreeMap::new(), erased: BTreeMap::new(), from: 0, next: 0, max }
    }

    /// Notes that the entry at `offset` was read. Nothing is known about entries that were left out.
    pub(super) fn entry(&mut self, offset: u64) {
        if offset != self.next {
            self.restart(offset);
        }
        self.next = offset + 1;
    }

    /// Notes that the entry at `offset` was erased (DEL-8).
    pub(super) fn erased(&mut self, offset: u64) {
        self.entry(offset);
        match self.erased.last_entry() {
            Some(mut range) if *range.get() + 1 == offset => *range.get_mut() = offset,
            _ => drop(self.erased.insert(offset, offset)),
        }
        if self.erased.len() > self.max
            && let Some((_, last)) = self.erased.pop_first()
        {
            self.from = self.from.max(last + 1);
        }
    }

    /// Returns true if the entry at `offset` was erased.
    pub(super) fn is_erased(&self, offset: u64) -> bool {
        self.erased.range(..=offset).next_back().is_some_and(|(_, last)| offset <= *last)
    }

    /// Notes that the entry at `offset` could not be decoded.
    pub(super) fn unreadable(&mut self, offset: u64) {
        self.restart(offset + 1);
        self.next = offset + 1;
    }

    /// Returns true if the message at `offset` was read, and every entry after it.
    pub(super) fn has(&self, offset: u64) -> bool {
        self.threads.contains_key(&offset)
    }

    /// Adds a message. Returns false if its parent is not an earlier message of the thread.
    pub(super) fn message(&mut self, offset: u64, thread: u128, parent: Option<u64>) -> bool {
        let follows = match parent {
            None | Some(0) => true,
            Some(parent) if parent >= offset => false,
            Some(parent) => {
                parent < self.from || self.threads.get(&parent) == Some(&thread) || self.is_erased(parent)
            }
        };
        self.threads.insert(offset, thread);
        if self.threads.len() > self.max
            && let Some((oldest, _)) = self.threads.pop_first()
        {
            self.from = self.from.max(oldest + 1);
        }
        follows
    }

    fn restart(&mut self, from: u64) {
        self.threads.clear();
        self.erased.clear();
        self.from = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_message_of_the_thread_is_a_parent() {
        let mut parents = Parents::new(usize::MAX);
        (5..=9).for_each(|offset| parents.entry(offset));
        assert!(parents.message(5, 1, Some(0)), "a root");
        assert!(parents.message(6, 2, Some(3)), "older than what was read");
        assert!(parents.message(8, 1, Some(5)));
        assert!(!parents.message(9, 1, Some(6)), "of another thread");
        assert!(!parents.message(9, 1, Some(7)), "not a message");
        assert!(!parents.message(9, 1, Some(9)), "itself");
    }

    #[test]
    fn del_8_an_erased_entry_may_be_the_parent() {
        let mut parents = Parents::new(usize::MAX);
        parents.entry(1);
        (2..=3).for_each(|offset| parents.erased(offset));
        (4..=9).for_each(|offset| parents.entry(offset));
        assert!(parents.message(5, 1, Some(2)));
        assert!(parents.message(6, 2, Some(3)));
        assert!(!parents.message(7, 1, Some(1)), "not a message");
        assert!(!parents.message(8, 1, Some(4)), "not a message");
    }

    #[test]
    fn forgotten_and_unread_messages_may_be_parents() {
        let mut parents = Parents::new(1);
        parents.entry(1);
        assert!(parents.message(1, 1, None));
        parents.entry(2);
        assert!(parents.message(2, 2, None));
        parents.entry(3);
        assert!(parents.message(3, 2, Some(1)), "forgotten");
        parents.entry(5);
        assert!(parents.message(5, 2, Some(4)), "left out");
        parents.entry(6);
        assert!(!parents.message(6, 2, Some(6)), "not earlier");
        parents.unreadable(7);
        assert!(parents.message(8, 2, Some(7)), "not decoded");
    }
}
