//! This process among those that use a database: its row in `nodes`, and its lease.
//!
//! ```text
//!   open ─▶ add a row ─▶ each interval: extend it ─▶ close: delete it
//!                              └─ not confirmed in time, or refused ─▶ the lease has ended: nothing is appended any more
//!   each node ─▶ delete the rows that have expired: their runs may be taken over (RUN-13)
//! ```
//!
//! Guarantees: a node that is seen as expired has no row, and never has one again. The append of a node without a lease is
//! refused by its own statement. The lease is proven by the clock of this process only up to a moment before it can expire
//! by that of the database (NODE-2), unless their rates, or the clocks of the hosts that the database fails over to, differ
//! by more than the margin. A process that opened the journal exclusively is refused while another node lives, and keeps
//! others out; its lease may be renewed late, as long as no other process has taken its place.

mod lease;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quintet_kernel::ids::Incarnation;
use quintet_runtime::tasks::Tasks;
use tokio::{sync::watch, time::Instant};
use tokio_postgres::{Client, GenericClient, types::Type};
use uuid::Uuid;

use self::lease::{Lapse, LeaseInput, LeaseOrder, LeaseState, Moment, Terms};
use crate::{
    connect::{Connector, Session},
    fault::{Failure, OpenError, describe, unavailable},
    open::Identity,
    options::{PostgresLimits, RENEWAL_RETRIES},
    schema::NODES_LOCK,
};

/// This process as a node.
pub(crate) struct Node {
    pub(crate) incarnation: Uuid,
    pub(crate) exclusive: bool,
    terms: Terms,
    origin: Instant,
    lease: Mutex<LeaseState>,
    /// Changes with the lease.
    changed: watch::Sender<()>,
    stop: watch::Sender<bool>,
}

/// Checks that a lease can be renewed before it ends.
pub(crate) fn check_terms(limits: &PostgresLimits) -> Result<(), OpenError> {
    let least = 2 * limits.postgres_renewal_interval_ms + limits.postgres_lease_margin_ms;
    if limits.postgres_lease_ms < least {
        return Err(OpenError::ShortLease { least_ms: least });
    }
    Ok(())
}

