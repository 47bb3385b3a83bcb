//! Durable event logs: one per user, appended by compare-and-set on the head, readable from any offset.
//!
//! # Guarantees
//!
//! - *The log is the lock*: an append names the head that it follows, and the [`Fence`] beside it, and is refused if
//!   another append came first. So a log has one writer at a time, without leader election (RUN-6).
//! - A run has at most one executor: the node that started it or resumed it last. A node whose lease has expired stays
//!   expired, so that its runs can be taken over (RUN-13).
//! - A batch is in the log entirely or not at all, and survives a power loss once [`Log::append`] returns (DEL-1).
//!   After any error but a conflict the batch may or may not be in the log, and [`Log::recovery`] decides (DEL-7).
//! - The bytes that were appended are the bytes that are read. A [hash chain](chain) makes a changed, moved or removed
//!   entry evident.
//! - Offsets are comparable within an epoch only. [`Log::continues`] decides whether a cursor of an earlier epoch is
//!   valid (DEL-3).
//! - A log belongs to one user and is reached through [`Journal::log`] only (ISO-4).
//!
//! # The interface
//!
//! [`Journal`] is the set of all logs, [`Log`] the log of one user. The methods of a log are of three kinds:
//!
//! - **append**: [`Log::append`] stores a [`Batch`]
//! - **read**: [`Log::extent`], [`Log::position`], [`Log::read`], [`Log::read_before`], [`Log::continues`], and
//!   [`Log::recovery`] for the machines of the user
//! - **look up**: [`Log::message`], [`Log::run`], [`Log::thread`], [`Log::threads`], [`Log::thread_runs`],
//!   [`Log::thread_runs_before`], [`Log::thread_runs_ending`], [`Log::thread_changes`], [`Log::thread_message`] and
//!   [`Log::path`] query the index, which is derived from the entries
//!
//! [`Lines`] are consecutive encoded entries. [`ResumeRecord`] counts the resumes of an open run.
//!
//! Two engines implement the interface here: [`memory`], for tests, and `sqlite`, an embedded database (feature `sqlite`,
//! on by default). `quintet-postgres` is a third one; [`engine`] has the parts that they share.
//!
//! # Examples
//!
//! Open a journal, append an entry, and read it:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # mod example {
//! use quintet_journal::{
//!     AppendError, Batch, Journal, ReadLimit,
//!     lines::LinesBuilder,
//!     sqlite::{SqliteJournal, SqliteOptions},
//! };
//! use quintet_kernel::{
//!     entry::{Body, RunEntry},
//!     ids::{AgentName, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let journal = SqliteJournal::open(folder, SqliteOptions::default())?;
//! let log = journal.log(&UserId::parse("ann")?);
//!
//! let entry = RunEntry {
//!     offset: Offset(1),
//!     thread_id: ThreadId::parse("t1")?,
//!     run_id: RunId::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ab")?,
//!     timestamp: Timestamp(1_795_000_000_001),
//!     agent_name: AgentName::parse("assistant")?,
//!     body: Body::UserMessage {
//!         message_id: MessageId::parse("m1")?,
//!         text: "hello".to_owned(),
//!         parent: Some(Offset::ZERO), steers: false,
//!     },
//! };
//! // `quintet_wire::entry::encode` writes the line of an entry.
//! let line = br#"{"type":"user_message","offset":1,"user_id":"ann","text":"hello"}"#;
//! let mut lines = LinesBuilder::new(Offset(1));
//! lines.push(|out| out.extend_from_slice(line));
//! let batch = Batch::new(Offset::ZERO, vec![entry.into()], lines.finish());
//! log.append(batch.clone()).await?;
//!
//! // A second append on the same head conflicts.
//! let conflict = log.append(batch).await.unwrap_err();
//! assert!(matches!(conflict, AppendError::Conflict { head: Offset(1) }));
//!
//! let lines = log.read(Offset::ZERO, ReadLimit { entries_max: 100, bytes_max: 1 << 20 }).await?;
//! let (offset, bytes) = lines.iter().next().expect("there is an entry");
//! assert_eq!((offset, &bytes[..]), (Offset(1), &line[..]));
//!
//! journal.close().await?;
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "sqlite")]
//! # example::main().unwrap();
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod batch;
pub mod chain;
mod changes;
mod checksum;
pub mod engine;
mod erased_lines;
mod erasing;
mod journal_layer;
mod layer;
pub mod lines;
pub mod memory;
mod records;
mod resumes;
mod retention;
mod rows;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod watches;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use quintet_kernel::{
    ids::{Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, UserId},
    spending::Spending,
    user::{Erasure, Receipt, RecentMessage},
};
use tokio::sync::Notify;

