//! The admin listener: liveness, readiness and metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router, extract::State, http::StatusCode, http::header, middleware, response::IntoResponse, routing::get,
};

use super::{
    auth::Auth,
    drain::{Drain, Stage},
    hosts::{self, Hosts},
    router::guarded,
};
use crate::journal::Journal;

/// State of the admin routes.
#[derive(Clone)]
pub struct Operations {
    pub drain: Drain,
    /// The `Host` names that the listener accepts.
    pub hosts: Hosts,
    /// Set once all runs left open by an earlier process are resumed (RUN-6).
    pub recovered: Arc<AtomicBool>,
    pub journal: Arc<dyn Journal>,
    /// Used to check that there are keys to verify tokens with.
    pub auth: Auth,
    /// Renders all metrics in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Builds the router of the admin listener: `/livez`, `/readyz`, `/metrics`.
pub fn router(operations: Operations) -> Router {
    let hosts = operations.hosts.clone();
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(hosts, hosts::checked))
        .layer(middleware::from_fn(guarded))
        .with_state(operations)
}

/// Returns 200 while new clients are served and the journal is writable (DEL-7). Returns 503 until open runs
/// are resumed (RUN-6), while there is no key set to verify tokens with (AUTH-5), and once a drain has begun
/// (CONN-6).
async fn readyz(State(operations): State<Operations>) -> (StatusCode, &'static str) {
    if operations.drain.stage() != Stage::Serving {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if !operations.recovered.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "resuming open runs\n");
    }
    if !operations.auth.has_keys() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "no keys to verify tokens with: the set at jwks_url is not fetched\n",
        );
    }
    match tokio::time::timeout(PROBE_WAIT_MAX, operations.journal.probe()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n"),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the journal is not available\n")
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the journal does not respond\n"),
    }
}

async fn metrics(State(operations): State<Operations>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (operations.metrics)())
}

/// Timeout for the journal probe of `/readyz`.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
