//! A journal that outlives its host, and fails as a seed determines: an append refused, an append done and
//! not confirmed, a read that fails, and each of them slow.
//!
//! The outcome of an operation is a function of the seed, the operation and the time, not of earlier
//! operations: two readers that are woken in either order get the same.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use quintet::{
    journal::{
        AppendError, Batch, EraseProgress, ErasureRecord, Extent, Journal, JournalError, JournalLayer, Lines,
        Log, Position, ReadLimit, Recovery, RunRecord, Side, ThreadRecord, ThreadsQuery,
        memory::MemoryJournal,
    },
    kernel::{
        ids::{Epoch, MessageId, Offset, ReceiptId, RunId, ThreadId, UserId},
        user::Receipt,
    },
    runtime::clock,
};

/// The failure rates of a journal, per thousand operations.
#[derive(Clone, Copy, Debug, Default)]
pub struct JournalFaults {
    /// Appends that are refused without an effect.
    pub refused: u64,
    /// Appends that are done, and reported as failed (DEL-7).
    pub unconfirmed: u64,
    /// Reads that fail.
    pub unread: u64,
    /// Longest time of an operation, half of it before it takes effect.
    pub takes_ms_max: u64,
}

/// The journal, held outside all hosts. Clones share it.
#[derive(Clone)]
pub struct Trouble {
    /// The stored data.
    pub inner: MemoryJournal,
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    faults: Mutex<JournalFaults>,
    failures: AtomicU64,
}

struct TroubledLog {
    inner: Arc<dyn Log>,
    shared: Arc<Shared>,
    user_id: UserId,
}

/// The seed's decision for one operation.
struct Fate {
    /// 0 to 999.
    luck: u64,
    half: Duration,
}

impl Trouble {
    pub fn new(seed: u64) -> Self {
        let shared = Shared { seed, faults: Mutex::default(), failures: AtomicU64::new(0) };
        Self { inner: MemoryJournal::default(), shared: Arc::new(shared) }
    }

    pub fn set_faults(&self, faults: JournalFaults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    /// How many operations have failed.
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn faults(&self) -> JournalFaults {
        *self.faults.lock().unwrap()
    }

    fn fate(&self, operation: &str, user_id: &str, about: u64) -> Fate {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, about, clock::now().0] {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(operation.as_bytes()).update(user_id.as_bytes());
        let hash = hasher.finalize();
        let drawn = |at: usize| u64::from(u16::from_be_bytes([hash.as_bytes()[at], hash.as_bytes()[at + 1]]));
        let takes_ms = drawn(2) % (self.faults().takes_ms_max + 1);
        Fate { luck: drawn(0) % 1000, half: Duration::from_millis(takes_ms.div_ceil(2)) }
    }

    fn failed(&self) -> JournalError {
        self.failures.fetch_add(1, Ordering::Relaxed);
        JournalError::Unavailable("as the seed wants it".to_owned())
    }

    async fn reads<T>(
        &self,
        operation: &str,
        user_id: &str,
        about: u64,
        read: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let fate = self.fate(operation, user_id, about);
        pause(fate.half).await;
        if fate.luck < self.faults().unread {
            return Err(self.failed());
        }
        let found = read.await;
        pause(fate.half).await;
        found
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl JournalLayer for Trouble {
    fn inner(&self) -> &dyn Journal {
        &self.inner
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        let (inner, shared) = (self.inner.log(user_id), self.shared.clone());
        Arc::new(TroubledLog { inner, shared, user_id: user_id.clone() })
    }

    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        self.shared.reads("unfinished", "", 0, self.inner.unfinished()).await
    }
}

#[async_trait]
impl Log for TroubledLog {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let fate = self.shared.fate("append", self.user_id.as_str(), batch.expected.0);
        pause(fate.half).await;
        let faults = self.shared.faults();
        if fate.luck < faults.refused {
            return Err(self.shared.failed().into());
        }
        self.inner.append(batch).await?;
        pause(fate.half).await;
        if fate.luck < faults.refused + faults.unconfirmed {
            return Err(self.shared.failed().into());
        }
        Ok(())
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        self.shared.reads("extent", self.user_id.as_str(), 0, self.inner.extent()).await
    }

    async fn position(&self) -> Result<Position, JournalError> {
        self.shared.reads("position", self.user_id.as_str(), 0, self.inner.position()).await
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.shared.reads("read", self.user_id.as_str(), after.0, self.inner.read(after, limit)).await
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let read = self.inner.read_before(before, limit);
        self.shared.reads("read_before", self.user_id.as_str(), before.0, read).await
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        self.shared.reads("recovery", self.user_id.as_str(), 0, self.inner.recovery(recent_max)).await
    }

    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        self.shared
            .reads("continues", self.user_id.as_str(), after.0, self.inner.continues(epoch, after))
            .await
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        self.shared.reads("message", message_id.as_str(), 0, self.inner.message(message_id)).await
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.shared.reads("run", self.user_id.as_str(), 0, self.inner.run(run_id)).await
    }

    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        self.shared.reads("thread", thread_id.as_str(), 0, self.inner.thread(thread_id)).await
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        self.shared.reads("threads", self.user_id.as_str(), 0, self.inner.threads(query)).await
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let runs = self.inner.thread_runs(thread_id, after, limit);
        self.shared.reads("thread_runs", self.user_id.as_str(), after.0, runs).await
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let runs = self.inner.thread_runs_before(thread_id, before, limit);
        let at = before.map_or(0, |before| before.0);
        self.shared.reads("thread_runs_before", self.user_id.as_str(), at, runs).await
    }

    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let runs = self.inner.thread_runs_ending(thread_id, before, after, limit);
        self.shared.reads("thread_runs_ending", self.user_id.as_str(), before.0, runs).await
    }

    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        let (Side::After(at) | Side::Before(at)) = side;
        let changes = self.inner.thread_changes(thread_id, side, limit);
        self.shared.reads("thread_changes", self.user_id.as_str(), at.0, changes).await
    }

    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        let found = self.inner.thread_message(thread_id, at);
        self.shared.reads("thread_message", self.user_id.as_str(), at.map_or(0, |at| at.0), found).await
    }

    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.shared.reads("path", self.user_id.as_str(), message.0, self.inner.path(message, limit)).await
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        let step = self.inner.erase_step(receipt, limit);
        self.shared.reads("erase_step", self.user_id.as_str(), 0, step).await
    }

    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        self.shared.reads("erasure", self.user_id.as_str(), 0, self.inner.erasure(receipt)).await
    }
}
