//! A running service, and its shutdown in order.

use std::{net::SocketAddr, time::Duration};

use axum::Router;

use crate::{
    gateway::{
        Gateway,
        operations::{self, Operations},
    },
    journal::sqlite::SqliteJournal,
    monitor::Monitor,
    runtime::{drain::ShutdownStage, tasks::Tasks},
};

/// A running service. Dropping it stops it immediately; [`Running::drain`] shuts it down in order.
#[must_use = "dropping a running service stops it"]
pub struct Running {
    /// The address of the public listener, as bound; the address given to `mount` for a mounted service.
    pub listen: SocketAddr,
    /// The address of the admin listener, as bound; `None` without one.
    pub admin_listen: Option<SocketAddr>,
    pub(super) gateway: Gateway,
    pub(super) monitor: Option<Monitor>,
    pub(super) operations: Operations,
    /// Tasks of the public listener: its acceptor, sockets and connections.
    pub(super) public: Tasks,
    /// The journal, if this service closes it.
    pub(super) owned: Option<SqliteJournal>,
    /// Aborted on drop.
    pub(super) background: Background,
}

/// Tasks that run until the service is dropped.
#[derive(Default)]
pub(super) struct Background(Vec<tokio::task::AbortHandle>);

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// All runs ended or reached a safe point in time. Otherwise the next process resumes them (RUN-6).
    pub runs_quiesced: bool,
    /// All connections closed in time.
    pub connections_closed: bool,
}

impl Running {
    /// Serves until `shutdown` resolves, then drains, and closes the journal if the builder opened it.
    ///
    /// The output of `shutdown` is ignored, so that `tokio::signal::ctrl_c()` can be passed as it is.
    pub async fn run_until(self, shutdown: impl Future) -> Drained {
        shutdown.await;
        self.shut_down().await
    }

    /// Drains the service and stops it, and closes the journal if the builder opened it.
    pub async fn shut_down(mut self) -> Drained {
        let drained = self.drain().await;
        let owned = self.owned.take();
        drop(self);
        if let Some(journal) = owned {
            match tokio::time::timeout(CLOSE_TIMEOUT, journal.close()).await {
                Ok(Ok(())) => {}
                // Acknowledged entries are durable in the write-ahead log, which the next start recovers.
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the journal was not closed; the next start recovers it")
                }
                Err(_) => {
                    tracing::warn!("the journal's disk does not respond; the next start recovers the journal")
                }
            }
        }
        drained
    }

    /// Shuts the service down in order (CONN-6). Takes at most `drain_timeout_ms` + `drain_flush_timeout_ms` +
    /// `drain_close_timeout_ms` + 1 s.
    pub async fn drain(&self) -> Drained {
        let limits = self.gateway.limits;
        tracing::info!(live_users = self.gateway.factory.live_users(), "draining");
        let observer = self.gateway.factory.observer();
        // Connections are notified first; then the factory rejects new messages.
        self.gateway.drain.advance(ShutdownStage::Draining);
        self.gateway.factory.drain();
        observer.draining();
        let rest = Duration::from_millis(limits.drain_timeout_ms);
        let runs_quiesced = tokio::time::timeout(rest, self.gateway.factory.quiesced()).await.is_ok();

        self.gateway.factory.quiesce();
        observer.drained();
        self.gateway.drain.advance(ShutdownStage::Closing);
        // Upper bound for each connection; one that exceeds it is abandoned.
        let close =
            Duration::from_millis(limits.drain_flush_timeout_ms + limits.drain_close_timeout_ms) + LATE_MAX;
        let stopped = async {
            // Otherwise the calls of runs that go on would end with their servers; the next process resumes these runs.
            if runs_quiesced && tokio::time::timeout(close, self.gateway.factory.stop_agents()).await.is_err()
            {
                tracing::warn!("the servers of tools did not stop in time");
            }
        };
        let closed = tokio::time::timeout(close, self.public.finished());
        let (connections_closed, ()) = tokio::join!(closed, stopped);
        let connections_closed = connections_closed.is_ok();
        let drained = Drained { runs_quiesced, connections_closed };
        tracing::info!(runs_quiesced, connections_closed, "drained");
        // Does not wait for the trace file: its writer thread runs in real time, which a simulation does not
        // control.
        observer.stopped();
        drained
    }

    /// Resolves once a drain closes the connections: the time for the server of a host to stop, as in
    /// `axum::serve(…).with_graceful_shutdown(running.closing())`.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let drain = self.gateway.drain.clone();
        async move { drain.reached(ShutdownStage::Closing).await }
    }

    /// Returns the routes of the admin listener, `/livez`, `/readyz` and `/metrics`, for a listener of the
    /// host. They need no authentication and are not for the public.
    pub fn admin_router(&self) -> Router {
        operations::router(self.operations.clone())
    }

    /// Returns the monitor, if the settings enable one.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// Returns the shared state of the handlers, for tests.
    #[doc(hidden)]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (listen, admin_listen) = (self.listen, self.admin_listen);
        f.debug_struct("Running").field("listen", &listen).field("admin_listen", &admin_listen).finish()
    }
}

impl Background {
    pub(super) fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(Tasks::default().spawn(task).abort_handle());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a drain, connections still get a close frame.
        self.gateway.drain.advance(ShutdownStage::Closing);
    }
}

/// Allowance for the last connection to notice its timeout.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Timeout for checkpointing the write-ahead log into the database.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
