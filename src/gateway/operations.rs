//! What operators and their machines ask, on a listener of its own: is it alive, is it ready, how is it.

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
use crate::{
    journal::Journal,
    runtime::saturation::{Saturation, Scope},
    user::room,
};

/// What the routes of operations look at.
#[derive(Clone)]
pub struct Operations {
    pub drain: Drain,
    /// The names that the listener goes by.
    pub hosts: Hosts,
    /// Raised once everything that an earlier process left open is taken up.
    pub recovered: Arc<AtomicBool>,
    pub journal: Arc<dyn Journal>,
    /// The limits that are reached.
    pub saturation: Saturation,
    /// Whether tokens can be verified.
    pub auth: Auth,
    /// All metrics as they are now, in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// `/livez`, `/readyz`, `/metrics`.
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

/// Answers 200 while new clients are served and the journal is writable (DEL-7); 503 until open runs are
/// resumed (RUN-6), while there is no key set to verify tokens with (AUTH-5), while the service is full for
/// new clients (ISO-6), and from the moment a drain begins (CONN-6). Lists the limits that are reached.
async fn readyz(State(operations): State<Operations>) -> (StatusCode, String) {
    let reached = operations.saturation.current();
    let (status, mut text) = match not_ready(&operations, &reached).await {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    for (limit, scope) in reached {
        text.push_str(&format!("limit reached: {limit} ({})\n", scope.as_str()));
    }
    (status, text)
}

async fn not_ready(operations: &Operations, reached: &[(&'static str, Scope)]) -> Option<String> {
    if operations.drain.stage() != Stage::Serving {
        return Some("draining".to_owned());
    }
    if !operations.recovered.load(Ordering::Acquire) {
        return Some("taking up what was left open".to_owned());
    }
    if !operations.auth.has_keys() {
        return Some("no keys to verify tokens with: the set at jwks_url is not fetched".to_owned());
    }
    match tokio::time::timeout(PROBE_WAIT_MAX, operations.journal.probe()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "not ready");
            return Some("the journal is not available".to_owned());
        }
        Err(_) => return Some("the journal does not answer".to_owned()),
    }
    let full = |limit: &&str| reached.iter().any(|(name, _)| name == limit);
    FULL.iter().find(|limit| full(limit)).map(|limit| match *limit {
        room::SETTING => "the disk is nearly full".to_owned(),
        limit => format!("full: {limit} is reached"),
    })
}

/// The limits while whose reaching new clients are better served elsewhere: all clients of the service share
/// them, and no peer without credentials reaches them, so that strangers cannot take a service out of its load
/// balancer.
const FULL: &[&str] = &[room::SETTING, "sockets_max", "connections_max", "tickets_max", "rate_users_max"];

async fn metrics(State(operations): State<Operations>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (operations.metrics)())
}

/// How long the journal may take to answer a probe.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