impl Node {
    /// Adds the row of this process. If another node keeps it out, waits for the end of that node's lease, once.
    pub(crate) async fn join(
        client: &mut Client,
        incarnation: Uuid,
        exclusive: bool,
        limits: &PostgresLimits,
    ) -> Result<Arc<Self>, OpenError> {
        let interval = Duration::from_millis(limits.postgres_renewal_interval_ms);
        let terms = Terms {
            lease: Duration::from_millis(limits.postgres_lease_ms),
            margin: Duration::from_millis(limits.postgres_lease_margin_ms),
            interval,
            retry: interval / RENEWAL_RETRIES,
            lapse: if exclusive { Lapse::Recoverable } else { Lapse::Final },
        };
        let mut origin = Instant::now();
        if let Err(rival) = try_join(client, incarnation, exclusive, terms.lease).await? {
            tracing::info!(
                left_ms = rival.left.as_millis(),
                "waiting for the end of another process's lease"
            );
            // A process that lives renews its lease meanwhile.
            tokio::time::sleep(rival.left + WAIT_MARGIN).await;
            origin = Instant::now();
            if let Err(Rival { incarnation, left }) =
                try_join(client, incarnation, exclusive, terms.lease).await?
            {
                return Err(OpenError::Claimed {
                    holder: incarnation.to_string(),
                    left_ms: i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(Self::new(incarnation, exclusive, terms, origin))
    }

    /// Creates the node. Its row was requested after `origin`.
    fn new(incarnation: Uuid, exclusive: bool, terms: Terms, origin: Instant) -> Arc<Self> {
        let lease = Mutex::new(LeaseState::taken(&terms, Moment(Duration::ZERO)));
        let (changed, stop) = (watch::channel(()).0, watch::channel(false).0);
        Arc::new(Self { incarnation, exclusive, terms, origin, lease, changed, stop })
    }

    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn lease(&self) -> LeaseState {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, input: LeaseInput) -> Option<LeaseOrder> {
        let order = {
            let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
            let (next, order) = lease.handle(&self.terms, self.now(), input);
            *lease = next;
            order
        };
        self.changed.send_replace(());
        if let Some(LeaseOrder::Fence(end)) = order {
            metrics::counter!("quintet_postgres_leases_lost_total").increment(1);
            tracing::error!(?end, "the lease of this node has ended; it no longer appends");
        }
        order
    }

    /// Returns true if the lease is proven at this moment (NODE-2).
    pub(crate) fn holds(&self) -> bool {
        self.lease().is_proven(self.now())
    }

    /// Records that the database has no lease of this node.
    pub(crate) fn refused(&self) {
        self.take(LeaseInput::Refused);
    }

    /// Resolves once the lease has ended, for good: at the latest when it cannot be proven any more.
    pub(crate) async fn lost(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let Some(end) = self.lease().ends(&self.terms) else {
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
                continue;
            };
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(self.origin + end.0) => return,
            }
        }
    }

    /// Renews the lease until [`Self::stop`], on a connection of its own, and deletes expired nodes.
    pub(crate) fn keep(self: &Arc<Self>, connector: Arc<Connector>, identity: Identity, tasks: &Tasks) {
        let node = self.clone();
        tasks.spawn(async move {
            let mut stop = node.stop.subscribe();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = node.renew_on_time(&connector, &identity) => {}
            }
        });
    }

    async fn renew_on_time(&self, connector: &Connector, identity: &Identity) {
        let (mut session, mut proven_at) = (None, self.origin);
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let Some(next) = self.lease().next() else { return };
            tokio::select! {
                _ = changed.changed() => continue,
                () = tokio::time::sleep_until(self.origin + next.0) => {}
            }
            if self.take(LeaseInput::Tick) != Some(LeaseOrder::Renew) {
                continue;
            }
            let sent = Instant::now();
            let renewal = self.renew(&mut session, connector, identity);
            let input = match tokio::time::timeout(self.terms.interval, renewal).await {
                Ok(Ok(true)) => {
                    proven_at = sent;
                    LeaseInput::Confirmed { sent: Moment(sent - self.origin) }
                }
                Ok(Ok(false)) => LeaseInput::Refused,
                Ok(Err(failure)) => {
                    session = None;
                    tracing::warn!(error = %failure.into_error(), "the lease of this node was not renewed");
                    LeaseInput::Unanswered
                }
                Err(_) => {
                    session = None;
                    tracing::warn!("the lease of this node was not renewed in time");
                    LeaseInput::Unanswered
                }
            };
            self.take(input);
            metrics::gauge!("quintet_postgres_lease_age_seconds").set(proven_at.elapsed().as_secs_f64());
            if let (LeaseInput::Confirmed { .. }, Some(open)) = (input, &session) {
                self.sweep(&open.client).await;
            }
        }
    }

    /// Returns false if the database has no lease of this node.
    async fn renew(
        &self,
        session: &mut Option<Session>,
        connector: &Connector,
        identity: &Identity,
    ) -> Result<bool, Failure> {
        let open = match session.take() {
            Some(open) if !open.client.is_closed() => open,
            _ => {
                let open = connector.connect().await?;
                identity.check(&open).await.map_err(Failure::Journal)?;
                open
            }
        };
        let warned = open.warnings();
        // One that has expired stays so, also if no other node has seen it yet.
        let renewed = open
            .client
            .execute_typed(
                "UPDATE nodes SET lease_until = greatest(lease_until, now() + $2 * interval '1 millisecond')
                 WHERE incarnation = $1 AND (exclusive OR lease_until > now())",
                &[(&self.incarnation, Type::UUID), (&millis(self.terms.lease), Type::FLOAT8)],
            )
            .await?;
        if open.warnings() != warned {
            // NODE-5: it may not be replicated, and another node may see the earlier lease after a fail-over.
            return Err(Failure::Journal(unavailable("the database sent a warning with a renewal")));
        }
        *session = Some(open);
        Ok(renewed > 0)
    }

