//! The classes of the predecessor's defects, one test each, as one of its clients would see them.

use futures_util::future::join_all;
use quintet::gateway::limits::GatewayLimits;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{OldClient, count, events, plain_request, request, work};
use crate::harness::{Received, TestService, say, soon, succeed, think, types, until};

/// The acknowledgement comes after the message is durable; without a journal there is none (DEL-5, DEL-7).
#[tokio::test]
async fn defect_success_reported_without_delivery() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    service.journal.pause_appends();
    client.chat("m1", "durable first").await;
    soon("an append", service.journal.appends_held(1)).await;
    client.alive().await;
    service.journal.release_appends();
    let frames = client.until("ack").await;
    assert_eq!(frames.last().unwrap()["message_id"], "m1");
    work(&service.launched().await.handle, "y").await;
    client.until("agent_completed").await;
    service.journal.set_down(true);
    client.chat("m2", "nowhere to go").await;
    let error = client.expect_error("UNAVAILABLE").await;
    assert_eq!(error["details"]["message_id"], "m2");
}

/// A connection that only listens gets every event from the moment of its welcome.
#[tokio::test]
async fn defect_connection_never_registered() {
    let mut service = TestService::start().await;
    let mut listener = OldClient::open(&service, "ada").await;
    let mut sender = OldClient::open(&service, "ada").await;
    sender.chat("m1", "x").await;
    work(&service.launched().await.handle, "y").await;
    let frames = listener.until("agent_completed").await;
    assert_eq!(events(&frames).len(), 7);
}

/// A thread, message or run that has the id of another user leads nowhere but into the sender's own log (ISO-2).
#[tokio::test]
async fn defect_identifier_confusion() {
    let mut service = TestService::start().await;
    let (mut ada, mut bob) = (OldClient::open(&service, "ada").await, OldClient::open(&service, "bob").await);
    ada.send(json!({"type": "chat", "content": "x", "thread_id": "bob", "message_id": "bob"})).await;
    let run = service.launched().await;
    assert_eq!((run.user_id.as_str(), run.thread_id.as_str()), ("ada", "bob"));
    work(&run.handle, "y").await;
    let frames = ada.until("agent_completed").await;
    assert!(events(&frames).iter().all(|event| event["user_id"] == "ada"));
    bob.alive().await;
    let differing = json!({"type": "chat", "content": "x", "thread_id": "a", "payload": {"thread_id": "b"}});
    ada.send(differing).await;
    ada.expect_error("INVALID_FIELD").await;
}

/// Two users with equal ids, interleaved: each gets its own events, and a foreign run looks like none (ISO-1, ISO-3).
#[tokio::test]
async fn defect_cross_user_routing() {
    let mut service = TestService::start().await;
    let (mut ada, mut bob) = (OldClient::open(&service, "ada").await, OldClient::open(&service, "bob").await);
    ada.chat("m1", "the same").await;
    let of_ada = service.launched().await;
    bob.chat("m1", "the same").await;
    let of_bob = service.launched().await;
    assert_ne!(of_ada.run_id, of_bob.run_id);
    bob.until("agent_started").await;
    let mut refusals = Vec::new();
    for run_id in [of_ada.run_id.to_string(), uuid::Uuid::now_v7().to_string()] {
        bob.send(json!({"type": "stop_agent", "payload": {"run_id": run_id}})).await;
        let mut error = bob.until("error_message").await.pop().unwrap();
        error.as_object_mut().unwrap().remove("timestamp");
        refusals.push(error.to_string().replace(&run_id, "ID"));
    }
    assert_eq!(refusals[0], refusals[1], "ISO-3");
    work(&of_bob.handle, "for bob").await;
    work(&of_ada.handle, "for ada").await;
    for (client, user) in [(&mut ada, "ada"), (&mut bob, "bob")] {
        let frames = client.until("agent_completed").await;
        assert!(events(&frames).iter().all(|event| event["user_id"] == user), "ISO-1");
        assert_eq!(frames.last().unwrap()["final_response"], format!("for {user}"));
    }
}

