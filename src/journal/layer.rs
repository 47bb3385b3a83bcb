//! Logs that wrap another log.

use async_trait::async_trait;
use quintet_kernel::{
    ids::{Epoch, MessageId, Offset, ReceiptId, RunId, ThreadId},
    user::Receipt,
};

use crate::{
    AppendError, Batch, EraseProgress, ErasureRecord, Extent, JournalError, Lines, Log, Position, ReadLimit,
    Recovery, RunRecord, Side, ThreadRecord, ThreadsQuery,
};

/// A log that wraps another one, such as an observer or a test's fault. Each method passes the call on to
/// [`inner`](Self::inner) unless it is overridden; its contract is that of [`Log`], which every layer implements.
///
/// # Examples
///
/// ```
/// use std::sync::{
///     Arc,
///     atomic::{AtomicUsize, Ordering},
/// };
///
/// use async_trait::async_trait;
/// use quintet_journal::{AppendError, Batch, Log, LogLayer};
///
/// struct Counted {
///     log: Arc<dyn Log>,
///     appends: AtomicUsize,
/// }
///
/// #[async_trait]
/// impl LogLayer for Counted {
///     fn inner(&self) -> &dyn Log {
///         &*self.log
///     }
///
///     async fn append(&self, batch: Batch) -> Result<(), AppendError> {
///         self.appends.fetch_add(1, Ordering::Relaxed);
///         self.log.append(batch).await
///     }
/// }
/// ```
#[async_trait]
pub trait LogLayer: Send + Sync + 'static {
    /// Returns the wrapped log.
    fn inner(&self) -> &dyn Log;

    /// See [`Log::append`].
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        self.inner().append(batch).await
    }

    /// See [`Log::holds_lease`].
    fn holds_lease(&self) -> bool {
        self.inner().holds_lease()
    }

    /// See [`Log::extent`].
    async fn extent(&self) -> Result<Extent, JournalError> {
        self.inner().extent().await
    }

    /// See [`Log::position`].
    async fn position(&self) -> Result<Position, JournalError> {
        self.inner().position().await
    }

    /// See [`Log::read`].
    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.inner().read(after, limit).await
    }

    /// See [`Log::read_before`].
    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.inner().read_before(before, limit).await
    }

    /// See [`Log::recovery`].
    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        self.inner().recovery(recent_max).await
    }

    /// See [`Log::continues`].
    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        self.inner().continues(epoch, after).await
    }

    /// See [`Log::message`].
    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        self.inner().message(message_id).await
    }

    /// See [`Log::run`].
    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.inner().run(run_id).await
    }

    /// See [`Log::thread`].
    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        self.inner().thread(thread_id).await
    }

    /// See [`Log::threads`].
    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        self.inner().threads(query).await
    }

    /// See [`Log::thread_runs`].
    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.inner().thread_runs(thread_id, after, limit).await
    }

    /// See [`Log::thread_runs_before`].
    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.inner().thread_runs_before(thread_id, before, limit).await
    }

    /// See [`Log::thread_runs_ending`].
    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.inner().thread_runs_ending(thread_id, before, after, limit).await
    }

    /// See [`Log::thread_changes`].
    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        self.inner().thread_changes(thread_id, side, limit).await
    }

    /// See [`Log::thread_message`].
    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        self.inner().thread_message(thread_id, at).await
    }

    /// See [`Log::path`].
    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.inner().path(message, limit).await
    }

    /// See [`Log::erase_step`].
    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        self.inner().erase_step(receipt, limit).await
    }

    /// See [`Log::erasure`].
    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        self.inner().erasure(receipt).await
    }
}

#[async_trait]
impl<L: LogLayer> Log for L {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        LogLayer::append(self, batch).await
    }

    fn holds_lease(&self) -> bool {
        LogLayer::holds_lease(self)
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        LogLayer::extent(self).await
    }

    async fn position(&self) -> Result<Position, JournalError> {
        LogLayer::position(self).await
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        LogLayer::read(self, after, limit).await
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        LogLayer::read_before(self, before, limit).await
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        LogLayer::recovery(self, recent_max).await
    }

    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        LogLayer::continues(self, epoch, after).await
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        LogLayer::message(self, message_id).await
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        LogLayer::run(self, run_id).await
    }

    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        LogLayer::thread(self, thread_id).await
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        LogLayer::threads(self, query).await
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        LogLayer::thread_runs(self, thread_id, after, limit).await
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        LogLayer::thread_runs_before(self, thread_id, before, limit).await
    }

    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        LogLayer::thread_runs_ending(self, thread_id, before, after, limit).await
    }

    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        LogLayer::thread_changes(self, thread_id, side, limit).await
    }

    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        LogLayer::thread_message(self, thread_id, at).await
    }

    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        LogLayer::path(self, message, limit).await
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        LogLayer::erase_step(self, receipt, limit).await
    }

    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        LogLayer::erasure(self, receipt).await
    }
}
