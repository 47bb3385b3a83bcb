//! Messages that a run takes while it executes (RUN-12).
//!
//! Guarantee: the append that ends the runs of the messages as `merged` is durable before the agent has their texts, so
//! that no other run takes them, and a resumed run finds them in the log.

use super::batch::Working;
use crate::{
    agent::host::{Message, RunEnded},
    batch::BatchBuilder,
    journal::JournalError,
    kernel::{
        entry::{Body, Entry},
        ids::{Offset, RunId, Timestamp},
        user::{Command, Reply, TakenMessage},
    },
    recovery,
};

impl Working<'_> {
    pub(super) async fn take_messages(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        at: Timestamp,
    ) -> Result<Vec<Message>, RunEnded> {
        let taken = match self.decide(batch, Command::TakeMessages { run_id }, at) {
            Some(Ok((Reply::Taken(taken), _))) => taken,
            Some(Ok(_)) | None => return Err(RunEnded::Unavailable),
            Some(Err(_)) => return Err(RunEnded::Ended),
        };
        let mut messages = Vec::new();
        for TakenMessage { message_id, offset } in taken {
            match self.text(batch, offset).await {
                Ok(text) => messages.push(Message { message_id, text, offset }),
                Err(error) => {
                    tracing::error!(%run_id, %error, "a message cannot be read back");
                    // The batch is not appended: the messages wait on.
                    batch.set_stale();
                    return Err(RunEnded::Unavailable);
                }
            }
        }
        Ok(messages)
    }

    async fn text(&mut self, batch: &BatchBuilder, offset: Offset) -> Result<String, JournalError> {
        match batch.entry(offset).and_then(Entry::run).map(|entry| &entry.body) {
            Some(Body::UserMessage { text, .. }) => Ok(text.clone()),
            Some(Body::Event { .. }) | None => {
                recovery::text(&*self.hub.log, &self.hub.user_id, offset).await
            }
        }
    }
}
