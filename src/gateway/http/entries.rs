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
    journal::{Extent, Lines, ReadLimit},
    kernel::ids::{Epoch, Offset},
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
    let page = page_of(gateway.factory.epoch(), after, extent, &lines);
    Ok(answer(&page, lines.iter().map(|(_, line)| line)))
}

/// What a page says besides its entries: `lines`, which were read after `extent` was.
pub fn page_of(epoch: Epoch, after: Offset, extent: Extent, lines: &Lines) -> EntriesPage {
    let first_kept = if lines.is_empty() { extent.trimmed.next() } else { lines.first() };
    // An empty page says nothing of the head: `after` may lie past it.
    let head = if lines.is_empty() { extent.head } else { extent.head.max(lines.last()) };
    EntriesPage {
        epoch,
        after,
        head,
        // DEL-3: what was asked for and is not there any more is said, not skipped.
        gap: (after.0 < first_kept.0 - 1).then(|| Gap { from: after.next(), to: Offset(first_kept.0 - 1) }),
        next_after: (!lines.is_empty() && lines.last() < head).then(|| lines.last()),
    }
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn del_3_a_page_names_what_is_not_kept_whatever_offset_was_asked_for() {
        let extent = Extent { trimmed: Offset(4), head: Offset(9) };
        let gap = |after| {
            let empty = Lines::empty(Offset(10));
            let gap = page_of(Epoch(Uuid::nil()), Offset(after), extent, &empty).gap;
            gap.map(|gap| (gap.from.0, gap.to.0))
        };
        assert_eq!(gap(0), Some((1, 4)));
        assert_eq!(gap(3), Some((4, 4)));
        for after in [4, 9, 10, u64::MAX - 1, u64::MAX] {
            assert_eq!(gap(after), None, "{after}");
        }
    }
}
