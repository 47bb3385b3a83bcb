//! Delivery to clients: everything, once, in order, over any interrupted connections.

use std::{collections::BTreeSet, time::Duration};

use quintet::{
    gateway::limits::GatewayLimits,
    journal::{Journal, Retention},
    kernel::{entry::CallOwner, ids::Timestamp},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::MaybeTlsStream;
use uuid::Uuid;

use crate::harness::{
    Received, TestClient, TestService, close_call, offsets, open_call, say, soon, succeed, think, types,
    until,
};

#[tokio::test]
async fn message_goes_in_and_five_events_come_out() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "hello").await;
    let run = service.launched().await;
    think(&run.handle, "let me see").await;
    open_call(&run.handle, "c1", CallOwner::Agent).await;
    close_call(&run.handle, "c1").await;
    say(&run.handle, "hi").await;
    succeed(&run.handle).await;
    let mut frames = client.until("agent_completed").await;
    // `accepted` is about the message, not part of the log; it may come anywhere after it.
    let at = frames.iter().position(|frame| frame["type"] == "accepted").expect("accepted");
    let accepted = frames.remove(at);
    assert_eq!(
        types(&frames),
        [
            "user_message",
            "agent_started",
            "agent_thinking",
            "tool_executing",
            "tool_completed",
            "agent_thinking",
            "agent_completed"
        ]
    );
    assert_eq!(offsets(&frames), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((&accepted["message_offset"], &accepted["duplicate"]), (&json!(1), &json!(false)));
    for frame in &frames {
        assert_eq!(frame["user_id"], "ada");
        assert_eq!(frame["run_id"], accepted["run_id"]);
    }
    let seqs: Vec<_> = frames[1..].iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    assert_eq!(frames.last().unwrap()["final_response"], "hi");
}

/// DEL-1, DEL-5: nothing is sent before it is durable.
#[tokio::test]
async fn del_1_nothing_is_sent_before_the_journal_has_it() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    service.journal.pause_appends();
    client.message("m1", "hello").await;
    soon("an append", service.journal.appends_held(1)).await;
    // A pong overtakes nothing that was sent: nothing was.
    client.alive().await;
    service.journal.release_appends();
    client.until("accepted").await;
}

/// DEL-7: a message that is not known to be durable is not accepted.
#[tokio::test]
async fn del_7_failing_journal_is_unavailable_and_the_message_can_be_sent_again() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    service.journal.set_down(true);
    client.message("m1", "hello").await;
    let error = client.expect_error("unavailable").await;
    assert_eq!(error["message_id"], "m1");
    assert!(error["retry_after_ms"].is_u64());
    service.journal.set_down(false);
    // Its user's machines recover by themselves; the same message is the same in any number of sendings.
    soon("acceptance", async {
        loop {
            client.message("m1", "hello").await;
            let frame = client.frame().await;
            if frame["type"] != "error" {
                return;
            }
        }
    })
    .await;
    service.answer("there").await;
    client.until("agent_completed").await;
}

/// DEL-6: ten connections, one message, one run.
#[tokio::test]
async fn del_6_ten_connections_that_send_one_message_get_one_reply() {
    let mut service = TestService::start().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(service.open("ada").await.0);
    }
    futures_util::future::join_all(clients.iter_mut().map(|client| client.message("m1", "once"))).await;
    service.answer("one").await;
    let mut answers = BTreeSet::new();
    let mut new = 0;
    for client in &mut clients {
        let (mut entries, mut accepted) = (Vec::new(), None);
        while accepted.is_none() || entries.len() < 5 {
            let frame = client.frame().await;
            if frame["type"] == "accepted" {
                assert!(accepted.replace(frame).is_none(), "accepted twice");
            } else {
                entries.push(frame);
            }
        }
        let accepted = accepted.unwrap();
        new += u32::from(accepted["duplicate"] == false);
        answers.insert((accepted["run_id"].to_string(), accepted["message_offset"].to_string()));
        assert_eq!(offsets(&entries), [1, 2, 3, 4, 5]);
    }
    assert_eq!((answers.len(), new), (1, 1));
}

