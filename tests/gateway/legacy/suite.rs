//! The predecessor's mission-critical suite: its cases under their names, restated over received frames. Where the
//! original accepted a timeout, a partial result or its own frames, the restated case does not.

use std::time::Duration;

use quintet::kernel::entry::CallOwner;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{FIVE, OldClient, count, events, work};
use crate::harness::{TestService, close_call, open_call, say, succeed, think, types, violations};

const ANSWER: &str = "Here is the complete solution to your problem.";

/// Opens a client, sends one message, plays a run with all five events, and returns everything received.
async fn conversation(service: &mut TestService) -> Vec<Value> {
    let mut client = OldClient::open(service, "event_test_user").await;
    client.chat("m1", "Hello, can you help me with a simple task?").await;
    let run = service.launched().await;
    work(&run.handle, ANSWER).await;
    client.until("agent_completed").await
}

fn of<'a>(frames: &'a [Value], kind: &str) -> &'a Value {
    frames.iter().find(|frame| frame["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {frames:?}"))
}

fn has(frame: &Value, fields: &[&str]) {
    for field in fields {
        assert!(frame.get(field).is_some(), "{field} is missing in {frame}");
    }
}

#[tokio::test]
async fn test_real_websocket_connection_established() {
    let service = TestService::start().await;
    let begun = Instant::now();
    let mut client = OldClient::open(&service, "ada").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "golden path: connected within 2 s");
    let data = &client.welcome["data"];
    assert_eq!((&data["mode"], &data["connection_ready"]), (&json!("main"), &json!(true)));
    assert_eq!(data["golden_path_events"], json!(FIVE));
    assert_eq!(data["deprecated"]["replaced_by"], "quintet.v1");
    client.alive().await;
    client.send(json!({"type": "heartbeat"})).await;
    assert_eq!(client.socket.expect("heartbeat_ack").await["status"], "healthy");
    for (kind, status) in [
        ("connect", "connected"),
        ("typing_started", "typing_acknowledged"),
        ("user_typing", "typing_acknowledged"),
        ("disconnect", "disconnect_acknowledged"),
    ] {
        client.send(json!({"type": kind, "payload": {}})).await;
        assert_eq!(client.socket.expect("system_message").await["data"]["status"], status);
    }
    // Replies of the client are not answered.
    client.send(json!({"type": "heartbeat_ack"})).await;
    client.send(json!({"type": "event_confirmation", "payload": {"event_id": "e"}})).await;
    client.alive().await;
}

#[tokio::test]
async fn test_agent_started_event_structure() {
    let frames = conversation(&mut TestService::start().await).await;
    let started = of(&frames, "agent_started");
    has(started, &["run_id", "agent_name", "timestamp"]);
    assert_eq!(started["user_id"], "event_test_user");
    assert_eq!(started["thread_id"], "thread_1");
    assert_eq!(started["message_id"], "m1");
}

#[tokio::test]
async fn test_agent_thinking_event_structure() {
    let frames = conversation(&mut TestService::start().await).await;
    let thinking = of(&frames, "agent_thinking");
    has(thinking, &["timestamp", "content"]);
    assert_eq!(thinking["reasoning"], "Analyzing the request");
}

#[tokio::test]
async fn test_tool_executing_event_structure() {
    let frames = conversation(&mut TestService::start().await).await;
    let executing = of(&frames, "tool_executing");
    has(executing, &["timestamp", "execution_id"]);
    assert_eq!((&executing["tool_name"], &executing["parameters"]), (&json!("look"), &json!({})));
}

#[tokio::test]
async fn test_tool_completed_event_structure() {
    let frames = conversation(&mut TestService::start().await).await;
    let completed = of(&frames, "tool_completed");
    has(completed, &["timestamp", "results"]);
    assert_eq!((&completed["tool_name"], &completed["success"]), (&json!("look"), &json!(true)));
    assert!(completed["duration"].is_f64(), "{completed}");
}

