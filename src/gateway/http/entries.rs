//! `GET /v1/entries`: the user's log, page by page.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::header;

use super::{
    extract::{Answer, Asked, Caller},
    failure::Failure,
};
use crate::{
    gateway::Gateway,
    journal::ReadLimit,
    kernel::ids::Offset,
    wire::{
        codes::ErrorCode,
        http::{EntriesPage, EntriesQuery, PAGE_ENTRIES_MAX},
        server::Gap,
    },
};

/// 200 with entries after `after`, in order, and where to go on.
pub async fn page(
    State(gateway): State<Gateway>,
    caller: Caller,
    Asked(EntriesQuery { after, limit }): Asked<EntriesQuery>,
) -> Answer {
    let limit = page_limit(&gateway, limit)?;
    let extent = caller.user.extent().await?;
    let lines = caller.user.entries(after, limit).await?;
    let first_kept = if lines.is_empty() { extent.trimmed.next() } else { lines.first() };
    // An empty page says nothing of the head: `after` may lie past it.
    let head = if lines.is_empty() { extent.head } else { extent.head.max(lines.last()) };
    let page = EntriesPage {
        epoch: gateway.factory.epoch(),
        after,
        head,
        // DEL-3: what was asked for and is not there any more is said, not skipped.
        gap: (after.next() < first_kept).then(|| Gap { from: after.next(), to: Offset(first_kept.0 - 1) }),
        next_after: (!lines.is_empty() && lines.last() < head).then(|| lines.last()),
    };
    Ok(answer(&page, lines.iter().map(|(_, line)| line)))
}

/// How much one page may hold.
pub fn page_limit(gateway: &Gateway, entries: u32) -> Result<ReadLimit, Failure> {
    if entries == 0 || entries > PAGE_ENTRIES_MAX {
        return Err(Failure::new(ErrorCode::InvalidField, format!("limit must be 1 to {PAGE_ENTRIES_MAX}")));
    }
    Ok(ReadLimit { entries_max: entries as usize, bytes_max: gateway.limits.page_bytes_max })
}

/// A page with its entries as they are stored.
pub fn answer(page: &EntriesPage, entries: impl Iterator<Item = Bytes>) -> Response {
    let entries: Vec<Bytes> = entries.collect();
    let mut body = BytesMut::new();
    page.encode(entries.iter().map(|entry| &entry[..]), &mut body);
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body.freeze())).into_response()
}