/// A frame that names another user is refused, in each place of the name; it is not rewritten, and changes nothing.
#[tokio::test]
async fn defect_guard_that_does_not_guard() {
    let mut service = TestService::start().await;
    let (mut ada, mut bob) = (OldClient::open(&service, "ada").await, OldClient::open(&service, "bob").await);
    for frame in [
        json!({"type": "chat", "content": "x", "user_id": "bob"}),
        json!({"type": "chat", "payload": {"content": "x", "user_id": "bob"}}),
        json!({"type": "chat", "user_id": "ada", "payload": {"content": "x", "user_id": "bob"}}),
        json!({"type": "ping", "user_id": "bob"}),
    ] {
        ada.send(frame).await;
        ada.expect_error("FORBIDDEN").await;
    }
    ada.alive().await;
    bob.alive().await;
    assert!(service.launched_by_now().is_none());
}

/// No missing, invalid or doubtful credential opens a connection, and none is read from where it could leak (AUTH-5).
#[tokio::test]
async fn defect_identity_fails_open() {
    let service = TestService::start().await;
    let token = service.token("ada");
    let status =
        async |request| service.try_connect(request).await.err().expect("a refusal").status().as_u16();
    assert_eq!(status(plain_request(&service, "/ws")).await, 401, "no demo user");
    assert_eq!(status(request(&service, "/ws", "nonsense")).await, 401, "no user made from a hash");
    assert_eq!(status(request(&service, "/ws", "")).await, 401);
    assert_eq!(status(plain_request(&service, "/ws?ticket=nonsense")).await, 401);
    assert_eq!(
        status(plain_request(&service, &format!("/ws?token={token}"))).await,
        401,
        "no token in a URL"
    );
    let mut only_named = plain_request(&service, "/ws");
    only_named.headers_mut().insert("sec-websocket-protocol", "jwt-auth".parse().unwrap());
    only_named.headers_mut().insert("x-e2e-test", "true".parse().unwrap());
    assert_eq!(status(only_named).await, 401, "no bypass");
    let mut bypass = plain_request(&service, "/ws");
    let offered = format!("staging-auth.{token}");
    bypass.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    assert_eq!(status(bypass).await, 400);
    let mut two = request(&service, "/ws", &token);
    two.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(status(two).await, 400, "neither of two credentials is guessed to be meant");
    assert_eq!(
        status(request(&service, "/ws?mode=legacy", "nonsense")).await,
        401,
        "no mode has other rules"
    );
}

/// A message that is sent again is the same message: same run, once (DEL-6).
#[tokio::test]
async fn defect_retry_that_never_runs() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    service.journal.set_down(true);
    client.chat("m1", "again and again").await;
    client.expect_error("UNAVAILABLE").await;
    service.journal.set_down(false);
    let accepted = soon("acceptance", async {
        loop {
            client.chat("m1", "again and again").await;
            match client.socket.frame().await {
                frame if frame["type"] == "error_message" => {}
                frame => return frame,
            }
        }
    })
    .await;
    let mut frames = vec![accepted];
    work(&service.launched().await.handle, "y").await;
    frames.extend(client.until("agent_completed").await);
    client.chat("m1", "again and again").await;
    let repeated = client.socket.expect("ack").await;
    assert_eq!(repeated["duplicate"], true);
    assert_eq!(repeated["run_id"], frames.last().unwrap()["run_id"]);
    client.chat("m1", "other text").await;
    client.expect_error("MESSAGE_ID_REUSED").await;
    assert!(service.launched_by_now().is_none(), "one run");
}

/// Messages that are sent before the welcome are executed after it, in order; none waits for ever.
#[tokio::test]
async fn defect_flush_that_never_runs() {
    let mut service = TestService::start().await;
    let mut socket = service.connect(request(&service, "/ws", &service.token("ada"))).await;
    for number in 0..3 {
        socket.send_frame(json!({"type": "chat", "content": "early", "message_id": format!("m{number}"), "thread_id": format!("t{number}")})).await;
    }
    assert_eq!(socket.frame().await["type"], "connection_established");
    let mut acks = Vec::new();
    while acks.len() < 3 {
        let frame = socket.frame().await;
        if frame["type"] == "ack" {
            acks.push(frame["message_id"].clone());
        }
    }
    assert_eq!(acks, [json!("m0"), json!("m1"), json!("m2")]);
    service.launched().await;
}

/// A client that does not read loses nothing, least of all the end of its run (DEL-2, DEL-4).
#[tokio::test]
async fn defect_priority_inversion() {
    let mut service = TestService::start().await;
    let mut behind = OldClient::open(&service, "ada").await;
    behind.chat("m1", "flood me").await;
    let run = service.launched().await;
    let delta = "x".repeat(8 * 1024);
    for _ in 0..300 {
        think(&run.handle, &delta).await;
    }
    succeed(&run.handle).await;
    let frames = behind.until("agent_completed").await;
    let offsets: Vec<u64> = events(&frames).iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=303).collect::<Vec<_>>());
}