#[tokio::test]
async fn test_agent_completed_event_structure() {
    let frames = conversation(&mut TestService::start().await).await;
    let completed = of(&frames, "agent_completed");
    has(completed, &["timestamp", "duration"]);
    assert_eq!((&completed["status"], &completed["final_response"]), (&json!("success"), &json!(ANSWER)));
    assert_eq!(completed["data"]["final_response"], ANSWER);
}

#[tokio::test]
async fn test_complete_event_sequence() {
    let begun = Instant::now();
    let frames = conversation(&mut TestService::start().await).await;
    let events = events(&frames);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "thread_message",
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "agent_thinking",
        "agent_completed",
    ];
    assert_eq!(kinds, expected);
    let sequence: Vec<u64> = events[1..].iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequence, (1..=6).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(30), "the predecessor's limit for a sequence");
}

/// The predecessor's budget is 100 ms per event, which it measured on frames that the test had sent. One of ten rounds
/// has to be free of the noise of the machine.
#[tokio::test]
async fn test_event_timing_latency() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "hello").await;
    let run = service.launched().await;
    client.until("agent_started").await;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        think(&run.handle, "a step of processing").await;
        client.socket.expect("agent_thinking").await;
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    succeed(&run.handle).await;
}

/// Events that a client sends are no events: each is an error, and none reaches the log or another client.
#[tokio::test]
async fn test_out_of_order_event_handling() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    let mut other = OldClient::open(&service, "ada").await;
    for kind in ["tool_completed", "agent_started", "agent_completed", "tool_executing", "agent_thinking"] {
        client.send(json!({"type": kind, "tool_name": "test", "final_response": "Done"})).await;
        client.expect_error("UNKNOWN_TYPE").await;
    }
    client.chat("m1", "in order").await;
    let run = service.launched().await;
    work(&run.handle, ANSWER).await;
    let frames = other.until("agent_completed").await;
    assert_eq!(events(&frames)[0]["offset"], 1, "nothing of what the client made up is in the log");
    assert_eq!(count(&frames, "agent_completed"), 1);
}

