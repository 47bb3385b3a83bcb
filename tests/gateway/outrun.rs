//! Readers that retention overtakes while they do not read.

use quintet::{
    gateway::limits::GatewayLimits,
    journal::{Journal, Retention},
    kernel::ids::Timestamp,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    events::Events,
    harness::{Received, TestService, succeed, think},
};

/// Writes far more entries than a socket and the tail hold, which the caller's readers have not read.
async fn flooded(service: &mut TestService) -> u64 {
    let (mut sender, _) = service.open("ada").await;
    sender.message("m1", "flood me").await;
    let run = service.launched().await;
    let delta = "x".repeat(60 * 1024);
    let flood = async {
        for _ in 0..300 {
            think(&run.handle, &delta).await;
        }
        succeed(&run.handle).await;
    };
    let ((), read) = tokio::join!(flood, sender.until("agent_completed"));
    read.last().unwrap()["offset"].as_u64().unwrap()
}

/// Keeps the newest entries; returns the offset of the last one that is trimmed.
async fn trim(service: &TestService) -> u64 {
    let retention = Retention { age_ms_max: None, user_entries_max: Some(20), ..Retention::default() };
    service.journal.trim(retention, Timestamp(0)).await.unwrap();
    let mut late = service.known("ada").await;
    let ready = late.hello(json!({})).await;
    ready["gap"]["to"].as_u64().unwrap()
}

/// 4408 is not a final code: the kept entries are there for a reader that comes back (DEL-3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_3_socket_overtaken_by_retention_is_closed_to_resume() {
    let mut service = TestService::with(GatewayLimits::DEFAULT).await;
    let mut behind = service.narrow("ada").await;
    behind.hello(json!({})).await;
    behind.expect("caught_up").await;
    let head = flooded(&mut service).await;
    let trimmed = trim(&service).await;
    let mut received = 0;
    let end = loop {
        match behind.receive().await {
            Received::Frame(frame) if frame["offset"].is_u64() => {
                received += 1;
                assert_eq!(frame["offset"], received);
            }
            Received::Frame(_) => {}
            end => break end,
        }
    };
    assert_eq!(end, Received::Closed(4408));
    assert!(received < trimmed, "it was behind");
    let mut again = service.known("ada").await;
    let ready = again.hello(json!({"after": received})).await;
    assert_eq!(ready["gap"], json!({"from": received + 1, "to": trimmed}));
    let kept = again.until("caught_up").await;
    assert_eq!(kept.len() as u64, head - trimmed + 1, "everything kept, and caught_up");
    again.send_ws_message(Message::Ping(vec![].into())).await;
}

/// The gap of a live stream ends at the last trimmed entry: no kept entry is skipped (DEL-3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_3_stream_overtaken_by_retention_skips_no_kept_entry() {
    let mut service = TestService::with(GatewayLimits::DEFAULT).await;
    let mut behind = Events::open(&service, "", &[], "ada").await;
    let head = flooded(&mut service).await;
    let trimmed = trim(&service).await;
    let (mut next, mut gaps) = (1, 0);
    while next <= head {
        let event = behind.next().await.expect("the stream goes on");
        if event.event == "gap" {
            gaps += 1;
            assert_eq!(event.data, json!({"from": next, "to": trimmed}));
            let epoch = service.running.gateway().factory.epoch();
            assert_eq!(event.id, format!("{epoch}:{trimmed}"), "a client that comes back resumes after it");
            next = trimmed + 1;
        } else {
            assert_eq!(event.data["offset"], next);
            next += 1;
        }
    }
    assert_eq!(gaps, 1);
}
