//! Wake-ups between the nodes of a database (NODE-4).
//!
//! ```text
//!   commit ──▶ outbox: keys of users ── each few milliseconds ──▶ NOTIFY ──▶ LISTEN of each node ──▶ hint
//!   each half second ──▶ positions of the watched users ──▶ those that moved elsewhere ──▶ hint
//! ```
//!
//! Guarantee: an append does not wait for its wake-up, which has a connection of its own, and commits without waiting for
//! the disk. A payload has keys of users and the sender, and no content. A hint is lost if a connection breaks; the poll
//! finds the log at most `postgres_poll_interval_ms` later, and each new connection for LISTEN wakes every watched user.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quintet_journal::{Fence, Position, WakeKey, Watches};
use quintet_kernel::ids::{Epoch, Offset, UserId};
use quintet_runtime::tasks::Tasks;
use tokio::sync::{Notify, watch};
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::{
    connect::{Connector, Session},
    fault::Failure,
    open::Identity,
    options::{PostgresLimits, WAKE_RETRY_MS},
    pool::Pool,
};

/// The wake-ups of one node.
pub(crate) struct Wakes {
    pub(crate) watches: Watches,
    origin: Epoch,
    sender: Uuid,
    outbox: Mutex<Outbox>,
    filled: Notify,
    pub(crate) limits: PostgresLimits,
    stop: watch::Sender<bool>,
}

/// The users whose logs this node has moved since its last notification.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outbox {
    keys: BTreeSet<WakeKey>,
    /// True if more users were moved than are kept: everyone is woken.
    everyone: bool,
}

/// The content of a notification.
#[derive(Debug, PartialEq, Eq)]
enum Wake {
    Users(Vec<WakeKey>),
    Everyone,
}

impl Wakes {
    pub(crate) fn new(origin: Epoch, sender: Uuid, limits: PostgresLimits) -> Self {
        let (outbox, filled, stop) = (Mutex::default(), Notify::new(), watch::channel(false).0);
        Self { watches: Watches::default(), origin, sender, outbox, filled, limits, stop }
    }

    pub(crate) fn key(&self, user_id: &UserId) -> WakeKey {
        WakeKey::of(self.origin, user_id)
    }

    /// Records that this node has moved the log of a user.
    pub(crate) fn moved(&self, user_id: &UserId, to: Position) {
        let key = self.key(user_id);
        self.watches.moved(key, user_id, to);
        self.outbox().add(key, self.limits.postgres_wake_users_max);
        self.filled.notify_one();
    }

    /// Sends and receives hints, and polls, until [`Self::stop`].
    pub(crate) fn start(
        self: &Arc<Self>,
        connector: &Arc<Connector>,
        identity: &Identity,
        pool: &Arc<Pool>,
        tasks: &Tasks,
    ) {
        let (wakes, connector, identity, pool) =
            (self.clone(), connector.clone(), identity.clone(), pool.clone());
        tasks.spawn(async move {
            let mut stop = wakes.stop.subscribe();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = wakes.listen(&connector, &identity) => {}
                () = wakes.send(&connector, &identity) => {}
                () = wakes.poll(&pool) => {}
            }
        });
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The channel of this journal: others may be in the same database.
    fn channel(&self) -> String {
        format!("quintet_{}", self.origin.0.simple())
    }

    async fn listen(self: &Arc<Self>, connector: &Connector, identity: &Identity) {
        // Before the first connection, the first poll of a user wakes it.
        let mut missed = false;
        loop {
            match self.listening(connector, identity).await {
                Ok(session) => {
                    if missed {
                        self.watches.hint_all();
                    }
                    session.ended().await;
                    tracing::warn!("the connection for wake-ups has broken");
                }
                Err(failure) => {
                    tracing::warn!(error = %failure.into_error(), "wake-ups are not received; the logs are polled");
                }
            }
            missed = true;
            tokio::time::sleep(Duration::from_millis(WAKE_RETRY_MS)).await;
        }
    }

