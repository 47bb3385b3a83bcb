//! The claim of the process that serves a database.
//!
//! ```text
//!   open ─▶ take the row, if it is absent or expired ─▶ delete the rows of earlier writers
//!   every third of the lease ─▶ extend it; a process that cannot do so refuses appends before it expires elsewhere
//!   close ─▶ delete the row
//! ```
//!
//! Guarantee: the append of a process that has lost its claim never succeeds. The deletion of the writers' rows waits for
//! an append that is being committed, and no later one finds its row. The check of the lease by this process's own clock
//! only makes the refusal earlier.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quintet_runtime::tasks::Tasks;
use tokio::{sync::watch, time::Instant};
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::{
    connect::{Connector, Session},
    fault::{Failure, OpenError, describe},
    open::Identity,
};

/// The claim of this process.
pub(crate) struct Claim {
    pub(crate) holder: Uuid,
    pub(crate) exclusive: bool,
    lease: Duration,
    /// The time before the last request that extended the claim.
    confirmed: Mutex<Instant>,
    lost: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Claim {
    /// Takes the claim. Waits for the end of an earlier one, once.
    pub(crate) async fn take(
        client: &mut Client,
        holder: Uuid,
        exclusive: bool,
        lease: Duration,
    ) -> Result<Arc<Self>, OpenError> {
        let mut before = Instant::now();
        if exclusive && let Err(left) = try_take(client, holder, lease).await? {
            tracing::info!(left_ms = left.as_millis(), "waiting for the end of another claim");
            // A process that lives renews its claim meanwhile.
            tokio::time::sleep(left + WAIT_MARGIN).await;
            before = Instant::now();
            if let Err(left) = try_take(client, holder, lease).await? {
                return Err(OpenError::Claimed {
                    holder: other(client).await?,
                    left_ms: i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(Arc::new(Self {
            holder,
            exclusive,
            lease,
            confirmed: Mutex::new(before),
            lost: AtomicBool::new(false),
            stop: watch::channel(false).0,
        }))
    }

    /// Returns false if another process may hold the claim by now.
    pub(crate) fn holds(&self) -> bool {
        !self.exclusive || (!self.lost.load(Ordering::Acquire) && self.confirmed().elapsed() < self.lease)
    }

    /// Extends the claim until [`Self::stop`].
    pub(crate) fn keep(self: &Arc<Self>, connector: Arc<Connector>, identity: Identity, tasks: &Tasks) {
        if !self.exclusive {
            return;
        }
        let claim = self.clone();
        tasks.spawn(async move {
            let mut stop = claim.stop.subscribe();
            let mut session = None;
            let mut ticks = tokio::time::interval(claim.lease / 3);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    _ = ticks.tick() => {}
                }
                let extended = tokio::time::timeout(claim.lease / 3, claim.extend(&mut session, &connector, &identity));
                match extended.await {
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) => {
                        session = None;
                        tracing::warn!(error = %failure.into_error(), "the claim of the database was not extended");
                    }
                    Err(_) => {
                        session = None;
                        tracing::warn!("the claim of the database was not extended in time");
                    }
                }
                metrics::gauge!("quintet_postgres_claim_age_seconds")
                    .set(claim.confirmed().elapsed().as_secs_f64());
                if claim.lost.load(Ordering::Acquire) {
                    tracing::error!("another process has taken over the database; this one no longer appends");
                    return;
                }
            }
        });
    }

    async fn extend(
        &self,
        session: &mut Option<Session>,
        connector: &Connector,
        identity: &Identity,
    ) -> Result<(), Failure> {
        let open = match session.take() {
            Some(open) if !open.client.is_closed() => open,
            _ => {
                let open = connector.connect().await?;
                identity.check(&open).await.map_err(|error| Failure::Damaged(error.to_string()))?;
                open
            }
        };
        let before = Instant::now();
        let extended = open
            .client
            .execute_typed(
                "UPDATE claim SET expires_at = now() + $2 * interval '1 millisecond' WHERE holder = $1",
                &[(&self.holder, Type::UUID), (&millis(self.lease), Type::FLOAT8)],
            )
            .await?;
        match extended {
            0 => self.lost.store(true, Ordering::Release),
            _ => *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = before,
        }
        *session = Some(open);
        Ok(())
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn confirmed(&self) -> Instant {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the claim and fences the writers of earlier holders. The inner error is the time that another claim has left.
async fn try_take(
    client: &mut Client,
    holder: Uuid,
    lease: Duration,
) -> Result<Result<(), Duration>, OpenError> {
    let transaction = client.transaction().await?;
    let taken = transaction
        .execute_typed(
            "INSERT INTO claim (holder, expires_at) VALUES ($1, now() + $2 * interval '1 millisecond')
             ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
             WHERE claim.expires_at <= now()",
            &[(&holder, Type::UUID), (&millis(lease), Type::FLOAT8)],
        )
        .await?;
    if taken == 0 {
        let row = transaction
            .query_typed_opt("SELECT (extract(epoch FROM expires_at - now()) * 1000)::float8 FROM claim", &[])
            .await?;
        let left: f64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        return Ok(Err(Duration::from_millis(left.max(0.0) as u64)));
    }
    transaction.execute_typed("DELETE FROM writers WHERE holder <> $1", &[(&holder, Type::UUID)]).await?;
    transaction.commit().await?;
    Ok(Ok(()))
}

async fn other(client: &Client) -> Result<String, OpenError> {
    let row = client.query_typed_opt("SELECT holder::text FROM claim", &[]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// Gives the claim up, with the rows of this process's writers.
pub(crate) async fn release(session: &Session, holder: Uuid) {
    for statement in ["DELETE FROM writers WHERE holder = $1", "DELETE FROM claim WHERE holder = $1"] {
        if let Err(error) = session.client.execute_typed(statement, &[(&holder, Type::UUID)]).await {
            tracing::warn!(error = describe(&error), "the claim of the database remains until it expires");
        }
    }
}

fn millis(lease: Duration) -> f64 {
    lease.as_millis() as f64
}

/// Time after the end of another claim at which it is taken.
const WAIT_MARGIN: Duration = Duration::from_millis(50);
