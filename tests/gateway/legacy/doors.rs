//! The ways in and out of `/ws`: the same checks as on `/v1/ws`, with the predecessor's credentials and close codes.

use std::sync::Arc;

use http::HeaderValue;
use quintet::{
    gateway::limits::GatewayLimits, journal::memory::MemoryJournal, ops::config::Settings,
    wire::codes::CloseCode,
};
use serde_json::{Value, json};

use super::{OldClient, count, events, plain_request, request, work};
use crate::{
    conversations::delete,
    harness::{Received, TestService, settings, soon, succeed, think, until, with_bearer},
};

fn with_header(mut request: http::Request<()>, name: &'static str, value: &str) -> http::Request<()> {
    request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    request
}

async fn refused(service: &TestService, request: http::Request<()>) -> u16 {
    service.try_connect(request).await.err().expect("a refusal").status().as_u16()
}

#[tokio::test]
async fn each_of_the_predecessors_credentials_opens_a_connection() {
    let service = TestService::start().await;
    let (token, ticket) = (service.token("ada"), service.ticket("ada").await);
    let raw = with_header(
        plain_request(&service, "/ws"),
        "sec-websocket-protocol",
        &format!("jwt-auth, jwt.{token}"),
    );
    for request in [
        request(&service, "/ws", &token),
        request(&service, "/ws", &format!("Bearer {token}")),
        raw,
        with_bearer(plain_request(&service, "/ws"), &token),
        plain_request(&service, &format!("/ws?ticket={ticket}")),
    ] {
        let mut client = OldClient::with(&service, "ada", request).await;
        assert_eq!(client.welcome["data"]["user_id"], "ada...");
        client.alive().await;
    }
}

/// AUTH-6: the predecessor repeated the offered subprotocol, and with it the token, in a response header.
#[tokio::test]
async fn auth_6_a_token_in_a_subprotocol_is_not_confirmed() {
    let service = TestService::start().await;
    let token = service.token("ada");
    let (_, response) =
        soon("a handshake", tokio_tungstenite::connect_async(request(&service, "/ws", &token)))
            .await
            .unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "jwt-auth");
    let headers = format!("{:?}", response.headers());
    assert!(!headers.contains(&token) && !headers.contains("jwt.e"), "{headers}");
}

/// AUTH-4: the origin is checked before the upgrade, as on every route.
#[tokio::test]
async fn auth_4_foreign_origins_are_refused_on_the_predecessors_path() {
    let service = TestService::start().await;
    let token = service.token("ada");
    let foreign = with_header(request(&service, "/ws", &token), "origin", "https://evil.test");
    assert_eq!(refused(&service, foreign).await, 403);
    let own = format!("http://{}", service.running.listen);
    OldClient::with(&service, "ada", with_header(request(&service, "/ws", &token), "origin", &own)).await;
}

/// AUTH-3: these clients cannot renew, so the connection ends with its token, with a code that they know.
#[tokio::test]
async fn auth_3_connection_ends_with_its_token() {
    let service = TestService::start().await;
    let short = service.token_until("ada", 600);
    let mut client = OldClient::with(&service, "ada", request(&service, "/ws", &short)).await;
    assert_eq!(client.socket.receive().await, Received::Closed(1008));
}

/// CONN-6: a drain is announced in the predecessor's words, the run ends, and the close code is one of its own.
#[tokio::test]
async fn conn_6_drain_is_announced_and_loses_nothing() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "x").await;
    let run = service.launched().await;
    client.until("agent_started").await;
    let drain = service.running.drain();
    let rest = async {
        let notice = client.until("system_message").await.pop().unwrap();
        assert_eq!(notice["data"]["event"], "service_degradation");
        think(&run.handle, "on").await;
        succeed(&run.handle).await;
        client.until("agent_completed").await;
        assert_eq!(client.socket.receive().await, Received::Closed(1001));
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, rest) }).await;
    assert!(drained.runs_quiesced);
}

#[tokio::test]
async fn conn_4_too_many_bad_frames_end_with_1008() {
    let service = TestService::with(GatewayLimits { invalid_frames_max: 3, ..GatewayLimits::DEFAULT }).await;
    let mut client = OldClient::open(&service, "ada").await;
    for _ in 0..3 {
        client.send(json!({"type": "broadcast"})).await;
    }
    client.expect_error("UNKNOWN_TYPE").await;
    client.expect_error("UNKNOWN_TYPE").await;
    assert_eq!(client.socket.expect("error_message").await["details"]["fatal"], true);
    assert_eq!(client.socket.receive().await, Received::Closed(1008));
}