    async fn listening(
        self: &Arc<Self>,
        connector: &Connector,
        identity: &Identity,
    ) -> Result<Session, Failure> {
        let wakes = self.clone();
        let session = connector.connect_listening(move |payload| wakes.receive(payload)).await?;
        identity.check(&session).await.map_err(Failure::Journal)?;
        session.client.batch_execute(&format!("LISTEN {}", self.channel())).await?;
        Ok(session)
    }

    fn receive(&self, payload: &str) {
        match parse(payload, self.sender) {
            Some(Wake::Users(keys)) => keys.into_iter().for_each(|key| self.watches.hint(key)),
            Some(Wake::Everyone) => self.watches.hint_all(),
            None => {}
        }
    }

    async fn send(&self, connector: &Connector, identity: &Identity) {
        let mut session = None;
        loop {
            self.filled.notified().await;
            // Those of the next few milliseconds share the notification.
            tokio::time::sleep(Duration::from_millis(self.limits.postgres_wake_interval_ms)).await;
            let payloads = std::mem::take(&mut *self.outbox()).payloads(self.sender);
            let limit = Duration::from_millis(self.limits.postgres_read_timeout_ms);
            let sent =
                tokio::time::timeout(limit, self.notify(&mut session, connector, identity, &payloads)).await;
            if let Err(failure) = sent.unwrap_or(Err(Failure::TimedOut)) {
                session = None;
                metrics::counter!("quintet_postgres_wakes_lost_total").increment(payloads.len() as u64);
                tracing::warn!(error = %failure.into_error(), "wake-ups were not sent; the other nodes poll");
                tokio::time::sleep(Duration::from_millis(WAKE_RETRY_MS)).await;
            }
        }
    }

    async fn notify(
        &self,
        session: &mut Option<Session>,
        connector: &Connector,
        identity: &Identity,
        payloads: &[String],
    ) -> Result<(), Failure> {
        let open = match session.take() {
            Some(open) if !open.client.is_closed() => open,
            _ => {
                let open = connector.connect().await?;
                identity.check(&open).await.map_err(Failure::Journal)?;
                // A hint need not be durable, and this connection appends nothing.
                open.client.batch_execute("SET synchronous_commit = off").await?;
                open
            }
        };
        for payload in payloads {
            open.client
                .execute_typed(
                    "SELECT pg_notify($1, $2)",
                    &[(&self.channel(), Type::TEXT), (payload, Type::TEXT)],
                )
                .await?;
        }
        *session = Some(open);
        Ok(())
    }

    /// Looks for the positions of the watched users, a page at a time.
    async fn poll(&self, pool: &Pool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.limits.postgres_poll_interval_ms));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let polled = self.poll_all(pool).await;
            if let (Err(error), false) = (&polled, failing) {
                tracing::warn!(%error, "logs are not polled for the appends of other nodes");
            }
            failing = polled.is_err();
        }
    }

    async fn poll_all(&self, pool: &Pool) -> Result<(), quintet_journal::JournalError> {
        let mut after = None;
        loop {
            let (page, last) = self.watches.page(after, self.limits.postgres_poll_users_max);
            if last.is_none() {
                return Ok(());
            }
            let lease = pool.lease().await?;
            let names: Vec<Vec<u8>> = page.iter().map(|user_id| user_id.as_str().into()).collect();
            let rows = lease
                .run(async |client: &mut Client| -> Result<_, Failure> {
                    Ok(client
                        .query_typed(
                            "SELECT user_id, head, fence FROM users WHERE user_id = ANY($1)",
                            &[(&names, Type::BYTEA_ARRAY)],
                        )
                        .await?)
                })
                .await?;
            for row in &rows {
                let found = || -> Option<_> {
                    let name = std::str::from_utf8(row.try_get(0).ok()?).ok()?;
                    let (head, fence): (i64, i64) = (row.try_get(1).ok()?, row.try_get(2).ok()?);
                    let position =
                        Position { head: Offset(head.unsigned_abs()), fence: Fence(fence.unsigned_abs()) };
                    Some((UserId::parse(name).ok()?, position))
                };
                // A row that cannot be read is an error of the log, which its reader reports.
                if let Some((user_id, position)) = found() {
                    self.watches.found(self.key(&user_id), &user_id, position);
                }
            }
            after = last;
        }
    }

    /// Locks the outbox. The lock cannot be poisoned: nothing panics while it is held.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    fn add(&mut self, key: WakeKey, max: usize) {
        if self.everyone {
            return;
        }
        self.keys.insert(key);
        if self.keys.len() > max {
            (self.everyone, self.keys) = (true, BTreeSet::new());
        }
    }

    /// Returns the payloads of notifications, each within the limit of the server.
    fn payloads(self, sender: Uuid) -> Vec<String> {
        let sender = sender.simple();
        if self.everyone {
            return vec![format!("{sender} {EVERYONE}")];
        }
        let keys: Vec<WakeKey> = self.keys.into_iter().collect();
        let payload = |keys: &[WakeKey]| {
            let keys: Vec<String> = keys.iter().map(|key| format!("{:x}", key.0)).collect();
            format!("{sender} {}", keys.join(" "))
        };
        keys.chunks(PAYLOAD_KEYS_MAX).map(payload).collect()
    }
}