pub use self::{
    batch::{Batch, Fence, Position},
    erasing::{EraseProgress, ErasureRecord},
    journal_layer::JournalLayer,
    layer::LogLayer,
    lines::Lines,
    records::{RunRecord, Side, ThreadRecord, ThreadsQuery},
    resumes::ResumeRecord,
    retention::{FileSizes, Retention, Trimmed},
    watches::{WakeKey, Watch, Watches},
};

/// The logs of all users.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Returns the epoch under which this journal is open. Each opening starts a new one; [`Log::continues`]
    /// decides whether a cursor of an earlier epoch is still valid (DEL-3).
    fn epoch(&self) -> Epoch;

    /// Returns the id under which this process has the journal open: the executor of the runs that it starts or resumes
    /// (RUN-13). Each start of a process has another one; a process asks for it once.
    fn incarnation(&self) -> Incarnation;

    /// Returns true if other nodes may append to the logs of this journal while this process has it open.
    fn is_shared(&self) -> bool;

    /// Returns those of `executors` whose lease has expired, so that their runs may be taken over (RUN-13). A node that
    /// is unknown has expired, and one that has expired stays so. A process does not ask for its own.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the leases cannot be read.
    async fn expired(&self, executors: &BTreeSet<Incarnation>)
    -> Result<BTreeSet<Incarnation>, JournalError>;

    /// Returns true if no other node can have seen the lease of this one as expired by now (NODE-2). An append is checked by
    /// the journal; [`Log::holds_lease`] is for acts that are none. A journal of one process has a lease without an end.
    fn holds_lease(&self) -> bool {
        true
    }

    /// Resolves once [`Self::holds_lease`] is false for good: this process is no node any more, and has to stop what it does
    /// as one before other nodes take its runs over (NODE-2). A further opening of the journal is another node. Cancel
    /// safe.
    async fn lease_lost(&self) {
        std::future::pending().await
    }

    /// Notifies `wake` when another node may have appended to the log of a user, until the guard is dropped. A
    /// notification is a hint: it may be wrong, and one that is lost costs at most a second, since the journal also looks
    /// by itself (NODE-4). A journal that is not shared gives none.
    fn watch(&self, user_id: &UserId, wake: Arc<Notify>) -> Watch {
        let _ = (user_id, wake);
        Watch::default()
    }

    /// Returns the log of one user. Only the user factory calls this (ISO-4).
    fn log(&self, user_id: &UserId) -> Arc<dyn Log>;

    /// Returns the users who have open runs (RUN-6) or erasures under way (DEL-8).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError>;

    /// Returns at most `limit` users who have an open run whose executor has expired, or an accepted message that no node
    /// has started although nothing else of its thread runs: any node may take them over (RUN-13, NODE-3). Of a journal
    /// that is not shared, there are none beyond [`Self::unfinished`] at its opening.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the journal cannot be read.
    async fn abandoned(&self, limit: usize) -> Result<Vec<UserId>, JournalError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// Checks that the journal can be read and written, for `/readyz`.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if it cannot.
    async fn probe(&self) -> Result<(), JournalError> {
        let nobody = UserId::parse(PROBE_USER_ID).expect("it is short and not empty");
        self.log(&nobody).extent().await.map(|_| ())
    }

    /// Returns the sizes of the journal's files; `None` if it has none of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if the size of a file cannot be read.
    async fn file_sizes(&self) -> std::io::Result<Option<FileSizes>> {
        Ok(None)
    }

    /// Returns the bytes that the file system of the journal still has for it; `None` if that cannot be known.
    ///
    /// # Errors
    ///
    /// Returns an error if the file system does not answer.
    async fn free_bytes(&self) -> std::io::Result<Option<u64>> {
        Ok(None)
    }

    /// Trims the entries that exceed a limit of `retention`, oldest first. An entry of an open run is not trimmed, nor
    /// any entry after it.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the journal cannot be read or written. Some entries may have been trimmed.
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
    /// Returns [`AppendError::Conflict`] if the head is not `batch.expected`, or the fence not `batch.fence`, and
    /// [`AppendError::Contended`] if that cannot be known yet. After any other error the batch may or may not be in the
    /// log (DEL-7).
    async fn append(&self, batch: Batch) -> Result<(), AppendError>;

    /// Returns true if no other node can have taken over the runs of this log that this node executes, since its lease is
    /// proven: see [`Journal::holds_lease`]. An agent's tool is invoked only then (NODE-3).
    fn holds_lease(&self) -> bool {
        true
    }

    /// Returns the current range of stored entries.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read.
    async fn extent(&self) -> Result<Extent, JournalError>;

    /// Returns the position that the next append has to name.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read.
    async fn position(&self) -> Result<Position, JournalError>;

    /// Reads entries after `after`, in order, starting at the oldest stored entry if that is later. Returns at
    /// least one entry if there is one, then as many as both limits allow; none at the head.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read, or if the entries are not as they were written.
    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError>;

    /// Reads the last entries before `before`, in ascending order. Returns at least one entry if one is stored there,
    /// then as many as both limits allow; none if every entry before `before` was trimmed, or there is none.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read, or if the entries are not as they were written.
    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError>;

    /// Returns the head, the latest `recent_max` messages, oldest first, and all open runs.
    ///
    /// The result is final: a batch of an earlier append of this log is in it or will never be in the log,
    /// independent of the result of that append.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read, or while the outcome of an earlier append is not known
    /// (DEL-7).
    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError>;

    /// Returns true if a cursor of `epoch` is valid in this log: every entry up to `after` that its client may
    /// have seen is the entry that this log has at that offset (DEL-3).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the log cannot be read.
    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        let _ = (epoch, after);
        Ok(false)
    }

    /// Returns the receipt of a message, independent of its age (DEL-6); `None` if it was never accepted.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError>;

    /// Returns the index record of a run; `None` if this user has no such run (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError>;

    /// Returns the index record of a thread; `None` if this user has no such thread, or it was erased (ISO-3, DEL-8).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError>;

    /// Returns the threads that match a query, the one with the latest [`ThreadRecord::last`] first. The cost depends on
    /// the number of threads that are returned, and not on the length of a thread or of the log (ISO-6).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError>;

    /// Returns the runs of a thread with an entry after `after`, in order of acceptance.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError>;

    /// Returns the runs of a thread whose messages are before the offset `before`, the latest message first. The cost
    /// depends on `limit`, and not on the number of runs of the thread (ISO-6).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError>;

    /// Returns the runs of a thread that were accepted before `before` and have an entry after `after`: open runs
    /// first, then the one that completed last.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError>;

    /// Returns the offsets of the entries of a thread that belong to no run (`thread_updated`, `thread_erased`) on one side
    /// of an offset, the nearest first. The cost depends on `limit`, and not on the length of the thread (ISO-6).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError>;

    /// Returns the offset of the message at `at` if it belongs to the thread, or of the latest message of the thread
    /// if `at` is `None`; `None` if there is no such message.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError>;

    /// Returns the runs on the path from the message at `message` to the root of its thread: its own run first, then
    /// that of its parent, and so on, at most `limit`. The path ends early where the index no longer has a message.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError>;

    /// Erases up to `limit` further entries of an erasure whose intent is stored (DEL-8). Once nothing is left to erase,
    /// returns [`EraseProgress::Done`] with the record, as does each later call.
    ///
    /// The work of one call is bounded by `limit`, independent of the length of the log (ISO-6). After an error the
    /// call may be repeated.
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the journal cannot be written, or has no such erasure.
    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError>;

    /// Returns the record of an erasure; `None` if this user has none of this id (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns a [`JournalError`] if the index cannot be read.
    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError>;
}

