//! The HTTP request that upgrades to a WebSocket.
//!
//! Guarantees: a ticket is consumed only if the rest of the request is valid (AUTH-2), including its origin,
//! which the router has checked (AUTH-4). An invalid credential is answered with 401 and opens no WebSocket. The
//! routes of both protocols go through the same checks.

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

use super::{
    codec::{Codec, LegacyClient},
    legacy_offer::LegacyOffer,
    session::{Origin, WsSession},
};
use crate::{
    gateway::{
        Gateway,
        auth::AuthError,
        http::{
            extract::{HttpResult, QueryParams, bearer, peer},
            failure::HttpError,
        },
        peers::{PeerAddr, SocketSlot},
    },
    kernel::{
        connection::ResumeCursor,
        ids::{ConnectionId, Epoch, Offset},
        ticket::Identity,
    },
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
    open(gateway, request, query.ticket.as_deref(), subprotocol).await
}

/// The query of `GET /ws`.
#[derive(Deserialize)]
pub struct LegacyQuery {
    ticket: Option<String>,
    /// The cursor to resume from. The predecessor had none; without it the connection starts at the head.
    after: Option<Offset>,
    epoch: Option<String>,
}

/// Upgrades a connection of the predecessor's clients, or of others that offer the subprotocol `quintet.v1`. A request
/// without a credential is refused: nothing fails open (AUTH-5).
///
/// # Errors
/// As [`upgrade`], and when a legacy client has no credential or more than one.
pub async fn upgrade_legacy(
    State(gateway): State<Gateway>,
    QueryParams(query): QueryParams<LegacyQuery>,
    request: Request,
) -> HttpResult {
    let epoch = query.epoch.as_deref().map(Epoch::of_cursor).transpose();
    let epoch = epoch.map_err(|_| HttpError::new(ErrorCode::InvalidField, "epoch is invalid"))?;
    let cursor = query.after.map(|after| ResumeCursor::After { epoch, after });
    open(gateway, request, query.ticket.as_deref(), |headers| offer(headers, cursor)).await
}

/// Reads the subprotocols of `/ws`: with `quintet.v1`, today's protocol; else the predecessor's.
fn offer(headers: &HeaderMap, cursor: Option<ResumeCursor>) -> Result<Offer, HttpError> {
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return subprotocol(headers);
    }
    let offered = LegacyOffer::read(offered(headers, header::SEC_WEBSOCKET_PROTOCOL)).map_err(|why| {
        let code = ErrorCode::InvalidField;
        HttpError::new(code, why.to_string())
    })?;
    let confirmed = offered.confirmed.map(HeaderValue::from_static);
    Ok(Offer { confirmed, dialect: Dialect::Legacy { token: offered.token, cursor } })
}