/// DEL-2, DEL-3: the union of the entries received over aborted connections is 1, 2, 3 … exactly.
#[tokio::test]
async fn del_3_resume_continues_where_the_client_stopped() {
    let mut service = TestService::start().await;
    let (mut sender, ready) = service.open("ada").await;
    sender.message("m1", "a long one").await;
    let run = service.launched().await;
    let total = 200;
    let mut received: Vec<u64> = Vec::new();
    let mut written = 2;
    while received.len() < total {
        // Entries are written both without and with a connection.
        for _ in 0..7 {
            if written < total {
                think(&run.handle, &format!("thought {written}")).await;
                written += 1;
            }
        }
        let after = received.last().copied().unwrap_or(0);
        let mut client = service.known("ada").await;
        let ready = client.hello(json!({"epoch": ready["epoch"], "after": after})).await;
        assert_eq!((&ready["resumed_after"], &ready["gap"]), (&json!(after), &Value::Null));
        let mut caught_up = 0;
        for _ in 0..(received.len() % 5 + 3).min(total - received.len()) {
            let frame = client.frame().await;
            if frame["type"] == "caught_up" {
                caught_up += 1;
                assert_eq!(frame["head"], ready["head"]);
                assert_eq!(received.last().copied().unwrap_or(0), ready["head"].as_u64().unwrap());
                continue;
            }
            received.push(frame["offset"].as_u64().unwrap());
        }
        assert!(caught_up <= 1);
        // The socket is dropped without a close.
        drop(client);
    }
    assert_eq!(received, (1..=total as u64).collect::<Vec<_>>());
}

/// DEL-2: `caught_up` comes once, exactly after the entries up to the head in `ready`.
#[tokio::test]
async fn caught_up_separates_the_backlog_from_live_entries() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    think(&run.handle, "one").await;
    client.until("agent_thinking").await;

    let mut late = service.known("ada").await;
    let ready = late.hello(json!({})).await;
    assert_eq!(ready["head"], 3);
    assert_eq!(
        types(&late.until("caught_up").await),
        ["user_message", "agent_started", "agent_thinking", "caught_up"]
    );
    say(&run.handle, "two").await;
    succeed(&run.handle).await;
    assert_eq!(types(&late.until("agent_completed").await), ["agent_thinking", "agent_completed"]);
    late.alive().await;
}

#[tokio::test]
async fn del_3_cursor_with_missing_entries_gets_a_gap() {
    let mut service = TestService::start().await;
    let (mut client, ready) = service.open("ada").await;
    for message_id in ["m1", "m2"] {
        client.message(message_id, "x").await;
        service.answer("y").await;
        client.until("agent_completed").await;
    }
    let epoch = ready["epoch"].clone();
    let resume = async |hello: Value| {
        let mut client = service.known("ada").await;
        let ready = client.hello(hello).await;
        let replayed = offsets(&client.until("caught_up").await);
        (ready["resumed_after"].as_u64().unwrap(), ready["gap"].clone(), replayed)
    };
    let (all, from) = ((1..=10).collect::<Vec<_>>(), |first| (first..=10).collect::<Vec<u64>>());
    assert_eq!(
        resume(json!({"after": 4})).await,
        (4, Value::Null, from(5)),
        "without an epoch the cursor is accepted"
    );
    assert_eq!(resume(json!({"epoch": epoch, "after": 10})).await, (10, Value::Null, vec![]));
    // From the future: entries that this log does not have are a gap, and it continues at the head.
    let future = json!({"epoch": epoch, "after": 12});
    assert_eq!(resume(future).await, (10, json!({"from": 11, "to": 12}), vec![]));
    // Another epoch: everything kept is sent anew.
    let elsewhere = json!({"epoch": Uuid::now_v7(), "after": 7});
    assert_eq!(resume(elsewhere.clone()).await, (0, json!({"from": 0, "to": 0}), all.clone()));
    // An epoch is opaque to clients: one in any spelling is another epoch.
    for foreign in ["0", "a:b", "{00000000-0000-0000-0000-000000000000}", &"~".repeat(64)] {
        let foreign = json!({"epoch": foreign, "after": 7});
        assert_eq!(resume(foreign.clone()).await, (0, json!({"from": 0, "to": 0}), all.clone()), "{foreign}");
    }

    let retention = Retention { age_ms_max: None, user_entries_max: Some(5), ..Retention::default() };
    service.journal.trim(retention, Timestamp(0)).await.unwrap();
    let trimmed = 10 - resume(json!({})).await.2.len() as u64;
    assert!(trimmed > 0);
    assert_eq!(resume(json!({})).await, (trimmed, json!({"from": 1, "to": trimmed}), from(trimmed + 1)));
    assert_eq!(resume(json!({"after": 2})).await.1, json!({"from": 3, "to": trimmed}));
    assert_eq!(resume(elsewhere).await.1, json!({"from": 1, "to": trimmed}));
}

