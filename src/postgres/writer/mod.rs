//! A writer: a task with one connection, to which the appends of its users go in order. Those that wait at the same time
//! share one statement.
//!
//! ```text
//!   append ──▶ group ──▶ statement ──▶ rows of those that were appended; the others: conflict, misfit, or locked row
//!                            └─ no answer, broken connection, warning: unknown ──▶ give the connection up
//!   next command ──▶ new connection: delete the row of the earlier one, which waits for its appends ──▶ go on
//! ```
//!
//! Guarantee: an append is acknowledged only if it is committed (DEL-1, DEL-7, NODE-5), and a command that follows an
//! append of unknown outcome is executed only once that outcome is final.

mod group;
mod outcome;

use std::{collections::HashMap, sync::Arc, time::Duration};

use quintet_journal::{AppendError, Batch, JournalError};
use quintet_kernel::ids::{Epoch, Incarnation, UserId};
use quintet_runtime::ids;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use self::group::UserRow;
use crate::{
    connect::{Connector, Session},
    fault::{Failure, closed, fault, unavailable, without_lease},
    node::Node,
    open::Identity,
    options::{PostgresLimits, RECONNECT_INTERVAL_MS_MIN},
    wakes::Wakes,
};

/// An order to a writer.
pub(crate) enum Command {
    Append(AppendJob),
    Probe(oneshot::Sender<Result<(), JournalError>>),
    /// Makes the outcome of every earlier append final: it is in the log and visible, or never will be (DEL-7).
    Settle(oneshot::Sender<Result<(), JournalError>>),
    /// The last order.
    Close(oneshot::Sender<()>),
}

/// A batch to append, and the place for the result.
pub(crate) struct AppendJob {
    pub(crate) user_id: UserId,
    pub(crate) batch: Box<Batch>,
    pub(crate) reply: oneshot::Sender<Result<(), AppendError>>,
}

/// What all writers of a journal share.
#[derive(Clone)]
pub(crate) struct WriterContext {
    pub(crate) connector: Arc<Connector>,
    pub(crate) identity: Identity,
    pub(crate) node: Arc<Node>,
    pub(crate) wakes: Option<Arc<Wakes>>,
    pub(crate) limits: PostgresLimits,
}

/// The state of the task.
pub(crate) struct Writer {
    context: WriterContext,
    session: Option<Open>,
    /// Connections whose last append may still be in progress on the server.
    doubtful: Vec<Uuid>,
    /// Users whose head and chain are known, as of the last answer.
    users: HashMap<UserId, UserRow>,
    /// A command that was taken from the queue and does not belong to the current group.
    held: Option<Command>,
    not_before: Option<Instant>,
    interval: Duration,
    /// The id of this process once it has resumed a run.
    incarnation: Option<Incarnation>,
}

/// A connection that may append.
struct Open {
    session: Session,
    /// The key of its row in `writers`.
    id: Uuid,
}

impl Writer {
    pub(crate) fn new(context: WriterContext) -> Self {
        Self {
            context,
            session: None,
            doubtful: Vec::new(),
            users: HashMap::new(),
            held: None,
            not_before: None,
            interval: Duration::from_millis(RECONNECT_INTERVAL_MS_MIN),
            incarnation: None,
        }
    }

    fn origin(&self) -> Epoch {
        self.context.identity.origin
    }

