//! Messages that a run takes while it executes (RUN-12).

use quintet_kernel::ids::{MessageId, Offset};

/// A message of the user that was sent with `on_busy: "steer"` and that a run has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id of the message.
    pub message_id: MessageId,
    /// The text of the message, 1 byte to 64 KiB.
    pub text: String,
    /// The offset of the message in the user's log.
    pub offset: Offset,
}

/// A message that the log records as taken by a run, before the run was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenRecord {
    /// The offset of the message.
    pub offset: Offset,
    /// The number of calls that the run had opened before.
    pub calls: usize,
}
