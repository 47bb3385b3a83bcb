//! The journal in a database, and its logs.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use quintet_journal::{
    AppendError, Batch, EraseProgress, ErasureRecord, Extent, Journal, JournalError, Lines, Log, Position,
    ReadLimit, Recovery, Retention, RunRecord, Side, ThreadRecord, ThreadsQuery, Trimmed, Watch,
};
use quintet_kernel::{
    ids::{Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, UserId},
    user::Receipt,
};
use quintet_runtime::{ids, tasks::Tasks};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_postgres::Client;

use crate::{
    connect::Connector,
    erase,
    fault::{Failure, OpenError, closed, without_lease},
    index,
    node::{self, Node},
    open::{self, Identity},
    options::PostgresOptions,
    pool::Pool,
    reader::{self, Reply},
    threads,
    trim::{self, TrimOrder},
    wakes::Wakes,
    writer::{AppendJob, Command, Writer, WriterContext},
};

/// A journal in a PostgreSQL database. Clones share it.
///
/// # Examples
///
/// ```no_run
/// use quintet_postgres::{PostgresJournal, PostgresOptions};
///
/// # async fn open() -> Result<(), quintet_postgres::OpenError> {
/// let journal = PostgresJournal::open(PostgresOptions::new("postgres://quintet@db.example/quintet")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresJournal {
    shared: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    run_records_max: u64,
    connector: Arc<Connector>,
    node: Arc<Node>,
    /// `None` if this process is alone.
    wakes: Option<Arc<Wakes>>,
    pool: Arc<Pool>,
    writers: Vec<mpsc::Sender<Command>>,
}

impl PostgresJournal {
    /// Opens the journal, and creates or migrates its tables if necessary. If another process keeps this one out, waits
    /// once for the end of its lease.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if the database cannot be reached, is of another application or a newer version, or is served
    /// by another process.
    pub async fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let PostgresOptions { limits, run_records_max, .. } = options;
        node::check_terms(&limits)?;
        let tasks = Tasks::default();
        let connector = Arc::new(Connector::new(&options, tasks.clone())?);
        let mut session = connector.connect().await.map_err(of_failure)?;
        let identity = open::prepare(&mut session.client).await?;
        let node = Node::join(&mut session.client, ids::fresh(), options.exclusive, &limits).await?;
        drop(session);
        node.keep(connector.clone(), identity.clone(), &tasks);
        let timeout = Duration::from_millis(limits.postgres_read_timeout_ms);
        let pool =
            Pool::new(connector.clone(), identity.clone(), limits.postgres_reader_connections_max, timeout);
        let pool = Arc::new(pool);
        let wakes = (!options.exclusive).then(|| {
            let wakes = Arc::new(Wakes::new(identity.origin, node.incarnation, limits));
            wakes.start(&connector, &identity, &pool, &tasks);
            wakes
        });
        let context = WriterContext {
            connector: connector.clone(),
            identity: identity.clone(),
            node: node.clone(),
            wakes: wakes.clone(),
            limits,
        };
        let writers = (0..limits.postgres_writer_connections.max(1)).map(|_| {
            let (commands, waiting) = mpsc::channel(limits.postgres_waiting_appends_max.max(1));
            tasks.spawn(Writer::new(context.clone()).run(waiting));
            commands
        });
        let writers = writers.collect();
        Ok(Self {
            shared: Arc::new(Inner { identity, run_records_max, connector, node, wakes, pool, writers }),
        })
    }

    /// Closes the journal, even if clones still exist: pending appends are written, the lease is given up, and
    /// further appends and reads fail.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError::Unavailable`] if the journal is closed already.
    pub async fn close(&self) -> Result<(), JournalError> {
        let mut closing = Vec::new();
        for writer in &self.shared.writers {
            let (reply, done) = oneshot::channel();
            writer.send(Command::Close(reply)).await.map_err(|_| closed())?;
            closing.push(done);
        }
        for done in closing {
            done.await.map_err(|_| closed())?;
        }
        self.shared.wakes.iter().for_each(|wakes| wakes.stop());
        self.shared.node.stop();
        self.shared.pool.close();
        match self.shared.connector.connect().await {
            Ok(session) => self.shared.node.leave(&session).await,
            Err(failure) => {
                tracing::warn!(error = %failure.into_error(), "the row of this node remains until its lease has expired");
            }
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wakes.iter().for_each(|wakes| wakes.stop());
        self.node.stop();
    }
}

