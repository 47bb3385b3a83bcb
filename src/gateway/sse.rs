//! `GET /v1/stream`: a user's entries as server-sent events, `id:` = `epoch:offset`.
//!
//! Guarantees: cursor, order, gaps and bytes are the same as on a WebSocket (DEL-2, DEL-3). A stalled reader
//! holds one chunk and delays no other (DEL-4). The stream ends when its credential expires (AUTH-3), and at
//! shutdown, which is announced, after the last entry (CONN-6).

use std::{convert::Infallible, fmt::Write, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Gateway,
    admit::Admission,
    http::{
        extract::{Caller, HttpResult, QueryParams},
        failure::HttpError,
    },
    peers::SocketSlot,
    ws::reader::EntryReader,
};
use crate::{
    journal::Lines,
    kernel::{
        connection::{Gap, ResumeCursor, Resumption},
        ids::{ConnectionId, Epoch, Offset},
        ticket::Identity,
    },
    observer::{ConnectionObserver, StreamResumed},
    runtime::{
        clock,
        drain::{Drain, ShutdownStage},
        ids,
    },
    user::{cursor::ReadError, handle::User},
    wire::{client::form::StartForm, codes::ErrorCode, event_id::EventId},
};

/// The query of `GET /v1/stream`.
#[derive(Deserialize)]
pub struct StreamQuery {
    after: Option<Offset>,
    start: Option<StartForm>,
}

