//! The writer thread: appends that are waiting at the same time share one transaction and one `fsync`.
//!
//! Guarantee: an append is acknowledged only after its transaction is committed (DEL-1, DEL-7). A failed
//! transaction discards all cached state, and the next one starts from the state on disk. So the writer
//! recovers by itself once the cause is gone ([`upkeep`]).

mod erase;
mod lines;
mod trim;
mod upkeep;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use quintet_kernel::{
    ids::{Epoch, Incarnation, Offset, UserId},
    spending::Spending,
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use self::upkeep::Upkeep;
pub(super) use self::{
    erase::EraseTurn,
    trim::{TrimOutcome, TrimStep},
};
use super::{
    epochs, erasures,
    fault::WriteError,
    options::{SqliteOptions, USERS_AT_HAND_MAX},
    pool::ReadSide,
    resumes, thread_changes, threads,
};
use crate::{
    AppendError, Batch, Fence, JournalError,
    chain::ChainHash,
    engine::{AcceptedMessage, Changes, RunChange, hashed, status_text, unfit},
};

/// An order to the writer.
pub(super) enum WriterCommand {
    Append(AppendJob),
    Trim {
        turn: TrimStep,
        reply: oneshot::Sender<Result<TrimOutcome, JournalError>>,
    },
    Probe(oneshot::Sender<Result<(), JournalError>>),
    /// Resolves the outcome of every earlier transaction: it is in the log and visible, or never will be
    /// (DEL-7).
    Settle(oneshot::Sender<Result<(), JournalError>>),
    /// The last order: replies when all earlier orders are done and the database is closed.
    Close(oneshot::Sender<()>),
    /// A step of an erasure (DEL-8), or of a test.
    Run(Box<dyn FnOnce(&mut Writer) + Send>),
}

pub(super) struct AppendJob {
    pub user_id: UserId,
    pub batch: Batch,
    pub reply: oneshot::Sender<Result<(), AppendError>>,
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    origin: Epoch,
    /// Number of the current epoch.
    epoch_number: i64,
    pub(super) options: SqliteOptions,
    pub(super) readers: Arc<ReadSide>,
    /// `None` only if a new one could not be opened.
    pub(super) connection: Option<Connection>,
    /// True after a storage fault: the connection must not be used any more.
    pub(super) suspect: bool,
    pub(super) upkeep: Upkeep,
    users: HashMap<UserId, UserRow>,
    /// The members of `users` that the open transaction has changed.
    changed: Vec<UserId>,
    /// The id of this process once it has resumed a run, to uncount its resumes on a clean shutdown (RUN-6).
    pub(super) incarnation: Option<Incarnation>,
}

/// A row of `users`, as of the open transaction.
#[derive(Clone, Copy)]
struct UserRow {
    /// `None` if the row does not exist yet.
    id: Option<i64>,
    head: Offset,
    fence: Fence,
    chain: ChainHash,
    new_runs: u64,
    new_bytes: u64,
    spending: Spending,
    /// Its head before the first entry of this epoch is in `epoch_heads`.
    epoch_noted: bool,
}

impl UserRow {
    /// The row of a log that nothing was appended to by the open transaction.
    fn new(head: Offset, fence: Fence, chain: ChainHash) -> Self {
        let (new_runs, new_bytes, spending) = (0, 0, Spending::default());
        Self { id: None, head, fence, chain, new_runs, new_bytes, spending, epoch_noted: false }
    }
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        connection: Connection,
        readers: Arc<ReadSide>,
        (origin, epoch_number): (Epoch, i64),
        options: SqliteOptions,
    ) -> Self {
        Self {
            path,
            origin,
            epoch_number,
            options,
            readers,
            connection: Some(connection),
            suspect: false,
            upkeep: Upkeep::default(),
            users: HashMap::new(),
            changed: Vec::new(),
            incarnation: None,
        }
    }

