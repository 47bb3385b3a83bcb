//! Look-ups in the index of a user's log that front ends of other protocols need.

use super::handle::User;
use crate::{
    journal::{JournalError, RunRecord},
    kernel::{
        ids::{MessageId, Offset, ThreadId},
        user::Receipt,
    },
};

impl User {
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
