//! A WebSocket echo server on the service's own listener, handshake and socket, for the Autobahn test suite:
//! see `tests/autobahn/run.sh`.
//!
//! Prints the address that it listens on, and serves until it is stopped.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use quintet::{
    gateway::{
        limits::GatewayLimits,
        listen,
        peers::{Peers, TrustedProxies},
        ws::{
            socket::{Incoming, Socket},
            upgrade::{Handshake, subprotocol},
        },
    },
    kernel::connection::Cause,
    runtime::{drain::Drain, saturation::Saturation, tasks::Tasks},
    wire::codes::CloseCode,
};
use tokio::net::TcpListener;

/// The suite sends messages of up to 16 MiB, and one of them over a longer time than the service waits.
const LIMITS: GatewayLimits = GatewayLimits {
    frame_bytes_max: 16 * 1024 * 1024,
    message_timeout_ms: 120_000,
    ..GatewayLimits::DEFAULT
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let tasks = Tasks::default();
    let echoes = tasks.clone();
    let router = Router::new().route("/", get(async move |request: Request| upgrade(&echoes, request)));
    let peers = Peers::new(LIMITS, TrustedProxies::default(), Saturation::default());
    listen::serve(listener, router, LIMITS, Drain::default(), tasks, peers).await;
    Ok(())
}

fn upgrade(tasks: &Tasks, request: Request) -> Response {
    let mut parts = request.into_parts().0;
    match Handshake::read(&mut parts, subprotocol) {
        Ok(Handshake { on_upgrade, response, .. }) => {
            tasks.spawn(async move {
                match on_upgrade.await {
                    Ok(upgraded) => echo(Socket::new(upgraded, &LIMITS).await).await,
                    Err(error) => eprintln!("upgrade failed: {error}"),
                }
            });
            response.map(|()| Body::empty())
        }
        Err(failure) => failure.into_response(),
    }
}

async fn echo(mut socket: Socket) {
    let cause = loop {
        let incoming = std::future::poll_fn(|cx| {
            let incoming = socket.poll_incoming(cx);
            // The service counts them against a rate; the suite sends any number.
            while socket.frames().take_fragment() {}
            incoming
        });
        let sent = match incoming.await {
            Incoming::Text(text) => socket.send(text),
            Incoming::Binary(bytes) => socket.send_binary(bytes),
            // The socket has answered it already; the flush sends the answer.
            Incoming::Ping | Incoming::Pong => Ok(()),
            Incoming::Close => break Cause::PeerClosed,
            Incoming::NotUtf8 => break Cause::NotUtf8,
            Incoming::TooLong => break Cause::TooLong,
            Incoming::Garbled => break Cause::Garbled,
            Incoming::Gone => return,
        };
        let flushed = std::future::poll_fn(|cx| socket.poll_flushed(cx)).await;
        if sent.is_err() || flushed.is_err() {
            return;
        }
    };
    let code = CloseCode::from(cause);
    socket.close(code, Duration::from_secs(2), code.number()).await;
}
