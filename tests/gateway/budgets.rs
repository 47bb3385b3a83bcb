//! Floods from peers with and without an identity: their frames are counted, their resources bounded, and
//! others get in (ISO-6).

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use quintet::gateway::limits::GatewayLimits;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::harness::{Received, TestClient, TestService, soon};

/// A small burst of frames, a very low rate, and no refill within the test.
fn few() -> GatewayLimits {
    GatewayLimits {
        user_frames_per_second_max: 1,
        user_frames_burst_max: 10,
        throttled_frames_max: 5,
        ..GatewayLimits::DEFAULT
    }
}

fn fragment(opcode: Data, payload: &[u8], last: bool) -> Message {
    Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(opcode), last))
}

/// Sends `message` until the service has closed, at most `times`; returns the code of the close.
async fn flood(client: &mut TestClient, message: impl Fn(usize) -> Message, times: usize) -> Option<u16> {
    for n in 0..times {
        // A closed service accepts no more frames.
        if soon("room", client.ws.feed(message(n))).await.is_err() {
            break;
        }
    }
    let _ = soon("room", client.ws.flush()).await;
    client.ws_end().await
}

#[tokio::test]
async fn iso_6_unsolicited_pongs_and_pings_count_as_frames() {
    for message in [Message::Pong(vec![1].into()), Message::Ping(vec![1].into())] {
        let service = TestService::with(few()).await;
        let (mut client, _) = service.open("ada").await;
        let code = flood(&mut client, |_| message.clone(), 100).await;
        assert_eq!(code, Some(4429), "{message:?}");
        service.open("bob").await.0.alive().await;
    }
}

#[tokio::test]
async fn iso_6_fragments_of_an_endless_message_count_as_frames() {
    let service = TestService::with(few()).await;
    let (mut client, _) = service.open("ada").await;
    let opcode = |n| if n == 0 { Data::Text } else { Data::Continue };
    assert_eq!(flood(&mut client, |n| fragment(opcode(n), b"", false), 200).await, Some(4429));
}

