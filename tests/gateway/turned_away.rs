//! Limits on concurrent connections and requests: each refuses as documented, and leaves room for others.

use quintet::gateway::limits::GatewayLimits;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{TestService, soon, with_bearer};

#[tokio::test]
async fn iso_6_request_rate_limits_one_user_and_no_other() {
    let limits = GatewayLimits {
        user_requests_per_second_max: 1,
        user_requests_burst_max: 3,
        ..GatewayLimits::DEFAULT
    };
    let service = TestService::with(limits).await;
    for _ in 0..3 {
        service.get("ada", "/v1/agents").await.ok(200);
    }
    let refused = service.get("ada", "/v1/agents").await;
    let problem = refused.problem(429, "rate_limited");
    assert!((1..=1_000).contains(&problem["retry_after_ms"].as_u64().unwrap()), "{problem}");
    assert_eq!(refused.header("retry-after"), "1");
    service.get("bob", "/v1/agents").await.ok(200);
    // Unauthenticated requests use up no user's share.
    for _ in 0..10 {
        service
            .reply(service.ask("GET", "/v1/agents").bearer_auth("x"))
            .await
            .problem(401, "unauthenticated");
    }
    service.get("bob", "/v1/agents").await.ok(200);
}

/// A handshake with a bearer token counts as a request of its user.
#[tokio::test]
async fn iso_6_handshakes_count_against_the_rate_of_requests() {
    let limits = GatewayLimits {
        user_requests_per_second_max: 1,
        user_requests_burst_max: 2,
        ..GatewayLimits::DEFAULT
    };
    let service = TestService::with(limits).await;
    let mut ada = service.known("ada").await;
    service.get("ada", "/v1/agents").await.ok(200);
    let handshake = with_bearer(service.request(), &service.token("ada"));
    let refused = service.try_connect(handshake).await.err().expect("one too many");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    ada.hello(json!({})).await;
    service.open("bob").await.0.alive().await;
}

/// A user with too many connections gets 429, a service with too many 503; both with a retry time.
#[tokio::test]
async fn iso_6_one_connection_too_many_is_refused_with_a_retry_time() {
    let limits = GatewayLimits { connections_max: 2, user_connections_max: 1, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (mut ada, _) = service.open("ada").await;
    let of_user = service.get("ada", "/v1/stream").await;
    assert_eq!(of_user.problem(429, "limit_reached")["retry_after_ms"], 1_000);
    assert_eq!(of_user.header("retry-after"), "1");
    let (mut bob, _) = service.open("bob").await;
    let of_all = service.get("cyd", "/v1/stream").await;
    assert_eq!(of_all.problem(503, "limit_reached")["retry_after_ms"], 1_000);
    assert_eq!(of_all.header("retry-after"), "1");
    ada.alive().await;
    bob.alive().await;
}

/// Linux has other loopback addresses.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn iso_6_next_socket_waits_while_all_slots_are_authenticated() {
    let service = TestService::with(GatewayLimits { sockets_max: 2, ..GatewayLimits::DEFAULT }).await;
    let first = service.open_from("ada", "127.0.0.1").await;
    let second = service.open_from("bob", "127.0.0.2").await;
    let mut third = service.socket_from("127.0.0.3").await;
    third.write_all(b"GET /v1/agents HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut first, mut second) = (first, second);
    first.alive().await;
    second.alive().await;
    let mut byte = [0];
    assert!(third.try_read(&mut byte).is_err(), "there is no response yet");
    drop(first);
    answered(&mut third).await;
    second.alive().await;
}

async fn answered(socket: &mut TcpStream) {
    let mut text = String::new();
    let mut piece = [0; 1024];
    while !text.ends_with('}') {
        let length = soon("a response", socket.read(&mut piece)).await.unwrap();
        assert!(length > 0, "the socket is closed");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
}

#[tokio::test]
async fn peer_without_a_complete_request_times_out() {
    let service =
        TestService::with(GatewayLimits { request_header_timeout_ms: 100, ..GatewayLimits::DEFAULT }).await;
    for begin in ["", "GET /v1/agents HTT", "GET /v1/agents HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
        socket.write_all(begin.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        soon("the end", socket.read_to_end(&mut rest)).await.unwrap();
        assert!(!String::from_utf8(rest).unwrap().contains("HTTP/1.1 2"), "{begin}");
    }
}

#[tokio::test]
async fn head_over_the_limit_is_refused() {
    let service = TestService::start().await;
    let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
    let head = format!("GET /v1/agents HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The socket may close before the rest of the head is sent.
    let _ = soon("an answer", socket.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn bytes_that_are_not_http_affect_no_other_connection() {
    let service = TestService::start().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
        socket.write_all(nonsense).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end", socket.read_to_end(&mut answer)).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    service.post("ada", "/v1/tickets", &json!({})).await.ok(201);
}
