//! Server-sent events of a response, as the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html)
//! defines them.
//!
//! Guarantees: no more than `event_bytes_max` bytes are held for one event. A wait for the next bytes is bounded by
//! `idle_timeout_ms`. After an error the stream ends. An event that the body does not finish is not delivered.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sse_stream::SseStream;

use crate::client::describe;

quintet_runtime::limits! {
    /// Limits of one event stream.
    pub struct SseLimits {
        /// Length of one event, in bytes.
        pub event_bytes_max: usize = 4 * 1024 * 1024, in 1_024..=268_435_456;
        /// Time without a byte after which the stream counts as broken, in milliseconds.
        pub idle_timeout_ms: u64 = 120_000, in 1..=3_600_000;
    }
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The type of the event; empty if it has none.
    pub event: String,
    /// The data lines, joined by line feeds.
    pub data: String,
    /// The id, if the event has one.
    pub id: Option<String>,
}

/// The reason for which a stream ended early. Upstream fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// The connection broke.
    #[error("the stream broke: {0}")]
    Broken(String),
    /// No byte came within the timeout.
    #[error("no data came for {0} ms")]
    Idle(u64),
    /// One event is too long.
    #[error("an event is longer than {0} bytes")]
    TooLarge(usize),
    /// The bytes are not an event stream.
    #[error("not an event stream: {0}")]
    Malformed(String),
}

/// The events of a stream.
pub type SseEvents = Pin<Box<dyn Stream<Item = Result<SseEvent, SseError>> + Send>>;

/// Returns the events of a response.
pub fn events(response: reqwest::Response, limits: SseLimits) -> SseEvents {
    events_of(response.bytes_stream().map_err(|error| SseError::Broken(describe(error))), limits)
}

/// Returns the events of a body.
pub fn events_of(
    body: impl Stream<Item = Result<Bytes, SseError>> + Send + 'static,
    limits: SseLimits,
) -> SseEvents {
    // The decoder holds the bytes of an unfinished event; they are counted in front of it.
    let pending = Arc::new(AtomicUsize::new(0));
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    let counted = stream::unfold(
        (Box::pin(body), pending.clone(), false),
        move |(mut body, pending, over)| async move {
            if over {
                return None;
            }
            let item = match tokio::time::timeout(idle, body.next()).await {
                Err(_) => Err(SseError::Idle(limits.idle_timeout_ms)),
                Ok(None) => return None,
                Ok(Some(item)) => item,
            };
            let item = item.and_then(|bytes| {
                let held = pending.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
                if held > limits.event_bytes_max + bytes.len() {
                    Err(SseError::TooLarge(limits.event_bytes_max))
                } else {
                    Ok(bytes)
                }
            });
            let over = item.is_err();
            Some((item, (body, pending, over)))
        },
    );
    let decoded = SseStream::from_bytes_stream(counted.boxed());
    Box::pin(stream::unfold((decoded, pending, false), move |(mut decoded, pending, over)| async move {
        if over {
            return None;
        }
        let item = match decoded.next().await? {
            Ok(event) => {
                pending.store(0, Ordering::Relaxed);
                let data = event.data.unwrap_or_default();
                if data.len() > limits.event_bytes_max {
                    Err(SseError::TooLarge(limits.event_bytes_max))
                } else {
                    Ok(SseEvent { event: event.event.unwrap_or_default(), data, id: event.id })
                }
            }
            Err(sse_stream::Error::Body(error)) => match error.downcast::<SseError>() {
                Ok(error) => Err(*error),
                Err(error) => Err(SseError::Broken(error.to_string())),
            },
            Err(error) => Err(SseError::Malformed(error.to_string())),
        };
        let over = item.is_err();
        Some((item, (decoded, pending, over)))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = ": comment\nevent: a\ndata: é1\ndata: 2\n\nid: 7\r\ndata:3\r\n\r\ndata: unfinished";

    fn read(chunks: Vec<Vec<u8>>, limits: SseLimits) -> Vec<Result<SseEvent, SseError>> {
        let body = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(events_of(body, limits).collect())
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_the_bytes_are_cut(mut cuts in prop::collection::vec(0..TEXT.len(), 0..20)) {
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([TEXT.len()]) {
                chunks.push(TEXT.as_bytes()[from..cut].to_vec());
                from = cut;
            }
            let event = |event: &str, data: &str, id: Option<&str>| {
                Ok(SseEvent { event: event.into(), data: data.into(), id: id.map(Into::into) })
            };
            prop_assert_eq!(
                read(chunks, SseLimits::DEFAULT),
                vec![event("a", "é1\n2", None), event("", "3", Some("7"))]
            );
        }
    }

    #[test]
    fn an_endless_event_is_refused_after_the_limit() {
        let limits = SseLimits { event_bytes_max: 1_024, ..SseLimits::DEFAULT };
        let chunks =
            std::iter::once(b"data: ".to_vec()).chain((0..10_000).map(|_| vec![b'x'; 100])).collect();
        assert_eq!(read(chunks, limits), [Err(SseError::TooLarge(1_024))]);
    }

    #[test]
    fn many_events_are_not_counted_as_one() {
        let limits = SseLimits { event_bytes_max: 1_024, ..SseLimits::DEFAULT };
        let chunks = (0..100).map(|_| format!("data: {}\n\n", "x".repeat(500)).into_bytes()).collect();
        assert_eq!(read(chunks, limits).into_iter().filter(Result::is_ok).count(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_stream() {
        let first = stream::iter([Ok(Bytes::from_static(b"data: 1\n\n"))]);
        let mut events = events_of(first.chain(stream::pending()), SseLimits::DEFAULT);
        assert_eq!(events.next().await.unwrap().unwrap().data, "1");
        assert_eq!(events.next().await, Some(Err(SseError::Idle(120_000))));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_broken_connection_is_its_own_error() {
        let body = stream::iter([Ok(Bytes::from_static(b"data: 1")), Err(SseError::Broken("reset".into()))]);
        let events: Vec<_> = events_of(body, SseLimits::DEFAULT).collect().await;
        assert_eq!(events, [Err(SseError::Broken("reset".into()))]);
    }
}
