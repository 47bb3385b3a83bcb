//! Accepts sockets of the public listener and serves HTTP/1.1 on them.
//!
//! Guarantees: at most `sockets_max` sockets are served, including those upgraded to WebSocket; when all are
//! in use, a new socket displaces one that is not authenticated (ISO-6). A socket is closed when its peer
//! does not send a request head in time, accepts no byte of a response, or (on Linux) does not acknowledge
//! data (CONN-5). At shutdown, open sockets finish the request in progress and then close (CONN-6).

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
    limits::GatewayLimits,
    peers::{Peers, SocketSlot},
};
use crate::runtime::{
    drain::{Drain, ShutdownStage},
    tasks::Tasks,
};

/// Sets the TCP options of an accepted socket. A failure is logged at debug level.
pub fn tune(socket: &TcpStream, limits: &GatewayLimits) {
    // Frames are small and latency matters: disable Nagle's algorithm.
    let set = socket.set_nodelay(true);
    // Without it, the send buffer of a stalled peer grows to megabytes (DEL-4), and a slow peer looks
    // stalled until it has read about a third of that buffer (CONN-5).
    #[cfg(target_os = "linux")]
    let set = set.and_then(|()| {
        let socket = socket2::SockRef::from(socket);
        socket.set_tcp_notsent_lowat(limits.unsent_bytes_max)?;
        // A vanished peer sends no FIN or RST; data such as keep-alive lines just stays unacknowledged.
        // This timeout closes the socket (CONN-5, ISO-5).
        socket.set_tcp_user_timeout(Some(unacknowledged_max(limits)))
    });
    if let Err(error) = set {
        tracing::debug!(%error, "socket options refused");
    }
}

/// Returns `TCP_USER_TIMEOUT`, the time that sent data may stay unacknowledged. It is longer than the ping
/// and stall timeouts, so that these close the connection first, with a close code.
pub fn unacknowledged_max(limits: &GatewayLimits) -> Duration {
    Duration::from_millis(limits.heartbeat_interval_ms.max(limits.stall_timeout_ms) + limits.pong_timeout_ms)
}

/// Accepts sockets from `listener` until the drain reaches [`ShutdownStage::Closing`]; serves each in one of `tasks`.
pub async fn serve<L: Listener<Addr = SocketAddr>>(
    mut listener: L,
    router: Router,
    limits: GatewayLimits,
    drain: Drain,
    tasks: Tasks,
    peers: Peers,
) {
    let room = Arc::new(Semaphore::new(limits.sockets_max));
    let mut closing = pin!(drain.reached(ShutdownStage::Closing));
    loop {
        let accepted = async {
            let (socket, address) = listener.accept().await;
            let slot = match peers.accept(address.ip()) {
                Ok(slot) => slot,
                Err(full) => {
                    tracing::debug!(error = %full, "socket rejected");
                    return None;
                }
            };
            let permit = match room.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    // `sockets_max` is reached. If all sockets are authenticated, none can be displaced and
                    // this one waits; it is marked busy meanwhile so that it does not displace itself.
                    slot.is_busy();
                    peers.make_room();
                    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
                    slot.is_idle();
                    permit
                }
            };
            Some(Counted { socket, stall: Stall::new(limits), slot, _permit: permit })
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
    let (slot, service) = (socket.slot.clone(), TowerToHyperService::new(router.into_service::<Incoming>()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(slot.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.request_header_timeout_ms))
        .max_buf_size(limits.request_header_bytes_max)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.reached(ShutdownStage::Closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Client fault: the peer disconnected, timed out or sent malformed HTTP.
        tracing::debug!(error = %error, "socket ended early");
    }
}

/// A socket that holds a `sockets_max` permit until it is dropped, also after an upgrade. I/O fails when the
/// peer accepts no data for too long or the socket is displaced.
struct Counted<S> {
    socket: S,
    stall: Stall,
    slot: SocketSlot,
    _permit: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.slot.poll_breaks(cx).is_ready() {
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

/// Fails a write that is pending for too long. Otherwise a response or event stream without a reader would
/// hold its socket and its user's machines forever (DEL-4, ISO-5).
struct Stall {
    wait: Duration,
    /// Timer of the first pending write; the allocation is reused.
    waiting: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Stall {
    fn new(limits: GatewayLimits) -> Self {
        // Twice the stall timeout: a WebSocket connection closes itself earlier, with 4408 (CONN-5).
        let wait = Duration::from_millis(2 * limits.stall_timeout_ms);
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
        waiting.as_mut().poll(cx).map(|()| {
            metrics::counter!("quintet_stalled_readers_total").increment(1);
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}
