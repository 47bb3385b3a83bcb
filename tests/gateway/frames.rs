//! Invalid frames, each with its documented error; the connection lives and others are not affected.

use quintet::{gateway::limits::GatewayLimits, kernel::entry::CallOwner};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    MaybeTlsStream,
    tungstenite::{
        Message,
        protocol::frame::{Frame, coding::Data, coding::OpCode},
    },
};
use uuid::Uuid;

use crate::harness::{Received, TestClient, TestService, close_call, open_call, say, soon, succeed, think};

/// CONN-4: a bad frame is answered with its error, changes nothing, and the connection continues.
#[tokio::test]
async fn conn_4_each_bad_frame_has_its_error_and_changes_nothing() {
    let service =
        TestService::with(GatewayLimits { invalid_frames_max: 1_000, ..GatewayLimits::DEFAULT }).await;
    let (mut client, _) = service.open("ada").await;
    let (mut other, _) = service.open("ada").await;
    let good = json!({"type": "send_message", "message_id": "m", "thread_id": "t", "text": "x"});
    let with = |field: &str, value: Value| {
        let mut frame = good.clone();
        frame[field] = value;
        frame.to_string()
    };
    let without = |field: &str| {
        let mut frame = good.clone();
        frame.as_object_mut().unwrap().remove(field);
        frame.to_string()
    };
    let run_id = Uuid::now_v7();
    for (text, code) in [
        ("".to_owned(), "malformed_frame"),
        ("not json".to_owned(), "malformed_frame"),
        ("{\"type\":\"ping\"".to_owned(), "malformed_frame"),
        ("[]".to_owned(), "malformed_frame"),
        ("\"ping\"".to_owned(), "malformed_frame"),
        ("null".to_owned(), "malformed_frame"),
        ("{}".to_owned(), "malformed_frame"),
        (json!({"type": 7}).to_string(), "malformed_frame"),
        ("[".repeat(100_000), "malformed_frame"),
        (json!({"type": "hello"}).to_string(), "malformed_frame"),
        (json!({"type": "hello", "token": service.token("ben")}).to_string(), "malformed_frame"),
        (json!({"type": "shout"}).to_string(), "unknown_type"),
        (json!({"type": "PING"}).to_string(), "unknown_type"),
        (json!({"type": "ready"}).to_string(), "unknown_type"),
        (json!({"type": "agent_started", "run_id": run_id, "seq": 1}).to_string(), "unknown_type"),
        (json!({"type": "agent_completed"}).to_string(), "unknown_type"),
        (without("message_id"), "invalid_field"),
        (without("thread_id"), "invalid_field"),
        (without("text"), "invalid_field"),
        (with("message_id", json!("")), "invalid_field"),
        (with("message_id", json!("x".repeat(129))), "invalid_field"),
        (with("message_id", json!("a b")), "invalid_field"),
        (with("message_id", json!(7)), "invalid_field"),
        (with("thread_id", json!("a\u{7f}")), "invalid_field"),
        (with("text", json!("")), "invalid_field"),
        (with("text", json!(["x"])), "invalid_field"),
        (with("text", json!("x".repeat(64 * 1024 + 1))), "too_large"),
        (with("on_busy", json!("never")), "invalid_field"),
        (with("agent_name", json!("no such")), "invalid_field"),
        (with("agent_name", json!("nobody")), "unknown_agent"),
        (json!({"type": "cancel_run"}).to_string(), "invalid_field"),
        (json!({"type": "cancel_run", "run_id": "1"}).to_string(), "invalid_field"),
        (json!({"type": "cancel_run", "run_id": run_id}).to_string(), "not_found"),
        (
            json!({"type": "complete_call", "run_id": run_id, "call_id": "c", "status": "ok"}).to_string(),
            "not_found",
        ),
        (
            json!({"type": "complete_call", "run_id": run_id, "call_id": "c", "status": "unknown"})
                .to_string(),
            "invalid_field",
        ),
        (json!({"type": "renew"}).to_string(), "invalid_field"),
        (json!({"type": "renew", "token": "nonsense"}).to_string(), "unauthenticated"),
        (json!({"type": "renew", "token": service.token("ben")}).to_string(), "unauthenticated"),
        (json!({"type": "ping", "nonce": {}}).to_string(), "invalid_field"),
    ] {
        client.send_text(&text).await;
        let error = client.expect("error").await;
        let shown = &text[..text.len().min(100)];
        assert_eq!((&error["code"], &error["fatal"]), (&json!(code), &json!(false)), "{shown}");
        client.alive().await;
    }
    // An error names its subject.
    client.send_text(&with("text", json!(""))).await;
    assert_eq!(client.expect("error").await["message_id"], "m");
    client.send_frame(json!({"type": "cancel_run", "run_id": run_id})).await;
    assert_eq!(client.expect("error").await["run_id"], json!(run_id));
    // No part of it was carried out, and no other client received anything.
    other.alive().await;
    let (_, ready) = service.open("ada").await;
    assert_eq!(ready["head"], 0);
}

