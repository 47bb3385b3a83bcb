//! `/v1/threads`: lists the user's threads, their entries and folded runs, changes a thread and erases it.

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    erasure,
    extract::{Caller, HttpResult, JsonText, PathId, QueryParams, limit_within},
    failure::HttpError,
    folded,
    pages::AdmittedPage,
};
use crate::{
    gateway::Gateway,
    journal::{self, ThreadRecord},
    kernel::{ids::ThreadId, user::EraseScope},
    user::handle::User,
    wire::{
        client,
        http::EntriesQuery,
        threads::{FIRST_TEXT_CHARS_MAX, PAGE_THREADS_MAX, RunsQuery, ThreadInfo, ThreadsPage, ThreadsQuery},
    },
};

/// Returns 200 with threads, most recent entry first.
///
/// # Errors
/// When `limit` is out of range, the user has reached `user_pages_max`, or the journal cannot be read.
pub async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    QueryParams(ThreadsQuery { before, limit, archived }): QueryParams<ThreadsQuery>,
) -> HttpResult {
    let _place = gateway.admit.page(&caller.identity.user_id)?;
    let limit = limit_within(limit, PAGE_THREADS_MAX)?;
    // Before the threads: one that moves meanwhile has an entry after it.
    let head = caller.user.extent().await?.head;
    // One more than requested, to know whether there is a next page.
    let query = journal::ThreadsQuery { before, archived, limit: limit + 1 };
    let records = caller.user.threads(query).await?;
    let mut more = records.len() > limit;
    let (mut threads, mut bytes) = (Vec::new(), 0);
    for record in records.into_iter().take(limit) {
        let (thread, read) = shown(&caller.user, record).await?;
        if bytes + read > gateway.limits.page_bytes_max && !threads.is_empty() {
            more = true;
            break;
        }
        bytes += read;
        threads.push(thread);
    }
    let next_before = threads.last().filter(|_| more).map(|thread| thread.last_offset);
    Ok(Json(ThreadsPage { head, threads, next_before }).into_response())
}

/// Returns a thread as it is shown to its owner, and the bytes of text that were read for it.
async fn shown(user: &User, record: ThreadRecord) -> Result<(ThreadInfo, usize), HttpError> {
    let text = user.message_text(record.first_message).await?;
    let bytes = text.as_ref().map_or(0, String::len);
    let thread = ThreadInfo {
        thread_id: record.thread_id,
        title: record.title,
        first_text: text.map(|text| text.chars().take(FIRST_TEXT_CHARS_MAX).collect()),
        archived: record.archived,
        agent_name: record.agent_name,
        first_offset: record.first,
        last_offset: record.last,
        last_at: record.last_at,
        messages: record.messages,
        open_run: record.open_run,
        open_runs: record.open_runs,
    };
    Ok((thread, bytes))
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

/// Returns 200 with the folded runs of one thread, the latest message first; 404 if the user has no such thread (ISO-3).
///
/// # Errors
/// 404 when the user has no such thread; an error when `limit` is out of range, the user has reached
/// `user_pages_max`, or the journal cannot be read.
pub async fn runs(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(thread_id): PathId<ThreadId>,
    QueryParams(query): QueryParams<RunsQuery>,
) -> HttpResult {
    folded::answer(&gateway, &caller, &thread_id, query).await
}

/// Changes the title of a thread, or archives it. Returns 200 with the thread once its `thread_updated` is durable.
///
/// # Errors
/// When the body is invalid, the user has no such thread (ISO-3), or the outcome is unknown (DEL-7).
pub async fn update(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(thread_id): PathId<ThreadId>,
    body: JsonText,
) -> HttpResult {
    let update = client::decode_update(&body.0)?;
    let updated = caller.user.update_thread(thread_id.clone(), update).await;
    updated.map_err(|why| HttpError::request_error(why, gateway.limits.reconnect_after_ms))?;
    let record = caller.user.thread(&thread_id).await?.ok_or_else(HttpError::not_found)?;
    let (thread, _) = shown(&caller.user, record).await?;
    Ok(Json(thread).into_response())
}

/// Ends the open runs of a thread and erases it (DEL-8). Returns 202 with the record once the intent is durable.
///
/// # Errors
/// When the user has no such thread (ISO-3), too many erasures are under way, or the outcome is unknown (DEL-7).
pub async fn erase(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(thread_id): PathId<ThreadId>,
) -> HttpResult {
    if caller.user.thread(&thread_id).await?.is_none() {
        return Err(HttpError::not_found());
    }
    erasure::begin(&gateway, &caller, EraseScope::Thread(thread_id)).await
}
