//! The admin routes: liveness, readiness and metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    http::header,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    auth::Auth,
    hosts::{self, Hosts},
    router::guarded,
};
use crate::{
    journal::Journal,
    runtime::{
        drain::{Drain, ShutdownStage},
        saturation::{Saturation, Scope},
    },
    user::room,
};

/// State of the admin routes.
#[derive(Clone)]
pub struct Operations {
    /// The stage of the shutdown; `/readyz` answers 503 from its beginning (CONN-6).
    pub drain: Drain,
    /// The `Host` names that the listener accepts.
    pub hosts: Hosts,
    /// Set once all runs left open by an earlier process are resumed (RUN-6).
    pub recovered: Arc<AtomicBool>,
    /// The journal, which `/readyz` probes (DEL-7).
    pub journal: Arc<dyn Journal>,
    /// The limits that are reached.
    pub saturation: Saturation,
    /// Whether tokens can be verified.
    pub auth: Auth,
    /// Renders all metrics in the Prometheus text format; `None` if the process has another recorder.
    pub metrics: Option<Render>,
}

/// Renders all metrics.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

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
    if operations.drain.stage() != ShutdownStage::Serving {
        return Some("draining".to_owned());
    }
    if !operations.recovered.load(Ordering::Acquire) {
        return Some("resuming open runs".to_owned());
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
        Err(_) => return Some("the journal does not respond".to_owned()),
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

/// Answers 404 if the metrics go to a recorder of the host, which renders them itself.
async fn metrics(State(operations): State<Operations>) -> Response {
    let Some(render) = &operations.metrics else {
        return (StatusCode::NOT_FOUND, "the process has a metrics recorder of its own\n").into_response();
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render()).into_response()
}

/// Timeout for the journal probe of `/readyz`.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        gateway::{
            auth::Keys,
            key::VerifyingKey,
            limits::GatewayLimits,
            token::{Audience, ClaimsPolicy},
        },
        journal::{JournalError, JournalLayer, Retention, Trimmed, memory::MemoryJournal},
        kernel::ids::{Timestamp, UserId},
        observer::NoObserver,
    };

    /// A journal whose disk hangs: it takes requests and never answers.
    struct Hanging(MemoryJournal);

    #[async_trait]
    impl JournalLayer for Hanging {
        fn inner(&self) -> &dyn Journal {
            &self.0
        }

        async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
            std::future::pending().await
        }

        async fn probe(&self) -> Result<(), JournalError> {
            std::future::pending().await
        }

        async fn trim(&self, _: Retention, _: Timestamp) -> Result<Trimmed, JournalError> {
            std::future::pending().await
        }
    }

    fn operations(journal: Arc<dyn Journal>) -> Operations {
        let key = VerifyingKey::from_public_pem(include_bytes!("../../tests/keys/rsa.public.pem")).unwrap();
        let policy =
            ClaimsPolicy { audience: Audience::Any, issuer: None, clock_skew_ms_max: 0, lifetime_ms_max: 0 };
        let saturation = Saturation::default();
        let keys = Keys::Fixed(Arc::new(key));
        Operations {
            drain: Drain::default(),
            hosts: Hosts::Any,
            recovered: Arc::new(AtomicBool::new(true)),
            auth: Auth::new(keys, policy, &GatewayLimits::DEFAULT, saturation.clone(), Arc::new(NoObserver)),
            saturation,
            journal,
            metrics: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn del_7_a_journal_that_never_answers_is_not_ready_in_time() {
        let begun = Instant::now();
        let asked = operations(Arc::new(Hanging(MemoryJournal::default())));
        let answer = tokio::time::timeout(2 * PROBE_WAIT_MAX, readyz(State(asked))).await;
        let (status, text) = answer.expect("an answer in time");
        assert_eq!((status.as_u16(), text.as_str()), (503, "the journal does not respond\n"));
        assert_eq!(begun.elapsed(), PROBE_WAIT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn iso_6_readiness_lists_reached_limits_and_fails_at_limits_of_the_whole_service() {
        let operations = operations(Arc::new(MemoryJournal::default()));
        let says = async || {
            let (status, text) = readyz(State(operations.clone())).await;
            (status.as_u16(), text)
        };
        assert_eq!(says().await, (200, "ok\n".into()));
        operations.saturation.reached("user_pages_max", Scope::User);
        operations.saturation.reached("peer_sockets_max", Scope::Peer);
        // Strangers reach this one: it must not take the service out of its load balancer.
        operations.saturation.reached("unauthenticated_sockets_max", Scope::Service);
        let listed = "limit reached: peer_sockets_max (peer)\n\
                      limit reached: unauthenticated_sockets_max (service)\n\
                      limit reached: user_pages_max (user)\n";
        assert_eq!(says().await, (200, format!("ok\n{listed}")));
        for limit in ["sockets_max", "connections_max", "tickets_max", "rate_users_max"] {
            operations.saturation.measured(limit, Scope::Service, true);
            let (status, text) = says().await;
            assert_eq!(status, 503, "{limit}: {text}");
            assert!(text.starts_with(&format!("full: {limit} is reached\n")), "{text}");
            operations.saturation.measured(limit, Scope::Service, false);
        }
        operations.saturation.measured(room::SETTING, Scope::Service, true);
        let (status, text) = says().await;
        assert!(status == 503 && text.starts_with("the disk is nearly full\n"), "{text}");
        tokio::time::advance(crate::runtime::saturation::SATURATED_FOR).await;
        assert_eq!(says().await, (200, "ok\n".into()));
    }
}