/// CONN-4: the connection lives until the documented limit.
#[tokio::test]
async fn conn_4_too_many_bad_frames_end_with_4400() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    for _ in 1..16 {
        client.send_text("?").await;
        client.expect_error("malformed_frame").await;
    }
    client.alive().await;
    client.send_text("?").await;
    let last = client.expect("error").await;
    assert_eq!(last["fatal"], true);
    assert_eq!(client.receive().await, Received::Closed(4400));
}

#[tokio::test]
async fn binary_frame_ends_with_4400() {
    let service = TestService::start().await;
    for client in [&mut service.open("ada").await.0, &mut service.unauthenticated().await] {
        client.send_ws_message(Message::binary(&b"{}"[..])).await;
        assert_eq!(client.receive().await, Received::Closed(4400));
    }
}

/// 1009 reaches a peer that is still sending: 10 MiB in one frame, and in many.
#[tokio::test]
async fn frame_over_the_limit_ends_with_1009() {
    let service = TestService::start().await;
    let (mut other, _) = service.open("ada").await;
    let (mut client, _) = service.open("ada").await;
    client.message("m", &"x".repeat(10 * 1024 * 1024)).await;
    assert_eq!(client.receive().await, Received::Closed(1009));

    let (mut client, _) = service.open("ada").await;
    let part = |opcode, last| Message::Frame(Frame::message(vec![b'x'; 300 * 1024], opcode, last));
    client.send_ws_message(part(OpCode::Data(Data::Text), false)).await;
    client.send_ws_message(part(OpCode::Data(Data::Continue), true)).await;
    assert_eq!(client.receive().await, Received::Closed(1009), "in pieces");

    // At the limit the connection stays open; only the text is too large.
    let (mut client, _) = service.open("ada").await;
    let empty = json!({"type": "send_message", "message_id": "m", "thread_id": "t", "text": ""}).to_string();
    client.message("m", &"x".repeat(512 * 1024 - empty.len())).await;
    client.expect_error("too_large").await;
    client.alive().await;
    other.alive().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_with_1007() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    let text = Frame::message(vec![b'"', 0xff, 0xfe, b'"'], OpCode::Data(Data::Text), true);
    client.send_ws_message(Message::Frame(text)).await;
    assert_eq!(client.receive().await, Received::Closed(1007));
}

#[tokio::test]
async fn conn_3_malformed_frames_end_with_1002() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    // Reserved bits, a reserved opcode, and no mask.
    let MaybeTlsStream::Plain(socket) = client.ws.get_mut() else { panic!("plain text") };
    socket.write_all(&[0xff, 0x7f, 1, 2, 3, 4, 5, 6, 7, 8]).await.unwrap();
    assert_eq!(client.receive().await, Received::Closed(1002));
}

/// ISO-3: another user's run is answered exactly as a missing one.
#[tokio::test]
async fn iso_3_foreign_runs_look_like_missing_runs() {
    let mut service = TestService::start().await;
    let (mut ada, _) = service.open("ada").await;
    let (mut ben, _) = service.open("ben").await;
    ada.message("m1", "mine").await;
    let run = service.launched().await;
    open_call_of_client(&run.handle).await;
    let mut answers = Vec::new();
    for run_id in [run.run_id.to_string(), Uuid::now_v7().to_string()] {
        for frame in [
            json!({"type": "cancel_run", "run_id": run_id}),
            json!({"type": "complete_call", "run_id": run_id, "call_id": "q1", "status": "ok"}),
        ] {
            ben.send_frame(frame).await;
            let mut error = ben.expect_error("not_found").await;
            assert_eq!(error["run_id"], json!(run_id));
            error.as_object_mut().unwrap().remove("run_id");
            answers.push(error);
        }
    }
    assert_eq!(answers[..2], answers[2..]);
    // The run is unaffected.
    ada.send_frame(json!({"type": "complete_call", "run_id": run.run_id, "call_id": "q1", "status": "ok"}))
        .await;
    let frames = ada.until("tool_completed").await;
    assert_eq!(frames.last().unwrap()["status"], "ok");
    succeed(&run.handle).await;
    assert_eq!(ada.until("agent_completed").await.last().unwrap()["status"], "succeeded");
}

