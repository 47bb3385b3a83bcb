//! Request heads that break RFC 9112 or RFC 6455, or that name another host.

use std::sync::Arc;

use quintet::{
    gateway::limits::GatewayLimits,
    journal::memory::MemoryJournal,
    kernel::{
        entry::CallOwner,
        ids::{RunId, UserId},
    },
    ops::config::Settings,
    user::{handle::RequestError, limits::HubLimits},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{TestService, http_client, open_call, settings, soon, think, trace_file};

/// Sends a head, whose lines come without their ends, and returns the response; its socket may stay open.
async fn ask(address: std::net::SocketAddr, lines: &[&str]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut piece = [0; 4_096];
        match soon("a response", socket.read(&mut piece)).await.unwrap() {
            0 => break,
            length => answer.extend(&piece[..length]),
        }
    }
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_else(|_| panic!("{answer:?}"))
}

#[tokio::test]
async fn request_names_exactly_one_host() {
    let service = TestService::start().await;
    for address in [service.running.listen, service.running.admin_listen.unwrap()] {
        let path = if address == service.running.listen { "/openapi.json" } else { "/livez" };
        let get = format!("GET {path} HTTP/1.1");
        for (hosts, expected) in [
            (&[][..], 400),
            (&["host: localhost", "host: localhost"], 400),
            (&["host: localhost", "host: evil.example"], 400),
            (&["host: "], 400),
            (&["host: a b"], 400),
            (&["host: localhost"], 200),
            (&["host: 127.0.0.1:1"], 200),
        ] {
            let answer = ask(address, &[&[get.as_str()], hosts].concat()).await;
            assert_eq!(status(&answer), expected, "{hosts:?}");
        }
        // Old probes still use HTTP/1.0.
        let answer = ask(address, &[&format!("GET {path} HTTP/1.0")]).await;
        assert_eq!(status(&answer), 200);
    }
}