/// The reply to a ping of the service is not counted: it would close a client that is over its rate.
#[tokio::test]
async fn conn_5_reply_to_a_ping_does_not_count_as_a_frame() {
    let limits = GatewayLimits { heartbeat_interval_ms: 20, user_frames_burst_max: 2, ..few() };
    let service = TestService::with(limits).await;
    let (mut client, _) = service.open("ada").await;
    let pings = async {
        let mut pings = 0;
        while pings < 30 {
            match client.ws.next().await.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    soon("thirty pings", pings).await;
}

#[tokio::test]
async fn iso_6_frames_before_ready_have_their_own_budget() {
    let limits = GatewayLimits { unready_frames_max: 4, invalid_frames_max: 100, ..GatewayLimits::DEFAULT };
    for message in [Message::Ping(vec![].into()), Message::Pong(vec![].into()), Message::text("{}")] {
        let service = TestService::with(limits).await;
        let mut client = service.unauthenticated().await;
        assert_eq!(flood(&mut client, |_| message.clone(), 5).await, Some(4429), "{message:?}, one too many");
        // Within the budget, an unauthenticated socket becomes a user's.
        let mut client = service.unauthenticated().await;
        for _ in 0..3 {
            client.send_ws_message(message.clone()).await;
        }
        client.send_frame(json!({"type": "hello", "token": service.token("ada")})).await;
        client.until("ready").await;
    }
}

#[tokio::test]
async fn iso_6_frames_before_ready_count_against_their_address_over_all_sockets() {
    let limits = GatewayLimits { peer_frames_per_second_max: 1, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (mut known, _) = service.open("ada").await;
    for _ in 0..2 {
        let mut client = service.unauthenticated().await;
        flood(&mut client, |_| Message::Ping(vec![].into()), 8).await;
        drop(client);
    }
    let mut client = service.unauthenticated().await;
    client.send_ws_message(Message::Ping(vec![].into())).await;
    assert_eq!(client.closed().await, 4429);
    // Frames of a user do not.
    known.alive().await;
    service.open("bob").await.0.alive().await;
}

/// Frames count against the connection's user, for each way to authenticate (ISO-6).
#[tokio::test]
async fn iso_6_frame_rate_applies_to_users_who_authenticate_in_hello() {
    for by in ["token", "ticket"] {
        let service = TestService::with(few()).await;
        let (mut other, _) = service.open("ada").await;
        let credential = match by {
            "token" => service.token("ada"),
            _ => service.ticket("ada").await,
        };
        let mut client = service.unauthenticated().await;
        client.hello(json!({by: credential})).await;
        client.expect("caught_up").await;
        let ping = json!({"type": "ping"}).to_string();
        assert_eq!(flood(&mut client, |_| Message::text(&ping), 100).await, Some(4429), "{by}");
        // The rate is the user's: it is used up on all of the user's connections.
        other.send_text(&ping).await;
        other.expect_error("rate_limited").await;
    }
}

/// The budget of frames before `ready` ends with it, for each way to authenticate.
#[tokio::test]
async fn iso_6_no_frame_after_ready_counts_against_the_budget_before_it() {
    let limits =
        GatewayLimits { unready_frames_max: 2, peer_frames_per_second_max: 1, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    for by in ["token", "ticket"] {
        let credential = match by {
            "token" => service.token("ada"),
            _ => service.ticket("ada").await,
        };
        let mut client = service.unauthenticated().await;
        client.hello(json!({by: credential})).await;
        client.expect("caught_up").await;
        for _ in 0..50 {
            client.alive().await;
        }
    }
}

#[tokio::test]
async fn iso_6_message_before_ready_is_short() {
    let service = TestService::start().await;
    let long = json!({"type": "hello", "token": "x".repeat(20_000)}).to_string();
    let mut client = service.unauthenticated().await;
    client.send_ws_message(Message::text(&long)).await;
    assert_eq!(client.closed().await, 1009);
    // An incomplete one is not waited for.
    let mut client = service.known("ada").await;
    for opcode in [Data::Text, Data::Continue] {
        client.send_ws_message(fragment(opcode, &[b' '; 10_000], false)).await;
    }
    assert_eq!(client.closed().await, 1009);
    // A message after `hello` may have any length within the limit.
    let mut client = service.known("ada").await;
    client.send_frame(json!({"type": "hello"})).await;
    client.send_frame(json!({"type": "ping", "ignored": "x".repeat(100_000)})).await;
    client.until("pong").await;
}

#[tokio::test]
async fn iso_6_message_that_is_incomplete_times_out() {
    let service =
        TestService::with(GatewayLimits { message_timeout_ms: 100, ..GatewayLimits::DEFAULT }).await;
    let mut fragmented = service.open("ada").await.0;
    fragmented.send_ws_message(fragment(Data::Text, b"{", false)).await;
    assert_eq!(fragmented.closed().await, 4408);
    // A header without its payload.
    let mut socket = upgraded(&service, "ada").await;
    socket.write_all(&[0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4]).await.unwrap();
    assert_eq!(close_code(&mut socket).await, Some(4408));
}

#[tokio::test]
async fn iso_6_incomplete_messages_of_a_user_share_a_bound() {
    let limits =
        GatewayLimits { frame_bytes_max: 8_192, user_incomplete_bytes_max: 10_000, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (mut one, mut two) = (service.open("ada").await.0, service.open("ada").await.0);
    let mut bobs = service.open("bob").await.0;
    let open = || fragment(Data::Text, &[b' '; 6_000], false);
    one.send_ws_message(open()).await;
    one.send_ws_message(Message::Ping(vec![7].into())).await;
    pong(&mut one).await;
    bobs.send_ws_message(open()).await;
    two.send_ws_message(open()).await;
    assert_eq!(two.closed().await, 4429);
    // The messages of the other connections are completed.
    for client in [&mut one, &mut bobs] {
        client.send_ws_message(fragment(Data::Continue, b"{\"type\":\"ping\"}", true)).await;
        client.until("pong").await;
    }
}

async fn pong(client: &mut TestClient) {
    match soon("a pong", client.ws.next()).await {
        Some(Ok(Message::Pong(_))) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn iso_6_idle_unauthenticated_sockets_keep_no_user_out() {
    let service = TestService::with(GatewayLimits { sockets_max: 8, ..GatewayLimits::DEFAULT }).await;
    let mut kept = service.open("ada").await.0;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
        // Some send nothing, some become WebSockets and send nothing, some request public routes.
        match held.len() % 3 {
            0 => {}
            1 => socket.write_all(UPGRADE.as_bytes()).await.unwrap(),
            _ => socket.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap(),
        }
        held.push(socket);
        let mut user = service.open("bob").await.0;
        user.alive().await;
    }
    kept.alive().await;
    let open = service.running.gateway().peers.sockets_open();
    assert!(open.unauthenticated <= 4, "{open:?}");
}

#[tokio::test]
async fn iso_6_unauthenticated_socket_ends_with_its_first_refused_request() {
    let service = TestService::start().await;
    for ask in ["GET /v1/agents", "GET /nowhere", "DELETE /v1/agents", "GET /v1/ws"] {
        let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
        socket.write_all(format!("{ask} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon("the end", socket.read_to_end(&mut answer)).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("connection: close"), "{ask}");
    }
    // An authenticated one stays open after any response.
    let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
    let ask = format!(
        "GET /v1/runs/x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        service.token("ada")
    );
    for _ in 0..2 {
        socket.write_all(ask.as_bytes()).await.unwrap();
        let mut piece = [0; 4_096];
        let length = soon("an answer", socket.read(&mut piece)).await.unwrap();
        assert!(piece[..length].starts_with(b"HTTP/1.1 404"));
    }
}

#[tokio::test]
async fn iso_6_peer_with_many_auth_failures_gets_429_on_every_route() {
    let limits = GatewayLimits { peer_auth_failures_per_minute_max: 5, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (mut open, _) = service.open("ada").await;
    let ticket = service.ticket("ada").await;
    for _ in 0..5 {
        let request = service.ask("GET", "/v1/agents").bearer_auth("forged");
        service.reply(request).await.problem(401, "unauthenticated");
    }
    let refused = service.get("ada", "/v1/agents").await;
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(!refused.header("retry-after").is_empty());
    let mut by_ticket = service.request();
    *by_ticket.uri_mut() = format!("{}?ticket={ticket}", by_ticket.uri()).parse().unwrap();
    for request in [service.request(), by_ticket] {
        assert_eq!(service.try_connect(request).await.err().unwrap().status(), 429);
    }
    // The open connection stays open; a credential on it is not checked.
    open.send_frame(json!({"type": "renew", "token": service.token("ada")})).await;
    let error = open.expect_error("rate_limited").await;
    assert!(error["retry_after_ms"].as_u64().unwrap() > 0);
    open.alive().await;
}

#[tokio::test]
async fn iso_6_credential_in_hello_is_not_checked_above_the_limit() {
    let limits = GatewayLimits { peer_auth_failures_per_minute_max: 3, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let mut late = service.unauthenticated().await;
    for _ in 0..3 {
        let mut client = service.unauthenticated().await;
        client.send_frame(json!({"type": "hello", "token": "forged"})).await;
        assert_eq!(client.expect("error").await["code"], "unauthenticated");
        assert_eq!(client.receive().await, Received::Closed(4401));
    }
    late.send_frame(json!({"type": "hello", "token": service.token("ada")})).await;
    assert_eq!(late.expect("error").await["code"], "rate_limited");
    assert_eq!(late.receive().await, Received::Closed(4429));
}

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A bare socket of a user, after `ready`.
async fn upgraded(service: &TestService, user: &str) -> TcpStream {
    let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
    let bearer = format!("authorization: Bearer {}\r\n\r\n", service.token(user));
    socket.write_all(UPGRADE.replacen("\r\n\r\n", &format!("\r\n{bearer}"), 1).as_bytes()).await.unwrap();
    let hello = br#"{"type":"hello"}"#;
    socket.write_all(&[&[0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0], &hello[..]].concat()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(9).any(|window| window == b"caught_up") {
        let mut piece = [0; 1_024];
        let length = soon("ready", socket.read(&mut piece)).await.unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend(&piece[..length]);
    }
    socket
}

/// Returns the code of the close frame; panics if something else comes.
async fn close_code(socket: &mut TcpStream) -> Option<u16> {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
    let at = rest.iter().position(|byte| *byte == 0x88)?;
    Some(u16::from_be_bytes([*rest.get(at + 2)?, *rest.get(at + 3)?]))
}
