//! The body of an AG-UI response: the events of one run as server-sent events.
//!
//! A stream of `connect` goes on with the next open run of the conversation, each between its own start and end.
//!
//! Guarantees: it is written only as fast as the front end reads, from the log, so a stalled reader holds one chunk and
//! delays no other (DEL-4). It ends in order after the terminal event only; every other end aborts the connection:
//! the journal failed, retention overtook a slow reader, the credential expired (AUTH-3), or the service closes (CONN-6).

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderName, HeaderValue, header};
use quintet_agui_server::{
    Encoder, Event,
    event::{Metadata, QuintetMetadata, Sent},
    message::Message,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    names::Named,
    prefix::{self, HistoryLimit, RunFilter},
};
use crate::{
    gateway::{
        admit::{Admission, Admit},
        limits::GatewayLimits,
        peers::SocketSlot,
        ws::reader::EntryReader,
    },
    journal::{JournalError, Lines},
    kernel::{
        ids::{Epoch, Offset, ThreadId, Timestamp},
        ticket::Identity,
    },
    runtime::{
        clock,
        drain::{Drain, ShutdownStage},
    },
    user::{
        cursor::{Cursor, ReadError},
        handle::User,
    },
    wire::event_id::EventId,
};

/// The part of a request that the first events use.
pub struct Begin {
    /// The messages before the run.
    pub before: Vec<Message>,
    /// Members of the request without effect.
    pub ignored: Vec<&'static str>,
    /// Held until the first events are sent.
    pub slot: Admission,
}

/// What a stream is created from.
pub struct StreamSetup {
    /// The offset of the run's message.
    pub accepted: Offset,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The limits of the earlier runs in a snapshot.
    pub history: HistoryLimit,
    /// True if the stream goes on with the next open run of the conversation.
    pub follows: bool,
    /// The limits on requests that build a snapshot.
    pub admit: Admit,
    /// The epoch of the journal.
    pub epoch: Epoch,
    /// Interval between comments without events.
    pub heartbeat: Duration,
    /// Time without a further entry before a run that waits for its client ends as an interrupt.
    pub settle: Duration,
    /// The stage of the shutdown.
    pub drain: Drain,
    /// The credential.
    pub identity: Identity,
    /// The user's machines.
    pub user: User,
    /// Held as long as the stream lasts.
    pub held: (Admission, SocketSlot, Named),
}

/// The events of one run.
pub struct RunStream {
    setup: StreamSetup,
    reader: EntryReader,
    filter: RunFilter,
    encoder: Encoder,
    sent: Offset,
    first: Option<(Bytes, Admission)>,
    /// The time of the next comment, unless something is sent before.
    heartbeat_at: Instant,
    /// The time at which the run ends as an interrupt, unless an entry of it comes before.
    settled_at: Instant,
}

/// The reason for which a stream ends without its terminal event, which aborts the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamCut {
    /// The credential has expired (AUTH-3).
    #[error("the credential has expired")]
    Expired,
    /// The service is closing its connections (CONN-6).
    #[error("the service is closing")]
    Closing,
    /// Entries were trimmed before they were read.
    #[error("the reader is behind the stored entries")]
    Lagging,
    /// The conversation was erased, the end of the run with it (DEL-8).
    #[error("the conversation was erased")]
    Erased,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Unreadable,
}

impl RunStream {
    /// Creates the stream of the encoder's run, from the position of `cursor`.
    pub fn new(
        cursor: Cursor,
        mut encoder: Encoder,
        begin: Begin,
        setup: StreamSetup,
        limits: &GatewayLimits,
    ) -> Self {
        let sent = cursor.after();
        let Begin { before, ignored, slot } = begin;
        let first = first_bytes(&mut encoder, before, &ignored, cursor_at(setup.epoch, sent));
        let filter = RunFilter::new(setup.user.user_id(), encoder.run_id());
        let mut reader = EntryReader::new(cursor, limits);
        reader.read_on(sent, WHATEVER_COMES);
        let now = Instant::now();
        let (heartbeat_at, settled_at) = (now + setup.heartbeat, now + setup.settle);
        Self { setup, reader, filter, encoder, sent, first: Some((first, slot)), heartbeat_at, settled_at }
    }

