//! The journal in one SQLite database, and its logs.

mod erase;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use async_trait::async_trait;
use quintet_kernel::{
    ids::{Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, UserId},
    user::Receipt,
};
use quintet_runtime::{clock, ids, private};
use tokio::sync::{mpsc, oneshot};

use super::{
    backup, check,
    epochs::{self, Epochs, Kinship},
    fault::{BackupError, OpenError, closed},
    lock::FolderLock,
    options::SqliteOptions,
    pool::{ReadSide, Readers},
    reader, rewrite,
    schema::{self, DATABASE_FILE},
    scrub::Scrub,
    space, thread_changes, threads, wal,
    writer::{AppendJob, EraseTurn, TrimOutcome, TrimStep, Writer, WriterCommand},
};
use crate::{
    AppendError, Batch, EraseProgress, ErasureRecord, Extent, FileSizes, Journal, JournalError, Lines, Log,
    Position, ReadLimit, Recovery, Retention, RunRecord, Side, ThreadRecord, ThreadsQuery, Trimmed,
};

/// A journal in one database, in a folder that this process owns. Clones share it. When the last clone and the
/// last log are dropped, pending appends are written and the folder is released.
#[derive(Clone)]
pub struct SqliteJournal {
    shared: Arc<SqliteInner>,
}

struct SqliteInner {
    incarnation: Incarnation,
    epochs: Epochs,
    origin: Epoch,
    /// True once evidence of a rollback has been logged; further evidence is only counted.
    rollback_seen: AtomicBool,
    path: PathBuf,
    options: SqliteOptions,
    side: Arc<ReadSide>,
    /// `None` only during drop.
    ways: Option<Ways>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped after the connections, which the threads have.
    scrub: Scrub,
    /// Dropped last, so that the folder is released only after the last write.
    _lock: FolderLock,
}

/// The channels to the writer and reader threads.
struct Ways {
    writer: mpsc::Sender<WriterCommand>,
    readers: Readers,
}

/// Returns the files of a database: itself, its write-ahead log, and the index of the log.
fn files(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut file = database.as_os_str().to_owned();
        file.push(suffix);
        file.into()
    })
}

impl SqliteJournal {
    /// Opens the journal in `folder`, creating both if necessary.
    ///
    /// Blocks while it opens, migrates and checks the database: call it before serving.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if the folder is in use or not writable, or if the database is damaged,
    /// incomplete, of a newer version, or not a journal.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<SqliteJournal, OpenError> {
        let path = folder.join(DATABASE_FILE);
        let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
        // AUTH-6: conversations are readable by the owner of the process alone.
        private::make_folder(folder, DATABASE_FILE).map_err(unusable)?;
        let mut lock = FolderLock::take(folder)?;
        // Before the first access to these files: links are refused.
        files(&path).iter().try_for_each(|file| private::tighten_file(file)).map_err(unusable)?;
        let without_log = check::log_is_missing(folder, &path, &lock)?;
        let lost = check::lost_entries(&path, options.check_bytes_max)?;
        // Unsynced writes of an earlier process may be in the page cache only.
        wal::settle(&path).map_err(unusable)?;
        rewrite::rewrite_once(&path, options.check_bytes_max)?;
        let mut connection = schema::open_to_write(&path)?;
        files(&path).iter().try_for_each(|file| private::keep_file(file)).map_err(unusable)?;
        check::check(&connection, &path, options.check_bytes_max)?;
        let durable = options.survives_power_loss;
        let fault = |source| super::fault::open_fault(path.clone(), source);
        let lost_log = without_log && schema::is_in_use(&connection).map_err(fault)?;
        if lost_log {
            metrics::counter!("quintet_journal_rollbacks_total", "evidence" => "no_log").increment(1);
            tracing::warn!(
                "the database was in use and its write-ahead log is missing: the entries in the log are lost, and \
                 every client gets a gap; never copy a journal by hand, use `quintet backup`"
            );
        }
        let (identity, epochs) = schema::claim_identity(&mut connection, durable, lost || lost_log)
            .and_then(|claimed| schema::set_durability(&connection, durable).map(|()| claimed))
            .map_err(fault)?;
        if path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            lock.note_journal(identity.origin)?;
        }

        let scrub = Scrub::new(private::open_file(&path).map_err(unusable)?);
        let side = ReadSide::new(path.clone());
        let (readers, mut threads) =
            Readers::start(&side, options.reader_threads, options.waiting_reads_max)?;
        let (commands, waiting) = mpsc::channel(options.waiting_appends_max.max(1));
        let writer =
            Writer::new(path.clone(), connection, side.clone(), (identity.origin, epochs.number), options);
        let thread = std::thread::Builder::new()
            .name("journal-write".into())
            .spawn(move || writer.run(waiting))
            .map_err(OpenError::Thread)?;
        threads.push(thread);
        let ways = Some(Ways { writer: commands, readers });
        Ok(Self {
            shared: Arc::new(SqliteInner {
                incarnation: Incarnation(ids::fresh()),
                epochs,
                origin: identity.origin,
                rollback_seen: AtomicBool::new(false),
                scrub,
                path,
                options,
                side,
                ways,
                threads,
                _lock: lock,
            }),
        })
    }

    /// Copies the journal, as it is at this moment, into the folder `to`, which must not have one; appends continue
    /// meanwhile. The copy is a data folder that can be audited, and served in place of this one.
    ///
    /// # Errors
    ///
    /// Returns [`BackupError`] if `to` has a journal, if the copy cannot be written, or if the journal is damaged.
    pub async fn backup(&self, to: &Path) -> Result<(), BackupError> {
        let (from, to) = (self.shared.path.clone(), to.to_owned());
        let (reply, done) = oneshot::channel();
        // A separate thread: a backup takes long and must not occupy a reader.
        std::thread::Builder::new()
            .name("journal-backup".into())
            .spawn(move || {
                let _ = reply.send(backup::backup(&from, &to, clock::now()));
            })
            .map_err(|error| JournalError::Unavailable(format!("no thread for the backup: {error}")))?;
        done.await.map_err(|_| BackupError::Journal(closed()))?
    }

    /// Closes the journal, even if clones still exist: pending appends are written, the write-ahead log is
    /// checkpointed, and further appends fail.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError::Unavailable`] if the journal is closed already.
    pub async fn close(&self) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.shared.command(WriterCommand::Close(reply)).await?;
        done.await.map_err(|_| closed())
    }

    /// Puts the writer into the state after a sync that failed.
    #[cfg(test)]
    pub(super) async fn fail_sync(&self) {
        let (reply, done) = oneshot::channel();
        let command = WriterCommand::Run(Box::new(move |writer| {
            (writer.suspect, writer.upkeep.in_doubt) = (true, true);
            writer.readers.set_in_doubt(true);
            let _ = reply.send(());
        }));
        self.shared.command(command).await.expect("the writer runs");
        done.await.expect("the writer runs");
    }

    #[cfg(test)]
    pub(super) async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> T + Send + 'static,
    ) -> T {
        let (reply, done) = oneshot::channel();
        let command = WriterCommand::Run(Box::new(move |writer| {
            if let Some(connection) = &mut writer.connection {
                let _ = reply.send(work(connection));
            }
        }));
        self.shared.command(command).await.expect("the writer runs");
        done.await.expect("the writer has a connection")
    }
}