    /// Executes commands until all senders are dropped, or until `Close`.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut closers = Vec::new();
        loop {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None => commands.recv().await,
            };
            match next {
                None => break,
                Some(Command::Append(first)) => {
                    let group = self.gather(first, &mut commands);
                    self.commit(group).await;
                }
                // Callers that are gone ask again.
                Some(Command::Probe(reply)) => drop(reply.send(self.probe().await)),
                Some(Command::Settle(reply)) => drop(reply.send(self.settle().await)),
                Some(Command::Close(closer)) => {
                    commands.close();
                    closers.push(closer);
                }
            }
        }
        if !closers.is_empty() {
            self.release_resumes().await;
        }
        self.session = None;
        for closer in closers {
            // The caller may have stopped waiting.
            let _ = closer.send(());
        }
    }

    /// Returns the appends that wait, within the limits of one commit, each of another user.
    fn gather(&mut self, first: AppendJob, commands: &mut mpsc::Receiver<Command>) -> Vec<AppendJob> {
        let limits = &self.context.limits;
        let mut bytes = first.batch.lines.as_bytes().len();
        let mut group = vec![first];
        while group.len() < limits.postgres_commit_users_max && bytes < limits.postgres_commit_bytes_max {
            match commands.try_recv() {
                Ok(Command::Append(append)) if group.iter().all(|other| other.user_id != append.user_id) => {
                    bytes += append.batch.lines.as_bytes().len();
                    group.push(append);
                }
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    /// Connects if necessary. On return the outcome of every earlier append is final, and the connection may append.
    async fn open(&mut self) -> Result<&Open, JournalError> {
        if !self.context.node.holds() {
            self.give_up();
            return Err(without_lease());
        }
        let usable = self.session.as_ref().is_some_and(|open| !open.session.client.is_closed());
        if !usable {
            if self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
                return Err(unavailable("the database cannot be reached; the service tries again by itself"));
            }
            self.give_up();
            let limit = self.context.limits.postgres_settle_timeout_ms
                + self.context.limits.postgres_connect_timeout_ms;
            let opened = timeout(Duration::from_millis(limit), self.connect()).await;
            match opened.unwrap_or_else(|_| Err(Failure::TimedOut.into_error())) {
                Ok(open) => {
                    metrics::counter!("quintet_postgres_writer_connections_total").increment(1);
                    self.interval = Duration::from_millis(RECONNECT_INTERVAL_MS_MIN);
                    (self.session, self.not_before) = (Some(open), None);
                    self.doubtful.clear();
                    self.users.clear();
                }
                Err(error) => {
                    self.not_before = Some(Instant::now() + self.interval);
                    let longest =
                        Duration::from_millis(self.context.limits.postgres_reconnect_interval_ms_max);
                    self.interval = (2 * self.interval).min(longest);
                    tracing::warn!(%error, "a writer cannot connect to the database");
                    return Err(error);
                }
            }
        }
        self.session.as_ref().ok_or_else(closed)
    }

    /// Opens a connection, waits for the end of the appends of earlier ones, and registers it.
    async fn connect(&self) -> Result<Open, JournalError> {
        let WriterContext { connector, identity, node, limits, .. } = &self.context;
        let sql = |error: tokio_postgres::Error| fault(&error);
        let mut session = connector.connect().await.map_err(Failure::into_error)?;
        identity.check(&session).await?;
        let id = ids::fresh();
        let transaction = session.client.transaction().await.map_err(sql)?;
        transaction
            .batch_execute(&format!("SET LOCAL lock_timeout = {}", limits.postgres_settle_timeout_ms))
            .await
            .map_err(sql)?;
        // An append in progress holds its row until it is committed; a later one does not find it.
        transaction
            .execute_typed(
                "DELETE FROM writers WHERE session = ANY($1)",
                &[(&self.doubtful, Type::UUID_ARRAY)],
            )
            .await
            .map_err(sql)?;
        let registered = transaction
            .execute_typed(
                "WITH held AS (SELECT incarnation FROM nodes WHERE incarnation = $2 FOR KEY SHARE)
                 INSERT INTO writers (session, holder) SELECT $1, incarnation FROM held",
                &[(&id, Type::UUID), (&node.incarnation, Type::UUID)],
            )
            .await
            .map_err(sql)?;
        if registered == 0 {
            node.refused();
            return Err(without_lease());
        }
        transaction.commit().await.map_err(sql)?;
        Ok(Open { session, id })
    }

    /// Gives the connection up. It is dropped and not cancelled, so that the server ends its statement by itself.
    fn give_up(&mut self) {
        if let Some(open) = self.session.take() {
            self.doubtful.push(open.id);
        }
        self.users.clear();
    }

    async fn settle(&mut self) -> Result<(), JournalError> {
        if self.doubtful.is_empty() && self.session.is_some() {
            return Ok(());
        }
        self.open().await.map(drop)
    }

    /// Commits a write, for `/readyz`.
    async fn probe(&mut self) -> Result<(), JournalError> {
        let limit = Duration::from_millis(self.context.limits.postgres_read_timeout_ms);
        let open = self.open().await?;
        let (id, client) = (open.id, &open.session.client);
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
        let written = client.execute_typed("UPDATE writers SET since = now() WHERE session = $1", &params);
        let result = match timeout(limit, written).await {
            Ok(Ok(1)) => return Ok(()),
            Ok(Ok(_)) => without_lease(),
            Ok(Err(error)) => fault(&error),
            Err(_) => Failure::TimedOut.into_error(),
        };
        self.give_up();
        Err(result)
    }

    /// Uncounts the resumes of this process on a clean shutdown (RUN-6), and removes the row of the connection.
    async fn release_resumes(&mut self) {
        let incarnation = self.incarnation;
        let limit = Duration::from_millis(self.context.limits.postgres_read_timeout_ms);
        let Ok(open) = self.open().await else { return };
        let (id, client) = (open.id, &open.session.client);
        let released = async {
            if let Some(Incarnation(ended)) = incarnation {
                client
                    .execute_typed(
                        "UPDATE resumes SET without_step = greatest(without_step - 1, 0),
                                total = greatest(total - 1, 0), incarnation = NULL WHERE incarnation = $1",
                        &[(&ended, Type::UUID)],
                    )
                    .await?;
            }
            client.execute_typed("DELETE FROM writers WHERE session = $1", &[(&id, Type::UUID)]).await
        };
        if !matches!(timeout(limit, released).await, Ok(Ok(_))) {
            tracing::warn!("the runs that this process resumed stay counted");
        }
    }
}
