//! The steps of an erasure outside of the tables: the write-ahead log is emptied, and the file is searched for remains
//! (DEL-8, [`scrub`](super::super::scrub)).

use quintet_kernel::ids::ReceiptId;
use quintet_runtime::clock;
use tokio::sync::oneshot;

use super::super::{
    fault::{WriteError, closed},
    lock::CopyLock,
    writer::{Writer, WriterCommand},
};
use super::{SqliteInner, SqliteLog};
use crate::{EraseProgress, JournalError};

impl SqliteLog {
    /// Makes one step of the search for remains, and completes the erasure once nothing is left ([`scrub`]).
    pub(super) async fn erase_from_files(&self, receipt: ReceiptId) -> Result<EraseProgress, JournalError> {
        let mut rounds = self.shared.scrub.rounds.lock().await;
        if !rounds.has(receipt) {
            self.shared.empty_log(vec![]).await?;
            rounds.join(receipt);
        }
        self.shared.scrub.search(&mut rounds).await?;
        let dirty = rounds.dirty();
        if !dirty.is_empty() {
            self.shared.empty_log(dirty).await?;
            rounds.cleaned();
        }
        if !rounds.is_round(receipt) {
            return Ok(EraseProgress::Working);
        }
        // The log may have pages from before they were cleaned.
        self.shared.empty_log(vec![]).await?;
        let (user_id, now) = (self.user_id.clone(), clock::now());
        let complete = move |writer: &mut Writer| writer.complete_erasure(&user_id, receipt, now);
        let record = self.shared.in_transaction(complete).await?;
        rounds.leave(receipt);
        Ok(EraseProgress::Done(record))
    }
}

impl SqliteInner {
    /// Runs `work` in the writer thread, in a transaction.
    pub(super) async fn in_transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, done) = oneshot::channel();
        let command = WriterCommand::Run(Box::new(move |writer| {
            // A caller that is gone repeats its step.
            let _ = reply.send(writer.in_transaction(work).map_err(WriteError::into_error));
        }));
        self.command(command).await?;
        done.await.map_err(|_| closed())?
    }

    /// Brings the write-ahead log to the database and empties its file, then overwrites the unused space of the
    /// `dirty` pages (DEL-8). Waits for a backup in progress, which reads the log.
    async fn empty_log(&self, dirty: Vec<u32>) -> Result<(), JournalError> {
        if self.try_empty_log(dirty.clone()).await? {
            return Ok(());
        }
        let (reply, done) = oneshot::channel();
        let path = self.path.clone();
        // A separate thread: a backup takes long.
        std::thread::Builder::new()
            .name("journal-wait".into())
            .spawn(move || drop(reply.send(CopyLock::wait(&path))))
            .map_err(|error| JournalError::Unavailable(format!("no thread to wait for a backup: {error}")))?;
        let _alone = done.await.map_err(|_| closed())??;
        match self.try_empty_log(dirty).await? {
            true => Ok(()),
            false => Err(JournalError::Unavailable(
                "an erasure waits until no other process reads the database".into(),
            )),
        }
    }

    /// Returns false if something reads the log.
    async fn try_empty_log(&self, dirty: Vec<u32>) -> Result<bool, JournalError> {
        let (reply, done) = oneshot::channel();
        let pages = self.scrub.pages.clone();
        let command = WriterCommand::Run(Box::new(move |writer| {
            // A caller that is gone repeats its step.
            let _ = reply.send(writer.empty_log(&pages, &dirty));
        }));
        self.command(command).await?;
        done.await.map_err(|_| closed())?
    }
}