    /// Deletes what nodes have left behind: expired rows, and the rows of their writers. A row in use is left for later.
    async fn sweep(&self, client: &Client) {
        let swept = async {
            let gone = client
                .execute_typed(
                    "DELETE FROM nodes WHERE incarnation IN (
                         SELECT incarnation FROM nodes WHERE lease_until <= now() AND NOT exclusive
                         FOR UPDATE SKIP LOCKED)",
                    &[],
                )
                .await?;
            client
                .execute_typed(
                    "DELETE FROM writers WHERE session IN (
                         SELECT w.session FROM writers w
                         WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.incarnation = w.holder)
                         FOR UPDATE SKIP LOCKED)",
                    &[],
                )
                .await?;
            Ok::<_, tokio_postgres::Error>(gone)
        };
        match tokio::time::timeout(self.terms.interval, swept).await {
            Ok(Ok(0)) => {}
            Ok(Ok(nodes)) => tracing::warn!(nodes, "the leases of other nodes have expired"),
            Ok(Err(error)) => tracing::warn!(error = describe(&error), "expired nodes were not removed"),
            Err(_) => tracing::warn!("expired nodes were not removed in time"),
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Removes the rows of this process: its lease has ended for every node.
    pub(crate) async fn leave(&self, session: &Session) {
        for statement in ["DELETE FROM writers WHERE holder = $1", "DELETE FROM nodes WHERE incarnation = $1"]
        {
            let deleted = session.client.execute_typed(statement, &[(&self.incarnation, Type::UUID)]).await;
            if let Err(error) = deleted {
                tracing::warn!(
                    error = describe(&error),
                    "the row of this node remains until its lease has expired"
                );
            }
        }
    }
}

/// Returns those of `executors` that have expired, and deletes their rows, so that they stay expired (RUN-13).
pub(crate) async fn expired(
    client: &impl GenericClient,
    executors: &BTreeSet<Incarnation>,
) -> Result<BTreeSet<Incarnation>, tokio_postgres::Error> {
    let asked: Vec<Uuid> = executors.iter().map(|executor| executor.0).collect();
    let rows = client
        .query_typed(
            "SELECT incarnation, lease_until > now() FROM nodes WHERE incarnation = ANY($1)",
            &[(&asked, Type::UUID_ARRAY)],
        )
        .await?;
    let mut left = BTreeSet::new();
    let mut late = Vec::new();
    for row in &rows {
        let incarnation: Uuid = row.try_get(0)?;
        if row.try_get(1)? {
            left.insert(Incarnation(incarnation));
        } else {
            late.push(incarnation);
        }
    }
    if !late.is_empty() {
        // A renewal that is being committed is waited for, and counts.
        client
            .execute_typed(
                "DELETE FROM nodes WHERE incarnation = ANY($1) AND lease_until <= now()",
                &[(&late, Type::UUID_ARRAY)],
            )
            .await?;
        let rows = client
            .query_typed(
                "SELECT incarnation FROM nodes WHERE incarnation = ANY($1)",
                &[(&late, Type::UUID_ARRAY)],
            )
            .await?;
        for row in &rows {
            left.insert(Incarnation(row.try_get(0)?));
        }
    }
    Ok(executors.difference(&left).copied().collect())
}

/// Another node that keeps this one out.
struct Rival {
    incarnation: Uuid,
    left: Duration,
}

/// Adds the row of a node, and fences the writers of those that have expired.
async fn try_join(
    client: &mut Client,
    incarnation: Uuid,
    exclusive: bool,
    lease: Duration,
) -> Result<Result<(), Rival>, OpenError> {
    let transaction = client.transaction().await?;
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&NODES_LOCK, Type::INT8)]).await?;
    transaction.execute_typed("DELETE FROM nodes WHERE lease_until <= now()", &[]).await?;
    let rival = transaction
        .query_typed_opt(
            "SELECT incarnation, (extract(epoch FROM lease_until - now()) * 1000)::float8
             FROM nodes WHERE exclusive OR $1 ORDER BY lease_until DESC LIMIT 1",
            &[(&exclusive, Type::BOOL)],
        )
        .await?;
    if let Some(row) = rival {
        let left: f64 = row.try_get(1)?;
        let left = Duration::from_millis(left.max(0.0) as u64);
        return Ok(Err(Rival { incarnation: row.try_get(0)?, left }));
    }
    transaction
        .execute_typed(
            "INSERT INTO nodes (incarnation, exclusive, lease_until)
             VALUES ($1, $2, now() + $3 * interval '1 millisecond')",
            &[(&incarnation, Type::UUID), (&exclusive, Type::BOOL), (&millis(lease), Type::FLOAT8)],
        )
        .await?;
    if exclusive {
        // Waits for their appends in progress: to a process that is alone, every other one has expired.
        transaction
            .execute_typed("DELETE FROM writers WHERE holder <> $1", &[(&incarnation, Type::UUID)])
            .await?;
    }
    transaction.commit().await?;
    Ok(Ok(()))
}

fn millis(lease: Duration) -> f64 {
    lease.as_millis() as f64
}

/// Time after the end of another lease at which this process joins.
const WAIT_MARGIN: Duration = Duration::from_millis(50);
