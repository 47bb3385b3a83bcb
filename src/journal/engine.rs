//! Parts that engines share: the index changes of a batch, rows of lines, and what an erasure leaves of them.
//!
//! For implementors of [`Log`](crate::Log). An engine that stores the same rows has the same hash chain, the same limits
//! of one read, and the same evidence of an erasure.

pub use crate::{
    changes::{AcceptedMessage, Changes, RunChange, ThreadActivity, ThreadUpdate, status_of, status_text},
    checksum::checksum,
    erased_lines::ErasedLines,
    erasing::hashed,
    rows::{Erased, NewRow, ROW_BYTES_MAX, ROW_ENTRIES_MAX, StoredRow, TornRow, rows, unfit},
};
