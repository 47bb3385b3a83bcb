//! `GET /v1/threads` and `GET /v1/threads/{id}/entries`: the user's conversations.

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    entries::{answer, page_limit},
    extract::{Answer, Asked, Caller, PathId},
    failure::Failure,
};
use crate::{
    gateway::Gateway,
    journal::ReadLimit,
    kernel::ids::{Offset, ThreadId},
    wire::{
        codes::ErrorCode,
        http::{EntriesPage, EntriesQuery, PAGE_THREADS_MAX, ThreadInfo, ThreadsPage, ThreadsQuery},
        server::Gap,
    },
};

/// 200 with threads, the one with the latest entry first.
pub async fn list(caller: Caller, Asked(ThreadsQuery { before, limit }): Asked<ThreadsQuery>) -> Answer {
    if limit == 0 || limit > PAGE_THREADS_MAX {
        return Err(Failure::new(ErrorCode::InvalidField, format!("limit must be 1 to {PAGE_THREADS_MAX}")));
    }
    let limit = limit as usize;
    // One more than asked for tells whether there is a next page.
    let mut threads = caller.user.threads(before, limit + 1).await?;
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

/// 200 with the entries of one thread after `after`; 404 if the user has no such thread (ISO-3).
pub async fn page(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathId(thread_id): PathId<ThreadId>,
    Asked(EntriesQuery { after, limit }): Asked<EntriesQuery>,
) -> Answer {
    let limit = page_limit(&gateway, limit)?;
    let one = ReadLimit { entries_max: 1, ..limit };
    let extent = caller.user.extent().await?;
    let entries = caller.user.thread_entries(&thread_id, after, limit).await?;
    let next_after = match entries.last() {
        Some((last, _)) => {
            let more = caller.user.thread_entries(&thread_id, *last, one).await?;
            (!more.is_empty()).then_some(*last)
        }
        None if caller.user.thread_entries(&thread_id, Offset::ZERO, one).await?.is_empty() => {
            return Err(Failure::not_found());
        }
        None => None,
    };
    let page = EntriesPage {
        epoch: gateway.factory.epoch(),
        after,
        head: entries.last().map_or(extent.head, |(last, _)| extent.head.max(*last)),
        gap: (after < extent.trimmed).then(|| Gap { from: after.next(), to: extent.trimmed }),
        next_after,
    };
    Ok(answer(&page, entries.into_iter().map(|(_, entry)| entry)))
}
