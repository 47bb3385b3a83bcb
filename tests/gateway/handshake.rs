//! The opening of a connection, and its first frames.

use http::HeaderValue;
use quintet::gateway::limits::GatewayLimits;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Received, TestClient, TestService, soon, with_bearer};

fn with_header(mut request: http::Request<()>, name: &'static str, value: &str) -> http::Request<()> {
    request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    request
}

async fn refused(service: &TestService, request: http::Request<()>) -> (u16, Value) {
    let response = service.try_connect(request).await.err().expect("a refusal");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.body().as_deref().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_slice(body).unwrap())
}

fn with_ticket(service: &TestService, ticket: &str) -> http::Request<()> {
    let mut request = service.request();
    let uri = format!("ws://{}/v1/ws?ticket={ticket}", service.running.listen);
    *request.uri_mut() = uri.parse().unwrap();
    request
}

#[tokio::test]
async fn each_way_to_authenticate_opens_a_connection() {
    let service = TestService::start().await;
    let (token, tickets) = (service.token("ada"), [service.ticket("ada").await, service.ticket("ada").await]);

    let mut by_header = service.known("ada").await;
    let mut by_query = service.connect(with_ticket(&service, &tickets[0])).await;
    let mut by_token = service.unauthenticated().await;
    let mut by_ticket = service.unauthenticated().await;
    for (client, hello) in [
        (&mut by_header, json!({})),
        (&mut by_query, json!({})),
        (&mut by_token, json!({"token": token})),
        (&mut by_ticket, json!({"ticket": tickets[1]})),
    ] {
        let ready = client.hello(hello).await;
        assert_eq!(ready["user_id"], "ada");
        assert_eq!(ready["protocol"], "quintet.v1");
        assert_eq!(
            (&ready["resumed_after"], &ready["head"], &ready["gap"]),
            (&json!(0), &json!(0), &Value::Null)
        );
        assert!(Uuid::parse_str(ready["connection_id"].as_str().unwrap()).is_ok());
        assert!(Uuid::parse_str(ready["epoch"].as_str().unwrap()).is_ok());
        assert_eq!(ready["heartbeat_ms"], 25_000);
        assert_eq!(ready["limits"]["frame_bytes_max"], 512 * 1024);
        assert_eq!(client.expect("caught_up").await["head"], 0);
        client.alive().await;
    }
}

/// AUTH-1: a ticket opens one connection, in any of the ways to use it.
#[tokio::test]
async fn auth_1_ticket_is_spent_by_its_first_use() {
    let service = TestService::start().await;
    let ticket = service.ticket("ada").await;
    service.connect(with_ticket(&service, &ticket)).await.hello(json!({})).await;
    assert_eq!(refused(&service, with_ticket(&service, &ticket)).await.0, 401);
    let mut late = service.unauthenticated().await;
    late.send_frame(json!({"type": "hello", "ticket": ticket})).await;
    assert_eq!(late.closed().await, 4401);
}

/// AUTH-2: a handshake that fails for another reason does not consume the ticket.
#[tokio::test]
async fn auth_2_refused_handshake_leaves_the_ticket_valid() {
    let service = TestService::start().await;
    let ticket = service.ticket("ada").await;
    let request = with_ticket(&service, &ticket);
    assert_eq!(refused(&service, with_header(request, "origin", "https://evil.test")).await.0, 403);
    let request = with_ticket(&service, &ticket);
    assert_eq!(refused(&service, with_header(request, "sec-websocket-protocol", "graphql-ws")).await.0, 400);
    service.connect(with_ticket(&service, &ticket)).await.hello(json!({})).await;
}

#[tokio::test]
async fn auth_5_bad_credential_is_a_401_before_the_upgrade() {
    let service = TestService::start().await;
    for (name, value) in [
        ("authorization", "Bearer nonsense"),
        ("authorization", "Bearer "),
        ("authorization", "Basic YWRhOg=="),
        ("authorization", "Bearer a.b.c"),
    ] {
        let (status, problem) = refused(&service, with_header(service.request(), name, value)).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "{value}");
    }
    let (status, problem) = refused(&service, with_ticket(&service, "nonsense")).await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    let (status, _) = refused(&service, with_bearer(with_ticket(&service, "x"), &service.token("ada"))).await;
    assert_eq!(status, 400, "two credentials");
}

/// AUTH-4: an origin that is not on the list is refused, even with a valid credential.
#[tokio::test]
async fn auth_4_foreign_origins_are_refused_before_the_upgrade() {
    let service = TestService::start().await;
    for origin in ["https://evil.test", "null", "http://127.0.0.1.evil.test:1"] {
        let request = with_bearer(service.request(), &service.token("ada"));
        assert_eq!(refused(&service, with_header(request, "origin", origin)).await.0, 403, "{origin}");
    }
    // Under `dev`, a front end may be served from any port of this machine, if the host is this machine too.
    let other_port = || with_header(service.request(), "origin", "http://localhost:5173");
    let foreign_host = with_header(other_port(), "host", "evil.test");
    assert_eq!(refused(&service, foreign_host).await.0, 403);
    service.connect(other_port()).await;
    let own = format!("http://{}", service.running.listen);
    service.connect(with_header(service.request(), "origin", &own)).await;
}

