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

pub struct Socket(WebSocketStream<Metered<TokioIo<Upgraded>>>);

/// What came in.
pub enum Heard {
    Text(Utf8Bytes),
    Binary,
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
        let io = Metered { io: TokioIo::new(upgraded), written: 0, waits: false, made_room: None };
        Self(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }

    /// The next message. After one that ends the conversation there is none.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Heard::Text(text),
                Some(Ok(Message::Binary(_))) => Heard::Binary,
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

    /// Says why, gives the peer `wait` to hear it, and lets go (CONN-3).
    pub async fn close(mut self, code: CloseCode, wait: Duration) {
        // Whether the peer heard it is the peer's business: there is nobody to tell.
        let _ = timeout(wait, self.say_good_bye(code)).await;
    }

    async fn say_good_bye(&mut self, code: CloseCode) -> Result<(), Error> {
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
        let io = &mut self.0.get_mut().io;
        io.shutdown().await?;
        let mut waste = [0; BUFFER_BYTES];
        while io.read(&mut waste).await? > 0 {}
        Ok(())
    }
}

/// Counts what is written, so that a slow peer can be told from one that does not read at all.
struct Metered<S> {
    io: S,
    written: u64,
    /// The operating system takes nothing before the peer takes something.
    waits: bool,
    /// When it last took something again.
    made_room: Option<Instant>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
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