async fn open_call_of_client(port: &quintet::agent::host::RunHandle) {
    think(port, "hm").await;
    open_call(port, "q1", CallOwner::Client).await;
}

/// RUN-11: the first valid answer closes the call; a second one is refused.
#[tokio::test]
async fn run_11_call_is_answered_once() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "ask me").await;
    let run = service.launched().await;
    open_call_of_client(&run.handle).await;
    open_call(&run.handle, "c1", CallOwner::Agent).await;
    client.until("tool_executing").await;
    client.expect("tool_executing").await;
    let answer = |call_id: &str, results: Value| json!({"type": "complete_call", "run_id": run.run_id, "call_id": call_id, "status": "ok", "results": results});
    client.send_frame(answer("c1", json!(1))).await;
    client.expect_error("not_found").await;
    client.send_frame(answer("q1", json!({"yes": true}))).await;
    let closed = client.expect("tool_completed").await;
    assert_eq!((&closed["call_id"], &closed["results"]), (&json!("q1"), &json!({"yes": true})));
    client.send_frame(answer("q1", json!("no"))).await;
    client.expect_error("call_closed").await;
    close_call(&run.handle, "c1").await;
    say(&run.handle, "done").await;
    succeed(&run.handle).await;
    client.until("agent_completed").await;
    client.send_frame(answer("q1", json!("late"))).await;
    client.expect_error("call_closed").await;
    client.send_frame(json!({"type": "cancel_run", "run_id": run.run_id})).await;
    client.expect_error("run_ended").await;
}

#[tokio::test]
async fn pong_has_the_nonce_of_its_ping() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    for nonce in [json!("x"), json!(7), json!(1.5)] {
        client.send_frame(json!({"type": "ping", "nonce": nonce, "unknown": [1, 2]})).await;
        assert_eq!(client.expect("pong").await["nonce"], nonce);
    }
    client.send_frame(json!({"type": "ping"})).await;
    assert!(client.expect("pong").await.get("nonce").is_none());
}

/// Frames beyond the rate are refused, not carried out; a client that continues is closed with 4429.
#[tokio::test]
async fn iso_6_frames_beyond_the_rate_are_refused_and_persistence_ends_with_4429() {
    let limits = GatewayLimits {
        user_frames_per_second_max: 1,
        user_frames_burst_max: 4,
        throttled_frames_max: 5,
        ..GatewayLimits::DEFAULT
    };
    let service = TestService::with(limits).await;
    let (mut ada, _) = service.open("ada").await;
    let (mut ben, _) = service.open("ben").await;
    // With `hello` these are the four of the burst.
    for _ in 0..3 {
        ada.alive().await;
    }
    ada.message("m1", "too fast").await;
    let error = ada.expect_error("rate_limited").await;
    assert_eq!(error["message_id"], "m1");
    assert!(error["retry_after_ms"].as_u64().unwrap() <= 1_000);
    ben.alive().await;
    for _ in 0..8 {
        ada.send_frame(json!({"type": "ping"})).await;
    }
    assert_eq!(ada.closed().await, 4429);
    ben.alive().await;
}

/// Replies come in the order of the commands, for any number sent at once.
#[tokio::test]
async fn replies_come_in_the_order_of_the_commands() {
    let service = TestService::start().await;
    let (mut client, _): (TestClient, _) = service.open("ada").await;
    let ids: Vec<String> = (0..50).map(|i| format!("m{i}")).collect();
    for id in &ids {
        client
            .send_frame(json!({"type": "send_message", "message_id": id, "thread_id": id, "text": "x"}))
            .await;
    }
    let mut answered = Vec::new();
    soon("fifty answers", async {
        while answered.len() < ids.len() {
            let frame = client.frame().await;
            if frame["type"] == "accepted" {
                answered.push(frame["message_id"].as_str().unwrap().to_owned());
            }
        }
    })
    .await;
    assert_eq!(answered, ids);
}

/// A reply that is ready waits for those of earlier commands; a ping overtakes both.
#[tokio::test]
async fn no_reply_overtakes_an_earlier_one() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    service.journal.pause_appends();
    client.message("m1", "slow").await;
    soon("an append", service.journal.appends_held(1)).await;
    client.send_frame(json!({"type": "renew", "token": service.token("ada")})).await;
    client.alive().await;
    service.journal.release_appends();
    let frames = client.until("renewed").await;
    assert!(frames.iter().any(|frame| frame["type"] == "accepted"), "{frames:?}");
}