    /// Executes orders until all senders are dropped, or until `Close` and an empty queue.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<WriterCommand>) {
        let mut closers = Vec::new();
        while let Some(command) = commands.blocking_recv() {
            let mut next = Some(command);
            while let Some(command) = next.take() {
                match command {
                    WriterCommand::Append(first) => {
                        let (group, other) = self.gather(first, &mut commands);
                        self.commit(group);
                        next = other;
                    }
                    WriterCommand::Trim { turn, reply } => {
                        let result = self.in_transaction(|writer| writer.trim(&turn));
                        // The caller may be gone; the trimming is committed in any case.
                        let _ = reply.send(result.map_err(WriteError::into_error));
                    }
                    WriterCommand::Probe(reply) => {
                        let _ = reply.send(self.probe());
                    }
                    WriterCommand::Settle(reply) => {
                        // A caller that is gone asks again.
                        let _ = reply.send(self.settle());
                    }
                    WriterCommand::Close(closer) => {
                        commands.close();
                        closers.push(closer);
                    }
                    WriterCommand::Run(work) => work(&mut self),
                }
                self.tidy();
            }
        }
        // Without `Close` this is no clean shutdown, so the resumes stay counted (RUN-6).
        if !closers.is_empty() {
            self.release_resumes();
        }
        self.close();
        for closer in closers {
            // The caller may have stopped waiting.
            let _ = closer.send(());
        }
    }

    /// Returns the waiting appends, within the limits of one commit, and the order that follows them.
    fn gather(
        &self,
        first: AppendJob,
        commands: &mut mpsc::Receiver<WriterCommand>,
    ) -> (Vec<AppendJob>, Option<WriterCommand>) {
        let mut bytes = first.batch.lines.as_bytes().len();
        let mut group = vec![first];
        while group.len() < self.options.commit_batches_max && bytes < self.options.commit_bytes_max {
            match commands.try_recv() {
                Ok(WriterCommand::Append(append)) => {
                    bytes += append.batch.lines.as_bytes().len();
                    group.push(append);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    fn commit(&mut self, group: Vec<AppendJob>) {
        let outcome =
            self.in_transaction(|writer| group.iter().map(|append| writer.append(append)).collect());
        match outcome {
            Ok(verdicts) => {
                let verdicts: Vec<_> = verdicts;
                for (append, verdict) in group.into_iter().zip(verdicts) {
                    // A caller that is gone finds the outcome in the log.
                    let _ = append.reply.send(verdict);
                }
            }
            // One of them contradicts the index: commit each separately.
            Err(WriteError::InvalidEntry(_)) if group.len() > 1 => {
                group.into_iter().for_each(|append| self.commit(vec![append]));
            }
            Err(failure) => {
                let error = failure.into_error();
                tracing::error!(%error, batches = group.len(), "commit failed");
                for append in group {
                    let _ = append.reply.send(Err(AppendError::Journal(error.clone())));
                }
            }
        }
    }

    /// Runs `work` in one transaction. After a failure the cached state is discarded.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let result = self.begin().and_then(|()| work(self)).and_then(|value| {
            self.save_users()?;
            self.connection()?.prepare_cached("COMMIT")?.execute([])?;
            Ok(value)
        });
        match &result {
            Ok(_) => {}
            Err(failure) => {
                self.users.clear();
                self.changed.clear();
                let rolled_back = self.connection.as_ref().is_some_and(|connection| {
                    connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
                });
                // The state of a connection after a storage fault is not reliable.
                if let WriteError::Sql(error) = failure {
                    self.upkeep.note(error);
                    self.suspect = true;
                    // Before the outcome is reported: a log that is read back after it waits for the
                    // transaction (DEL-7).
                    if self.upkeep.in_doubt {
                        self.readers.set_in_doubt(true);
                    }
                }
                self.suspect |= !rolled_back;
            }
        }
        result
    }

    fn begin(&mut self) -> Result<(), WriteError> {
        if self.suspect || self.connection.is_none() {
            self.reconnect()?;
        }
        if self.users.len() > USERS_AT_HAND_MAX {
            self.users.clear();
        }
        self.connection()?.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    pub(super) fn connection(&self) -> Result<&Connection, WriteError> {
        self.connection.as_ref().ok_or_else(|| WriteError::InvalidEntry("no open transaction".into()))
    }

    /// Adds one batch to the open transaction. The inner error is the verdict on this batch; the outer one
    /// fails the transaction.
    fn append(&mut self, append: &AppendJob) -> Result<Result<(), AppendError>, WriteError> {
        let AppendJob { user_id, batch, .. } = append;
        let user = self.user(user_id)?;
        // The log is the lock: only a writer that knows the head may append.
        if (user.head, user.fence) != (batch.expected, batch.fence) {
            return Ok(Err(AppendError::Conflict { head: user.head }));
        }
        if let Some(what) = unfit(batch) {
            return Ok(Err(AppendError::Journal(JournalError::Damaged(what.into()))));
        }
        if batch.is_empty() {
            return Ok(Ok(()));
        }
        let id = match user.id {
            Some(id) => id,
            None => self.insert_user(user_id, user.chain)?,
        };
        let fence = batch.fence_after();
        if fence != user.fence {
            self.connection()?
                .prepare_cached("UPDATE users SET fence = ?2 WHERE id = ?1")?
                .execute(params![id, fence.0])?;
        }
        self.take_over(id, batch)?;
        // Before the runs: completion of a run removes its resume record.
        if let Some(last) = batch.resumes.last() {
            resumes::save(self.connection()?, id, &batch.resumes)?;
            self.incarnation = last.incarnation.or(self.incarnation);
        }
        if batch.entries.is_empty() {
            erasures::save(self.connection()?, id, user.chain, &batch.erasures)?;
            self.users.insert(user_id.clone(), UserRow { id: Some(id), fence, ..user });
            return Ok(Ok(()));
        }
        // A batch of resumes alone uses no offset and leaves the head of the earlier epoch (DEL-3).
        if !user.epoch_noted {
            epochs::note_head(self.connection()?, id, self.epoch_number, user.head)?;
        }
        let chain = self.insert_lines(id, user.chain, batch)?;
        let changes = Changes::of(&batch.entries);
        let mut new_runs = user.new_runs;
        for run in &changes.runs {
            new_runs += self.save_run(user_id, id, run, batch.executor)?;
            if run.completed.is_some() {
                resumes::remove(self.connection()?, id, run.run_id)?;
            }
        }
        threads::save(self.connection()?, id, &changes)?;
        thread_changes::save(self.connection()?, id, &changes.thread_changes)?;
        erasures::close(self.connection()?, id, &batch.entries)?;
        erasures::save(self.connection()?, id, chain, &batch.erasures)?;
        self.users.insert(
            user_id.clone(),
            UserRow {
                id: Some(id),
                head: batch.lines.last(),
                fence,
                chain,
                new_runs,
                new_bytes: user.new_bytes + batch.lines.as_bytes().len() as u64,
                spending: batch.spending,
                epoch_noted: true,
            },
        );
        self.changed.push(user_id.clone());
        Ok(Ok(()))
    }

    fn user(&mut self, user_id: &UserId) -> Result<UserRow, WriteError> {
        if let Some(row) = self.users.get(user_id) {
            return Ok(*row);
        }
        let found = self
            .connection()?
            .prepare_cached("SELECT id, head, chain, fence FROM users WHERE user_id = ?1")?
            .query_row([user_id.as_str()], |row| {
                let (id, head, chain) = (row.get(0)?, Offset(row.get(1)?), ChainHash(row.get(2)?));
                Ok(UserRow { id: Some(id), ..UserRow::new(head, Fence(row.get(3)?), chain) })
            })
            .optional()?;
        let new = || UserRow::new(Offset::ZERO, Fence::default(), ChainHash::start(self.origin, user_id));
        let row = found.unwrap_or_else(new);
        self.users.insert(user_id.clone(), row);
        Ok(row)
    }

    fn insert_user(&self, user_id: &UserId, chain: ChainHash) -> Result<i64, WriteError> {
        let connection = self.connection()?;
        connection
            .prepare_cached(
                "INSERT INTO users (user_id, head, chain, trimmed, trimmed_chain, runs)
                 VALUES (?1, 0, ?2, 0, ?2, 0)",
            )?
            .execute(params![user_id.as_str(), chain.0])?;
        Ok(connection.last_insert_rowid())
    }

    /// Makes the node that appends the executor of the runs that it takes over (RUN-13).
    fn take_over(&self, user: i64, batch: &Batch) -> Result<(), WriteError> {
        for run_id in &batch.taken_over {
            let taken = self
                .connection()?
                .prepare_cached(
                    "UPDATE runs SET executor = ?3
                     WHERE user = ?1 AND run_id = ?2 AND started IS NOT NULL AND completed IS NULL",
                )?
                .execute(params![user, run_id.0.as_bytes(), executor_column(batch.executor)])?;
            if taken != 1 {
                let what = format!("run {run_id} is taken over, and has not started or is not open");
                return Err(WriteError::InvalidEntry(what));
            }
        }
        Ok(())
    }

    /// Saves a run, with `executor` as its executor if it starts, and returns the number of added rows.
    fn save_run(
        &self,
        user_id: &UserId,
        user: i64,
        run: &RunChange<'_>,
        executor: Option<Incarnation>,
    ) -> Result<u64, WriteError> {
        let connection = self.connection()?;
        let executor = executor_column(executor.filter(|_| run.started.is_some()));
        let started = run.started.map(|offset| offset.0);
        let completed = run.completed.map(|(offset, _)| offset.0);
        let status = run.completed.map(|(_, status)| status_text(status));
        match run.accepted {
            Some(AcceptedMessage { entry, message_id, parent }) => {
                // DEL-6: an erased message keeps its id in use.
                let erased = connection
                    .prepare_cached("SELECT 1 FROM runs WHERE user = ?1 AND message_id = ?2")?
                    .exists(params![user, hashed(self.origin, user_id, message_id)])?;
                if erased {
                    return Err(WriteError::InvalidEntry(format!("message {message_id} was erased")));
                }
                connection
                    .prepare_cached(
                        "INSERT INTO runs (user, accepted, accepted_at, run_id, message_id, thread_id,
                                           agent_name, started, completed, status, executor, parent)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?12, coalesce(?11,
                             (SELECT max(accepted) FROM runs WHERE user = ?1 AND thread_id = ?6), 0))",
                    )?
                    .execute(params![
                        user,
                        entry.offset.0,
                        entry.timestamp.0,
                        run.run_id.0.as_bytes(),
                        message_id.as_str(),
                        entry.thread_id.as_str(),
                        entry.agent_name.as_str(),
                        started,
                        completed,
                        status,
                        parent.map(|parent| parent.0),
                        executor
                    ])?;
                Ok(1)
            }
            None => {
                let moved = connection
                    .prepare_cached(
                        "UPDATE runs SET executor = iif(started IS NULL, ?6, executor),
                                         started = coalesce(started, ?3), completed = ?4, status = ?5
                         WHERE user = ?1 AND run_id = ?2 AND completed IS NULL",
                    )?
                    .execute(params![user, run.run_id.0.as_bytes(), started, completed, status, executor])?;
                match moved {
                    1 => Ok(0),
                    _ => Err(WriteError::InvalidEntry(format!("run {} is not open", run.run_id))),
                }
            }
        }
    }

    /// Writes the row of each changed user once per transaction.
    fn save_users(&mut self) -> Result<(), WriteError> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for user_id in changed {
            let row = self.users.get_mut(&user_id).expect("what was changed is at hand");
            let new_runs = std::mem::take(&mut row.new_runs);
            let new_bytes = std::mem::take(&mut row.new_bytes);
            let UserRow { id, head, chain, spending, .. } = *row;
            self.connection()?
                .prepare_cached(
                    "UPDATE users SET head = ?2, chain = ?3, runs = runs + ?4, kept_bytes = kept_bytes + ?5,
                                      spent_bytes = ?6, spent_at = ?7 WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    head.0,
                    chain.0,
                    new_runs,
                    new_bytes,
                    spending.bytes.min(INTEGER_MAX),
                    spending.at.0.min(INTEGER_MAX)
                ])?;
        }
        Ok(())
    }
}

fn executor_column(executor: Option<Incarnation>) -> Option<[u8; 16]> {
    executor.map(|Incarnation(id)| id.into_bytes())
}

/// The largest number that a column holds.
const INTEGER_MAX: u64 = i64::MAX as u64;
