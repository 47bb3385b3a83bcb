//! `GET /v1/calls`: lists the calls that wait for the client, over all threads (RUN-11).

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    extract::{Caller, HttpResult, QueryParams, limit_within},
    failure::HttpError,
};
use crate::{
    gateway::Gateway,
    wire::{
        codes::ErrorCode,
        threads::{CallsPage, CallsQuery, PAGE_CALLS_MAX, WaitingCallInfo},
    },
};

/// Returns 200 with the open calls of the client, the oldest first.
///
/// # Errors
/// When `open` is not true, `limit` is out of range, the user has reached `user_pages_max`, or the journal cannot be read.
pub async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    QueryParams(CallsQuery { open, after, limit }): QueryParams<CallsQuery>,
) -> HttpResult {
    let _place = gateway.admit.page(&caller.identity.user_id)?;
    if !open {
        return Err(HttpError::new(ErrorCode::InvalidField, "open must be true"));
    }
    let limit = limit_within(limit, PAGE_CALLS_MAX)?;
    let waiting = caller.user.waiting_calls().await;
    let waiting = waiting.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    let mut left = waiting.into_iter().filter(|call| call.opened > after).peekable();
    let (mut calls, mut bytes, mut last) = (Vec::new(), 0, after);
    while calls.len() < limit
        && (calls.is_empty() || bytes < gateway.limits.page_bytes_max)
        && let Some(call) = left.next()
    {
        last = call.opened;
        // A call that was closed and erased since has no parameters any more.
        let Some(parameters) = caller.user.call_parameters(call.opened).await? else { continue };
        bytes += parameters.as_str().len();
        calls.push(WaitingCallInfo {
            thread_id: call.thread_id,
            run_id: call.run_id,
            agent_name: call.agent_name,
            call_id: call.call_id,
            tool_name: call.tool_name,
            parameters,
            opened_offset: call.opened,
            opened_at: call.opened_at,
            deadline: call.deadline,
        });
    }
    let next_after = left.peek().map(|_| last);
    Ok(Json(CallsPage { calls, next_after }).into_response())
}