impl SqliteInner {
    async fn command(&self, command: WriterCommand) -> Result<(), JournalError> {
        let ways = self.ways.as_ref().ok_or_else(closed)?;
        ways.writer.send(command).await.map_err(|_| closed())
    }

    /// Waits until every transaction of unknown outcome is resolved. Returns an error while the storage does
    /// not allow it (DEL-7).
    async fn settled(&self) -> Result<(), JournalError> {
        if !self.side.is_in_doubt() {
            return Ok(());
        }
        let (reply, done) = oneshot::channel();
        self.command(WriterCommand::Settle(reply)).await?;
        done.await.map_err(|_| closed())?
    }

    /// Counts a cursor that is evidence that this journal was put back to an earlier state, or that a second
    /// copy of it is served.
    fn rollback(&self, evidence: &'static str) {
        metrics::counter!("quintet_journal_rollbacks_total", "evidence" => evidence).increment(1);
        if !self.rollback_seen.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                evidence,
                "a cursor shows that the journal was put back to an earlier state, or that a copy of it is \
                 served elsewhere; its client gets a gap"
            );
        }
    }

    fn readers(&self) -> Result<&Readers, JournalError> {
        Ok(&self.ways.as_ref().ok_or_else(closed)?.readers)
    }
}

impl Drop for SqliteInner {
    fn drop(&mut self) {
        self.ways = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the journal panicked");
            }
        }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn epoch(&self) -> Epoch {
        self.shared.epochs.current
    }

    fn incarnation(&self) -> Incarnation {
        self.shared.incarnation
    }

    /// The folder is locked: this process alone appends.
    fn is_shared(&self) -> bool {
        false
    }

    async fn expired(
        &self,
        executors: &BTreeSet<Incarnation>,
    ) -> Result<BTreeSet<Incarnation>, JournalError> {
        Ok(executors.iter().copied().filter(|executor| *executor != self.shared.incarnation).collect())
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(SqliteLog { shared: self.shared.clone(), user_id: user_id.clone() })
    }

    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        self.shared.readers()?.run(reader::unfinished).await
    }

    /// Writes and reads, since a ready journal has to do both (DEL-7).
    async fn probe(&self) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.shared.command(WriterCommand::Probe(reply)).await?;
        done.await.map_err(|_| closed())??;
        self.shared.readers()?.run(reader::probe).await
    }

    async fn file_sizes(&self) -> std::io::Result<Option<FileSizes>> {
        let database = tokio::fs::metadata(&self.shared.path).await?.len();
        let write_ahead_log = match tokio::fs::metadata(wal::log_of(&self.shared.path)).await {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Some(FileSizes { database, write_ahead_log }))
    }

    async fn free_bytes(&self) -> std::io::Result<Option<u64>> {
        let path = self.shared.path.clone();
        let asked = tokio::task::spawn_blocking(move || space::free_bytes(space::folder(&path)));
        asked.await.map_err(std::io::Error::other)?
    }

    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError> {
        let run_records_max = self.shared.options.run_records_max;
        let mut next = Some(TrimStep { retention, now, run_records_max, done: 0, counted: 0 });
        let mut trimmed = Trimmed::default();
        while let Some(turn) = next {
            let (reply, done) = oneshot::channel();
            self.shared.command(WriterCommand::Trim { turn, reply }).await?;
            let TrimOutcome { trimmed: now_trimmed, next: then } = done.await.map_err(|_| closed())??;
            trimmed.users += now_trimmed.users;
            trimmed.entries += now_trimmed.entries;
            next = then;
        }
        Ok(trimmed)
    }
}