#[tokio::test]
async fn test_tool_events_always_paired() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "two tools side by side").await;
    let run = service.launched().await;
    think(&run.handle, "two tools").await;
    open_call(&run.handle, "a", CallOwner::Agent).await;
    open_call(&run.handle, "b", CallOwner::Agent).await;
    close_call(&run.handle, "b").await;
    // The run fails while `a` is open: it is closed before the end.
    drop(run);
    let frames = client.until("agent_completed").await;
    let ids = |kind: &str| -> Vec<String> {
        let found = frames.iter().filter(|frame| frame["type"] == kind);
        found.map(|frame| frame["execution_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids("tool_executing"), ids("tool_completed")),
        (vec!["a".into(), "b".into()], vec!["b".into(), "a".into()])
    );
    let cut = frames.iter().rfind(|frame| frame["type"] == "tool_completed").unwrap();
    assert_eq!((&cut["success"], &cut["status"]), (&json!(false), &json!("cancelled")), "DEL-7");
}

#[tokio::test]
async fn test_real_agent_websocket_events() {
    let frames = conversation(&mut TestService::start().await).await;
    for kind in FIVE {
        assert!(count(&frames, kind) >= 1, "all five, not some: {kind}");
    }
    assert_eq!(violations(), [], "the monitor watches these connections too");
}

/// Every connection succeeds, and gets its own events; the predecessor was content with 60 %.
#[tokio::test]
async fn test_concurrent_real_websocket_connections() {
    let mut service = TestService::start().await;
    let users = ["u0", "u1", "u2", "u3", "u4"];
    let mut clients = Vec::new();
    for user in users {
        clients.push(OldClient::open(&service, user).await);
    }
    for client in &mut clients {
        client.chat("the-same-id", "the same text").await;
    }
    for _ in users {
        let run = service.launched().await;
        let own = format!("an answer for {}", run.user_id);
        work(&run.handle, &own).await;
    }
    for (client, user) in clients.iter_mut().zip(users) {
        let frames = client.until("agent_completed").await;
        let events = events(&frames);
        assert_eq!(events.len(), 7, "{user}");
        assert!(events.iter().all(|event| event["user_id"] == user), "ISO-1");
        assert_eq!(events[6]["final_response"], format!("an answer for {user}"));
        client.alive().await;
    }
}

#[tokio::test]
async fn test_real_websocket_error_handling() {
    let service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.send(json!({"type": "invalid_message_type", "data": "This should trigger error handling"})).await;
    client.expect_error("UNKNOWN_TYPE").await;
    client.socket.send_text("{not json").await;
    client.expect_error("JSON_PARSE_ERROR").await;
    client.send(json!({"type": "chat_message", "thread_id": "t"})).await;
    let error = client.expect_error("INVALID_FIELD").await;
    assert_eq!(error["error_message"], "content is missing");
    client
        .send(json!({"type": "start_agent", "payload": {"user_request": "hi", "agent_name": "nobody"}}))
        .await;
    client.expect_error("UNKNOWN_AGENT").await;
    client.alive().await;
}

/// Every message is answered; the predecessor counted what it had sent.
#[tokio::test]
async fn test_real_websocket_performance_metrics() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    for number in 0..10 {
        let (message_id, thread_id) = (format!("m{number}"), format!("t{number}"));
        client
            .send(json!({"type": "user_message", "message_id": message_id, "payload": {"content": "x", "thread_id": thread_id}}))
            .await;
    }
    for _ in 0..10 {
        let run = service.launched().await;
        think(&run.handle, "hm").await;
        say(&run.handle, "x").await;
        succeed(&run.handle).await;
    }
    let mut frames = Vec::new();
    while count(&frames, "agent_completed") < 10 || count(&frames, "ack") < 10 {
        frames.push(client.socket.frame().await);
    }
    let offsets: Vec<u64> = events(&frames).iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "DEL-2");
}

#[tokio::test]
async fn test_real_e2e_agent_conversation_flow() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    for (turn, (kind, field)) in
        [("chat_message", "content"), ("start_agent", "user_request"), ("agent_request", "message")]
            .iter()
            .enumerate()
    {
        client.send(json!({"type": kind, "payload": {*field: "Hello", "thread_id": "thread_1"}})).await;
        let run = service.launched().await;
        assert_eq!((&*run.text, run.thread_id.as_str()), ("Hello", "thread_1"));
        work(&run.handle, ANSWER).await;
        let frames = client.until("agent_completed").await;
        let ack = of(&frames, "ack");
        assert_eq!((&ack["status"], &ack["duplicate"]), (&json!("accepted"), &json!(false)), "turn {turn}");
        assert_eq!(ack["run_id"], of(&frames, "agent_completed")["run_id"]);
    }
}

/// The predecessor's limit for a reconnect is 3 s. Its protocol had no cursor, so what was missed was lost; with `after`
/// it is delivered.
#[tokio::test]
async fn test_real_websocket_resilience_and_recovery() {
    let mut service = TestService::start().await;
    let mut client = OldClient::open(&service, "ada").await;
    client.chat("m1", "survive this").await;
    let run = service.launched().await;
    let seen = client.until("agent_started").await;
    let last = events(&seen).last().unwrap()["offset"].as_u64().unwrap();
    drop(client);
    work(&run.handle, ANSWER).await;
    let begun = Instant::now();
    let mut again = OldClient::at(&service, "ada", &format!("/ws?after={last}")).await;
    let frames = again.until("agent_completed").await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    let expected =
        ["agent_thinking", "tool_executing", "tool_completed", "agent_thinking", "agent_completed"];
    assert_eq!(types(&frames), expected);
    assert_eq!(frames[0]["offset"], last + 1, "DEL-3");
}
