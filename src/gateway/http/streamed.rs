//! A response with a JSON list that is read and sent one piece at a time: pages of entries and of folded runs.
//!
//! Guarantee: at most one piece is in memory, regardless of the length of the list and of the reader's speed (DEL-4).

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{body::Body, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, header};

use crate::{gateway::admit::Admission, journal::JournalError};

/// A bounded walk whose results are the items of a list.
pub trait ListWalk: Send + 'static {
    /// The items of one read; none by default.
    type Piece: Default + Send;

    /// Reads the next items.
    fn next(&mut self) -> impl Future<Output = Result<Self::Piece, JournalError>> + Send;

    /// Returns whether the walk has ended.
    fn is_over(&self) -> bool;

    /// Ends the walk early.
    fn stop(&mut self);

    /// Writes the items of a piece.
    fn write(piece: Self::Piece, list: &mut ListWriter<'_>);

    /// Writes the part of the body after the list.
    fn end(&self, out: &mut BytesMut);
}

/// Writes the items of a list with the commas between them.
pub struct ListWriter<'a> {
    out: &'a mut BytesMut,
    has_items: &'a mut bool,
}

impl ListWriter<'_> {
    /// Writes one item.
    pub fn item(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        if std::mem::replace(self.has_items, true) {
            self.out.put_u8(b',');
        }
        encode(self.out);
    }
}

/// The remaining part of a list.
struct Rest<W> {
    walk: W,
    has_items: bool,
    wait: Duration,
    /// Freed once the last piece is written to the socket, or the reader disconnects.
    _place: Admission,
}

/// Returns 200 with the body that begins with `begin` and the items of `first`. `wait` is the time for one read.
pub fn list<W: ListWalk>(
    walk: W,
    mut begin: BytesMut,
    first: W::Piece,
    wait: Duration,
    place: Admission,
) -> Response {
    let mut rest = Rest { walk, has_items: false, wait, _place: place };
    rest.push(first, &mut begin);
    let begin = begin.freeze();
    let body = if rest.walk.is_over() {
        Body::from(begin)
    } else {
        let pieces = stream::unfold((Some(begin), Some(rest)), async |(begin, rest)| match (begin, rest) {
            (Some(begin), rest) => Some((Ok::<_, Infallible>(begin), (None, rest))),
            (None, Some(mut rest)) => {
                let piece = rest.next().await;
                let rest = (!rest.walk.is_over()).then_some(rest);
                Some((Ok(piece), (None, rest)))
            }
            (None, None) => None,
        });
        Body::from_stream(pieces)
    };
    json(body)
}

/// Returns 200 with a JSON body.
pub fn json(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl<W: ListWalk> Rest<W> {
    /// Returns the next piece of the body. On a read error the list ends early, and the next page reports it.
    async fn next(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        let piece = match tokio::time::timeout(self.wait, self.walk.next()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                tracing::error!(%error, "page truncated: the journal cannot be read");
                self.walk.stop();
                W::Piece::default()
            }
            Err(_) => {
                tracing::warn!("page truncated: the journal read timed out");
                self.walk.stop();
                W::Piece::default()
            }
        };
        self.push(piece, &mut out);
        out.freeze()
    }

    fn push(&mut self, piece: W::Piece, out: &mut BytesMut) {
        W::write(piece, &mut ListWriter { out, has_items: &mut self.has_items });
        if self.walk.is_over() {
            self.walk.end(out);
        }
    }
}
