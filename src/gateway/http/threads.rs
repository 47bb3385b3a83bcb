//! `GET /v1/threads` and `GET /v1/threads/{id}/entries`: lists the user's threads and their entries.

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    extract::{Caller, HttpResult, PathId, QueryParams},
    failure::HttpError,
    pages::AdmittedPage,
};
use crate::{
    gateway::Gateway,
    journal,
    kernel::ids::ThreadId,
    wire::{
        codes::ErrorCode,
        http::{EntriesQuery, PAGE_THREADS_MAX, ThreadInfo, ThreadsPage, ThreadsQuery},
    },
};

/// Returns 200 with threads, most recent entry first.
///
/// # Errors
/// When `limit` is out of range, or the journal cannot be read.
pub async fn list(
    caller: Caller,
    QueryParams(ThreadsQuery { before, limit }): QueryParams<ThreadsQuery>,
) -> HttpResult {
    if limit == 0 || limit > PAGE_THREADS_MAX {
        return Err(HttpError::new(
            ErrorCode::InvalidField,
            format!("limit must be 1 to {PAGE_THREADS_MAX}"),
        ));
    }
    let limit = limit as usize;
    // One more than requested, to know whether there is a next page.
    let mut threads =
        caller.user.threads(journal::ThreadsQuery { before, archived: None, limit: limit + 1 }).await?;
    let more = threads.len() > limit;
    threads.truncate(limit);
    let next_before = threads.last().filter(|_| more).map(|thread| thread.last);
    let threads = threads
        .into_iter()
        .map(|thread| ThreadInfo {
            thread_id: thread.thread_id,
            first_offset: thread.first,
            last_offset: thread.last,
            last_at: thread.last_at,
            messages: thread.messages,
        })
        .collect();
    Ok(Json(ThreadsPage { threads, next_before }).into_response())
}

/// Returns 200 with the entries of one thread after `after` or before `before`; 404 if the user has no such thread (ISO-3).
///
/// # Errors
/// 404 when the user has no such thread; an error when `limit` is out of range, the user has reached
/// `user_pages_max`, or the journal cannot be read.
pub async fn page(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(thread_id): PathId<ThreadId>,
    QueryParams(query): QueryParams<EntriesQuery>,
) -> HttpResult {
    AdmittedPage::new(&gateway, &caller)?.answer(Some(&thread_id), query).await
}
