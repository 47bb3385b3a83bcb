//! Commands about threads: their properties, and their erasure (DEL-8).

use super::batch::Working;
use crate::{
    batch::BatchBuilder,
    handle::RequestError,
    kernel::{
        ids::{ReceiptId, ThreadId, Timestamp},
        user::{Command, EraseScope, Erasure, ThreadProperties, ThreadUpdate, UpdateThread},
    },
};

impl Working<'_> {
    pub(super) async fn update_thread(
        &mut self,
        batch: &mut BatchBuilder,
        thread_id: ThreadId,
        update: ThreadUpdate,
        at: Timestamp,
    ) -> Result<(), RequestError> {
        self.require_bytes_of_day(batch, at)?;
        let current = self.properties(batch, &thread_id).await?;
        self.done(batch, Command::UpdateThread(UpdateThread { thread_id, update, current }), at)
    }

    /// Returns the properties of a thread after the entries of the batch; `None` if the user has no such thread.
    async fn properties(
        &mut self,
        batch: &BatchBuilder,
        thread_id: &ThreadId,
    ) -> Result<Option<ThreadProperties>, RequestError> {
        if let Some(updated) = batch.properties_of(thread_id) {
            return Ok(Some(updated));
        }
        let kept = self.hub.log.thread(thread_id).await?;
        let kept = kept.map(|thread| ThreadProperties { title: thread.title, archived: thread.archived });
        // The thread may begin with a message of this batch.
        Ok(kept.or_else(|| self.known.view.has_recent(thread_id).then(ThreadProperties::default)))
    }

    /// Begins an erasure. Always permitted, also past the bytes of the user's day: it frees them.
    pub(super) fn erase(
        &mut self,
        batch: &mut BatchBuilder,
        scope: EraseScope,
        receipt: ReceiptId,
        at: Timestamp,
    ) -> Result<Erasure, RequestError> {
        match self.decide(batch, Command::Erase { scope, receipt }, at) {
            Some(Ok(_)) => {
                let begun = self.known.view.erasures().iter().find(|erasure| erasure.receipt == receipt);
                begun.cloned().ok_or(RequestError::Unavailable)
            }
            Some(Err(refusal)) => {
                self.note_refusal(&refusal);
                Err(refusal.into())
            }
            None => Err(RequestError::Unavailable),
        }
    }
}