fn of_failure(failure: Failure) -> OpenError {
    match failure {
        Failure::Sql(error) => error.into(),
        other => OpenError::Database { what: other.into_error().to_string(), source: None },
    }
}

impl Inner {
    /// Returns the writer of a user.
    fn writer(&self, user_id: &UserId) -> &mpsc::Sender<Command> {
        let mut hasher = DefaultHasher::new();
        user_id.as_str().hash(&mut hasher);
        &self.writers[(hasher.finish() % self.writers.len() as u64) as usize]
    }
}

#[async_trait]
impl Journal for PostgresJournal {
    fn epoch(&self) -> Epoch {
        self.shared.identity.epoch
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(self.shared.node.incarnation)
    }

    fn is_shared(&self) -> bool {
        !self.shared.node.exclusive
    }

    /// A node that has expired by the clock of the database is removed before it is returned, so that it stays expired
    /// (RUN-13). If this process is alone, every other one has expired.
    async fn expired(
        &self,
        executors: &BTreeSet<Incarnation>,
    ) -> Result<BTreeSet<Incarnation>, JournalError> {
        if !self.shared.node.holds() {
            return Err(without_lease());
        }
        let own = self.incarnation();
        let others = executors.iter().copied().filter(|executor| *executor != own).collect();
        if !self.is_shared() || executors.is_empty() {
            return Ok(others);
        }
        let lease = self.shared.pool.lease().await?;
        lease.run(async |client: &mut Client| -> Reply<_> { Ok(node::expired(client, &others).await?) }).await
    }

    fn holds_lease(&self) -> bool {
        self.shared.node.holds()
    }

    async fn lease_lost(&self) {
        self.shared.node.lost().await;
    }

    fn watch(&self, user_id: &UserId, wake: Arc<Notify>) -> Watch {
        let wakes = self.shared.wakes.as_ref();
        wakes.map_or_else(Watch::default, |wakes| wakes.watches.watch(wakes.key(user_id), user_id, wake))
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(PostgresLog { shared: self.shared.clone(), user_id: user_id.clone() })
    }

    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        let lease = self.shared.pool.lease().await?;
        lease.run(async |client: &mut Client| reader::unfinished(client).await).await
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<UserId>, JournalError> {
        let Some(wakes) = &self.shared.wakes else { return Ok(Vec::new()) };
        let lease = self.shared.pool.lease().await?;
        let waited_ms = wakes.limits.postgres_lease_ms;
        lease.run(async |client: &mut Client| reader::abandoned(client, limit, waited_ms).await).await
    }

    /// Writes and reads, since a ready journal has to do both (DEL-7).
    async fn probe(&self) -> Result<(), JournalError> {
        for writer in &self.shared.writers {
            let (reply, done) = oneshot::channel();
            writer.send(Command::Probe(reply)).await.map_err(|_| closed())?;
            done.await.map_err(|_| closed())??;
        }
        let lease = self.shared.pool.lease().await?;
        lease.run(async |client: &mut Client| reader::probe(client).await).await
    }

    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError> {
        let order = TrimOrder { retention, now, run_records_max: self.shared.run_records_max };
        let mut trimmed = Trimmed::default();
        let mut next = Some(0);
        while let Some(done) = next {
            let lease = self.shared.pool.lease().await?;
            let (users, more) =
                lease.run(async |client: &mut Client| trim::candidates(client, &order, done).await).await?;
            next = more;
            for id in users {
                let before = trimmed.entries;
                loop {
                    let lease = self.shared.pool.lease().await?;
                    let (entries, more) = lease
                        .run(async |client: &mut Client| trim::trim_user(client, &order, id).await)
                        .await?;
                    trimmed.entries += entries;
                    if !more {
                        break;
                    }
                }
                trimmed.users += u64::from(trimmed.entries > before);
            }
        }
        Ok(trimmed)
    }
}