    /// Returns the response with this body.
    pub fn into_response(self) -> Response {
        let body = stream::unfold(self, async |mut events| Some((events.next().await?, events)));
        response(Body::from_stream(body))
    }

    /// Returns the next bytes, `None` after the terminal event, or the reason to abort the connection.
    async fn next(&mut self) -> Option<Result<Bytes, StreamCut>> {
        let next = self.next_bytes().await;
        self.heartbeat_at = Instant::now() + self.setup.heartbeat;
        next
    }

    async fn next_bytes(&mut self) -> Option<Result<Bytes, StreamCut>> {
        if let Some((first, _slot)) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            if self.encoder.is_over() {
                match self.follow().await {
                    Ok(Some(bytes)) => return Some(Ok(bytes)),
                    Ok(None) => {}
                    Err(error) => return Some(Err(cut(unreadable(&error)))),
                }
                metrics::counter!("quintet_agui_streams_total", "end" => "finished").increment(1);
                return None;
            }
            let waits = self.encoder.waits_for_client();
            tokio::select! {
                // Biased: the end of the credential takes precedence over further entries, these over the shutdown.
                biased;
                () = expired(&self.setup.identity) => return Some(Err(cut(StreamCut::Expired))),
                fetched = std::future::poll_fn(|cx| self.reader.poll_fetched(cx)) => match self.chunk(fetched).await {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Some(Ok(bytes)),
                    Err(why) => return Some(Err(cut(why))),
                },
                () = self.setup.drain.reached(ShutdownStage::Closing) => return Some(Err(cut(StreamCut::Closing))),
                // Several calls are opened one after another: the front end gets all of them.
                () = sleep_until(self.settled_at), if waits => return Some(Ok(self.paused())),
                () = sleep_until(self.heartbeat_at) => return Some(Ok(Bytes::from_static(b": keep-alive\n\n"))),
            }
        }
    }

    /// Goes on with the next open run of the conversation, and returns its first events; `None` if the stream ends.
    async fn follow(&mut self) -> Result<Option<Bytes>, JournalError> {
        let StreamSetup { user, thread_id, history, admit, .. } = &self.setup;
        if !self.setup.follows || !self.encoder.can_be_followed() {
            return Ok(None);
        }
        let Ok(_slot) = admit.page(user.user_id()) else { return Ok(None) };
        let Some(run) = user.open_runs(thread_id, 1).await?.into_iter().next() else { return Ok(None) };
        let path = user.path(thread_id, Some(run.accepted), history.runs_max + 1).await?;
        let before = prefix::history(user, path.get(1..).unwrap_or_default(), *history).await?;
        let mut encoder = self.encoder.next(run.run_id);
        let mut cursor = user.cursor(Offset(run.accepted.0.saturating_sub(1))).await?;
        prefix::absorb(user, &mut cursor, &mut encoder, history.chunk).await?;
        self.sent = cursor.after();
        self.filter = RunFilter::new(user.user_id(), run.run_id);
        self.reader = EntryReader::of(cursor, history.chunk);
        self.reader.read_on(self.sent, WHATEVER_COMES);
        let first = first_bytes(&mut encoder, before, &[], cursor_at(self.setup.epoch, self.sent));
        self.settled_at = Instant::now() + self.setup.settle;
        self.setup.accepted = run.accepted;
        self.encoder = encoder;
        Ok(Some(first))
    }

    async fn chunk(&mut self, fetched: Result<Lines, ReadError>) -> Result<Bytes, StreamCut> {
        let lines = match fetched {
            Ok(lines) => lines,
            Err(ReadError::Gap(_)) => return Err(StreamCut::Lagging),
            Err(ReadError::Journal(error)) => return Err(unreadable(&error)),
        };
        let mut bytes = BytesMut::new();
        for (offset, line) in lines.iter() {
            let entry = self.filter.entry(&line).map_err(|error| unreadable(&error))?;
            let Some(entry) = entry else {
                let StreamSetup { thread_id, accepted, .. } = &self.setup;
                let erases = self.filter.erases(&line, thread_id, *accepted);
                if !self.encoder.is_over() && erases.map_err(|error| unreadable(&error))? {
                    return Err(StreamCut::Erased);
                }
                continue;
            };
            self.settled_at = Instant::now() + self.setup.settle;
            let mut events = self.encoder.entry(&entry.agent_name, &entry.body);
            self.complete_snapshots(&mut events).await.map_err(|error| unreadable(&error))?;
            for (at, event) in events.iter().enumerate() {
                let cursor = (at + 1 == events.len()).then(|| cursor_at(self.setup.epoch, offset));
                let metadata = QuintetMetadata { cursor, ..QuintetMetadata::default() };
                push(&mut bytes, event, Some(entry.timestamp), metadata);
            }
        }
        self.sent = lines.last();
        self.reader.read_on(self.sent, WHATEVER_COMES);
        Ok(bytes.freeze())
    }

    /// Adds the messages before the run to snapshots, which have those of the run.
    async fn complete_snapshots(&self, events: &mut [Event]) -> Result<(), JournalError> {
        for event in events {
            if let Event::MessagesSnapshot { messages } = event {
                let StreamSetup { user, thread_id, accepted, history, .. } = &self.setup;
                let path = user.path(thread_id, Some(*accepted), history.runs_max + 1).await?;
                let earlier = path.get(1..).unwrap_or_default();
                let before = prefix::history(user, earlier, *history).await?;
                messages.splice(..0, before);
            }
        }
        Ok(())
    }

    fn paused(&mut self) -> Bytes {
        let mut bytes = BytesMut::new();
        for event in self.encoder.pause() {
            let cursor = event.is_terminal().then(|| cursor_at(self.setup.epoch, self.sent));
            push(&mut bytes, &event, None, QuintetMetadata { cursor, ..QuintetMetadata::default() });
        }
        bytes.freeze()
    }
}