/// ISO-1, ISO-2: equal ids of many users at once; each receives exactly its own.
#[tokio::test]
async fn iso_2_equal_ids_of_fifty_users_never_meet() {
    let mut service = TestService::start().await;
    let users: Vec<String> = (0..50).map(|i| format!("user-{i}")).collect();
    let mut clients: Vec<TestClient> = Vec::new();
    for user in &users {
        clients.push(service.open(user).await.0);
    }
    for (client, user) in clients.iter_mut().zip(&users) {
        client.message("m1", &format!("I am {user}")).await;
    }
    for _ in &users {
        let run = service.launched().await;
        think(&run.handle, "hm").await;
        open_call(&run.handle, "c1", CallOwner::Agent).await;
        close_call(&run.handle, "c1").await;
        // The answer repeats the message of the run.
        say(&run.handle, &run.text).await;
        succeed(&run.handle).await;
    }
    for (client, user) in clients.iter_mut().zip(&users) {
        let mut entries = Vec::new();
        while entries.len() < 7 {
            let frame = client.frame().await;
            if frame["type"] != "accepted" {
                assert_eq!(&frame["user_id"], user.as_str());
                entries.push(frame);
            }
        }
        assert_eq!(offsets(&entries), (1..=7).collect::<Vec<_>>());
        assert_eq!(entries[6]["final_response"], format!("I am {user}"));
        client.alive().await;
    }
}

/// DEL-4: a reader that stalls delays no other one, is closed, and gets everything when it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_4_stalled_reader_delays_no_other_and_misses_nothing() {
    let limits = GatewayLimits { stall_timeout_ms: 1_000, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let (mut stalled, ready) = service.open("ada").await;
    let (mut reader, _) = service.open("ada").await;
    reader.message("m1", "flood me").await;
    let run = service.launched().await;
    let (entries, delta) = (400, "x".repeat(60 * 1024));
    // `stalled` is not read; 24 MB are more than the sockets between it and the service hold.
    let flood = async {
        for _ in 0..entries {
            think(&run.handle, &delta).await;
        }
        succeed(&run.handle).await;
    };
    let ((), read) = tokio::join!(flood, reader.until("agent_completed"));
    let head = entries as u64 + 3;
    assert_eq!(offsets(&read), (1..=head).collect::<Vec<_>>());

    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.connections_open() == 1).await;
    // It received a prefix without a hole before it was closed; the rest comes after a resume.
    let mut received = Vec::new();
    let end = loop {
        match stalled.receive().await {
            Received::Frame(frame) => received.push(frame["offset"].as_u64().unwrap()),
            end => break end,
        }
    };
    assert!(matches!(end, Received::Closed(4408) | Received::Broken), "{end:?}");
    assert!(received.len() < head as usize, "it was never stalled");
    let after = received.len() as u64;
    assert_eq!(received, (1..=after).collect::<Vec<_>>());
    let mut again = service.known("ada").await;
    again.hello(json!({"epoch": ready["epoch"], "after": after})).await;
    assert_eq!(offsets(&again.until("caught_up").await), (after + 1..=head).collect::<Vec<_>>());
}

