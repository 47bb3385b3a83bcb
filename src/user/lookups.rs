//! Look-ups in the index of a user's log that front ends of other protocols need.

use super::handle::User;
use crate::{
    journal::{JournalError, RunRecord},
    kernel::{
        ids::{MessageId, Offset, ReceiptId, ThreadId},
        user::{EraseScope, Receipt},
    },
    wire::threads::ErasureInfo,
};

impl User {
    /// Returns the receipt of an erasure as clients get it; `None` if this user has none of this id (ISO-3, DEL-8).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn receipt(&self, receipt: ReceiptId) -> Result<Option<ErasureInfo>, JournalError> {
        let record = self.erasure(receipt).await?;
        Ok(record.map(|record| ErasureInfo {
            receipt: record.receipt,
            thread_id: match record.scope {
                EraseScope::Thread(thread_id) => Some(thread_id),
                EraseScope::Log => None,
            },
            erased_through: record.through,
            chain_head: record.chain_head.to_string(),
            requested_at: record.requested_at,
            completed_at: record.completed_at,
            entries: record.entries,
        }))
    }

    /// Returns the receipt of a message; `None` if this user has not sent it (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        self.log().message(message_id).await
    }

    /// Returns the runs on the path from a message to the root of its thread, that of the message first; without
    /// `message`, from the latest message of the thread. Returns none if the user has no such message (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn path(
        &self,
        thread_id: &ThreadId,
        message: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        match self.log().thread_message(thread_id, message).await? {
            Some(message) => self.log().path(message, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns the open runs of a thread, in order of acceptance, so that the active one is the first.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn open_runs(
        &self,
        thread_id: &ThreadId,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        // Of the completed runs, none has an entry after the end of the log.
        let mut runs = self.log().thread_runs(thread_id, Offset(u64::MAX), limit).await?;
        runs.retain(|run| run.completed.is_none());
        Ok(runs)
    }
}
