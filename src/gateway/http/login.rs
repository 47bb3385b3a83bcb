//! `POST /dev/login`: issues a token for any user. The route exists only under `quintet dev`.

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    extract::{HttpResult, JsonText},
    failure::HttpError,
};
use crate::{
    gateway::Gateway,
    runtime::clock,
    wire::{
        codes::ErrorCode,
        http::{LoggedIn, LoginRequest},
    },
};

/// Returns 200 with a token for the requested user; 404 outside of `quintet dev`.
///
/// # Errors
/// 404 outside of `quintet dev`; an error when the body is invalid or the token cannot be signed.
pub async fn login(State(gateway): State<Gateway>, body: JsonText) -> HttpResult {
    // AUTH-5: tokens are issued only with the throw-away key of `quintet dev`.
    let dev = gateway.dev.as_ref().ok_or_else(HttpError::not_found)?;
    let LoginRequest { user_id } = body.read()?;
    let (token, identity) = dev.login(user_id, clock::now()).map_err(|error| {
        tracing::error!(error = %error, "login failed");
        HttpError::new(ErrorCode::Internal, "the token could not be created")
    })?;
    let answer = LoggedIn { token, user_id: identity.user_id, expires_at: identity.expires_at };
    Ok(Json(answer).into_response())
}
