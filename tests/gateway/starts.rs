//! Clients that start at the head: the entries go on directly behind `ready`, at the same cost for any history.

use quintet::{gateway::limits::GatewayLimits, journal::Journal, kernel::ids::Timestamp};
use serde_json::{Value, json};

use crate::{
    events::Events,
    harness::{TestService, offsets, think},
    pages::{keeping, run, watched},
};

const HEAD: &str = r#"{"type":"hello","start":"head"}"#;

/// Opens a socket at the head; returns the offset behind which its entries go on.
async fn at_head(service: &TestService, user: &str) -> (crate::harness::TestClient, u64) {
    let mut client = service.known(user).await;
    let ready = client.hello(json!({"start": "head"})).await;
    assert_eq!((&ready["gap"], &ready["resumed_after"]), (&Value::Null, &ready["head"]), "DEL-3");
    let caught_up = client.expect("caught_up").await;
    assert_eq!(caught_up["head"], ready["head"]);
    (client, ready["head"].as_u64().unwrap())
}

/// DEL-3: the entries before the head are not sent, also where some were trimmed, and the next entry is `head + 1`.
#[tokio::test]
async fn del_3_start_at_the_head_goes_on_behind_it() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    assert_eq!(at_head(&service, "ada").await.1, 0, "an empty log");
    run(&mut service, "ada", "m1", "t", 5, 10).await;
    for trimmed in [false, true] {
        let (mut client, head) = at_head(&service, "ada").await;
        assert!(head > 0);
        run(&mut service, "ada", if trimmed { "m3" } else { "m2" }, "t", 1, 10).await;
        let frames = client.until("agent_completed").await;
        assert_eq!(offsets(&frames), (head + 1..=head + 5).collect::<Vec<_>>(), "DEL-2");
        service.journal.trim(keeping(2), Timestamp(0)).await.unwrap();
    }
    // A cursor of another journal has no meaning beside it.
    let mut client = service.known("ada").await;
    let ready = client.hello(json!({"start": "head", "epoch": "elsewhere"})).await;
    assert_eq!((&ready["gap"], &ready["resumed_after"]), (&Value::Null, &ready["head"]));
}

/// DEL-2, DEL-3: in the middle of appends, what is behind `ready` and what pages before it hold meet exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_3_start_at_a_moving_head_skips_nothing() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    service
        .post("ada", "/v1/messages", &json!({"message_id": "m", "thread_id": "t", "text": "x"}))
        .await
        .ok(202);
    let run = service.launched().await;
    let handle = run.handle.clone();
    let mut writer = tokio::task::JoinSet::new();
    writer.spawn(async move {
        for _ in 0..400 {
            think(&handle, "hm").await;
        }
    });
    for _ in 0..20 {
        let (mut client, head) = at_head(&service, "ada").await;
        let page = service.get("ada", &format!("/v1/entries?before={}&limit=3", head + 1)).await.ok(200);
        assert_eq!(
            crate::pages::offsets(&page).last().copied().unwrap_or(0),
            head,
            "the pages end at the head"
        );
        if let Some(ended) = writer.try_join_next() {
            ended.unwrap();
            break;
        }
        let first = client.frame().await;
        assert_eq!(first["offset"], head + 1, "DEL-2: {first}");
    }
    while let Some(ended) = writer.join_next().await {
        ended.unwrap();
    }
}

/// The number of reads and of bytes that a `hello` takes does not depend on the history.
#[tokio::test]
async fn hello_at_the_head_costs_the_same_for_any_history() {
    let mut costs = Vec::new();
    for thoughts in [1, 1_500] {
        let (mut service, reads) = watched(GatewayLimits::DEFAULT).await;
        run(&mut service, "ada", "m1", "t", thoughts, 100).await;
        // Once before, so that the user's machines are the same for both.
        drop(at_head(&service, "ada").await);
        reads.forget();
        let (mut client, _) = at_head(&service, "ada").await;
        client.alive().await;
        costs.push((reads.calls(), reads.bytes()));
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0], (1, 0), "one look-up of the head, and no entry");
}

/// CONN-4: two positions in one frame, and a start that there is not, are errors without effect.
#[tokio::test]
async fn hello_with_two_positions_is_refused() {
    let service = TestService::start().await;
    let mut client = service.known("ada").await;
    for frame in [
        r#"{"type":"hello","start":"head","after":0}"#,
        r#"{"type":"hello","start":"head","after":7}"#,
        r#"{"type":"hello","start":"end"}"#,
        r#"{"type":"hello","start":"head","start":"head"}"#,
    ] {
        client.send_text(frame).await;
        client.expect_error("invalid_field").await;
    }
    client.send_text(HEAD).await;
    client.expect("ready").await;
}

/// DEL-3: an event stream that starts at the head has its cursor before its first entry, and a reconnect with it
/// misses nothing.
#[tokio::test]
async fn del_3_event_stream_starts_at_the_head() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    run(&mut service, "ada", "m1", "t", 2, 10).await;
    let mut events = Events::open(&service, "?start=head", &[], "ada").await;
    let ready = events.next().await.unwrap();
    assert_eq!((ready.event.as_str(), &ready.data), ("ready", &json!({"resumed_after": 6, "head": 6})));
    drop(events);
    run(&mut service, "ada", "m2", "t", 2, 10).await;
    // A browser repeats the query, with the id of the last event: the id precedes it.
    let mut events = Events::open(&service, "?start=head", &[("last-event-id", &ready.id)], "ada").await;
    let next = events.next().await.unwrap();
    assert_eq!((next.event.as_str(), &next.data["offset"]), ("user_message", &json!(7)));
    for query in ["?start=head&after=0", "?start=end", "?start=", "?start=head&start=head"] {
        service.get("ada", &format!("/v1/stream{query}")).await.problem(400, "invalid_field");
    }
}