/// The limits of one read. The first entry is returned even if it alone exceeds `bytes_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most entries that are returned.
    pub entries_max: usize,
    /// Most bytes of encoded entries, with their line feeds.
    pub bytes_max: usize,
}

/// The range of stored entries: the oldest is `trimmed + 1`, the newest `head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The last trimmed offset; 0 if nothing was trimmed.
    pub trimmed: Offset,
    /// The last offset; 0 for an empty log.
    pub head: Offset,
}

/// The state from which the machines of a user are rebuilt (RUN-6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last offset of the log.
    pub head: Offset,
    /// The fence of the log.
    pub fence: Fence,
    /// The latest messages, oldest first (DEL-6).
    pub recent: Vec<RecentMessage>,
    /// The open runs, in order of acceptance.
    pub unfinished: Vec<RunRecord>,
    /// The resume records of the open runs that were resumed.
    pub resumes: Vec<ResumeRecord>,
    /// The [`Batch::spending`] of the latest batch with an entry (ISO-6).
    pub spending: Spending,
    /// The erasures whose `thread_erased` or `log_erased` is not in the log, in the order of their intents (DEL-8).
    pub erasures: Vec<Erasure>,
}

/// A failure of the storage, for the operator to repair.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The storage does not answer or refuses to. A later attempt may succeed.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// Stored data is not as it was written. A later attempt does not succeed.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

/// The reason for which an append failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Another append came first. Nothing of this batch is in the log.
    #[error("another append came first; the log's head is {head}")]
    Conflict {
        /// The head of the log.
        head: Offset,
    },
    /// Another append to the log is in progress. Nothing of this batch is in the log.
    #[error("another append to the log is in progress")]
    Contended,
    /// The batch may or may not be in the log; the caller has to read the log to find out (DEL-7).
    #[error(transparent)]
    Journal(#[from] JournalError),
}
