//! The erasure of a thread, or of a whole log (DEL-8).

use crate::ids::{Offset, ReceiptId, ThreadId, Timestamp};

/// The entries that an erasure covers, up to its last offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EraseScope {
    /// The entries of one thread.
    Thread(ThreadId),
    /// Every entry of the log.
    Log,
}

impl EraseScope {
    /// Returns true if the scope has the entries of this thread.
    pub fn has(&self, thread_id: &ThreadId) -> bool {
        match self {
            EraseScope::Thread(erased) => erased == thread_id,
            EraseScope::Log => true,
        }
    }
}

/// The intent to erase entries. The journal stores it before it erases the first one, so that a crash resumes the
/// erasure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Erasure {
    /// The entries to erase.
    pub scope: EraseScope,
    /// The last offset to erase: the head once the batch of the intent is appended. Later entries are kept.
    pub through: Offset,
    /// The id of the record that the journal keeps of the erasure.
    pub receipt: ReceiptId,
    /// The time at which the erasure was decided.
    pub requested_at: Timestamp,
}
