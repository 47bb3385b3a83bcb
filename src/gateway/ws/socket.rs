//! A WebSocket as messages in, text frames out, and a good-bye that reaches the peer.

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

/// A WebSocket of a client.
pub struct Socket(WebSocketStream<Metered<TokioIo<Upgraded>>>);

/// What came in.
pub enum Heard {
    Text(Utf8Bytes),
    Binary(Bytes),
    Ping,
    Pong,
    Close,
    NotUtf8,
    TooLong,
    Garbled,
    Gone,
}

/// The socket broke.
#[derive(Debug)]
pub struct Gone;

impl Socket {
    pub async fn new(upgraded: Upgraded, limits: &GatewayLimits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(limits.frame_bytes_max))
            .max_frame_size(Some(limits.frame_bytes_max));
        let io = Metered::new(TokioIo::new(upgraded));
        Self(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }

    /// The next message; pending from time to time although there is more, so that the caller looks at
    /// [`Socket::frames`]. After one that ends the conversation there is none.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.0.get_mut().read = 0;
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Heard::Text(text),
                Some(Ok(Message::Binary(bytes))) => Heard::Binary(bytes),
                Some(Ok(Message::Ping(_))) => Heard::Ping,
                Some(Ok(Message::Pong(_))) => Heard::Pong,
                Some(Ok(Message::Close(_))) => Heard::Close,
                // Only a writer makes those.
                Some(Ok(Message::Frame(_))) => continue,
                Some(Err(Error::Utf8(_))) => Heard::NotUtf8,
                Some(Err(Error::Capacity(_))) => Heard::TooLong,
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Heard::Gone,
                Some(Err(Error::Protocol(_))) => Heard::Garbled,
                Some(Err(_)) | None => Heard::Gone,
            });
        }
    }

    /// Puts a text frame behind what was sent so far; it is on its way at the next flush, or before.
    pub fn send(&mut self, text: Utf8Bytes) -> Result<(), Gone> {
        self.start(Message::Text(text))
    }

    /// The same for a binary frame.
    pub fn send_binary(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.start(Message::Binary(bytes))
    }

    /// The frames that came, complete messages or not.
    pub fn frames(&mut self) -> &mut Frames {
        &mut self.0.get_mut().frames
    }

    pub fn ping(&mut self) -> Result<(), Gone> {
        self.start(Message::Ping(Bytes::new()))
    }

    fn start(&mut self, message: Message) -> Result<(), Gone> {
        // What the socket does not take at once waits in memory; how much that may be, the machine decides.
        Pin::new(&mut self.0).start_send(message).map_err(|_| Gone)
    }

    /// Resolves when everything that was sent is with the operating system.
    pub fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(|_| Gone)
    }

    /// Bytes that the operating system took from this socket so far.
    pub fn written(&self) -> u64 {
        self.0.get_ref().written
    }

    /// Whether the peer has, within `time`, made room for something that had to wait for it: it is behind,
    /// and takes what is sent to it.
    pub fn made_room_within(&self, time: Duration) -> bool {
        self.0.get_ref().made_room.is_some_and(|made_room| made_room.elapsed() < time)
    }

    /// Says why, gives the peer `wait` to hear it, and lets go (CONN-3). A peer that floods is listened to for
    /// less.
    pub async fn close(mut self, code: CloseCode, wait: Duration) {
        let waste = if code == CloseCode::RateLimited { FAREWELL_BYTES } else { WASTE_BYTES };
        // Whether the peer heard it is the peer's business: there is nobody to tell.
        let _ = timeout(wait, self.say_good_bye(code, waste)).await;
    }

    async fn say_good_bye(&mut self, code: CloseCode, waste: usize) -> Result<(), Error> {
        // What still comes is not acted on, and is not read without a bound (ISO-6).
        self.0.get_mut().farewell = Some(FAREWELL_BYTES);
        let reason = Utf8Bytes::from_static(code.reason());
        match self.0.send(Message::Close(Some(CloseFrame { code: code.number().into(), reason }))).await {
            Ok(()) => {}
            // The peer said it first: what is left is to answer, which a flush does.
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
        // A socket that is let go with bytes unread is reset, and the peer may never see the close frame:
        // what it still sends has to be taken, though nobody can make frames of it any more.
        let io = self.0.get_mut();
        io.farewell = Some(waste);
        io.shutdown().await?;
        let mut unread = [0; BUFFER_BYTES];
        while io.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

/// Counts what is read and written, so that a slow peer can be told from one that does not read at all.
struct Metered<S> {
    io: S,
    written: u64,
    /// The operating system takes nothing before the peer takes something.
    waits: bool,
    /// When it last took something again.
    made_room: Option<Instant>,
    frames: Frames,
    /// Bytes read since the caller last looked.
    read: usize,
    /// Bytes that are still read once the service has closed.
    farewell: Option<usize>,
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
            farewell: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.farewell == Some(0) {
            return Poll::Ready(Ok(()));
        }
        let full = self.read >= LOOK_BYTES || self.frames.fragments() >= LOOK_FRAGMENTS;
        if self.farewell.is_none() && full {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let this = &mut *self;
        let came = &buf.filled()[before..];
        this.read += came.len();
        match &mut this.farewell {
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

/// Bytes read at once, and bytes that are gathered before they are written without being told to. Small
/// ones: with many connections the default of 128 KiB costs more time than it saves, and the memory.
const BUFFER_BYTES: usize = 4 * 1024;

/// Bytes, and fragments, of a message that is not complete after which the caller has a look.
const LOOK_BYTES: usize = 16 * 1024;
const LOOK_FRAGMENTS: u32 = 16;

/// Bytes of frames that are read after the close frame was sent, in wait for the peer's own; and bytes that
/// are then taken off the socket unread.
const FAREWELL_BYTES: usize = 64 * 1024;
const WASTE_BYTES: usize = 16 * 1024 * 1024;
