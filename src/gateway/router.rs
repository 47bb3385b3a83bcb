//! The routes of the public listener and the middleware around them.
//!
//! ```text
//!   request ─▶ measured ─▶ headers ─▶ peer ─▶ refusals logged ─▶ panics caught ─▶ host, origin checked (AUTH-4) ─▶ CORS ─▶ in time ─▶ handler
//! ```

use std::{any::Any, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use super::{
    Gateway, hosts,
    http::{self as answers, failure::HttpError},
    peers::SocketSlot,
    refusal_log, sse,
    state::LegacyClients,
    ws,
};
use crate::{runtime::drain::ShutdownStage, wire::codes::ErrorCode};

/// Builds the router of the public listener.
pub fn router(gateway: Gateway) -> Router {
    let no_store =
        SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let answers = answers::routes(&gateway);
    #[cfg(feature = "agui-server")]
    let answers = answers.merge(super::agui::routes());
    let answers = answers.route_layer(middleware::from_fn_with_state(gateway.clone(), in_time));
    #[cfg(feature = "page")]
    let answers = if gateway.dev.is_some() { answers.merge(super::page::routes()) } else { answers };
    // Deprecated: the predecessor's clients.
    let answers = match gateway.legacy_clients {
        LegacyClients::Served => answers.route("/ws", get(ws::upgrade_legacy)),
        LegacyClients::Refused => answers,
    };
    answers
        .route("/v1/ws", get(ws::upgrade))
        .route("/v1/stream", get(sse::stream))
        .fallback(async || HttpError::not_found())
        .method_not_allowed_fallback(async || {
            HttpError::not_found().with_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(no_store)
        .layer(cors(&gateway))
        .layer(middleware::from_fn_with_state(gateway.clone(), from_allowed_origin))
        .layer(middleware::from_fn_with_state(gateway.hosts.clone(), hosts::checked))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(gateway.refusals.clone(), refusal_log::logged))
        .layer(middleware::from_fn_with_state(gateway.clone(), of_peer))
        .layer(middleware::from_fn(guarded))
        .layer(middleware::from_fn(measured))
        .with_state(gateway)
}

/// Builds the CORS layer: pages of allowed origins may call the API with a bearer token; cookies are not
/// allowed.
fn cors(gateway: &Gateway) -> CorsLayer {
    let origins = gateway.origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, request| {
            origins.contains(origin, &request.headers)
        }))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, LAST_EVENT_ID])
        .expose_headers([header::RETRY_AFTER, header::CONTENT_DISPOSITION])
        .max_age(PREFLIGHT_AGE)
}

/// Adds the security headers in [`GUARDS`] to every response that does not set them itself, as the chat page
/// does for its content-security policy.
pub(super) async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in GUARDS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Resolves the peer address of a request. Closes the socket after an unauthenticated request with a 4xx
/// response, so that each refused attempt costs a new connection (ISO-6).
async fn of_peer(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    let (slot, is_of_host) = match slot(&gateway, &mut request) {
        Ok(found) => found,
        Err(failure) => return failure.into_response().closing(),
    };
    if is_of_host && gateway.drain.stage() == ShutdownStage::Closing {
        // The service's own listener accepts nothing in this stage; the server of a host may go on.
        return HttpError::new(ErrorCode::Draining, "the service is stopped").into_response().closing();
    }
    // AUTH-5: a development service logs in any caller as any user, also where a host mounts it.
    if gateway.dev.is_some() && !slot.address().to_canonical().is_loopback() {
        tracing::error!(peer = %slot.address(), "a development service is reached from another machine");
        return HttpError::new(ErrorCode::Forbidden, "this service is for its own machine only")
            .into_response()
            .closing();
    }
    let peer = match slot.resolve(request.headers()) {
        Ok(peer) => peer,
        Err(full) => return HttpError::from(full).into_response().closing(),
    };
    request.extensions_mut().insert(peer);
    let response = if is_of_host {
        // The service's own listener closes a displaced socket; here, the request ends.
        tokio::select! {
            biased;
            () = std::future::poll_fn(|cx| slot.poll_breaks(cx)) => return displaced(),
            response = next.run(request) => response,
        }
    } else {
        next.run(request).await
    };
    let authenticated = slot.is_idle();
    if authenticated || !response.status().is_client_error() {
        return response;
    }
    // A 429 is the consequence of earlier failures; counting it would extend the limit.
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        gateway.peers.failed(peer);
    }
    response.closing()
}

fn displaced() -> Response {
    let failure =
        HttpError::new(ErrorCode::LimitReached, "too many unauthenticated requests at the same time");
    failure.into_response().closing()
}

/// Returns the place of a request's socket, and whether that socket is one of a host's server. There, each
/// request takes a place of its own, for the address that the server states.
///
/// # Errors
/// When the server states no address, or the peer has reached its limit (ISO-6).
fn slot(gateway: &Gateway, request: &mut Request) -> Result<(SocketSlot, bool), HttpError> {
    if let Some(slot) = request.extensions().get::<SocketSlot>() {
        return Ok((slot.clone(), false));
    }
    let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() else {
        // Without it, limits on peers could not be kept.
        tracing::error!(
            "request without a peer address: serve the router with \
             into_make_service_with_connect_info::<SocketAddr>()"
        );
        return Err(HttpError::new(ErrorCode::Internal, "internal error"));
    };
    let slot = gateway.peers.accept(address.ip())?;
    request.extensions_mut().insert(slot.clone());
    Ok((slot, true))
}

/// Extension trait: closes the socket after a response.
trait Closing {
    fn closing(self) -> Self;
}

impl Closing for Response {
    fn closing(mut self) -> Self {
        self.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        self
    }
}

/// Rejects a request from an origin that is not allowed, before any handler and any upgrade (AUTH-4).
async fn from_allowed_origin(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    match gateway.origins.check(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(forbidden) => HttpError::from(forbidden).into_response(),
    }
}

/// Applies `request_timeout_ms`. After the timeout the outcome is unknown, and the client retries (DEL-7).
async fn in_time(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let wait = Duration::from_millis(gateway.limits.request_timeout_ms);
    match tokio::time::timeout(wait, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let failure =
                HttpError::new(ErrorCode::Unavailable, "the request timed out; repeating it is safe");
            failure.retry_after(gateway.limits.reconnect_after_ms).into_response()
        }
    }
}

async fn measured(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::histogram!("quintet_request_seconds", "route" => route, "method" => method, "status" => status)
        .record(begun.elapsed().as_secs_f64());
    response
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged the message.
    HttpError::new(ErrorCode::Internal, "internal error").into_response()
}

const GUARDS: [(http::HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];
const LAST_EVENT_ID: http::HeaderName = http::HeaderName::from_static("last-event-id");

/// Time for which a browser caches a preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);
