//! A service in the router of a host, served by `axum::serve`.

use std::{net::SocketAddr, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo, routing::get};
use futures_util::{SinkExt, StreamExt};
use quintet::{journal::memory::MemoryJournal, ops::config::Settings, prelude::*, runtime::tasks::Tasks};
use quintet_testkit::gateway::http_client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::Counter;

const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// A host with a route of its own beside a mounted service.
struct Host {
    listen: SocketAddr,
    running: Running,
    server: JoinHandle<std::io::Result<()>>,
}

/// What the host's server states about its peers.
#[derive(Clone, Copy)]
enum Peers {
    AsTheyAre,
    Nothing,
    Always(SocketAddr),
}

impl Host {
    async fn start(peers: Peers, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let builder = Service::builder().agent(Counter).journal(MemoryJournal::default()).settings(settings);
        let (chat, running) = builder.dev().build().unwrap().mount(listen).await.unwrap();
        let app = Router::new().route("/hello", get(async || "hello")).merge(chat);
        let stop = running.closing();
        let server = Tasks::default().spawn(async move {
            match peers {
                Peers::AsTheyAre => {
                    let app = app.into_make_service_with_connect_info::<SocketAddr>();
                    axum::serve(listener, app).with_graceful_shutdown(stop).await
                }
                Peers::Nothing => axum::serve(listener, app).with_graceful_shutdown(stop).await,
                Peers::Always(peer) => {
                    let app = app.layer(Extension(ConnectInfo(peer)));
                    axum::serve(listener, app).with_graceful_shutdown(stop).await
                }
            }
        });
        Self { listen, running, server }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer =
            soon("an answer", http_client().get(format!("http://{}{path}", self.listen)).send()).await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = http_client().post(format!("http://{}{path}", self.listen)).json(body);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let answer = soon("an answer", request.send()).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn login(&self) -> String {
        let (status, answer) = self.post("/dev/login", "", &json!({"user_id": "ada"})).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn socket(&self) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
        soon("a socket", connect_async(format!("ws://{}/v1/ws", self.listen))).await.unwrap().0
    }
}

async fn frame(socket: &mut WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>) -> Message {
    soon("a frame", socket.next()).await.expect("the socket is open").unwrap()
}

#[tokio::test]
async fn a_message_runs_and_a_drain_closes_what_is_open() {
    let host = Host::start(Peers::AsTheyAre, Settings::default()).await;
    assert_eq!(host.get("/hello").await, (200, "hello".to_owned()));
    let token = host.login().await;
    let mut socket = host.socket().await;
    socket.send(Message::text(json!({"type": "hello", "token": token}).to_string())).await.unwrap();
    let message = json!({"message_id": "m", "thread_id": "t", "text": "hello"});
    assert_eq!(host.post("/v1/messages", &token, &message).await.0, 202);
    let stream = http_client().get(format!("http://{}/v1/stream", host.listen)).bearer_auth(&token);
    let stream = soon("a stream", stream.send()).await.unwrap();
    assert_eq!(stream.status(), 200);
    loop {
        let text = frame(&mut socket).await.into_text().unwrap();
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] == "agent_completed" {
            assert_eq!(frame["final_response"], "5");
            break;
        }
    }
    let open = host.running.gateway().peers.sockets_open();
    assert_eq!((open.authenticated, open.unauthenticated), (2, 0), "a socket and a stream, no request");

    let Host { running, server, .. } = host;
    let drained = soon("the drain", running.drain()).await;
    assert!(drained.runs_quiesced && drained.connections_closed, "{drained:?}");
    loop {
        if let Message::Close(close) = frame(&mut socket).await {
            assert_eq!(u16::from(close.unwrap().code), 1012);
            break;
        }
    }
    assert!(soon("the end of the stream", stream.text()).await.unwrap().contains("event: draining"));
    soon("the end of the server", server).await.unwrap().unwrap();
    let open = running.gateway().peers.sockets_open();
    assert_eq!((open.authenticated, open.unauthenticated), (0, 0));
}