/// Opens a connection; `offered` returns what the subprotocols of the request ask for.
async fn open(
    gateway: Gateway,
    request: Request,
    ticket: Option<&str>,
    offered: impl FnOnce(&HeaderMap) -> Result<Offer, HttpError>,
) -> HttpResult {
    let (mut parts, _) = request.into_parts();
    if gateway.drain.stage() >= ShutdownStage::Draining {
        let failure = HttpError::new(ErrorCode::Draining, "the service is draining");
        return Err(failure.retry_after(gateway.limits.reconnect_after_ms));
    }
    let Handshake { on_upgrade, response, offer } = Handshake::read(&mut parts, offered)?;
    let peer = peer(&parts)?;
    let slot = parts.extensions.remove::<SocketSlot>().ok_or_else(not_upgradable)?;
    let known = identity(&gateway, peer, &parts.headers, ticket, &offer.dialect).await?;
    let origin = Origin { peer, slot };

    let connection_id = ConnectionId(ids::fresh());
    let codec = offer.dialect.codec(connection_id, known.as_ref())?;
    let span = tracing::info_span!("connection", %connection_id, peer = %peer.0, user_id = field::Empty);
    let tasks = gateway.tasks.clone();
    let connection = async move {
        match on_upgrade.await {
            Ok(upgraded) => {
                WsSession::new(gateway, connection_id, upgraded, origin, known, codec).await.run().await;
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
    /// What the subprotocols of the request ask for.
    pub offer: Offer,
}

/// What the subprotocols of an upgrade request ask for.
pub struct Offer {
    /// The subprotocol to confirm.
    pub confirmed: Option<HeaderValue>,
    /// The protocol of the connection.
    pub dialect: Dialect,
}

/// The protocol of a connection, before it is authenticated.
pub enum Dialect {
    /// `quintet.v1`.
    Current,
    /// The predecessor's protocol.
    Legacy {
        /// The token among the subprotocols.
        token: Option<String>,
        /// The cursor of the query.
        cursor: Option<ResumeCursor>,
    },
}

impl Dialect {
    /// Returns the codec of an authenticated request. Only today's protocol can authenticate later, in `hello`.
    fn codec(self, connection_id: ConnectionId, known: Option<&Identity>) -> Result<Codec, HttpError> {
        match (self, known) {
            (Dialect::Current, _) => Ok(Codec::Current),
            (Dialect::Legacy { .. }, None) => Err(AuthError::Missing.into()),
            (Dialect::Legacy { cursor, .. }, Some(identity)) => {
                metrics::counter!("quintet_legacy_connections_total").increment(1);
                let user_id = identity.user_id.clone();
                Ok(Codec::Legacy(LegacyClient::new(user_id, connection_id, cursor)))
            }
        }
    }
}

impl Handshake {
    /// Validates the head of an upgrade request.
    ///
    /// # Errors
    /// When it is not a WebSocket handshake according to RFC 6455, or names only unknown subprotocols.
    pub fn read(
        parts: &mut Parts,
        offered: impl FnOnce(&HeaderMap) -> Result<Offer, HttpError>,
    ) -> Result<Self, HttpError> {
        let accept = handshake(parts)?;
        let offer = offered(&parts.headers)?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(not_upgradable)?;
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(confirmed) = &offer.confirmed {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, confirmed.clone());
        }
        Ok(Self { on_upgrade, response, offer })
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

/// Reads the subprotocols of `/v1/ws`. A client that offers subprotocols must offer ours.
///
/// # Errors
/// When the request offers other subprotocols only.
pub fn subprotocol(headers: &HeaderMap) -> Result<Offer, HttpError> {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Ok(Offer { confirmed: None, dialect: Dialect::Current });
    }
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        let confirmed = Some(HeaderValue::from_static(PROTOCOL));
        return Ok(Offer { confirmed, dialect: Dialect::Current });
    }
    Err(HttpError::new(ErrorCode::InvalidField, format!("the only supported subprotocol is {PROTOCOL}")))
}

/// Authenticates the request if it carries a credential. An invalid one is an error, and so are two.
async fn identity(
    gateway: &Gateway,
    peer: PeerAddr,
    headers: &HeaderMap,
    ticket: Option<&str>,
    dialect: &Dialect,
) -> Result<Option<Identity>, HttpError> {
    // A peer above its failure limit opens no socket, with or without a credential.
    gateway.peers.may_try(peer)?;
    let offered = match dialect {
        Dialect::Current => None,
        Dialect::Legacy { token, .. } => token.as_deref(),
    };
    let token = match (headers.contains_key(header::AUTHORIZATION), offered, ticket) {
        (false, None, None) => return Ok(None),
        (false, None, Some(ticket)) => return Ok(Some(gateway.auth.ticket(ticket).await?)),
        (true, None, None) => bearer(headers)?,
        (false, Some(token), None) => token,
        (true, Some(_), _) | (true, _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err(HttpError::new(
                ErrorCode::InvalidField,
                "a bearer token and a ticket exclude each other",
            ));
        }
    };
    let identity = gateway.auth.bearer(token).await?;
    gateway.admit.request(&identity.user_id)?;
    Ok(Some(identity))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    offered(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// Returns the elements of a header that is a list.
fn offered(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
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
