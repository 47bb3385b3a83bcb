//! Journals that wrap another journal.

use std::{collections::BTreeSet, io, sync::Arc};

use async_trait::async_trait;
use quintet_kernel::ids::{Epoch, Incarnation, Timestamp, UserId};
use tokio::sync::Notify;

use crate::{FileSizes, Journal, JournalError, Log, Retention, Trimmed, Watch};

/// A journal that wraps another one, such as a test's fault. Each method passes the call on to [`inner`](Self::inner) unless
/// it is overridden; its contract is that of [`Journal`], which every layer implements. Its logs are wrapped by a
/// [`LogLayer`](crate::LogLayer).
#[async_trait]
pub trait JournalLayer: Send + Sync + 'static {
    /// Returns the wrapped journal.
    fn inner(&self) -> &dyn Journal;

    /// See [`Journal::epoch`].
    fn epoch(&self) -> Epoch {
        self.inner().epoch()
    }

    /// See [`Journal::incarnation`].
    fn incarnation(&self) -> Incarnation {
        self.inner().incarnation()
    }

    /// See [`Journal::is_shared`].
    fn is_shared(&self) -> bool {
        self.inner().is_shared()
    }

    /// See [`Journal::expired`].
    async fn expired(
        &self,
        executors: &BTreeSet<Incarnation>,
    ) -> Result<BTreeSet<Incarnation>, JournalError> {
        self.inner().expired(executors).await
    }

    /// See [`Journal::holds_lease`].
    fn holds_lease(&self) -> bool {
        self.inner().holds_lease()
    }

    /// See [`Journal::lease_lost`].
    async fn lease_lost(&self) {
        self.inner().lease_lost().await;
    }

    /// See [`Journal::watch`].
    fn watch(&self, user_id: &UserId, wake: Arc<Notify>) -> Watch {
        self.inner().watch(user_id, wake)
    }

    /// See [`Journal::log`].
    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        self.inner().log(user_id)
    }

    /// See [`Journal::unfinished`].
    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        self.inner().unfinished().await
    }

    /// See [`Journal::abandoned`].
    async fn abandoned(&self, limit: usize) -> Result<Vec<UserId>, JournalError> {
        self.inner().abandoned(limit).await
    }

    /// See [`Journal::probe`].
    async fn probe(&self) -> Result<(), JournalError> {
        self.inner().probe().await
    }

    /// See [`Journal::file_sizes`].
    async fn file_sizes(&self) -> io::Result<Option<FileSizes>> {
        self.inner().file_sizes().await
    }

    /// See [`Journal::free_bytes`].
    async fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.inner().free_bytes().await
    }

    /// See [`Journal::trim`].
    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError> {
        self.inner().trim(retention, now).await
    }
}

#[async_trait]
impl<J: JournalLayer> Journal for J {
    fn epoch(&self) -> Epoch {
        JournalLayer::epoch(self)
    }

    fn incarnation(&self) -> Incarnation {
        JournalLayer::incarnation(self)
    }

    fn is_shared(&self) -> bool {
        JournalLayer::is_shared(self)
    }

    async fn expired(
        &self,
        executors: &BTreeSet<Incarnation>,
    ) -> Result<BTreeSet<Incarnation>, JournalError> {
        JournalLayer::expired(self, executors).await
    }

    fn holds_lease(&self) -> bool {
        JournalLayer::holds_lease(self)
    }

    async fn lease_lost(&self) {
        JournalLayer::lease_lost(self).await;
    }

    fn watch(&self, user_id: &UserId, wake: Arc<Notify>) -> Watch {
        JournalLayer::watch(self, user_id, wake)
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        JournalLayer::log(self, user_id)
    }

    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        JournalLayer::unfinished(self).await
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<UserId>, JournalError> {
        JournalLayer::abandoned(self, limit).await
    }

    async fn probe(&self) -> Result<(), JournalError> {
        JournalLayer::probe(self).await
    }

    async fn file_sizes(&self) -> io::Result<Option<FileSizes>> {
        JournalLayer::file_sizes(self).await
    }

    async fn free_bytes(&self) -> io::Result<Option<u64>> {
        JournalLayer::free_bytes(self).await
    }

    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError> {
        JournalLayer::trim(self, retention, now).await
    }
}