/// Without the address of the peer no limit on peers could be kept, so nothing is served (ISO-6).
#[tokio::test]
async fn iso_6_a_request_without_a_peer_address_is_refused_and_has_no_effect() {
    let host = Host::start(Peers::Nothing, Settings::default()).await;
    let (status, problem) = host.post("/dev/login", "", &json!({"user_id": "ada"})).await;
    assert_eq!((status, &problem["code"]), (500, &json!("internal")));
    for path in ["/", "/v1/agents", "/openapi.json", "/v1/ws", "/v1/stream"] {
        assert_eq!(host.get(path).await.0, 500, "{path}");
    }
    assert!(connect_async(format!("ws://{}/v1/ws", host.listen)).await.is_err());
    assert_eq!(host.get("/hello").await, (200, "hello".to_owned()), "the host's own routes are its own");
}

/// The address that the host gave to `mount` may not be the one that it serves on.
#[tokio::test]
async fn auth_5_a_mounted_development_service_logs_in_no_other_machine() {
    for peer in ["192.0.2.7:1000", "[2001:db8::1]:1000", "[::ffff:192.0.2.7]:1000"] {
        let host = Host::start(Peers::Always(peer.parse().unwrap()), Settings::default()).await;
        let (status, problem) = host.post("/dev/login", "", &json!({"user_id": "ada"})).await;
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{peer}");
        assert_eq!(host.get("/").await.0, 403, "{peer}");
    }
    let host =
        Host::start(Peers::Always("[::ffff:127.0.0.1]:1000".parse().unwrap()), Settings::default()).await;
    host.login().await;
}

#[tokio::test]
async fn iso_6_limits_on_peers_hold_in_a_router() {
    let mut settings = Settings::default();
    settings.gateway.peer_auth_failures_per_minute_max = 3;
    settings.gateway.unauthenticated_sockets_max = 2;
    let host = Host::start(Peers::AsTheyAre, settings).await;
    let token = host.login().await;

    // A third unauthenticated socket displaces the first.
    let mut first = host.socket().await;
    let (_second, _third) = (host.socket().await, host.socket().await);
    let Message::Close(close) = frame(&mut first).await else { panic!("it is displaced") };
    assert_eq!(u16::from(close.unwrap().code), 1013);

    let attempt = json!({"message_id": "m", "thread_id": "t", "text": "hello"});
    for _ in 0..3 {
        assert_eq!(host.post("/v1/messages", "a.b.c", &attempt).await.0, 401);
    }
    assert_eq!(host.post("/v1/messages", "a.b.c", &attempt).await.0, 429);
    assert_eq!(host.post("/v1/messages", &token, &attempt).await.0, 429);
}

/// The routes of a host outlive the service: nothing is accepted that no service would carry out.
#[tokio::test]
async fn a_mounted_service_that_is_stopped_refuses_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let builder = Service::builder().agent(Counter).journal(MemoryJournal::default()).dev();
    let (chat, running) = builder.build().unwrap().mount(listen).await.unwrap();
    let app = chat.into_make_service_with_connect_info::<SocketAddr>();
    let server = Tasks::default().spawn(async move { axum::serve(listener, app).await });
    let host = Host { listen, running, server };
    let token = host.login().await;
    let message = json!({"message_id": "m", "thread_id": "t", "text": "hello"});
    assert_eq!(host.post("/v1/messages", &token, &message).await.0, 202);
    let Host { running, server, .. } = host;
    drop(running);
    let request = http_client().post(format!("http://{listen}/v1/messages")).bearer_auth(&token);
    let answer =
        request.json(&json!({"message_id": "n", "thread_id": "t", "text": "hello"})).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    server.abort();
}

/// The other way round: the service's own listener serves the routes of the host.
#[tokio::test]
async fn a_service_serves_routes_of_its_host() {
    let routes = Router::new().route("/hello", get(async || "hello"));
    let builder = Service::builder().agent(Counter).journal(MemoryJournal::default()).routes(routes);
    let running = builder.bind("127.0.0.1:0").dev().build().unwrap().start().await.unwrap();
    let get = async |path: &str| {
        let answer = http_client().get(format!("http://{}{path}", running.listen)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/hello").await, (200, "hello".to_owned()));
    assert_eq!(get("/").await.0, 200);
    assert_eq!(get("/nothing").await.0, 404);
}
