//! `POST /v1/tickets`: issues a single-use credential for clients that cannot set a header on a WebSocket
//! request, such as browsers.

use axum::{Json, extract::State, response::IntoResponse};
use http::StatusCode;

use super::extract::{Caller, HttpResult, JsonText};
use crate::{
    gateway::Gateway,
    runtime::clock,
    wire::http::{TicketIssued, TicketRequest},
};

/// Returns 201 with a ticket for the caller, valid no longer than the caller's token (AUTH-2).
///
/// # Errors
/// When the body is invalid, `ttl_ms` is out of range, or a limit on tickets is reached.
pub async fn issue(State(gateway): State<Gateway>, caller: Caller, body: JsonText) -> HttpResult {
    let request = if body.0.trim().is_empty() { TicketRequest::default() } else { body.read()? };
    let issued = gateway.auth.issue_ticket(&caller.identity, request.ttl_ms)?;
    let expires_in_ms = issued.expires_at.millis_since(clock::now());
    let answer = TicketIssued { ticket: issued.text, expires_at: issued.expires_at, expires_in_ms };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}