/// Encodes the first events of a run, the last of them with the cursor.
fn first_bytes(
    encoder: &mut Encoder,
    before: Vec<Message>,
    ignored: &[&'static str],
    cursor: String,
) -> Bytes {
    let mut bytes = BytesMut::new();
    let events = encoder.begin(before);
    for (at, event) in events.iter().enumerate() {
        let cursor = (at + 1 == events.len()).then(|| cursor.clone());
        let (run_id, ignored) = if at == 0 { (Some(encoder.run_id()), ignored) } else { (None, &[][..]) };
        push(&mut bytes, event, None, QuintetMetadata { cursor, run_id, ignored });
    }
    bytes.freeze()
}

/// Returns a response with exactly these events.
pub fn complete(events: &[Event]) -> Response {
    let mut bytes = BytesMut::new();
    for event in events {
        push(&mut bytes, event, None, QuintetMetadata::default());
    }
    response(Body::from(bytes.freeze()))
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Disables response buffering in nginx and similar proxies, which would delay events.
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Appends an event. AG-UI's clients split the stream at empty lines, which no JSON text contains.
fn push(bytes: &mut BytesMut, event: &Event, timestamp: Option<Timestamp>, quintet: QuintetMetadata<'_>) {
    let is_empty = quintet.cursor.is_none() && quintet.run_id.is_none() && quintet.ignored.is_empty();
    let metadata = (!is_empty).then_some(Metadata { quintet });
    let sent = Sent { event, timestamp, metadata };
    bytes.extend_from_slice(b"data: ");
    let text = serde_json::to_vec(&sent).expect("an event has text keys only");
    bytes.extend_from_slice(&text);
    bytes.extend_from_slice(b"\n\n");
}

fn cursor_at(epoch: Epoch, offset: Offset) -> String {
    EventId { epoch, offset }.to_string()
}

fn unreadable(error: &JournalError) -> StreamCut {
    tracing::error!(%error, "user log cannot be read");
    StreamCut::Unreadable
}

fn cut(why: StreamCut) -> StreamCut {
    metrics::counter!("quintet_agui_streams_total", "end" => "aborted").increment(1);
    tracing::debug!(reason = %why, "AG-UI stream aborted");
    why
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

const WHATEVER_COMES: Offset = Offset(u64::MAX);
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Interval at which the wall clock is re-checked, since it may be set.
const WALL_CHECK_MS_MAX: u64 = 30_000;
