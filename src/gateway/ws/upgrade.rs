//! The HTTP request that becomes a WebSocket, or is refused before anything else happens.
//!
//! Guarantees: a ticket is spent only by a request that is in order otherwise (AUTH-2), which includes its
//! origin: the router looked at that first (AUTH-4); a credential that is not good is a 401, never a socket.

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

use super::{core::Origin, link::Link};
use crate::{
    gateway::{
        Gateway,
        drain::Stage,
        http::{
            extract::{Answer, Asked, bearer, peer},
            failure::Failure,
        },
        peers::{PeerAddr, Place},
    },
    kernel::{ids::ConnectionId, ticket::Identity},
    runtime::ids,
    wire::{codes::ErrorCode, server::PROTOCOL},
};

#[derive(Deserialize)]
pub struct Query {
    ticket: Option<String>,
}

/// Makes a WebSocket of a request that asks for one and may have it.
pub async fn upgrade(State(gateway): State<Gateway>, Asked(query): Asked<Query>, request: Request) -> Answer {
    let (mut parts, _) = request.into_parts();
    if gateway.drain.stage() >= Stage::Draining {
        let failure = Failure::new(ErrorCode::Draining, "the service is draining");
        return Err(failure.retry_after(gateway.limits.reconnect_after_ms));
    }
    let Handshake { on_upgrade, response } = Handshake::read(&mut parts)?;
    let peer = peer(&parts)?;
    let place = parts.extensions.remove::<Place>().ok_or_else(not_upgradable)?;
    let known = identity(&gateway, peer, &parts.headers, query.ticket.as_deref()).await?;
    let origin = Origin { peer, place };

    let connection_id = ConnectionId(ids::fresh());
    let span = tracing::info_span!("connection", %connection_id, peer = %peer.0, user_id = field::Empty);
    let tasks = gateway.tasks.clone();
    let connection = async move {
        match on_upgrade.await {
            Ok(upgraded) => {
                if let Some(link) =
                    Link::new(gateway, connection_id, upgraded, origin, known).await.greet().await
                {
                    link.stream().await;
                }
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    tasks.spawn(connection.instrument(span));

    Ok(response.map(|()| Body::empty()))
}

/// A request that may become a WebSocket (RFC 6455, section 4.2).
pub struct Handshake {
    /// The socket, once the response is sent.
    pub on_upgrade: OnUpgrade,
    /// 101, with what proves that the request was understood.
    pub response: http::Response<()>,
}

impl Handshake {
    /// Reads the request's head.
    ///
    /// # Errors
    ///
    /// If it does not ask for a WebSocket, or not in the way that the RFC and the contract say.
    pub fn read(parts: &mut Parts) -> Result<Self, Failure> {
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

fn not_upgradable() -> Failure {
    Failure::new(ErrorCode::Internal, "this connection cannot become a WebSocket")
}

/// The proof that the request was understood as a WebSocket handshake (RFC 6455, 4.2.1).
fn handshake(parts: &Parts) -> Result<HeaderValue, Failure> {
    let asks = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && has_token(&parts.headers, header::CONNECTION, "upgrade")
        && has_token(&parts.headers, header::UPGRADE, "websocket");
    if !asks {
        let failure = Failure::new(ErrorCode::MalformedFrame, "this is for WebSocket connections");
        return Err(failure.with_status(StatusCode::UPGRADE_REQUIRED));
    }
    if one(&parts.headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let failure = Failure::new(ErrorCode::InvalidField, "sec-websocket-version must be 13");
        return Err(failure.with_status(StatusCode::UPGRADE_REQUIRED));
    }
    let key = one(&parts.headers, header::SEC_WEBSOCKET_KEY);
    let invalid = || Failure::new(ErrorCode::InvalidField, "sec-websocket-key must be 16 bytes in base64");
    let key = key.filter(|key| is_key(key)).ok_or_else(invalid)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| invalid())
}

/// The subprotocol to confirm: a client that names some has to name ours.
fn subprotocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Ok(Some(HeaderValue::from_static(PROTOCOL)));
    }
    Err(Failure::new(ErrorCode::InvalidField, format!("the subprotocol spoken here is {PROTOCOL}")))
}

/// Whom the request is authenticated as, if it brings a credential; one that is not good ends it here.
async fn identity(
    gateway: &Gateway,
    peer: PeerAddr,
    headers: &HeaderMap,
    ticket: Option<&str>,
) -> Result<Option<Identity>, Failure> {
    // A peer above its limit opens no socket, with a credential or without.
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
            Err(Failure::new(ErrorCode::InvalidField, "a bearer token and a ticket exclude each other"))
        }
    }
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that stands exactly once.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a `sec-websocket-key` is a nonce as RFC 6455, section 4.1 has it.
fn is_key(key: &HeaderValue) -> bool {
    base64::prelude::BASE64_STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == NONCE_BYTES)
}

/// Bytes of the nonce in a `sec-websocket-key`.
const NONCE_BYTES: usize = 16;