/// Streams the entries after the cursor, then new ones as they are appended.
///
/// # Errors
/// When the service is draining, `Last-Event-ID` is malformed, a limit on connections is reached, or the
/// journal cannot be read.
pub async fn stream(
    State(gateway): State<Gateway>,
    QueryParams(query): QueryParams<StreamQuery>,
    headers: HeaderMap,
    caller: Caller,
    Extension(slot): Extension<SocketSlot>,
) -> HttpResult {
    if gateway.drain.stage() >= ShutdownStage::Draining {
        let failure = HttpError::new(ErrorCode::Draining, "the service is draining");
        return Err(failure.retry_after(gateway.limits.reconnect_after_ms));
    }
    let asked = cursor_of(&query, headers.get(LAST_EVENT_ID))?;
    let Caller { identity, user } = caller;
    // Event streams share the connection limits of WebSockets (ISO-6).
    let admission = gateway.admit.connection(&identity.user_id)?;
    let cursor = user.cursor(asked.after().unwrap_or_default()).await?;
    slot.is_member();
    let (epoch, extent) = (gateway.factory.epoch(), cursor.extent());
    let continued = user.epoch_for(asked).await?;
    let resumption = Resumption::of(asked, continued, extent.trimmed, extent.head);
    let Resumption { resumed_after, gap } = resumption;
    let mut reader = EntryReader::new(cursor, &gateway.limits);
    reader.read_on(resumed_after, WHATEVER_COMES);
    let mut observer = gateway.factory.observer().connection(ConnectionId(ids::fresh()));
    observer.attached(user.observer());
    let resumed = StreamResumed { asked, epoch: continued, head: extent.head, resumption };
    observer.stream_resumed(user.user_id(), resumed);

    let mut first = BytesMut::new();
    push_fields(&mut first, format_args!("retry: {}\n\n", gateway.limits.reconnect_after_ms));
    if let Some(gap) = gap {
        push_gap(&mut first, epoch, resumed_after, gap);
    }
    if asked == ResumeCursor::Head {
        push_ready(&mut first, epoch, resumed_after);
    }
    let events = Events {
        reader,
        epoch,
        sent: resumed_after,
        first: Some(first.freeze()),
        identity,
        heartbeat: Duration::from_millis(gateway.limits.heartbeat_interval_ms),
        drain: gateway.drain.clone(),
        ending: StreamEnding::NotYet,
        reconnect_after_ms: gateway.limits.reconnect_after_ms,
        leave: Duration::from_millis(gateway.limits.drain_flush_timeout_ms),
        observer,
        user,
        _admission: admission,
        _place: slot,
    };
    let body =
        stream::unfold(events, async |mut events| Some((Ok::<_, Infallible>(events.next().await?), events)));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Disables response buffering in nginx and similar proxies, which would delay events.
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// The body of one event stream. Polled only when the socket has room for more.
struct Events {
    reader: EntryReader,
    epoch: Epoch,
    sent: Offset,
    first: Option<Bytes>,
    identity: Identity,
    heartbeat: Duration,
    drain: Drain,
    ending: StreamEnding,
    reconnect_after_ms: u64,
    /// Time for sending the last entries.
    leave: Duration,
    observer: Box<dyn ConnectionObserver>,
    user: User,
    _admission: Admission,
    /// Registered for as long as the stream lasts, also in the server of a host.
    _place: SocketSlot,
}

/// Progress of the stream in the shutdown (CONN-6).
#[derive(Clone, Copy)]
enum StreamEnding {
    NotYet,
    /// The reader has received the `draining` event.
    Told,
    /// All runs are at a safe point. Entries up to `head` are sent, but no longer than `until`.
    Leaving {
        head: Offset,
        until: Instant,
    },
}

impl Events {
    /// Returns the next bytes. `None` ends the stream; the client then resumes with its last id.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if let StreamEnding::Leaving { head, .. } = self.ending
                && head <= self.sent
            {
                return None;
            }
            tokio::select! {
                // Biased: the expiry of the credential and the shutdown take precedence over further entries.
                biased;
                () = Self::expired(&self.identity) => return None,
                () = self.ending.goes_on(&self.drain) => match self.ending {
                    StreamEnding::NotYet => {
                        self.ending = StreamEnding::Told;
                        return Some(draining(self.reconnect_after_ms));
                    }
                    StreamEnding::Told => {
                        let head = timeout(self.leave, self.user.cursor(Offset(u64::MAX))).await;
                        let head = head.ok()?.ok()?.head();
                        self.ending = StreamEnding::Leaving { head, until: Instant::now() + self.leave };
                    }
                    StreamEnding::Leaving { .. } => return None,
                },
                fetched = std::future::poll_fn(|cx| self.reader.poll_fetched(cx)) => return self.chunk(fetched),
                () = sleep(self.heartbeat) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }

    fn chunk(&mut self, fetched: Result<Lines, ReadError>) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        match fetched {
            Ok(lines) => {
                metrics::counter!("quintet_entries_sent_total").increment(lines.len() as u64);
                metrics::counter!("quintet_sent_bytes_total").increment(lines.as_bytes().len() as u64);
                self.sent = lines.last();
                self.observer.streaming(&lines);
                push_entries(&mut bytes, self.epoch, &lines);
            }
            // Retention has trimmed entries before they were read: continue after the gap (DEL-3).
            Err(ReadError::Gap(gap)) => {
                self.sent = gap.to;
                self.observer.stream_gap(gap);
                push_gap(&mut bytes, self.epoch, self.sent, gap);
            }
            Err(ReadError::Journal(error)) => {
                tracing::error!(%error, "user log cannot be read");
                return None;
            }
        }
        self.reader.read_on(self.sent, WHATEVER_COMES);
        Some(bytes.freeze())
    }

    /// Resolves when the credential expires by the wall clock, which may be set meanwhile (AUTH-3).
    async fn expired(identity: &Identity) {
        loop {
            let now = clock::now();
            if identity.has_expired(now) {
                return;
            }
            let wait = identity.expires_at.millis_since(now).min(WALL_CHECK_MS_MAX);
            sleep(Duration::from_millis(wait)).await;
        }
    }
}

impl StreamEnding {
    /// Resolves when the next stage of the shutdown is reached or the time for the last entries is over.
    async fn goes_on(self, drain: &Drain) {
        match self {
            Self::NotYet => drain.reached(ShutdownStage::Draining).await,
            Self::Told => drain.reached(ShutdownStage::Closing).await,
            Self::Leaving { until, .. } => sleep_until(until).await,
        }
    }
}

/// Encodes the `draining` event. It has no id, so that the client's cursor is unchanged.
fn draining(reconnect_after_ms: u64) -> Bytes {
    Bytes::from(format!("event: draining\ndata: {{\"reconnect_after_ms\":{reconnect_after_ms}}}\n\n"))
}

