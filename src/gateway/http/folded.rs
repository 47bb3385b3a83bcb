//! Pages of a conversation: folded runs, read and sent one run at a time.
//!
//! Guarantees: a page keeps one run in memory, regardless of its length and of the reader's speed, and the pages of a user
//! in progress are bounded (DEL-4, ISO-6). A page that ends early has the matching `next_before`.

use std::time::Duration;

use bytes::BytesMut;

use super::{
    extract::{Caller, HttpResult, limit_within},
    failure::HttpError,
    streamed::{self, ListWalk, ListWriter},
};
use crate::{
    gateway::Gateway,
    journal::JournalError,
    kernel::{fold::FoldedRun, ids::ThreadId},
    user::runs::{RunScan, RunScanLimit},
    wire::threads::{PAGE_RUNS_MAX, RunsPage, RunsPageEnd, RunsQuery, ThreadRun},
};

/// Returns 200 with the folded runs of a thread before `before`; 404 if the user has no such thread (ISO-3).
///
/// # Errors
/// When `limit` is out of range, there is no such thread, the user has reached `user_pages_max`, or the journal cannot be
/// read.
pub async fn answer(
    gateway: &Gateway,
    caller: &Caller,
    thread_id: &ThreadId,
    query: RunsQuery,
) -> HttpResult {
    let place = gateway.admit.page(&caller.identity.user_id)?;
    let runs_max = limit_within(query.limit, PAGE_RUNS_MAX)?;
    let limit = RunScanLimit { runs_max, bytes_max: gateway.limits.page_bytes_max };
    let scan = caller.user.runs(thread_id, query.before, limit).await?;
    let mut scan = scan.ok_or_else(HttpError::not_found)?;
    // Read the first run before the response head: a failure is still an error response.
    let run = scan.next().await?;
    let mut first = BytesMut::new();
    RunsPage { epoch: gateway.factory.epoch(), head: scan.head() }.begin(&mut first);
    let wait = Duration::from_millis(gateway.limits.request_timeout_ms);
    Ok(streamed::list(scan, first, run, wait, place))
}

impl ListWalk for RunScan {
    type Piece = Option<FoldedRun>;

    async fn next(&mut self) -> Result<Self::Piece, JournalError> {
        RunScan::next(self).await
    }

    fn is_over(&self) -> bool {
        RunScan::is_over(self)
    }

    fn stop(&mut self) {
        RunScan::stop(self);
    }

    fn write(run: Self::Piece, list: &mut ListWriter<'_>) {
        if let Some(run) = run {
            list.item(|out| ThreadRun::from(run).encode(out));
        }
    }

    fn end(&self, out: &mut BytesMut) {
        RunsPageEnd { next_before: self.next_before() }.end(out);
    }
}
