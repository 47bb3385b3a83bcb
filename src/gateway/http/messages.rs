//! `POST /v1/messages`: equivalent to the frame `send_message`.

use axum::{Json, extract::State, response::IntoResponse};
use http::StatusCode;

use super::{
    extract::{Caller, HttpResult, JsonText},
    failure::HttpError,
};
use crate::{
    gateway::Gateway,
    wire::{client, http::MessageAccepted},
};

/// Returns 202 once the message is durable, which guarantees that it gets a run (DEL-5). Repeating the
/// request returns the same answer (DEL-6).
///
/// # Errors
/// When the body is invalid, the message is refused, or its outcome is unknown (DEL-7).
pub async fn send(State(gateway): State<Gateway>, caller: Caller, body: JsonText) -> HttpResult {
    let message = client::decode_message(&body.0)?;
    let message_id = message.message_id.clone();
    let accepted = caller.user.send(message).await;
    let accepted =
        accepted.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    let answer = MessageAccepted {
        run_id: accepted.receipt.run_id,
        message_id,
        message_offset: accepted.receipt.offset,
        duplicate: accepted.duplicate,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
