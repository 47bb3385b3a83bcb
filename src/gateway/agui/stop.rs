//! Cancelling from an AG-UI front end.

use axum::{Json, response::IntoResponse};
use quintet_agui_server::envelope::StopScope;
use serde_json::json;

use super::names::RequestNames;
use crate::{
    gateway::{
        Gateway,
        http::{extract::HttpResult, failure::HttpError},
    },
    kernel::{
        ids::{RunId, ThreadId},
        user::Refusal,
    },
    user::handle::{RequestError, User},
};

/// Cancels the run of a request, or all open runs of a thread. Returns 200 once their ends are durable; `stopped` is
/// false if there was nothing to cancel, also for a thread of another user (ISO-3).
///
/// # Errors
/// When the journal cannot be read, or the outcome is unknown (DEL-7).
pub(super) async fn stop(
    gateway: &Gateway,
    user: &User,
    names: &RequestNames,
    thread_id: ThreadId,
    scope: StopScope,
) -> HttpResult {
    let runs = match &scope.run_id {
        Some(request_id) => names.find(user.user_id(), &thread_id, request_id),
        None => {
            let open = user.open_runs(&thread_id, OPEN_RUNS_MAX).await?;
            // The queued ones first, so that none of them starts.
            open.into_iter().rev().map(|run| run.run_id).collect()
        }
    };
    let mut stopped = false;
    for run_id in runs {
        stopped |= cancelled(gateway, user, run_id).await?;
    }
    let answer = match stopped {
        true => json!({ "stopped": true }),
        false => json!({ "stopped": false, "message": "there is no such active run" }),
    };
    Ok(Json(answer).into_response())
}

/// Cancels a run. Returns false if it had ended.
async fn cancelled(gateway: &Gateway, user: &User, run_id: RunId) -> Result<bool, HttpError> {
    match user.cancel(run_id).await {
        Ok(()) => Ok(true),
        Err(RequestError::Refused(Refusal::RunEnded | Refusal::NotFound)) => Ok(false),
        Err(why) => Err(HttpError::request_error(why, gateway.limits.reconnect_after_ms)),
    }
}

/// Open runs of a thread that are looked up; the limits of the kernel on queued messages are below it.
pub(super) const OPEN_RUNS_MAX: usize = 1_024;
