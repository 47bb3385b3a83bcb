//! Ends of connections: each with its documented code, and never without one.

use futures_util::StreamExt;
use http::HeaderValue;
use quintet::{gateway::limits::GatewayLimits, runtime::drain::ShutdownStage};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::harness::{Received, TestService, offsets, soon, succeed, think, trace_file, types, with_bearer};

#[tokio::test]
async fn connection_without_hello_in_time_is_closed_with_4408() {
    let service = TestService::with(GatewayLimits { hello_timeout_ms: 50, ..GatewayLimits::DEFAULT }).await;
    assert_eq!(service.unauthenticated().await.receive().await, Received::Closed(4408));
    assert_eq!(service.known("ada").await.receive().await, Received::Closed(4408));
    // The limit is for `hello`, not for the connection.
    let (mut client, _) = service.open("ada").await;
    tokio::time::timeout(std::time::Duration::from_millis(200), client.receive()).await.expect_err("closed");
    client.alive().await;
}

/// CONN-5: a peer that answers no ping is closed within the documented time.
#[tokio::test]
async fn conn_5_peer_that_answers_no_ping_is_closed_with_4408() {
    let limits = GatewayLimits { heartbeat_interval_ms: 50, pong_timeout_ms: 100, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (mut living, _) = service.open("ada").await;
    // This client answers nothing by itself: it does WebSocket by hand.
    let mut socket = TcpStream::connect(service.running.listen).await.unwrap();
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {}\r\n\r\n",
        service.token("ada")
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let hello = br#"{"type":"hello"}"#;
    let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(hello);
    socket.write_all(&frame).await.unwrap();
    let mut heard = Vec::new();
    tokio::select! {
        // A client that reads answers pings.
        heard = living.receive() => panic!("{heard:?}"),
        ended = soon("the end", socket.read_to_end(&mut heard)) => { ended.unwrap(); }
    }
    let pings = heard.windows(2).filter(|bytes| bytes == &[0x89, 0x00]).count();
    assert_eq!(pings, 1, "one ping, then closed");
    let close = heard.windows(4).position(|bytes| bytes[0] == 0x88 && bytes[2..] == 4408u16.to_be_bytes());
    assert!(close.is_some(), "a close frame with 4408");
    living.alive().await;
}

/// AUTH-3: a connection does not outlive its credential, unless renewed by the same user.
#[tokio::test]
async fn auth_3_connection_ends_with_its_credential_unless_renewed() {
    let service = TestService::start().await;
    let short = || with_bearer(service.request(), &service.token_until("ada", 600));
    let mut ends = service.connect(short()).await;
    ends.hello(json!({})).await;
    let mut goes_on = service.connect(short()).await;
    goes_on.hello(json!({})).await;
    goes_on.expect("caught_up").await;

    goes_on.send_frame(json!({"type": "renew", "token": service.token("ben")})).await;
    goes_on.expect_error("unauthenticated").await;
    let before = service.token_until("ada", 600);
    goes_on.send_frame(json!({"type": "renew", "token": before})).await;
    let first = goes_on.expect("renewed").await["expires_at"].as_u64().unwrap();
    goes_on.send_frame(json!({"type": "renew", "ticket": service.ticket("ada").await})).await;
    assert!(goes_on.expect("renewed").await["expires_at"].as_u64().unwrap() > first);

    ends.expect("caught_up").await;
    assert_eq!(ends.receive().await, Received::Closed(4401));
    goes_on.alive().await;

    // A connection without `hello` ends as well.
    let mut silent = service.connect(short()).await;
    assert_eq!(silent.receive().await, Received::Closed(4401));
}

/// RFC 6455, 5.5.1: the close of a client is answered with a close frame of the same code, or of none.
#[tokio::test]
async fn close_of_a_client_is_answered_with_its_own_code() {
    let service = TestService::start().await;
    for code in [None, Some(1000), Some(1001), Some(4000)] {
        let (mut client, _) = service.open("ada").await;
        let close = code.map(|code: u16| CloseFrame { code: code.into(), reason: "".into() });
        client.ws.close(close).await.unwrap();
        match soon("a reply", client.ws.next()).await {
            Some(Ok(Message::Close(answer))) => {
                assert_eq!(answer.map(|answer| u16::from(answer.code)), code);
            }
            other => panic!("{other:?} instead of an answer to {code:?}"),
        }
        assert!(soon("the end", client.ws.next()).await.is_none(), "nothing after the close frame (CONN-3)");
    }
}

/// CONN-6: a drain notifies every client, lets the run end, and closes with 1012 after its last entry.
#[tokio::test]
async fn conn_6_drain_notifies_every_client_and_loses_nothing() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    let (mut idle, _) = service.open("ben").await;
    let mut greeting = service.unauthenticated().await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    client.until("accepted").await;

    let drain = service.running.drain();
    let rest = async {
        let draining = client.until("draining").await;
        assert!(draining.last().unwrap()["reconnect_after_ms"].is_u64());
        idle.expect("draining").await;
        assert_eq!(greeting.receive().await, Received::Closed(1012));
        client.message("m2", "too late").await;
        let error = client.until("error").await.pop().unwrap();
        assert_eq!((&error["code"], &error["message_id"]), (&json!("draining"), &json!("m2")));
        assert!(error["retry_after_ms"].is_u64());
        let refused = service.try_connect(service.request()).await.err().expect("no new connection");
        assert_eq!(refused.status(), 503);
        // The run continues to its end, and its client receives it.
        think(&run.handle, "on").await;
        succeed(&run.handle).await;
        let frames = client.until("agent_completed").await;
        assert_eq!(types(&frames[frames.len() - 2..]), ["agent_thinking", "agent_completed"]);
        assert_eq!(client.receive().await, Received::Closed(1012));
        assert_eq!(idle.closed().await, 1012);
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, rest) }).await;
    assert!(drained.runs_quiesced);
}

