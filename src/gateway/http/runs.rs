//! `/v1/runs/{id}`: shows a run, cancels it, and completes its calls.

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    extract::{Caller, HttpResult, JsonText, PathId, PathIds},
    failure::HttpError,
};
use crate::{
    gateway::Gateway,
    kernel::ids::{CallId, RunId},
    wire::{
        client,
        http::{CallCompleted, RunCancelled, RunInfo, RunState},
    },
};

/// Returns 200 with the state of a run; 404 if the user has no such run (ISO-3).
///
/// # Errors
/// 404 when the user has no such run, or an error when the journal cannot be read.
pub async fn show(caller: Caller, PathId(run_id): PathId<RunId>) -> HttpResult {
    let run = caller.user.run(run_id).await?.ok_or_else(HttpError::not_found)?;
    let merged_into = caller.user.merged_into(&run).await?;
    let info = RunInfo {
        run_id,
        thread_id: run.thread_id,
        message_id: run.message_id,
        agent_name: run.agent_name,
        parent: run.parent,
        state: match (run.started, run.completed) {
            (_, Some(_)) => RunState::Completed,
            (Some(_), None) => RunState::Active,
            (None, None) => RunState::Waiting,
        },
        status: run.completed.map(|(_, status)| status),
        accepted_offset: run.accepted,
        started_offset: run.started,
        completed_offset: run.completed.map(|(offset, _)| offset),
        accepted_at: run.accepted_at,
        merged_into,
    };
    Ok(Json(info).into_response())
}

/// Returns 200 once the run's `agent_completed` is durable.
///
/// # Errors
/// When the run is unknown (ISO-3) or has ended, or the outcome is unknown (DEL-7).
pub async fn cancel(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(run_id): PathId<RunId>,
) -> HttpResult {
    let cancelled = caller.user.cancel(run_id).await;
    cancelled.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    Ok(Json(RunCancelled { run_id }).into_response())
}

/// Returns 200 once the call's `tool_completed` is durable. The first valid result wins (RUN-11).
///
/// # Errors
/// When the body is invalid, the call is unknown (ISO-3) or closed, or the outcome is unknown (DEL-7).
pub async fn complete_call(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathIds(run_id, call_id): PathIds<RunId, CallId>,
    body: JsonText,
) -> HttpResult {
    let result = client::decode_answer(&body.0)?;
    let answered = caller.user.answer(run_id, call_id.clone(), result).await;
    answered.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    Ok(Json(CallCompleted { run_id, call_id }).into_response())
}