/// The log of one user.
struct SqliteLog {
    shared: Arc<SqliteInner>,
    user_id: UserId,
}

impl SqliteLog {
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut rusqlite::Connection, &UserId) -> Result<T, super::fault::ReadFailure>
        + Send
        + 'static,
    ) -> Result<T, JournalError> {
        let user_id = self.user_id.clone();
        self.shared.readers()?.run(move |connection| query(connection, &user_id)).await
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let (reply, done) = oneshot::channel();
        let append = AppendJob { user_id: self.user_id.clone(), batch, reply };
        self.shared.command(WriterCommand::Append(append)).await?;
        // A writer that ended without a reply may have committed (DEL-7).
        done.await.map_err(|_| closed())?
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        self.query(reader::extent).await
    }

    async fn position(&self) -> Result<Position, JournalError> {
        self.query(reader::position).await
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.query(move |connection, user_id| reader::read(connection, user_id, after, limit)).await
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.query(move |connection, user_id| reader::read_before(connection, user_id, before, limit)).await
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        self.shared.settled().await?;
        self.query(move |connection, user_id| reader::recovery(connection, user_id, recent_max)).await
    }

    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        let number = match self.shared.epochs.kinship(epoch) {
            Kinship::Own(number) if number == self.shared.epochs.number => return Ok(true),
            Kinship::Own(number) => number,
            Kinship::OtherCopy => {
                self.shared.rollback("epoch");
                return Ok(false);
            }
            Kinship::Foreign => return Ok(false),
        };
        let shared = self
            .query(move |connection, user_id| epochs::shared_through(connection, user_id, number))
            .await?;
        let through = match shared {
            Some(offset) => offset,
            // Nothing was appended since, so the log still ends where that epoch ended.
            None => self.extent().await?.head,
        };
        if after > through {
            self.shared.rollback("offset");
        }
        Ok(after <= through)
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        let message_id = message_id.clone();
        let origin = self.shared.origin;
        self.query(move |connection, user_id| reader::message(connection, user_id, &message_id, origin)).await
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.query(move |connection, user_id| reader::run(connection, user_id, run_id)).await
    }

    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| threads::one(connection, user_id, &thread_id)).await
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        self.query(move |connection, user_id| threads::find(connection, user_id, query)).await
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| {
            reader::thread_runs(connection, user_id, &thread_id, after, limit)
        })
        .await
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| {
            reader::thread_runs_before(connection, user_id, &thread_id, before, limit)
        })
        .await
    }

    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| {
            reader::thread_runs_ending(connection, user_id, &thread_id, before, after, limit)
        })
        .await
    }

    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| {
            thread_changes::find(connection, user_id, &thread_id, side, limit)
        })
        .await
    }

    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        let thread_id = thread_id.clone();
        self.query(move |connection, user_id| reader::thread_message(connection, user_id, &thread_id, at))
            .await
    }

    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.query(move |connection, user_id| reader::path(connection, user_id, message, limit)).await
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        let user_id = self.user_id.clone();
        let turn = self.shared.in_transaction(move |writer| writer.erase(&user_id, receipt, limit)).await?;
        match turn {
            EraseTurn::Working => Ok(EraseProgress::Working),
            EraseTurn::TablesDone => self.erase_from_files(receipt).await,
            EraseTurn::Done(record) => Ok(EraseProgress::Done(record)),
        }
    }

    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        self.query(move |connection, user_id| reader::erasure(connection, user_id, receipt)).await
    }
}