/// CONN-6: a slow reader gets the last entries, though the service was done long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conn_6_slow_reader_still_gets_the_last_entries() {
    let limits = GatewayLimits { drain_flush_timeout_ms: 15_000, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    let drain = async {
        for _ in 0..400 {
            think(&run.handle, &"x".repeat(60 * 1024)).await;
        }
        succeed(&run.handle).await;
        service.running.drain().await
    };
    let read = async {
        // No byte is read before the service has nothing left to do but to close.
        service.running.gateway().drain.reached(ShutdownStage::Closing).await;
        let frames = client.until("agent_completed").await;
        assert_eq!(offsets(&frames), (1..=403).collect::<Vec<_>>());
        assert_eq!(client.closed().await, 1012);
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, read) }).await;
    assert!(drained.runs_quiesced && drained.connections_closed, "{drained:?}");
}

/// CONN-6: a drain does not wait for clients that do not read.
#[tokio::test]
async fn conn_6_reader_that_is_behind_is_closed_and_resumes_elsewhere() {
    let limits =
        GatewayLimits { drain_flush_timeout_ms: 50, drain_close_timeout_ms: 500, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    for _ in 0..400 {
        think(&run.handle, &"x".repeat(60 * 1024)).await;
    }
    succeed(&run.handle).await;
    // It never reads a byte of the 24 MB.
    let drained = soon("the drain", service.running.drain()).await;
    assert!(drained.runs_quiesced);
    let received = offsets(&client.until_closed().await);
    let after = received.len() as u64;
    assert_eq!(received, (1..=after).collect::<Vec<_>>(), "a prefix without a hole");
    assert!((3..403).contains(&after), "{after}: it had begun to receive, and was behind");
    // The next process has the rest.
    let journal = service.journal.clone();
    let next = TestService::on(journal.clone(), journal, GatewayLimits::DEFAULT, trace_file("")).await;
    let mut again = next.known("ada").await;
    again.hello(json!({"after": after})).await;
    assert_eq!(offsets(&again.until("caught_up").await), (after + 1..=403).collect::<Vec<_>>());
}

/// CONN-3: every close states whether to come back.
#[tokio::test]
async fn conn_3_close_reason_states_the_next_step() {
    let service = TestService::start().await;
    let mut client = service.unauthenticated().await;
    client.send_frame(json!({"type": "hello"})).await;
    client.expect("error").await;
    let close = client.close_frame().await;
    assert_eq!(close.0, 4401);
    assert!(close.1.ends_with("new credential"), "{}", close.1);
}

#[tokio::test]
async fn request_with_two_authorizations_is_refused() {
    let service = TestService::start().await;
    let mut request = with_bearer(service.request(), &service.token("ada"));
    let other = HeaderValue::from_str(&format!("Bearer {}", service.token("ben"))).unwrap();
    request.headers_mut().append("authorization", other);
    let response = service.try_connect(request).await.err().unwrap();
    assert_eq!(response.status(), 401);
    let problem: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
    assert_eq!(problem["code"], "unauthenticated");
}