fn push_entries(bytes: &mut BytesMut, epoch: Epoch, lines: &Lines) {
    for (offset, line) in lines.iter() {
        let kind = std::str::from_utf8(type_of(&line)).unwrap_or("message");
        push_fields(bytes, format_args!("id: {}\nevent: {kind}\ndata: ", EventId { epoch, offset }));
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\n\n");
    }
}

/// Appends a `gap` event, whose id moves the client's cursor past the missing entries.
fn push_gap(bytes: &mut BytesMut, epoch: Epoch, resumed_after: Offset, gap: Gap) {
    let Gap { from, to } = gap;
    let id = EventId { epoch, offset: resumed_after };
    push_fields(bytes, format_args!("id: {id}\nevent: gap\ndata: {{\"from\":{from},\"to\":{to}}}\n\n"));
}

/// Appends a `ready` event, whose id is the cursor of a client that starts at the head and has no entry yet: a
/// reconnect resumes there (DEL-3).
fn push_ready(bytes: &mut BytesMut, epoch: Epoch, head: Offset) {
    let id = EventId { epoch, offset: head };
    push_fields(
        bytes,
        format_args!("id: {id}\nevent: ready\ndata: {{\"resumed_after\":{head},\"head\":{head}}}\n\n"),
    );
}

fn push_fields(bytes: &mut BytesMut, fields: std::fmt::Arguments<'_>) {
    bytes.write_fmt(fields).expect("a growing buffer takes everything");
}

/// Returns the value of `type`, the first field of each encoded entry.
fn type_of(line: &[u8]) -> &[u8] {
    let rest = line.strip_prefix(b"{\"type\":\"").unwrap_or_default();
    &rest[..memchr::memchr(b'"', rest).unwrap_or(0)]
}

/// Returns the position at which the client starts. `Last-Event-ID` precedes the query, which a browser repeats
/// unchanged when it reconnects.
///
/// # Errors
/// When `Last-Event-ID` is malformed, or the query has both `after` and `start=head`.
fn cursor_of(query: &StreamQuery, last: Option<&HeaderValue>) -> Result<ResumeCursor, HttpError> {
    let of_query = match (query.start.unwrap_or_default(), query.after) {
        (StartForm::Head, Some(_)) => {
            let both = "after and start=head exclude each other";
            return Err(HttpError::new(ErrorCode::InvalidField, both));
        }
        (StartForm::Head, None) => ResumeCursor::Head,
        (StartForm::Beginning, after) => {
            ResumeCursor::After { epoch: None, after: after.unwrap_or_default() }
        }
    };
    last.map_or(Ok(of_query), last_event_id)
}

/// Parses `Last-Event-ID` as a cursor.
///
/// # Errors
/// When it is not `epoch:offset`.
fn last_event_id(value: &HeaderValue) -> Result<ResumeCursor, HttpError> {
    let id = value.to_str().ok().and_then(EventId::parse);
    let EventId { epoch, offset } =
        id.ok_or_else(|| HttpError::new(ErrorCode::InvalidField, "last-event-id must be epoch:offset"))?;
    Ok(ResumeCursor::After { epoch: Some(epoch), after: offset })
}

const WHATEVER_COMES: Offset = Offset(u64::MAX);
const LAST_EVENT_ID: &str = "last-event-id";
const X_ACCEL_BUFFERING: http::HeaderName = http::HeaderName::from_static("x-accel-buffering");
/// Interval at which the wall clock is re-checked, since it may be set.
const WALL_CHECK_MS_MAX: u64 = 30_000;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const EPOCH: Epoch = Epoch(Uuid::from_u128(7));

    #[test]
    fn an_event_is_the_stored_line_under_its_offset_and_type() {
        let stored = Bytes::from_static(b"{\"type\":\"user_message\",\"offset\":3}\n{\"type\":\"x\"}\n");
        let lines = Lines::parse(Offset(3), stored).unwrap();
        let mut bytes = BytesMut::new();
        push_entries(&mut bytes, EPOCH, &lines);
        let expected = format!(
            "id: {EPOCH}:3\nevent: user_message\ndata: {{\"type\":\"user_message\",\"offset\":3}}\n\n\
             id: {EPOCH}:4\nevent: x\ndata: {{\"type\":\"x\"}}\n\n"
        );
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }
}
