//! The HTTP request that upgrades to a WebSocket.
//!
//! Guarantees: a ticket is consumed only if the rest of the request is valid (AUTH-2), including its origin,
//! which the router has checked (AUTH-4). An invalid credential is answered with 401 and opens no WebSocket.

use axum::{
    body::Body,
    extract::{Request, State},
};
use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{Instrument, field};

use super::session::{Origin, WsSession};
use crate::{
    gateway::{
        Gateway,
        http::{
            extract::{HttpResult, QueryParams, bearer, peer},
            failure::HttpError,
        },
        peers::{PeerAddr, SocketSlot},
    },
    kernel::{ids::ConnectionId, ticket::Identity},
    runtime::{drain::ShutdownStage, ids},
    wire::{codes::ErrorCode, server::PROTOCOL},
};

/// The query of `GET /v1/ws`.
#[derive(Deserialize)]
pub struct UpgradeQuery {
    ticket: Option<String>,
}

/// Validates and authenticates an upgrade request and starts the connection's task.
///
/// # Errors
/// When the service is draining, the request is not a WebSocket handshake (RFC 6455), the credential is
/// invalid, or a limit is reached. No WebSocket is opened.
pub async fn upgrade(
    State(gateway): State<Gateway>,
    QueryParams(query): QueryParams<UpgradeQuery>,
    request: Request,
) -> HttpResult {
    let (mut parts, _) = request.into_parts();
    if gateway.drain.stage() >= ShutdownStage::Draining {
        let failure = HttpError::new(ErrorCode::Draining, "the service is draining");
        return Err(failure.retry_after(gateway.limits.reconnect_after_ms));
    }
    let Handshake { on_upgrade, response } = Handshake::read(&mut parts)?;
    let peer = peer(&parts)?;
    let slot = parts.extensions.remove::<SocketSlot>().ok_or_else(not_upgradable)?;
    let known = identity(&gateway, peer, &parts.headers, query.ticket.as_deref()).await?;
    let origin = Origin { peer, slot };

    let connection_id = ConnectionId(ids::fresh());
    let span = tracing::info_span!("connection", %connection_id, peer = %peer.0, user_id = field::Empty);
    let tasks = gateway.tasks.clone();
    let connection = async move {
        match on_upgrade.await {
            Ok(upgraded) => {
                WsSession::new(gateway, connection_id, upgraded, origin, known).await.run().await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    tasks.spawn(connection.instrument(span));

    Ok(response.map(|()| Body::empty()))
}

/// A valid upgrade request (RFC 6455, section 4.2).
pub struct Handshake {
    /// Resolves to the socket once the response is sent.
    pub on_upgrade: OnUpgrade,
    /// The 101 response with `Sec-WebSocket-Accept`.
    pub response: http::Response<()>,
}

impl Handshake {
    /// Validates the head of an upgrade request.
    ///
    /// # Errors
    /// When it is not a WebSocket handshake according to RFC 6455, or names only unknown subprotocols.
    pub fn read(parts: &mut Parts) -> Result<Self, HttpError> {
        let accept = handshake(parts)?;
        let subprotocol = subprotocol(&parts.headers)?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(not_upgradable)?;
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(subprotocol) = subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        Ok(Self { on_upgrade, response })
    }
}

fn not_upgradable() -> HttpError {
    HttpError::new(ErrorCode::Internal, "this connection cannot become a WebSocket")
}

/// Validates the handshake headers and returns the value of `Sec-WebSocket-Accept` (RFC 6455, 4.2.1).
fn handshake(parts: &Parts) -> Result<HeaderValue, HttpError> {
    let asks = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && has_token(&parts.headers, header::CONNECTION, "upgrade")
        && has_token(&parts.headers, header::UPGRADE, "websocket");
    if !asks {
        let failure = HttpError::new(ErrorCode::MalformedFrame, "a WebSocket handshake is required");
        return Err(failure.with_status(StatusCode::UPGRADE_REQUIRED));
    }
    if one(&parts.headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let failure = HttpError::new(ErrorCode::InvalidField, "sec-websocket-version must be 13");
        return Err(failure.with_status(StatusCode::UPGRADE_REQUIRED));
    }
    let key = one(&parts.headers, header::SEC_WEBSOCKET_KEY);
    let invalid = || HttpError::new(ErrorCode::InvalidField, "sec-websocket-key must be 16 bytes in base64");
    let key = key.filter(|key| is_key(key)).ok_or_else(invalid)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| invalid())
}

/// Returns the subprotocol to confirm. A client that offers subprotocols must offer ours.
fn subprotocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, HttpError> {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Ok(Some(HeaderValue::from_static(PROTOCOL)));
    }
    Err(HttpError::new(ErrorCode::InvalidField, format!("the only supported subprotocol is {PROTOCOL}")))
}

/// Authenticates the request if it carries a credential. An invalid one is an error.
async fn identity(
    gateway: &Gateway,
    peer: PeerAddr,
    headers: &HeaderMap,
    ticket: Option<&str>,
) -> Result<Option<Identity>, HttpError> {
    // A peer above its failure limit opens no socket, with or without a credential.
    gateway.peers.may_try(peer)?;
    match (headers.contains_key(header::AUTHORIZATION), ticket) {
        (false, None) => Ok(None),
        (true, None) => {
            let identity = gateway.auth.bearer(bearer(headers)?).await?;
            gateway.admit.request(&identity.user_id)?;
            Ok(Some(identity))
        }
        (false, Some(ticket)) => Ok(Some(gateway.auth.ticket(ticket).await?)),
        (true, Some(_)) => {
            Err(HttpError::new(ErrorCode::InvalidField, "a bearer token and a ticket exclude each other"))
        }
    }
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// Returns the value of a header that occurs exactly once.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// Returns whether a `Sec-WebSocket-Key` is a valid nonce (RFC 6455, section 4.1).
fn is_key(key: &HeaderValue) -> bool {
    base64::prelude::BASE64_STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == NONCE_BYTES)
}

/// Length of the nonce in a `Sec-WebSocket-Key`.
const NONCE_BYTES: usize = 16;
