//! Extractors: caller, path ids, query and body, each with its own rejection.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    response::Response,
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::failure::HttpError;
use crate::{
    gateway::{
        Gateway,
        auth::AuthError,
        peers::{PeerAddr, SocketSlot},
    },
    kernel::ticket::Identity,
    user::handle::User,
    wire::codes::ErrorCode,
};

/// The authenticated user of a request, proven by a bearer token. The only access from a request to a user's
/// log (ISO-1, ISO-4).
pub struct Caller {
    /// The user id and the expiry of the token.
    pub identity: Identity,
    /// The handle to the machines of that user.
    pub user: User,
}

impl FromRequestParts<Gateway> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, HttpError> {
        // A missing token is verified as an empty one, so that it is refused and counted in one place.
        let token = bearer(&parts.headers).unwrap_or_default();
        let peer = peer(parts)?;
        // A request without a token costs no verification, so it is not subject to the failure limit.
        if !token.is_empty() {
            gateway.peers.may_try(peer)?;
        }
        let identity = gateway.auth.bearer(token).await?;
        // The socket must not be displaced until the request is answered.
        if let Some(slot) = parts.extensions.get::<SocketSlot>() {
            slot.is_busy();
        }
        gateway.admit.request(&identity.user_id)?;
        let user = gateway.factory.attach(&identity.user_id);
        Ok(Self { identity, user })
    }
}

/// Returns the peer address that the router has resolved.
///
/// # Errors
/// `internal` if the router did not run, which is a bug.
pub fn peer(parts: &Parts) -> Result<PeerAddr, HttpError> {
    let fault = || HttpError::new(ErrorCode::Internal, "internal error");
    parts.extensions.get::<PeerAddr>().copied().ok_or_else(fault)
}

/// Returns the token of `Authorization: Bearer`.
///
/// # Errors
/// When the header is missing, occurs more than once, or has another scheme.
pub fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return Err(AuthError::Missing) };
    let value = value.to_str().map_err(|_| AuthError::Missing)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(AuthError::Missing),
    }
}

/// One id in the path. A malformed id is answered like an unknown one (ISO-3).
pub struct PathId<T>(pub T);

impl<T: std::str::FromStr> FromRequestParts<Gateway> for PathId<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, HttpError> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, gateway).await.map_err(|_| HttpError::not_found())?;
        text.parse().map(Self).map_err(|_| HttpError::not_found())
    }
}

/// Two ids in the path. Malformed ids are answered like unknown ones (ISO-3).
pub struct PathIds<T, U>(pub T, pub U);

impl<T: std::str::FromStr, U: std::str::FromStr> FromRequestParts<Gateway> for PathIds<T, U> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, HttpError> {
        let both = Path::<(String, String)>::from_request_parts(parts, gateway).await;
        let Path((first, second)) = both.map_err(|_| HttpError::not_found())?;
        match (first.parse(), second.parse()) {
            (Ok(first), Ok(second)) => Ok(Self(first, second)),
            _ => Err(HttpError::not_found()),
        }
    }
}

/// The query string, deserialised as `T`.
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Gateway> for QueryParams<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, HttpError> {
        match Query::<T>::from_request_parts(parts, gateway).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(_) => Err(HttpError::new(ErrorCode::InvalidField, "a field of the query is invalid")),
        }
    }
}

/// Returns the `limit` of a page if it is 1 to `max`.
///
/// # Errors
/// `invalid_field` if it is not.
pub fn limit_within(limit: u32, max: u32) -> Result<usize, HttpError> {
    match (1..=max).contains(&limit) {
        true => Ok(limit as usize),
        false => Err(HttpError::new(ErrorCode::InvalidField, format!("limit must be 1 to {max}"))),
    }
}

/// A JSON body as text, bounded by `request_body_bytes_max` and `request_body_timeout_ms`. Empty without a body.
pub struct JsonText(pub String);

impl FromRequest<Gateway> for JsonText {
    type Rejection = HttpError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, HttpError> {
        Self::of(request, gateway, gateway.limits.request_body_bytes_max).await
    }
}

impl JsonText {
    /// Reads the body of a request, of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When the body is too long, late, incomplete, or neither JSON by its media type nor empty.
    pub async fn of(request: Request, gateway: &Gateway, bytes_max: usize) -> Result<Self, HttpError> {
        let is_json = is_json(request.headers());
        let body = Limited::new(request.into_body(), bytes_max).collect();
        let wait = Duration::from_millis(gateway.limits.request_body_timeout_ms);
        let body = match tokio::time::timeout(wait, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail = format!("the body is longer than {bytes_max} bytes");
                return Err(HttpError::new(ErrorCode::TooLarge, detail));
            }
            Ok(Err(_)) => return Err(HttpError::new(ErrorCode::MalformedFrame, "the body ended early")),
            Err(_) => {
                let failure = HttpError::new(ErrorCode::MalformedFrame, "the body was not received in time");
                return Err(failure.with_status(StatusCode::REQUEST_TIMEOUT));
            }
        };
        if !body.is_empty() && !is_json {
            let failure = HttpError::new(ErrorCode::MalformedFrame, "the body must be application/json");
            return Err(failure.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        match String::from_utf8(body.into()) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(HttpError::new(ErrorCode::MalformedFrame, "the body is not UTF-8")),
        }
    }

    /// Deserialises the body as `T`. Unknown fields are ignored.
    ///
    /// # Errors
    /// `malformed_frame` if the body is not a JSON object, `invalid_field` if it is not a valid `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        let is_object =
            self.0.trim_ascii_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(&self.0).is_ok();
        if !is_object {
            return Err(HttpError::new(ErrorCode::MalformedFrame, "the body is not a JSON object"));
        }
        serde_json::from_str(&self.0)
            .map_err(|_| HttpError::new(ErrorCode::InvalidField, "a field of the body is missing or invalid"))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The result of a handler.
pub type HttpResult = Result<Response, HttpError>;