/// The log of one user.
struct PostgresLog {
    shared: Arc<Inner>,
    user_id: UserId,
}

/// Runs a query on a connection of the pool.
macro_rules! query {
    ($self:ident, |$client:ident, $user_id:ident| $query:expr) => {{
        let lease = $self.shared.pool.lease().await?;
        let $user_id = &$self.user_id;
        lease.run(async |$client: &mut Client| -> Reply<_> { $query.await }).await
    }};
}

#[async_trait]
impl Log for PostgresLog {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let (reply, done) = oneshot::channel();
        let append = AppendJob { user_id: self.user_id.clone(), batch: Box::new(batch), reply };
        let writer = self.shared.writer(&self.user_id);
        writer.send(Command::Append(append)).await.map_err(|_| closed())?;
        // A writer that ended without a reply may have committed (DEL-7).
        done.await.map_err(|_| closed())?
    }

    fn holds_lease(&self) -> bool {
        self.shared.node.holds()
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        query!(self, |client, user_id| reader::extent(client, user_id))
    }

    async fn position(&self) -> Result<Position, JournalError> {
        query!(self, |client, user_id| reader::position(client, user_id))
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        query!(self, |client, user_id| reader::read(client, user_id, after, limit))
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        query!(self, |client, user_id| reader::read_before(client, user_id, before, limit))
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        let (reply, settled) = oneshot::channel();
        let writer = self.shared.writer(&self.user_id);
        writer.send(Command::Settle(reply)).await.map_err(|_| closed())?;
        settled.await.map_err(|_| closed())??;
        query!(self, |client, user_id| index::recovery(client, user_id, recent_max))
    }

    async fn continues(&self, epoch: Epoch, after: Offset) -> Result<bool, JournalError> {
        if epoch != self.shared.identity.epoch {
            return Ok(false);
        }
        let head = self.extent().await?.head;
        if after > head {
            metrics::counter!("quintet_journal_rollbacks_total", "evidence" => "offset").increment(1);
            tracing::warn!("a cursor is past the head of its log; its client gets a gap");
        }
        Ok(after <= head)
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        let origin = self.shared.identity.origin;
        query!(self, |client, user_id| index::message(client, user_id, message_id, origin))
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        query!(self, |client, user_id| index::run(client, user_id, run_id))
    }

    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        query!(self, |client, user_id| threads::one(client, user_id, thread_id))
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        query!(self, |client, user_id| threads::find(client, user_id, query))
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        query!(self, |client, user_id| index::thread_runs(client, user_id, thread_id, after, limit))
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        query!(self, |client, user_id| index::thread_runs_before(client, user_id, thread_id, before, limit))
    }

    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        query!(self, |client, user_id| {
            index::thread_runs_ending(client, user_id, thread_id, before, after, limit)
        })
    }

    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        query!(self, |client, user_id| threads::changes(client, user_id, thread_id, side, limit))
    }

    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        query!(self, |client, user_id| index::thread_message(client, user_id, thread_id, at))
    }

    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        query!(self, |client, user_id| index::path(client, user_id, message, limit))
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        let origin = self.shared.identity.origin;
        query!(self, |client, user_id| erase::step(client, user_id, origin, receipt, limit))
    }

    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        query!(self, |client, user_id| async {
            Ok(index::erasure(client, user_id, receipt).await?.map(|(_, record, _)| record))
        })
    }
}
