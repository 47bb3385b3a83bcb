//! Pages of entries, of a log or of a thread, read and sent one chunk at a time.
//!
//! A page of `after` is sent a chunk at a time; one of `before` is one chunk.
//!
//! Guarantees: a page keeps at most one chunk in memory regardless of its length and of the reader's speed,
//! and the pages of a user in progress are bounded (DEL-4, ISO-6). A page that ends early has the matching
//! `next_after` or `next_before`; missing entries are reported in its `gap` or that of the next page (DEL-2, DEL-3).

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;

use super::{
    extract::{Caller, HttpResult},
    failure::HttpError,
    streamed::{self, ListWalk, ListWriter},
};
use crate::{
    gateway::{Gateway, admit::Admission},
    journal::{JournalError, ReadLimit},
    kernel::ids::{Offset, ThreadId},
    user::{
        handle::User,
        scan::{EntryScan, ScanLimit},
        scan_before::EntriesBefore,
    },
    wire::{
        codes::ErrorCode,
        http::{
            EntriesPage, EntriesPageBefore, EntriesPageBeforeEnd, EntriesPageEnd, EntriesQuery,
            PAGE_ENTRIES_MAX,
        },
    },
};

/// An admitted page of a user that has not been read yet.
pub struct AdmittedPage<'a> {
    gateway: &'a Gateway,
    user: &'a User,
    place: Admission,
}

impl<'a> AdmittedPage<'a> {
    /// Takes one of the user's page slots.
    ///
    /// # Errors
    /// When the user has reached `user_pages_max`.
    pub fn new(gateway: &'a Gateway, caller: &'a Caller) -> Result<Self, HttpError> {
        let place = gateway.admit.page(&caller.identity.user_id)?;
        Ok(Self { gateway, user: &caller.user, place })
    }

    /// Returns 200 with the entries after `after` or before `before`, of `thread` or of the whole log; 404 if the
    /// user has no such thread (ISO-3).
    ///
    /// # Errors
    /// When `limit` is out of range, the query has two positions, there is no such thread, or the journal cannot be
    /// read.
    pub async fn answer(self, thread: Option<&ThreadId>, query: EntriesQuery) -> HttpResult {
        let EntriesQuery { after, before, limit } = query;
        if limit == 0 || limit > PAGE_ENTRIES_MAX {
            let range = format!("limit must be 1 to {PAGE_ENTRIES_MAX}");
            return Err(HttpError::new(ErrorCode::InvalidField, range));
        }
        let limits = &self.gateway.limits;
        let page = ReadLimit { entries_max: limit as usize, bytes_max: limits.page_bytes_max };
        let limit = ScanLimit { page, chunk: limits.chunk() };
        match (after, before) {
            (after, None) => self.forwards(thread, after.unwrap_or_default(), limit).await,
            (None, Some(before)) => self.backwards(thread, before, limit).await,
            (Some(_), Some(_)) => {
                Err(HttpError::new(ErrorCode::InvalidField, "after and before exclude each other"))
            }
        }
    }

    /// Returns the last entries before `before`, which are at most one chunk and are read before the response begins.
    async fn backwards(self, thread: Option<&ThreadId>, before: Offset, limit: ScanLimit) -> HttpResult {
        let page = self.user.scan_before(thread, before, limit).await?.ok_or_else(HttpError::not_found)?;
        let EntriesBefore { entries, head, gap, next_before } = page;
        let begin = EntriesPageBefore { epoch: self.gateway.factory.epoch(), before, head, gap };
        let mut body = BytesMut::new();
        begin.encode(entries.iter().map(|entry| &entry[..]), EntriesPageBeforeEnd { next_before }, &mut body);
        let body = body.freeze();
        let place = self.place;
        // The slot is freed once the body is written to the socket, or the reader disconnects.
        let once = stream::once(async move {
            let _place = place;
            Ok::<_, Infallible>(body)
        });
        Ok(streamed::json(Body::from_stream(once)))
    }

    async fn forwards(self, thread: Option<&ThreadId>, after: Offset, limit: ScanLimit) -> HttpResult {
        let limits = &self.gateway.limits;
        let scan = self.user.scan(thread, after, limit).await?;
        let mut scan = scan.ok_or_else(HttpError::not_found)?;
        // Read the first chunk before the response head: a failure is still an error response, and the gap is
        // known.
        let entries = scan.next().await?;
        let page =
            EntriesPage { epoch: self.gateway.factory.epoch(), after, head: scan.head(), gap: scan.gap() };
        let mut first = BytesMut::new();
        page.begin(&mut first);
        let wait = Duration::from_millis(limits.request_timeout_ms);
        Ok(streamed::list(scan, first, entries, wait, self.place))
    }
}

impl ListWalk for EntryScan {
    type Piece = Vec<Bytes>;

    async fn next(&mut self) -> Result<Self::Piece, JournalError> {
        EntryScan::next(self).await
    }

    fn is_over(&self) -> bool {
        EntryScan::is_over(self)
    }

    fn stop(&mut self) {
        EntryScan::stop(self);
    }

    fn write(entries: Self::Piece, list: &mut ListWriter<'_>) {
        for entry in entries {
            list.item(|out| out.put_slice(&entry));
        }
    }

    fn end(&self, out: &mut BytesMut) {
        EntriesPageEnd { next_after: self.next_after() }.end(out);
    }
}
