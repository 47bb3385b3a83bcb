//! A bounded pool of connections for queries, trimming and erasure.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quintet_journal::JournalError;
use tokio::{sync::Semaphore, time::Instant};
use tokio_postgres::Client;

use crate::{
    connect::{Connector, Session},
    fault::{Failure, closed, unavailable},
    open::Identity,
};

/// The pool.
pub(crate) struct Pool {
    connector: Arc<Connector>,
    identity: Identity,
    permits: Semaphore,
    idle: Mutex<Vec<Session>>,
    timeout: Duration,
}

/// A connection of the pool, in use. It goes back only if its work succeeded.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    session: Session,
    until: Instant,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Pool {
    pub(crate) fn new(
        connector: Arc<Connector>,
        identity: Identity,
        connections_max: usize,
        timeout: Duration,
    ) -> Self {
        let permits = Semaphore::new(connections_max.max(1));
        Self { connector, identity, permits, idle: Mutex::default(), timeout }
    }

    /// Takes a connection. The time limit covers the wait and the work.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>, JournalError> {
        let until = Instant::now() + self.timeout;
        let waited = tokio::time::timeout_at(until, self.permits.acquire()).await;
        let permit = waited.map_err(|_| unavailable("every connection for reading is in use"))?;
        let permit = permit.map_err(|_| closed())?;
        loop {
            let idle = self.idle().pop();
            match idle {
                Some(session) if session.client.is_closed() => {}
                Some(session) => return Ok(Lease { pool: self, session, until, _permit: permit }),
                None => break,
            }
        }
        let session = self.connector.connect().await.map_err(Failure::into_error)?;
        self.identity.check(&session).await?;
        Ok(Lease { pool: self, session, until, _permit: permit })
    }

    /// Closes every connection; further queries fail.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    /// Locks the idle connections. The lock cannot be poisoned: nothing panics while it is held.
    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Runs `work` on the connection.
    pub(crate) async fn run<T>(
        mut self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, JournalError> {
        let done = tokio::time::timeout_at(self.until, work(&mut self.session.client)).await;
        match done {
            Ok(Ok(value)) => {
                let Self { pool, session, .. } = self;
                if !pool.permits.is_closed() {
                    pool.idle().push(session);
                }
                Ok(value)
            }
            Ok(Err(failure)) => {
                // What closed this connection may have closed the others.
                if self.session.client.is_closed() {
                    self.pool.idle().clear();
                }
                Err(failure.into_error())
            }
            Err(_) => Err(Failure::TimedOut.into_error()),
        }
    }
}
