//! A WebSocket: incoming messages, outgoing text frames, and a closing handshake that reaches the peer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use crate::{gateway::limits::GatewayLimits, wire::codes::CloseCode};

use super::frames::Frames;

/// The server side of a WebSocket.
pub struct Socket(WebSocketStream<Metered<TokioIo<Upgraded>>>);

/// An incoming message, or the reason why there are no more.
pub enum Incoming {
    /// A complete text message.
    Text(Utf8Bytes),
    /// A complete binary message.
    Binary(Bytes),
    /// A ping; the library queues the pong.
    Ping,
    /// A pong, in reply to a ping or unsolicited.
    Pong,
    /// The close frame of the peer.
    Close,
    /// A text message was not UTF-8; the connection closes with 1007.
    NotUtf8,
    /// A frame or message was longer than `frame_bytes_max`; the connection closes with 1009.
    TooLong,
    /// The peer violated the WebSocket protocol; the connection closes with 1002.
    Garbled,
    /// The socket ended or failed without a closing handshake.
    Gone,
}

/// The socket is broken.
#[derive(Debug)]
pub struct Gone;

impl Socket {
    /// Creates a WebSocket on an upgraded connection.
    pub async fn new(upgraded: Upgraded, limits: &GatewayLimits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(limits.frame_bytes_max))
            .max_frame_size(Some(limits.frame_bytes_max));
        let io = Metered::new(TokioIo::new(upgraded));
        Self(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }

    /// Returns the next message. May return `Pending` although more data is available, so that the caller
    /// checks [`Socket::frames`] in between; the task is woken in that case. Returns no message after the
    /// final one.
    pub fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        self.0.get_mut().read = 0;
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Incoming::Text(text),
                Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes),
                Some(Ok(Message::Ping(_))) => Incoming::Ping,
                Some(Ok(Message::Pong(_))) => Incoming::Pong,
                Some(Ok(Message::Close(_))) => Incoming::Close,
                // Produced only when writing.
                Some(Ok(Message::Frame(_))) => continue,
                Some(Err(Error::Utf8(_))) => Incoming::NotUtf8,
                Some(Err(Error::Capacity(_))) => Incoming::TooLong,
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Incoming::Gone,
                Some(Err(Error::Protocol(_))) => Incoming::Garbled,
                Some(Err(_)) | None => Incoming::Gone,
            });
        }
    }

    /// Queues a text frame. It is sent at the next flush or earlier.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn send(&mut self, text: Utf8Bytes) -> Result<(), Gone> {
        self.start(Message::Text(text))
    }

    /// Queues a binary frame, like [`Socket::send`].
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn send_binary(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.start(Message::Binary(bytes))
    }

    /// Returns the frames received so far, including those of incomplete messages.
    pub fn frames(&mut self) -> &mut Frames {
        &mut self.0.get_mut().frames
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn ping(&mut self) -> Result<(), Gone> {
        self.start(Message::Ping(Bytes::new()))
    }

    fn start(&mut self, message: Message) -> Result<(), Gone> {
        // Data that the socket does not accept is buffered; the state machine bounds how much is queued.
        Pin::new(&mut self.0).start_send(message).map_err(|_| Gone)
    }

    /// Resolves once all queued data is written to the operating system.
    pub fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(|_| Gone)
    }

    /// Returns the number of bytes that the operating system has accepted.
    pub fn written(&self) -> u64 {
        self.0.get_ref().written
    }

    /// Returns whether a pending write succeeded within the last `time`: the peer is slow, but reads.
    pub fn made_room_within(&self, time: Duration) -> bool {
        self.0.get_ref().made_room.is_some_and(|made_room| made_room.elapsed() < time)
    }

    /// Performs the closing handshake, waiting at most `wait`, and drops the socket (CONN-3). The close frame has
    /// `number`, which the protocol of the connection has for `code`. Reads less of the remaining input if the peer was closed for flooding.
    pub async fn close(mut self, code: CloseCode, wait: Duration, number: u16) {
        let waste = if code == CloseCode::RateLimited { CLOSE_BYTES } else { WASTE_BYTES };
        // A timeout or error here concerns only the peer; the socket is dropped in any case.
        let _ = timeout(wait, self.close_handshake(code, number, waste)).await;
    }

    async fn close_handshake(&mut self, code: CloseCode, number: u16, waste: usize) -> Result<(), Error> {
        // Further input is discarded, and the amount read is bounded (ISO-6).
        self.0.get_mut().close_budget = Some(CLOSE_BYTES);
        let reason = Utf8Bytes::from_static(code.reason());
        match self.0.send(Message::Close(Some(CloseFrame { code: number.into(), reason }))).await {
            Ok(()) => {}
            // The peer has sent its close frame first; flushing sends the queued reply.
            Err(Error::Protocol(_)) => self.0.flush().await?,
            Err(error) => return Err(error),
        }
        while let Some(message) = self.0.next().await {
            match message {
                Ok(Message::Close(_)) => break,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // Closing a TCP socket with unread input resets it, which can discard the close frame before the peer
        // reads it. So the remaining input is drained as raw bytes.
        let io = self.0.get_mut();
        io.close_budget = Some(waste);
        io.shutdown().await?;
        let mut unread = [0; BUFFER_BYTES];
        while io.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

/// Counts bytes in both directions, to distinguish a slow peer from one that does not read at all.
struct Metered<S> {
    io: S,
    written: u64,
    /// The last write was pending: the send buffer is full.
    waits: bool,
    /// Time of the last successful write after a pending one.
    made_room: Option<Instant>,
    frames: Frames,
    /// Bytes read since the last call to [`Socket::poll_incoming`].
    read: usize,
    /// Remaining bytes that may be read during the closing handshake; `None` before it.
    close_budget: Option<usize>,
}

impl<S> Metered<S> {
    fn new(io: S) -> Self {
        Self {
            io,
            written: 0,
            waits: false,
            made_room: None,
            frames: Frames::default(),
            read: 0,
            close_budget: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.close_budget == Some(0) {
            return Poll::Ready(Ok(()));
        }
        // The WebSocket library buffers a whole message. Pausing lets the caller apply the limits on
        // incomplete messages, and the waker schedules the next read.
        let full = self.read >= LOOK_BYTES || self.frames.fragments() >= LOOK_FRAGMENTS;
        if self.close_budget.is_none() && full {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let this = &mut *self;
        let came = &buf.filled()[before..];
        this.read += came.len();
        match &mut this.close_budget {
            Some(left) => *left = left.saturating_sub(came.len()),
            None => this.frames.see(came, Instant::now()),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, buf)? else {
            self.waits = true;
            return Poll::Pending;
        };
        self.written += written as u64;
        if std::mem::take(&mut self.waits) {
            self.made_room = Some(Instant::now());
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Size of the read and write buffers. Small, because with many connections the default of 128 KiB costs more
/// memory and time than it saves.
const BUFFER_BYTES: usize = 4 * 1024;

/// Bytes and fragments of an incomplete message after which reading pauses for the caller's checks.
const LOOK_BYTES: usize = 16 * 1024;
const LOOK_FRAGMENTS: u32 = 16;

/// Bytes of frames read after the close frame was sent, until the peer's close frame arrives, and raw bytes
/// drained afterwards.
const CLOSE_BYTES: usize = 64 * 1024;
const WASTE_BYTES: usize = 16 * 1024 * 1024;