/// Returns the hints of a payload; `None` if this node has sent it. A payload that cannot be parsed wakes everyone: a later
/// version may have another form.
fn parse(payload: &str, own: Uuid) -> Option<Wake> {
    let Some((sender, keys)) = payload.split_once(' ') else { return Some(Wake::Everyone) };
    if sender.parse::<Uuid>() == Ok(own) {
        return None;
    }
    let keys: Result<Vec<_>, _> =
        keys.split(' ').map(|key| u64::from_str_radix(key, 16).map(WakeKey)).collect();
    Some(keys.map_or(Wake::Everyone, Wake::Users))
}

/// The keys of a payload that wakes everyone.
const EVERYONE: &str = "*";
/// Keys in a payload, which may have 7,999 bytes: 32 of the sender, and up to 17 of a key.
const PAYLOAD_KEYS_MAX: usize = 460;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn outbox(keys: impl IntoIterator<Item = u64>, max: usize) -> Outbox {
        let mut outbox = Outbox::default();
        keys.into_iter().for_each(|key| outbox.add(WakeKey(key), max));
        outbox
    }

    #[test]
    fn node_4_hints_of_one_user_are_one_and_too_many_wake_everyone() {
        let payloads = outbox([7, 7, 9, 7], 2).payloads(A);
        assert_eq!(payloads, [format!("{} 7 9", A.simple())]);
        let wake = parse(&payloads[0], B);
        assert_eq!(wake, Some(Wake::Users(vec![WakeKey(7), WakeKey(9)])));
        assert_eq!(parse(&payloads[0], A), None, "the sender does not wake itself");
        let overflow = outbox([1, 2, 3, 4], 2);
        assert_eq!((overflow.keys.len(), overflow.everyone), (0, true), "it is bounded");
        assert_eq!(parse(&overflow.payloads(A)[0], B), Some(Wake::Everyone));
    }

    #[test]
    fn node_4_payloads_are_within_the_limit_of_the_server_and_have_each_user() {
        let keys: Vec<u64> = (0..1_000).map(|number| u64::MAX - number).collect();
        let payloads = outbox(keys.clone(), 1_000).payloads(A);
        assert!(payloads.iter().all(|payload| payload.len() < 8_000), "{}", payloads[0].len());
        let mut received = BTreeSet::new();
        for payload in &payloads {
            let Some(Wake::Users(keys)) = parse(payload, B) else { panic!("{payload}") };
            received.extend(keys.into_iter().map(|key| key.0));
        }
        assert_eq!(received, keys.into_iter().collect());
    }

    #[test]
    fn node_4_unknown_payloads_wake_everyone() {
        for payload in
            ["", "x", "x y", "* *", format!("{} ", B.simple()).as_str(), format!("{} -", B.simple()).as_str()]
        {
            assert_eq!(parse(payload, A), Some(Wake::Everyone), "{payload:?}");
        }
    }
}