/// A close in the middle of a run ends within its time, and the run goes on to its end.
#[tokio::test]
async fn defect_deadlock_on_close() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "x").await;
    let run = service.launched().await;
    client.until("agent_started").await;
    let normal = CloseFrame { code: 1000.into(), reason: "".into() };
    client.socket.ws.close(Some(normal)).await.unwrap();
    assert_eq!(client.socket.ws_end().await, Some(1000));
    work(&run.handle, "y").await;
    let gateway = service.running.gateway().clone();
    until(|| (gateway.factory.live_users(), gateway.admit.connections_open()) == (0, 0)).await;
}

/// What a connection missed belongs to the user, not to the connection: any later one gets it (DEL-3).
#[tokio::test]
async fn defect_orphaned_storage() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "x").await;
    let run = service.launched().await;
    client.until("ack").await;
    drop(client);
    work(&run.handle, "y").await;
    drop(OldClient::open(&service, "ada").await);
    let mut later = OldClient::at(&service, "ada", "/ws?after=0").await;
    let frames = later.until("agent_completed").await;
    assert_eq!(events(&frames).len(), 7);
}

/// A replay that breaks off takes nothing with it: the next one begins where the client says (DEL-3).
#[tokio::test]
async fn defect_loss_on_replay() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "x").await;
    work(&service.launched().await.handle, "y").await;
    let all = client.until("agent_completed").await;
    for after in 0..7 {
        let mut replay = OldClient::at(&service, "ada", &format!("/ws?after={after}")).await;
        assert_eq!(&replay.socket.frame().await, events(&all)[after], "and then it breaks off");
    }
    let mut whole = OldClient::at(&service, "ada", "/ws?after=0").await;
    assert_eq!(whole.until("agent_completed").await.iter().collect::<Vec<_>>(), events(&all));
}

/// The welcome is the first frame, also in the middle of a run and of a replay (CONN-2).
#[tokio::test]
async fn defect_accepted_taken_for_ready() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "x").await;
    let run = service.launched().await;
    client.until("agent_started").await;
    for path in ["/ws", "/ws?after=0"] {
        let mut late = service.connect(request(&service, path, &service.token("ada"))).await;
        late.send_frame(json!({"type": "ping"})).await;
        say(&run.handle, "in between").await;
        let frames = late.until("pong").await;
        assert_eq!(frames[0]["type"], "connection_established");
        assert_eq!(count(&frames, "connection_established"), 1);
        assert_eq!(count(&frames, "error_message"), 0);
    }
    succeed(&run.handle).await;
}

/// Each run ends, and "stop" stops (RUN-6, RUN-7).
#[tokio::test]
async fn defect_missing_terminal_event() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "fail").await;
    drop(service.launched().await);
    let failed = client.until("agent_completed").await.pop().unwrap();
    assert_eq!((&failed["status"], &failed["final_response"]), (&json!("failed"), &json!("")), "DEL-7");
    assert!(failed["error"]["code"].is_string());
    client.chat("m2", "stop me").await;
    let run = service.launched().await;
    client.until("agent_started").await;
    client.send(json!({"type": "stop_agent", "payload": {"run_id": run.run_id.to_string()}})).await;
    let stopped = client.until("agent_completed").await.pop().unwrap();
    assert_eq!(stopped["status"], "cancelled");
    assert_eq!(stopped["run_id"], run.run_id.to_string());
    client.send(json!({"type": "stop_agent", "payload": {"run_id": run.run_id.to_string()}})).await;
    client.expect_error("RUN_ENDED").await;
}

/// One start and one end for each run, on each of the user's connections (RUN-1, RUN-5).
#[tokio::test]
async fn defect_duplicate_lifecycle_events() {
    let mut service = TestService::start().await;
    let mut clients = [OldClient::open(&service, "ada").await, OldClient::open(&service, "ada").await];
    for message_id in ["m1", "m2"] {
        clients[0].chat(message_id, "x").await;
        work(&service.launched().await.handle, "y").await;
    }
    for client in &mut clients {
        let mut frames = client.until("agent_completed").await;
        frames.extend(client.until("agent_completed").await);
        client.alive().await;
        assert_eq!((count(&frames, "agent_started"), count(&frames, "agent_completed")), (2, 2));
        let runs: Vec<&Value> = frames
            .iter()
            .filter(|frame| frame["type"] == "agent_completed")
            .map(|frame| &frame["run_id"])
            .collect();
        assert_ne!(runs[0], runs[1]);
    }
}

