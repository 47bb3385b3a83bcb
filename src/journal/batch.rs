//! A batch of entries, and the position that its append names.

use quintet_kernel::{
    entry::Entry,
    ids::{Incarnation, Offset, RunId},
    spending::Spending,
    user::Erasure,
};

use crate::{Lines, ResumeRecord};

/// A batch of entries to append atomically.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The head that the batch follows.
    pub expected: Offset,
    /// The entries, for the index.
    pub entries: Vec<Entry>,
    /// The same entries, encoded for storage.
    pub lines: Lines,
    /// The fence that the batch follows, beside the head.
    pub fence: Fence,
    /// The node that appends the batch: the executor of every run that the batch starts or takes over (RUN-13).
    pub executor: Option<Incarnation>,
    /// Open runs that have started and that `executor` takes over from another node, each once (RUN-13). A batch may
    /// consist of these alone.
    pub taken_over: Vec<RunId>,
    /// Resume records to store in the same commit, at most one per run (RUN-6). A batch may consist of these
    /// alone.
    pub resumes: Vec<ResumeRecord>,
    /// The bytes of the user once this batch is appended, to store in the same commit (ISO-6).
    pub spending: Spending,
    /// Intents of erasures to store in the same commit, at most one; it reaches through the last offset of the batch
    /// (DEL-8). A batch may consist of it alone, and then reaches through `expected`.
    pub erasures: Vec<Erasure>,
}

impl Batch {
    /// Creates a batch of entries that follows the head `expected`, of no node, with nothing else.
    pub fn new(expected: Offset, entries: Vec<Entry>, lines: Lines) -> Self {
        Self {
            expected,
            entries,
            lines,
            fence: Fence::default(),
            executor: None,
            taken_over: Vec::new(),
            resumes: Vec::new(),
            spending: Spending::default(),
            erasures: Vec::new(),
        }
    }

    /// Returns true if the batch has nothing to store.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.taken_over.is_empty()
            && self.resumes.is_empty()
            && self.erasures.is_empty()
    }

    /// Returns the fence after the batch.
    pub fn fence_after(&self) -> Fence {
        Fence(self.fence.0 + u64::from(!self.taken_over.is_empty() || !self.erasures.is_empty()))
    }
}

/// The number of appends to a log that took runs over or stored the intent of an erasure. Such an append changes what
/// others may decide, and need not add an entry, so that the head alone would not refuse a node that does not know of it
/// (RUN-13, DEL-8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// The position that an append names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last offset of the log; 0 if it is empty.
    pub head: Offset,
    /// The fence of the log.
    pub fence: Fence,
}