/// DEL-4: the data in flight to a stalled reader is bounded, down to the system's own buffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_4_data_in_flight_to_a_stalled_reader_is_bounded() {
    let limits = GatewayLimits { stall_timeout_ms: 500, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut stalled = service.narrow("ada").await;
    stalled.hello(json!({})).await;
    let (mut reader, _) = service.open("ada").await;
    reader.message("m1", "flood me").await;
    let run = service.launched().await;
    let flood = async {
        for _ in 0..100 {
            think(&run.handle, &"x".repeat(60 * 1024)).await;
        }
        succeed(&run.handle).await;
    };
    tokio::join!(flood, reader.until("agent_completed"));
    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.connections_open() == 1).await;
    // Of 6 MB it got the data that was in flight when it stalled.
    let bytes: usize = stalled.until_closed().await.iter().map(|frame| frame.to_string().len()).sum();
    assert!(bytes < 512 * 1024, "{bytes} bytes");
}

/// CONN-5: a slow reader of any speed is not stalled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conn_5_slow_reader_is_not_closed_as_stalled() {
    let limits =
        GatewayLimits { stall_timeout_ms: 1_000, unsent_bytes_max: 8 * 1024, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut slow = service.narrow("ada").await;
    slow.hello(json!({})).await;
    slow.message("m1", "flood me").await;
    let run = service.launched().await;
    for _ in 0..4 {
        think(&run.handle, &"x".repeat(60 * 1024)).await;
    }
    succeed(&run.handle).await;
    // It reads every 20 ms, a small part of the stall timeout, and one entry takes it longer than that timeout.
    let MaybeTlsStream::Plain(socket) = slow.ws.get_mut() else { panic!("plain text") };
    let (mut pace, mut read) = (tokio::time::interval(Duration::from_millis(20)), 0);
    let mut buffer = [0; 512];
    while read < 70 * 1024 {
        pace.tick().await;
        let bytes = soon("bytes", socket.read(&mut buffer)).await.unwrap();
        assert_ne!(bytes, 0, "closed after {read} bytes");
        read += bytes;
    }
    assert_eq!(service.running.gateway().admit.connections_open(), 1);
}

/// CONN-5: the ping lies behind data that a slow reader has not read yet, so that its reply takes much longer
/// than a reply may. It reads, and is not closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conn_5_slow_reader_of_a_backlog_is_not_closed_for_a_late_pong() {
    let limits = GatewayLimits {
        heartbeat_interval_ms: 50,
        pong_timeout_ms: 100,
        stall_timeout_ms: 3_000,
        unsent_bytes_max: 8 * 1024,
        ..GatewayLimits::DEFAULT
    };
    let mut service = TestService::with(limits).await;
    let mut slow = service.narrow("ada").await;
    slow.hello(json!({})).await;
    slow.message("m1", "flood me").await;
    let run = service.launched().await;
    for _ in 0..4 {
        think(&run.handle, &"x".repeat(60 * 1024)).await;
    }
    succeed(&run.handle).await;
    // Not one ping is answered meanwhile; each entry takes six times as long as a reply may.
    let MaybeTlsStream::Plain(socket) = slow.ws.get_mut() else { panic!("plain text") };
    let (mut pace, mut read) = (tokio::time::interval(Duration::from_millis(20)), 0);
    let mut buffer = [0; 2 * 1024];
    while read < 200 * 1024 {
        pace.tick().await;
        let bytes = soon("bytes", socket.read(&mut buffer)).await.unwrap();
        assert_ne!(bytes, 0, "closed after {read} bytes");
        read += bytes;
    }
    assert_eq!(service.running.gateway().admit.connections_open(), 1);
    // From here on it does not even read: it is closed, despite the rest of its backlog.
    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.connections_open() == 0).await;
}

/// ISO-5: with the last connection gone, the user's machines are gone.
#[tokio::test]
async fn iso_5_machines_of_a_user_go_with_the_last_connection() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    service.answer("y").await;
    client.until("agent_completed").await;
    let gateway = service.running.gateway().clone();
    assert_eq!((gateway.factory.live_users(), gateway.admit.connections_open()), (1, 1));
    client.ws.close(None).await.unwrap();
    until(|| (gateway.factory.live_users(), gateway.admit.connections_open()) == (0, 0)).await;
}