/// A client without a cursor starts at the head, as it always did; one with a cursor resumes, and hears of a gap.
#[tokio::test]
async fn del_3_connection_starts_at_the_head_or_at_its_cursor() {
    let mut service = TestService::start().await;
    let mut first = OldClient::open(&service, "ada").await;
    first.chat("m1", "x").await;
    work(&service.launched().await.handle, "y").await;
    let all = first.until("agent_completed").await;
    let head = events(&all).last().unwrap()["offset"].as_u64().unwrap();

    let mut at_head = OldClient::open(&service, "ada").await;
    assert_eq!(at_head.welcome["data"]["resume"]["after"], head);
    assert_eq!(at_head.welcome["data"]["resume"]["gap"], Value::Null);
    at_head.alive().await;

    let mut resumed = OldClient::at(&service, "ada", "/ws?after=0").await;
    let again = resumed.until("agent_completed").await;
    assert_eq!(again.iter().collect::<Vec<_>>(), events(&all), "byte for byte the same events");

    let epoch = first.welcome["data"]["resume"]["epoch"].as_str().unwrap().to_owned();
    OldClient::at(&service, "ada", &format!("/ws?after={head}&epoch={epoch}")).await.alive().await;
    let foreign = OldClient::at(&service, "ada", "/ws?after=2&epoch=elsewhere").await;
    assert!(foreign.welcome["data"]["resume"]["gap"].is_object(), "{}", foreign.welcome);
    let ahead = OldClient::at(&service, "ada", "/ws?after=1000").await;
    assert_eq!(ahead.welcome["data"]["resume"]["gap"], json!({"from": head + 1, "to": 1000}));
    assert_eq!(refused(&service, request(&service, "/ws?after=-1", &service.token("ada"))).await, 400);
}

/// Today's protocol is served on both paths, and is the same as before on its own.
/// DEL-8, RUN-6: a client on this path gets a notice of an erasure, since the end of a run may be among what is erased; one that
/// connects afterwards gets none of it.
#[tokio::test]
async fn del_8_an_erasure_is_reported_and_nothing_of_it_is_served() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "the secret").await;
    let active = service.launched().await;
    think(&active.handle, "secret too").await;
    client.until("agent_thinking").await;
    let receipt = delete(&service, "ada", "/v1/threads/thread_1").await.ok(202);
    let frames = client.until("system_message").await;
    let data = &frames.last().unwrap()["data"];
    assert_eq!((&data["event"], &data["thread_id"]), (&json!("thread_erased"), &json!("thread_1")));
    assert_eq!(data["erased_through"], receipt["erased_through"]);
    // The end is delivered before, unless it was erased before this connection read it.
    assert!(count(&frames, "agent_completed") <= 1 && events(&frames).len() <= 1, "{frames:?}");
    assert!(
        frames
            .iter()
            .filter(|frame| frame["type"] == "agent_completed")
            .all(|end| end["status"] == "cancelled")
    );

    // The thread begins anew on the same connection, in order.
    client.chat("m2", "fresh").await;
    service.answer("yes").await;
    client.until("agent_completed").await;
    // DEL-6: the erased message is not run again.
    client.chat("m1", "the secret").await;
    assert_eq!(client.socket.expect("ack").await["duplicate"], true);

    let mut late = OldClient::at(&service, "ada", "/ws?after=0").await;
    let replayed = late.until("agent_completed").await;
    assert!(!json!(replayed).to_string().contains("secret"), "{replayed:?}");
    assert_eq!(count(&replayed, "thread_message"), 1);
    assert_eq!(count(&replayed, "system_message"), 1, "the notice of the erasure");
    delete(&service, "ada", "/v1/log").await.ok(202);
    let erased = client.until("system_message").await;
    assert_eq!(erased.last().unwrap()["data"]["event"], "log_erased");
    late.until("system_message").await;
    late.alive().await;
}

#[tokio::test]
async fn quintet_v1_is_served_on_both_paths() {
    let service = TestService::start().await;
    let token = service.token("ada");
    let offered = with_header(plain_request(&service, "/ws"), "sec-websocket-protocol", "quintet.v1");
    let mut client = service.connect(with_bearer(offered, &token)).await;
    assert_eq!(client.hello(json!({})).await["protocol"], "quintet.v1");
    // `/v1/ws` does not take the predecessor's subprotocols, and waits for `hello`.
    assert_eq!(refused(&service, request(&service, "/v1/ws", &token)).await, 400);
    let mut bare = service.known("ada").await;
    bare.send_frame(json!({"type": "chat_message", "content": "x"})).await;
    bare.expect_error("unknown_type").await;
    assert_eq!(bare.hello(json!({})).await["head"], 0);
}

#[tokio::test]
async fn setting_switches_the_path_off() {
    let journal = Arc::new(MemoryJournal::default());
    let settings = Settings { legacy_clients: false, ..settings() };
    let service = TestService::as_set(&settings, journal.clone(), journal).await;
    assert_eq!(refused(&service, request(&service, "/ws", &service.token("ada"))).await, 404);
    assert_eq!(service.http("GET", "/ws", "ada").await.status(), 404);
    service.open("ada").await.0.alive().await;
}

/// Operators see whether the path is still needed.
#[tokio::test]
async fn connections_of_legacy_clients_are_counted() {
    let count = || {
        let rendered = quintet::ops::metrics::recorder().unwrap().render();
        let line =
            rendered.lines().find(|line| line.starts_with("quintet_legacy_connections_total")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let service = TestService::start().await;
    let before = count();
    OldClient::open(&service, "ada").await;
    until(|| count() > before).await;
}

/// `docs/legacy.md` lists every type that is understood, and the close codes.
#[test]
fn the_page_lists_each_alias_and_close_code() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/legacy.md");
    let page = std::fs::read_to_string(path).unwrap();
    for (kind, _) in quintet::wire::legacy::ALIASES {
        assert!(
            page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{kind}`"))),
            "{kind}"
        );
    }
    for code in CloseCode::ALL {
        let number = quintet::wire::legacy::close_number(code);
        let row = page.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let differs = number != code.number();
        assert!(!differs || row.is_some_and(|row| row.contains(&code.number().to_string())), "{code:?}");
    }
}
