//! Pages of a conversation: folded runs, read and sent one run at a time.
//!
//! Guarantees: a page keeps one run in memory, regardless of its length and of the reader's speed, and the pages of a user
//! in progress are bounded (DEL-4, ISO-6). A page that ends early has the matching `next_before`.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::IntoResponse};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::header;

use super::{
    extract::{Caller, HttpResult, limit_within},
    failure::HttpError,
};
use crate::{
    gateway::{Gateway, admit::Admission},
    kernel::{fold::FoldedRun, ids::ThreadId},
    user::runs::{RunScan, RunScanLimit},
    wire::threads::{PAGE_RUNS_MAX, RunsPage, RunsPageEnd, RunsQuery, ThreadRun},
};

/// The remaining part of a page.
struct Rest {
    scan: RunScan,
    some: bool,
    wait: Duration,
    /// Freed once the last run is written to the socket, or the reader disconnects.
    _place: Admission,
}

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
    let mut rest = Rest { scan, some: false, wait, _place: place };
    rest.push(run, &mut first);
    let body = match rest.scan.is_over() {
        true => Body::from(first.freeze()),
        false => {
            let chunks = stream::unfold((Some(first.freeze()), Some(rest)), async |(first, rest)| {
                match (first, rest) {
                    (Some(first), rest) => Some((Ok::<_, Infallible>(first), (None, rest))),
                    (None, Some(mut rest)) => {
                        let chunk = rest.next().await;
                        let rest = (!rest.scan.is_over()).then_some(rest);
                        Some((Ok(chunk), (None, rest)))
                    }
                    (None, None) => None,
                }
            });
            Body::from_stream(chunks)
        }
    };
    let mut response = body.into_response();
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

impl Rest {
    /// Returns the next part of the body. On a read error the page ends early, and the next page reports it.
    async fn next(&mut self) -> Bytes {
        let mut chunk = BytesMut::new();
        let run = match tokio::time::timeout(self.wait, self.scan.next()).await {
            Ok(Ok(run)) => run,
            Ok(Err(error)) => {
                tracing::error!(%error, "page truncated: the journal cannot be read");
                self.scan.stop();
                None
            }
            Err(_) => {
                tracing::warn!("page truncated: the journal read timed out");
                self.scan.stop();
                None
            }
        };
        self.push(run, &mut chunk);
        chunk.freeze()
    }

    fn push(&mut self, run: Option<FoldedRun>, out: &mut BytesMut) {
        if let Some(run) = run {
            if std::mem::replace(&mut self.some, true) {
                out.put_u8(b',');
            }
            ThreadRun::from(run).encode(out);
        }
        if self.scan.is_over() {
            RunsPageEnd { next_before: self.scan.next_before() }.end(out);
        }
    }
}