/// Fifty connections come and go, and nothing of them stays (ISO-5).
#[tokio::test]
async fn defect_leaks() {
    let service = TestService::start().await;
    let gateway = service.running.gateway().clone();
    for _ in 0..50 {
        let mut client = OldClient::open(&service, "ada").await;
        client.alive().await;
        client.socket.ws.close(None).await.unwrap();
    }
    until(|| (gateway.factory.live_users(), gateway.admit.connections_open()) == (0, 0)).await;
    assert_eq!(gateway.factory.active_runs(), 0);
}

/// What is not understood is an error, also where the predecessor sent an `ack` (CONN-4).
#[tokio::test]
async fn defect_acknowledged_but_ignored() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    for frame in [
        json!({"type": "thread_update", "payload": {"title": "x"}}),
        json!({"type": "room_message", "payload": {"content": "x"}}),
        json!({"type": "agent_status_request"}),
        json!({"type": "get_thread_history"}),
        json!({"type": "send_message", "message_id": "m", "thread_id": "t", "text": "x"}),
    ] {
        client.send(frame).await;
        client.expect_error("UNKNOWN_TYPE").await;
    }
    client.send(json!({"jsonrpc": "2.0", "method": "chat", "id": 1})).await;
    client.expect_error("JSON_PARSE_ERROR").await;
    client.alive().await;
    assert!(service.launched_by_now().is_none());
}

/// The limits of frames and connections are those of all clients (ISO-6).
#[tokio::test]
async fn defect_limits_that_do_not_limit() {
    let limits = GatewayLimits {
        user_frames_per_second_max: 1,
        user_frames_burst_max: 3,
        user_connections_max: 2,
        ..GatewayLimits::DEFAULT
    };
    let service = TestService::with(limits).await;
    let (mut first, _second) =
        (OldClient::open(&service, "ada").await, OldClient::open(&service, "ada").await);
    let mut third = service.connect(request(&service, "/ws", &service.token("ada"))).await;
    assert_eq!(third.receive().await, Received::Closed(1013));
    for _ in 0..4 {
        first.send(json!({"type": "ping"})).await;
    }
    let frames = first.until("error_message").await;
    assert_eq!(frames.last().unwrap()["error_code"], "RATE_LIMITED");
    assert!(frames.last().unwrap()["details"]["retry_after_ms"].is_u64());
    assert_eq!(types(&frames[..frames.len() - 1]), vec!["pong"; frames.len() - 1]);
}

/// Of ten connections that race with one ticket, exactly one is opened (AUTH-1).
#[tokio::test]
async fn defect_ticket_spent_twice() {
    let service = TestService::start().await;
    let ticket = service.ticket("ada").await;
    let path = format!("/ws?ticket={ticket}");
    let racing = (0..10).map(|_| service.try_connect(plain_request(&service, &path)));
    let opened = join_all(racing).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(opened, 1);
    // A request that is refused for another reason does not spend it.
    let ticket = service.ticket("ada").await;
    let mut foreign = plain_request(&service, &format!("/ws?ticket={ticket}"));
    foreign.headers_mut().insert("origin", "https://evil.test".parse().unwrap());
    assert!(service.try_connect(foreign).await.is_err());
    let mut unknown = plain_request(&service, &format!("/ws?ticket={ticket}"));
    unknown.headers_mut().insert("sec-websocket-protocol", "graphql-ws".parse().unwrap());
    assert!(service.try_connect(unknown).await.is_err());
    OldClient::with(&service, "ada", plain_request(&service, &format!("/ws?ticket={ticket}"))).await;
}

/// The events that a client sends are never among those that it receives, so a suite that counts them counts nothing.
#[tokio::test]
async fn defect_vacuous_verification() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    for kind in super::FIVE {
        client.send(json!({"type": kind, "user_id": "ada", "thread_id": "t", "reasoning": "mine", "status": "success"})).await;
    }
    client.send(json!({"type": "ping"})).await;
    let frames = client.until("pong").await;
    assert_eq!((frames.len(), count(&frames, "error_message")), (6, 5), "{frames:?}");
    assert!(service.launched_by_now().is_none());
    assert_eq!(service.get("ada", "/v1/entries").await.ok(200)["entries"], json!([]));
}
