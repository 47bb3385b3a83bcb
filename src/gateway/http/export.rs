//! `GET /v1/export`: everything that is kept of the user, as [NDJSON](https://github.com/ndjson/ndjson-spec).
//!
//! Guarantees: the export has the entries of the log at its start, in order, between a header and a footer; one that
//! was cut off has no footer, and its connection is reset. It keeps one chunk in memory regardless of the length of the
//! log and of the reader's speed (DEL-4), and a user has at most `user_exports_max` at once (ISO-6).

use std::{io, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, header};
use serde::Serialize;

use super::extract::{Caller, HttpResult};
use crate::{
    gateway::{Gateway, admit::Admission},
    runtime::clock,
    user::export::{ExportPart, LogExport},
    wire::http::{ExportEnd, ExportGap, ExportHeader},
};

/// Returns 200 with the header, the entries in order, and the footer, one JSON object a line.
///
/// # Errors
/// When the user has reached `user_exports_max`, or the journal cannot be read.
pub async fn export(State(gateway): State<Gateway>, caller: Caller) -> HttpResult {
    let place = gateway.admit.export(&caller.identity.user_id)?;
    let mut export = caller.user.export(gateway.limits.chunk()).await?;
    let extent = export.extent();
    let exported_at = clock::now();
    let header = ExportHeader {
        epoch: gateway.factory.epoch(),
        user_id: caller.identity.user_id,
        trimmed: extent.trimmed,
        head: extent.head,
        exported_at,
    };
    let mut first = BytesMut::new();
    push_line(&mut first, &header);
    // Read the first part before the response head: a failure is still an error response.
    let part = export.next().await?;
    let wait = Duration::from_millis(gateway.limits.request_timeout_ms);
    let mut running = Running { export, entries: 0, wait, _place: place };
    let is_last = running.push(part, &mut first);
    let body = stream::unfold((Some(first.freeze()), (!is_last).then_some(running)), advance);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let name = format!("attachment; filename=\"quintet-export-{}.ndjson\"", exported_at.0);
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// An export in progress.
struct Running {
    export: LogExport,
    entries: u64,
    wait: Duration,
    /// Freed once the last line is written to the socket, or the reader disconnects.
    _place: Admission,
}

type Progress = (Option<Bytes>, Option<Running>);

/// Returns the next chunk of the body. An error ends the body without its end, which resets the connection.
async fn advance((ready, running): Progress) -> Option<(io::Result<Bytes>, Progress)> {
    if let Some(ready) = ready {
        return Some((Ok(ready), (None, running)));
    }
    let mut running = running?;
    let part = match tokio::time::timeout(running.wait, running.export.next()).await {
        Ok(Ok(part)) => part,
        Ok(Err(error)) => {
            tracing::error!(%error, "export cut off: the journal cannot be read");
            return Some((Err(io::Error::other(error)), (None, None)));
        }
        Err(elapsed) => {
            tracing::warn!("export cut off: the journal read timed out");
            return Some((Err(io::Error::other(elapsed)), (None, None)));
        }
    };
    let mut chunk = BytesMut::new();
    let is_last = running.push(part, &mut chunk);
    Some((Ok(chunk.freeze()), (None, (!is_last).then_some(running))))
}

impl Running {
    /// Writes a part, or the footer after the last one. Returns true after the footer.
    fn push(&mut self, part: Option<ExportPart>, out: &mut BytesMut) -> bool {
        match part {
            Some(ExportPart::Entries(lines)) => {
                self.entries += lines.len() as u64;
                out.put_slice(lines.as_bytes());
                false
            }
            Some(ExportPart::Gap(gap)) => {
                push_line(out, &ExportGap { from: gap.from, to: gap.to });
                false
            }
            None => {
                push_line(out, &ExportEnd { entries: self.entries });
                true
            }
        }
    }
}

fn push_line(out: &mut BytesMut, line: &impl Serialize) {
    serde_json::to_writer((&mut *out).writer(), line).expect("a growing buffer takes every byte");
    out.put_u8(b'\n');
}
