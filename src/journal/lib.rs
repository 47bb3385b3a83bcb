//! Durable logs: one per user, appended by compare-and-set on the head, readable from any offset.
//!
//! *The log is the lock*: an append names the head that it follows and is refused if another append came
//! first. So a log has one writer at a time, without leader election (RUN-6, DEL-1).
//!
//! - [`chain`]: the hash chain that makes a stored log tamper-evident
//! - [`lines`]: encoded entries; the bytes are stored and sent unchanged
//! - [`memory`]: an engine for tests
//! - [`resumes`]: counts of the resumes of open runs
//! - `sqlite`: the embedded engine (feature `sqlite`, on by default)

pub mod chain;
pub mod lines;
pub mod memory;
mod resumes;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use quintet_kernel::{
    entry::{Entry, RunStatus},
    ids::{AgentName, Epoch, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
    spending::Spending,
    user::Receipt,
};

pub use self::{
    lines::Lines,
    resumes::{Incarnation, ResumeRecord},
};

/// The logs of all users.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Returns the epoch under which this journal is open. Each opening starts a new one; [`Log::continues`]
    /// decides whether a cursor of an earlier epoch is still valid (DEL-3).
    fn epoch(&self) -> Epoch;

    /// Returns the log of one user. Only the user factory calls this (ISO-4).
    fn log(&self, user_id: &UserId) -> Arc<dyn Log>;

    /// Returns the users who have open runs (RUN-6).
    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError>;

    /// Checks that the journal can be read and written, for `/readyz`.
    async fn probe(&self) -> Result<(), JournalError> {
        let nobody = UserId::parse(PROBE_USER_ID).expect("it is short and not empty");
        self.log(&nobody).extent().await.map(|_| ())
    }

    /// Returns the sizes of the journal's files; `None` if it has none of its own.
    ///
    /// # Errors
    /// Returns an error if the size of a file cannot be read.
    async fn file_sizes(&self) -> std::io::Result<Option<FileSizes>> {
        Ok(None)
    }

    /// Returns the bytes that the file system of the journal still has for it; `None` if that cannot be known.
    ///
    /// # Errors
    /// If the file system does not answer.
    async fn free_bytes(&self) -> std::io::Result<Option<u64>> {
        Ok(None)
    }

    /// Trims what `retention` no longer keeps, oldest first, never an entry of an open run nor any
    /// after it.
    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError>;
}

/// A user id for probes. Nothing is appended to this log, and a real user of this name would not be
/// affected.
const PROBE_USER_ID: &str = "quintet:readiness";

/// The log of one user.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Appends a batch atomically. Returns once the batch would survive a power loss.
    ///
    /// # Errors
    ///
    /// Returns [`AppendError::Conflict`] if the head is not `batch.expected`. After any other error the batch
    /// may or may not be in the log (DEL-7).
    async fn append(&self, batch: Batch) -> Result<(), AppendError>;

    /// Returns the current range of stored entries.
    async fn extent(&self) -> Result<Extent, JournalError>;

    /// Reads entries after `after`, in order, starting at the oldest stored entry if that is later. Returns at
    /// least one entry if there is one, then as many as both limits allow; none at the head.
    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError>;

    /// Returns the head, the latest `recent_max` messages, oldest first, and all open runs.
    ///
    /// The result is final: a batch of an earlier append of this log is in it or will never be in the log,
    /// independent of the result of that append. Returns an error while this is not known (DEL-7).
    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError>;

    /// Returns true if a cursor of `epoch` is valid in this log: every entry up to `after` that its client may
    /// have seen is the entry that this log has at that offset (DEL-3).
    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        let _ = (epoch, after);
        Ok(false)
    }

    /// Returns the receipt of a message, independent of its age (DEL-6).
    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError>;

    /// Returns the index record of a run.
    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError>;

    /// Returns threads, the one with the latest entry first, starting before the offset `before`.
    async fn threads(&self, before: Option<Offset>, limit: usize) -> Result<Vec<ThreadRecord>, JournalError>;

    /// Returns the runs of a thread with an entry after `after`, in order of acceptance.
    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError>;
}

/// A batch of entries to append atomically.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The head that the batch follows.
    pub expected: Offset,
    /// The entries, for the index.
    pub entries: Vec<Entry>,
    /// The same entries, encoded for storage.
    pub lines: Lines,
    /// Resume records to store in the same commit, at most one per run (RUN-6). A batch may consist of these
    /// alone.
    pub resumes: Vec<ResumeRecord>,
    /// The bytes of the user once this batch is appended, to store in the same commit (ISO-6).
    pub spending: Spending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    pub entries_max: usize,
    pub bytes_max: usize,
}

/// The range of stored entries: the oldest is `trimmed + 1`, the newest `head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub trimmed: Offset,
    pub head: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub head: Offset,
    pub recent: Vec<(MessageId, Receipt)>,
    pub unfinished: Vec<RunRecord>,
    /// The resume records of the open runs that were resumed.
    pub resumes: Vec<ResumeRecord>,
    /// Of the latest batch with an entry.
    pub spending: Spending,
}

/// The index record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    /// Offset of its `user_message`.
    pub accepted: Offset,
    pub accepted_at: Timestamp,
    /// Offset of its `agent_started`.
    pub started: Option<Offset>,
    /// Offset of its `agent_completed`, and its status.
    pub completed: Option<(Offset, RunStatus)>,
}

/// The index record of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRecord {
    pub thread_id: ThreadId,
    pub first: Offset,
    pub last: Offset,
    pub last_at: Timestamp,
    pub messages: u64,
}

/// The retention policy: entries beyond either limit are trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub age_ms_max: Option<u64>,
    pub user_entries_max: Option<u64>,
    /// Bytes of entries kept of one user.
    pub user_bytes_max: Option<u64>,
}

/// The sizes of an embedded journal's files, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSizes {
    pub database: u64,
    pub write_ahead_log: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    pub users: u64,
    pub entries: u64,
}

/// A failure of the storage, for the operator to repair.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Another append came first. Nothing of this batch is in the log.
    #[error("the log's head is {head}, not the expected one")]
    Conflict { head: Offset },
    /// The batch may or may not be in the log; the caller has to read the log to find out (DEL-7).
    #[error(transparent)]
    Journal(#[from] JournalError),
}
