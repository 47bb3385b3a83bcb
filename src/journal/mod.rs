//! Durable logs: one per user, appended by compare-and-set on its head, read from any offset.
//!
//! *The log is the lock*: an append names the head it follows and is refused if somebody was first,
//! so a log has one author at a time without an election (RUN-6, DEL-1).
//!
//! - [`chain`]: what makes a stored log tamper-evident
//! - [`lines`]: encoded entries as they are stored and sent, the same bytes for both
//! - [`memory`]: for tests
//! - [`resumes`]: how often each open run was resumed
//! - [`sqlite`]: the embedded engine

pub mod chain;
pub mod lines;
pub mod memory;
mod resumes;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    lines::Lines,
    resumes::{Incarnation, ResumeRecord},
};
use crate::kernel::{
    entry::{Entry, RunStatus},
    ids::{AgentName, Epoch, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
    user::Receipt,
};

/// All logs of one deployment.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Returns the epoch under which this journal is open. Another one is begun at every opening; cursors of
    /// an earlier one are continued where [`Log::continues`] says so (DEL-3).
    fn epoch(&self) -> Epoch;

    /// The log of one user. Only the user factory calls this (ISO-4).
    fn log(&self, user_id: &UserId) -> Arc<dyn Log>;

    /// Every user with a run that is accepted and not completed (RUN-6).
    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError>;

    /// Whether the journal can do now what appends need of it: what `/readyz` says.
    async fn probe(&self) -> Result<(), JournalError> {
        let nobody = UserId::parse(PROBE_USER_ID).expect("it is short and not empty");
        self.log(&nobody).extent().await.map(|_| ())
    }

    /// Returns the sizes of the journal's files; `None` if it has none of its own.
    ///
    /// # Errors
    /// If the file system does not answer for one of them.
    async fn file_sizes(&self) -> std::io::Result<Option<FileSizes>> {
        Ok(None)
    }

    /// Trims what `retention` no longer keeps, oldest first, never an entry of an open run nor any
    /// after it.
    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError>;
}

/// No entry is ever appended here; a user of this name would not be disturbed either.
const PROBE_USER_ID: &str = "quintet:readiness";

/// The log of one user.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Makes a batch durable, all of it or nothing. Returns only once it would survive power loss.
    async fn append(&self, batch: Batch) -> Result<(), AppendError>;

    /// What the log spans now.
    async fn extent(&self) -> Result<Extent, JournalError>;

    /// Entries after `after`, in order, from the oldest kept if that is later. Empty at the head.
    /// At least one entry if there is one, then as many as both limits allow.
    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError>;

    /// Returns the head, the latest `recent_max` messages oldest first, and every run that is not completed.
    ///
    /// The answer is final: a batch of an earlier append of this log is in it, or will never be in the log,
    /// whatever that append returned. Errs while that is not known (DEL-7).
    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError>;

    /// Returns whether a cursor taken under `epoch` stands in this very log: every entry up to `after` that it
    /// may have seen is the entry that this log has there (DEL-3).
    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        let _ = (epoch, after);
        Ok(false)
    }

    /// The receipt of a message, however old (DEL-6).
    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError>;

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError>;

    /// Threads, the one with the latest entry first; those before `before` in that order.
    async fn threads(&self, before: Option<Offset>, limit: usize) -> Result<Vec<ThreadRecord>, JournalError>;

    /// The runs of a thread that have an entry after `after`, in order of acceptance.
    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError>;
}

/// Entries to append together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The head that the first entry follows.
    pub expected: Offset,
    /// What the engine indexes.
    pub entries: Vec<Entry>,
    /// The same entries, encoded: what it stores.
    pub lines: Lines,
    /// Records of resumes to store in the same commit, one at most for each run (RUN-6). A batch may hold
    /// nothing else.
    pub resumes: Vec<ResumeRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    pub entries_max: usize,
    pub bytes_max: usize,
}

/// The oldest entry kept is `trimmed + 1`; the newest is `head`.
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
    /// The resumes of the runs that are not completed, for those that were resumed.
    pub resumes: Vec<ResumeRecord>,
}

/// What the index knows of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    /// Of its `user_message`.
    pub accepted: Offset,
    pub accepted_at: Timestamp,
    /// Of its `agent_started`.
    pub started: Option<Offset>,
    /// Of its `agent_completed`, and how it ended.
    pub completed: Option<(Offset, RunStatus)>,
}

/// What the index knows of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRecord {
    pub thread_id: ThreadId,
    pub first: Offset,
    pub last: Offset,
    pub last_at: Timestamp,
    pub messages: u64,
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub age_ms_max: Option<u64>,
    pub user_entries_max: Option<u64>,
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

/// The journal cannot say what was asked. The fault is the storage's; the operator's to mend.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody appended first. Nothing of this batch is in the log.
    #[error("the log's head is {head}, not the expected one")]
    Conflict { head: Offset },
    /// The batch may or may not be in the log; only reading it tells (DEL-7).
    #[error(transparent)]
    Journal(#[from] JournalError),
}