/// A page of another site that points its own name at this machine is refused (DNS rebinding).
#[tokio::test]
async fn auth_4_foreign_host_reaches_neither_dev_nor_operations() {
    let service = TestService::start().await;
    let login = ["POST /dev/login HTTP/1.1", "content-length: 0", "host: evil.example:8080"];
    assert_eq!(status(&ask(service.running.listen, &login).await), 403);
    for line in ["GET /metrics HTTP/1.1", "GET http://evil.example/metrics HTTP/1.1", "GET /livez HTTP/1.0"] {
        let answer = ask(service.running.admin_listen.unwrap(), &[line, "host: evil.example"]).await;
        assert_eq!(status(&answer), 403, "{line}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
}

#[tokio::test]
async fn handshake_follows_rfc_6455() {
    let service = TestService::start().await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let version = "sec-websocket-version: 13";
    let cases: &[(&str, &[&str], u16)] = &[
        ("1.1", &[key, version], 101),
        ("1.0", &[key, version], 426),
        ("1.1", &[key], 426),
        ("1.1", &[key, "sec-websocket-version: 8"], 426),
        ("1.1", &[key, version, "sec-websocket-version: 8"], 426),
        ("1.1", &[key, "sec-websocket-version: 13, 8"], 426),
        ("1.1", &[version], 400),
        ("1.1", &[key, key, version], 400),
        ("1.1", &["sec-websocket-key: ************************", version], 400),
        ("1.1", &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ", version], 400),
        ("1.1", &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZTE=", version], 400),
        ("1.1", &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZR==", version], 400),
    ];
    for (http, headers, expected) in cases {
        let line = format!("GET /v1/ws HTTP/{http}");
        let common = [line.as_str(), "host: localhost", "connection: upgrade", "upgrade: websocket"];
        let answer = ask(service.running.listen, &[&common[..], headers].concat()).await;
        assert_eq!(status(&answer), *expected, "{http} {headers:?}: {answer}");
        // RFC 9110, 15.5.22 and RFC 6455, 4.2.2: a refused upgrade names the protocol and its version.
        assert_eq!(answer.contains("sec-websocket-version: 13\r\n"), *expected == 426, "{answer}");
        assert_eq!(answer.contains("upgrade: websocket\r\n"), [101, 426].contains(expected), "{answer}");
    }
}

/// The socket gives `retry_after_ms` for these; HTTP gives it too, with the same value in a header.
#[tokio::test]
async fn conn_6_temporary_refusal_has_a_retry_time() {
    let service = TestService::start().await;
    let mut client = service.open("ada").await.0;
    let stream = format!("http://{}/v1/stream", service.running.listen);
    service.running.gateway().factory.drain();
    client.message("m", "late").await;
    let error = client.expect_error("draining").await;
    assert!(error["retry_after_ms"].is_u64(), "{error}");
    let run = "/v1/runs/01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081";
    let refused =
        service.post("ada", "/v1/messages", &json!({"message_id": "n", "thread_id": "t", "text": "x"})).await;
    assert!(refused.problem(503, "draining")["retry_after_ms"].is_u64());
    assert!(!refused.header("retry-after").is_empty());
    service.post("ada", &format!("{run}/cancel"), &json!({})).await.problem(404, "not_found");
    service.running.gateway().drain.advance(quintet::runtime::drain::ShutdownStage::Draining);
    let answer = http_client().get(stream).bearer_auth(service.token("ada")).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
}

/// Each temporary refusal has the time after which to repeat the request, in the problem and in
/// `retry-after`: the same as on the socket (CONN-6).
#[tokio::test]
async fn conn_6_each_command_that_a_drain_refuses_has_a_retry_time() {
    let limits = GatewayLimits { reconnect_after_ms: 7_001, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut client = service.open("ada").await.0;
    client.message("m", "hello").await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "q", CallOwner::Client).await;
    service.running.gateway().factory.drain();
    service.running.gateway().factory.quiesce();
    let run_id = run.run_id;
    let message = json!({"message_id": "n", "thread_id": "t", "text": "late"});
    for (path, body) in [
        ("/v1/messages".to_owned(), message),
        (format!("/v1/runs/{}/cancel", run_id.0), json!({})),
        (format!("/v1/runs/{}/calls/q", run_id.0), json!({"status": "ok"})),
    ] {
        let refused = service.post("ada", &path, &body).await;
        assert_eq!(refused.problem(503, "draining")["retry_after_ms"], 7_001, "{path}");
        assert_eq!(refused.header("retry-after"), "8", "{path}: whole seconds, rounded up");
    }
    // New connections, too.
    service.running.gateway().drain.advance(quintet::runtime::drain::ShutdownStage::Draining);
    let upgrade = ["connection", "upgrade", "upgrade", "websocket"];
    for path in ["/v1/stream", "/v1/ws"] {
        let mut request = service.ask("GET", path).bearer_auth(service.token("ada"));
        for pair in upgrade.chunks(2) {
            request = request.header(pair[0], pair[1]);
        }
        let refused = service.reply(request).await;
        assert_eq!(refused.problem(503, "draining")["retry_after_ms"], 7_001, "{path}");
        assert_eq!(refused.header("retry-after"), "8", "{path}");
    }
    client.until("draining").await;
    client.send_frame(json!({"type": "cancel_run", "run_id": run_id.0})).await;
    assert_eq!(client.expect_error("draining").await["retry_after_ms"], 7_001);
    let answer = json!({"type": "complete_call", "run_id": run_id.0, "call_id": "q", "status": "ok"});
    client.send_frame(answer).await;
    assert_eq!(client.expect_error("draining").await["retry_after_ms"], 7_001);
    // Nothing has changed.
    service.get("ada", "/v1/entries").await.ok(200)["entries"].as_array().unwrap().iter().for_each(|entry| {
        assert!(!["tool_completed", "agent_completed"].contains(&entry["type"].as_str().unwrap()), "{entry}");
    });
}

/// ISO-6: one command more than `hub_requests_max` is refused, on both transports, and may be repeated.
#[tokio::test]
async fn iso_6_command_beyond_the_queue_limit_has_a_retry_time() {
    let hub = HubLimits { hub_requests_max: 2, ..HubLimits::DEFAULT };
    let settings = Settings { hub, trace_file: trace_file(""), ..settings() };
    let journal = Arc::new(MemoryJournal::default());
    let service = TestService::as_set(&settings, journal.clone(), journal.clone()).await;
    let (mut client, mut second) = (service.open("ada").await.0, service.open("ada").await.0);
    let ada = service.running.gateway().factory.attach(&UserId::parse("ada").unwrap());
    let run_id = RunId("01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081".parse().unwrap());
    journal.pause_appends();
    client.message("m", "hello").await;
    soon("an append", journal.appends_held(1)).await;
    let mut waits =
        [tokio_test::task::spawn(ada.cancel(run_id)), tokio_test::task::spawn(ada.cancel(run_id))];
    waits.iter_mut().for_each(|wait| assert!(wait.poll().is_pending()));

    let message = json!({"message_id": "n", "thread_id": "t", "text": "one too many"});
    for (path, body) in [
        ("/v1/messages".to_owned(), message),
        (format!("/v1/runs/{}/cancel", run_id.0), json!({})),
        (format!("/v1/runs/{}/calls/q", run_id.0), json!({"status": "ok"})),
    ] {
        let refused = service.post("ada", &path, &body).await;
        let retry_after_ms = refused.problem(429, "limit_reached")["retry_after_ms"].as_u64().unwrap();
        assert!((1..=1_000).contains(&retry_after_ms), "{path}");
        assert_eq!(refused.header("retry-after"), "1", "{path}");
    }
    // The replies of one socket come in order: the first one still waits for the journal.
    second.send_frame(json!({"type": "cancel_run", "run_id": run_id.0})).await;
    assert!(second.expect_error("limit_reached").await["retry_after_ms"].is_u64());
    journal.release_appends();
    for wait in waits {
        assert!(matches!(soon("a reply", wait).await, Err(RequestError::Refused(_))), "there is no such run");
    }
    client.until("accepted").await;
}

/// Both errors name the fault of the value, not another type.
#[tokio::test]
async fn conn_4_lone_surrogate_and_number_out_of_range_are_named() {
    let service = TestService::with(GatewayLimits { invalid_frames_max: 50, ..GatewayLimits::DEFAULT }).await;
    let mut client = service.open("ada").await.0;
    let run = "\"run_id\":\"01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081\",\"call_id\":\"c\",\"status\":\"ok\"";
    for (frame, says) in [
        (
            r#"{"type":"send_message","message_id":"m","thread_id":"t","text":"\ud83d"}"#.to_owned(),
            "surrogate",
        ),
        (
            r#"{"type":"send_message","message_id":"\udc00","thread_id":"t","text":"x"}"#.to_owned(),
            "surrogate",
        ),
        (r#"{"type":"ping","nonce":"\ud800x"}"#.to_owned(), "surrogate"),
        (r#"{"type":"ping","nonce":1e309}"#.to_owned(), "64-bit float"),
        (format!("{{\"type\":\"complete_call\",{run},\"results\":1e309}}"), "64-bit float"),
        (format!("{{\"type\":\"complete_call\",{run},\"results\":[-1e999]}}"), "64-bit float"),
        (format!("{{\"type\":\"complete_call\",{run},\"results\":{{\"a\":\"\\udfff\"}}}}"), "surrogate"),
        (format!("{{\"type\":\"complete_call\",{run},\"error\":\"\\ud800\"}}"), "surrogate"),
        (
            format!("{{\"type\":\"complete_call\",{run},\"results\":{}1{}}}", "[".repeat(65), "]".repeat(65)),
            "levels",
        ),
    ] {
        client.send_text(&frame).await;
        let error = client.expect_error("invalid_field").await;
        assert!(error["message"].as_str().unwrap().contains(says), "{frame}: {error}");
    }
    client.alive().await;
}

/// A text that is too long is a well-formed frame: it does not count against the malformed ones (CONN-4).
#[tokio::test]
async fn conn_4_texts_that_are_too_long_do_not_close_the_connection() {
    let service = TestService::with(GatewayLimits { invalid_frames_max: 2, ..GatewayLimits::DEFAULT }).await;
    let mut client = service.open("ada").await.0;
    for _ in 0..5 {
        client.message("m", &"x".repeat(65_537)).await;
        client.expect_error("too_large").await;
    }
    client.alive().await;
}

/// CONN-4: malformed frames are forgiven over time, a burst of them is not.
#[tokio::test]
async fn conn_4_malformed_frames_are_forgiven_at_each_heartbeat() {
    let limits = GatewayLimits { invalid_frames_max: 2, heartbeat_interval_ms: 20, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let mut client = service.open("ada").await.0;
    for _ in 0..5 {
        client.send_text("nonsense").await;
        client.expect_error("malformed_frame").await;
        // A ping of the service is one heartbeat.
        for _ in 0..2 {
            client.transport_ping().await;
        }
    }
    let steady = GatewayLimits { invalid_frames_forgiven: 0, ..limits };
    let service = TestService::with(steady).await;
    let mut client = service.open("ada").await.0;
    client.send_text("nonsense").await;
    client.expect_error("malformed_frame").await;
    for _ in 0..2 {
        client.transport_ping().await;
    }
    client.send_text("nonsense").await;
    assert_eq!(client.closed().await, 4400);
}