#[tokio::test]
async fn malformed_websocket_handshake_is_refused() {
    let service = TestService::start().await;
    assert_eq!(service.http("GET", "/v1/ws", "ada").await.status(), 426);
    let version = with_header(service.request(), "sec-websocket-version", "8");
    assert_eq!(refused(&service, version).await.0, 426);
    let request = with_header(service.request(), "sec-websocket-protocol", "graphql-ws, soap");
    assert_eq!(refused(&service, request).await.0, 400);
    // The client insists that one of its subprotocols is confirmed.
    service.connect(with_header(service.request(), "sec-websocket-protocol", "soap, quintet.v1")).await;
}

#[tokio::test]
async fn hello_without_a_valid_credential_ends_with_4401() {
    let service = TestService::start().await;
    for hello in [
        json!({"type": "hello"}),
        json!({"type": "hello", "token": "nonsense"}),
        json!({"type": "hello", "ticket": "nonsense"}),
    ] {
        let mut client = service.unauthenticated().await;
        client.send_frame(hello).await;
        let error = client.expect("error").await;
        assert_eq!((&error["code"], &error["fatal"]), (&json!("unauthenticated"), &json!(true)));
        assert_eq!(client.receive().await, Received::Closed(4401));
    }
    // Of two credentials both have to be valid, and of one user.
    let mut client = service.known("ada").await;
    client.send_frame(json!({"type": "hello", "token": service.token("ben")})).await;
    assert_eq!(client.closed().await, 4401);
    service.known("ada").await.hello(json!({"token": service.token("ada")})).await;
}

/// CONN-1: before `hello` no frame has an effect, authenticated or not.
#[tokio::test]
async fn conn_1_frames_before_hello_are_errors_and_nothing_else() {
    let service = TestService::start().await;
    for client in [&mut service.unauthenticated().await, &mut service.known("ada").await] {
        client.message("m1", "too early").await;
        let error = client.expect_error("unauthenticated").await;
        assert_eq!(error["message_id"], "m1");
        client.send_frame(json!({"type": "ping"})).await;
        client.expect_error("unauthenticated").await;
        client.send_frame(json!({"type": "cancel_run", "run_id": Uuid::now_v7()})).await;
        client.expect_error("unauthenticated").await;
        client.send_text("{").await;
        client.expect_error("malformed_frame").await;
        let ready = client.hello(json!({"token": service.token("ada")})).await;
        assert_eq!(ready["head"], 0, "nothing was sent");
        client.expect("caught_up").await;
    }
}

/// CONN-4: the limit holds before `hello` as well.
#[tokio::test]
async fn conn_4_unauthenticated_client_without_hello_is_closed_at_the_limit() {
    let service = TestService::with(GatewayLimits { invalid_frames_max: 3, ..GatewayLimits::DEFAULT }).await;
    let mut client = service.unauthenticated().await;
    for _ in 0..2 {
        client.send_frame(json!({"type": "ping"})).await;
        client.expect_error("unauthenticated").await;
    }
    client.send_frame(json!({"type": "ping"})).await;
    assert_eq!(client.expect("error").await["fatal"], true);
    assert_eq!(client.receive().await, Received::Closed(4400));
}

#[tokio::test]
async fn frames_right_after_hello_are_not_lost() {
    let mut service = TestService::start().await;
    let mut client: TestClient = service.known("ada").await;
    client.send_frame(json!({"type": "hello"})).await;
    client.message("m1", "at once").await;
    client.expect("ready").await;
    client.expect("caught_up").await;
    let run = service.launched().await;
    assert_eq!(run.text, "at once");
    let frames = soon("accepted", client.until("accepted")).await;
    assert_eq!(frames.last().unwrap()["message_id"], "m1");
}

/// ISO-6, 4429, 1013: connections are bounded, per user and in all.
#[tokio::test]
async fn connections_beyond_the_limits_are_refused_with_a_retry_time() {
    let limits = GatewayLimits { user_connections_max: 2, connections_max: 3, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let (first, _second) = (service.open("ada").await, service.open("ada").await);
    let mut third = service.known("ada").await;
    third.send_frame(json!({"type": "hello"})).await;
    assert_eq!(third.receive().await, Received::Closed(4429), "no frame before ready (CONN-2)");
    let _ben = service.open("ben").await;
    let mut cyd = service.known("cyd").await;
    cyd.send_frame(json!({"type": "hello"})).await;
    assert_eq!(cyd.receive().await, Received::Closed(1013));
    let mut first = first.0;
    first.ws.close(None).await.unwrap();
    // The slot is free once the service has released it.
    soon("a free place", async {
        loop {
            let mut again = service.known("ada").await;
            again.send_frame(json!({"type": "hello"})).await;
            if let Received::Frame(_) = again.receive().await {
                return;
            }
        }
    })
    .await;
}
