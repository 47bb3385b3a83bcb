//! Sockets of the public listener: accepted up to a limit, given a limited time to speak, told when
//! the service ends.
//!
//! Guarantees: never more than `sockets_max` sockets are served, those that became WebSockets included; a
//! new one displaces one that is not authenticated where there is no room (ISO-6);
//! a peer that does not send the head of a request in time is gone, and so is one that reads nothing of
//! its answer, and one that does not acknowledge what it is sent (CONN-5, on Linux); what is open when the service
//! closes ends by itself, each request answered to its end (CONN-6).

use std::{
    io::IoSlice,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, serve::Listener};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    drain::{Drain, Stage},
    limits::GatewayLimits,
    peers::{Peers, Place},
};
use crate::runtime::tasks::Tasks;

/// Sets what the operating system does with a socket that was accepted.
pub fn tune(socket: &TcpStream, limits: &GatewayLimits) {
    // Frames are small and each is waited for.
    let set = socket.set_nodelay(true);
    // What a stalled peer's socket holds would otherwise grow to megabytes (DEL-4), and a slow peer would
    // look stalled for as long as it takes to read a third of them (CONN-5).
    #[cfg(target_os = "linux")]
    let set = set.and_then(|()| {
        let socket = socket2::SockRef::from(socket);
        socket.set_tcp_notsent_lowat(limits.unsent_bytes_max)?;
        // Of a peer that is there no more nobody tells: what is sent to it, as the line that keeps an event
        // stream alive, is never acknowledged (CONN-5, ISO-5).
        socket.set_tcp_user_timeout(Some(unacknowledged_max(limits)))
    });
    if let Err(error) = set {
        tracing::debug!(%error, "socket options refused");
    }
}

/// How long what was sent to a peer may be without its acknowledgement: longer than a peer is given to
/// answer a ping, or to take something of what is sent to it.
pub fn unacknowledged_max(limits: &GatewayLimits) -> Duration {
    Duration::from_millis(limits.heartbeat_ms.max(limits.stall_wait_ms_max) + limits.pong_wait_ms_max)
}

/// Serves what comes in on `listener`, each socket as one of `tasks`, until the service closes.
pub async fn serve<L: Listener<Addr = SocketAddr>>(
    mut listener: L,
    router: Router,
    limits: GatewayLimits,
    drain: Drain,
    tasks: Tasks,
    peers: Peers,
) {
    let room = Arc::new(Semaphore::new(limits.sockets_max));
    let mut closing = pin!(drain.reached(Stage::Closing));
    loop {
        let accepted = async {
            let (socket, address) = listener.accept().await;
            let place = match peers.accept(address.ip()) {
                Ok(place) => place,
                Err(full) => {
                    tracing::debug!(error = %full, "socket rejected");
                    return None;
                }
            };
            let permit = match room.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    // Where every socket is authenticated, the new one waits until one of them ends; it is
                    // not the one that makes room.
                    place.is_busy();
                    peers.make_room();
                    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
                    place.is_idle();
                    permit
                }
            };
            Some(Counted { socket, stall: Stall::new(limits), place, _permit: permit })
        };
        let socket = tokio::select! {
            biased;
            () = &mut closing => return,
            socket = accepted => socket,
        };
        let Some(socket) = socket else { continue };
        tasks.spawn(speak(socket, router.clone(), limits, drain.clone()));
    }
}

async fn speak<S>(socket: Counted<S>, router: Router, limits: GatewayLimits, drain: Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (place, service) =
        (socket.place.clone(), TowerToHyperService::new(router.into_service::<Incoming>()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_wait_ms_max))
        .max_buf_size(limits.head_bytes_max)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.reached(Stage::Closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The peer's doing: it went away, was too slow, or does not speak HTTP.
        tracing::debug!(error = %error, "socket ended early");
    }
}

/// A socket that holds its place among `sockets_max` for as long as it is open, whatever it becomes, and
/// that breaks if its peer takes nothing for too long or its place is given away.
struct Counted<S> {
    socket: S,
    stall: Stall,
    place: Place,
    _permit: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.place.poll_breaks(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.stall.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.stall.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Breaks a write that waits too long: an answer or an event stream that nobody reads would otherwise
/// hold its place, and its user's machines, for ever (DEL-4, ISO-5).
struct Stall {
    wait: Duration,
    /// Since the last write that had to wait; kept for its memory.
    waiting: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Stall {
    fn new(limits: GatewayLimits) -> Self {
        // A WebSocket says so itself before this: it has a close code for it (CONN-5).
        let wait = Duration::from_millis(2 * limits.stall_wait_ms_max);
        Self { wait, waiting: None, waits: false }
    }

    fn watch(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let deadline = Instant::now() + self.wait;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !std::mem::replace(&mut self.waits, true) {
            waiting.as_mut().reset(deadline);
        }
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}
