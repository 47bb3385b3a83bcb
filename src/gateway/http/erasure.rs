//! `DELETE /v1/log`, and the answer to every erasure (DEL-8).

use axum::{Json, extract::State, response::IntoResponse};
use http::StatusCode;

use super::{
    extract::{Caller, HttpResult},
    failure::HttpError,
};
use crate::{gateway::Gateway, kernel::user::EraseScope, wire::codes::ErrorCode};

/// Ends every open run and erases all that is kept of the user. Returns 202 with the record once the intent is durable.
///
/// # Errors
/// When too many erasures are under way, or the outcome is unknown (DEL-7).
pub async fn of_log(State(gateway): State<Gateway>, caller: Caller) -> HttpResult {
    begin(&gateway, &caller, EraseScope::Log).await
}

/// Begins an erasure and returns 202 with its record.
pub(super) async fn begin(gateway: &Gateway, caller: &Caller, scope: EraseScope) -> HttpResult {
    let begun = caller.user.erase(scope).await;
    let begun = begun.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    let receipt = caller.user.receipt(begun.receipt).await?;
    let receipt = receipt.ok_or_else(|| {
        HttpError::new(ErrorCode::Unavailable, "the journal has no record of the erasure yet")
    })?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}
