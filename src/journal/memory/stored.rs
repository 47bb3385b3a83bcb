//! What a log in memory stores of threads and erasures.

use quintet_kernel::{
    ids::{Offset, Timestamp, Title},
    user::Erasure,
};

use crate::ErasureRecord;

/// The part of a thread's record that cannot be derived from the runs.
#[derive(Clone, Debug)]
pub(super) struct StoredThread {
    pub(super) first: Offset,
    pub(super) last: Offset,
    pub(super) last_at: Timestamp,
    pub(super) messages: u64,
    pub(super) title: Option<Title>,
    pub(super) archived: bool,
    pub(super) updated: Offset,
}

impl StoredThread {
    pub(super) fn new(first: Offset) -> Self {
        Self {
            first,
            last: first,
            last_at: Timestamp::default(),
            messages: 0,
            title: None,
            archived: false,
            updated: Offset::ZERO,
        }
    }
}

/// An erasure of one log.
#[derive(Debug)]
pub(super) struct StoredErasure {
    pub(super) record: ErasureRecord,
    /// The last entry that was examined.
    pub(super) at: Offset,
    /// True once its `thread_erased` or `log_erased` is in the log.
    pub(super) closed: bool,
}

impl StoredErasure {
    pub(super) fn intent(&self) -> Erasure {
        let ErasureRecord { receipt, scope, through, requested_at, .. } = self.record.clone();
        Erasure { scope, through, receipt, requested_at }
    }
}
