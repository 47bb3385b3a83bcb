//! The server's wall clock is set while the service runs: the permitted effects, and the forbidden ones.
//! `docs/testing.md` lists the guarantees.

use quintet::ops::config::Settings;
use serde_json::json;

use crate::{
    client::{Ended, Pass, request},
    device::TOKEN_LIFE_MS,
    scenario::{Actor, Scenario},
};

const HOUR_MS: i64 = 3_600_000;

/// Interval at which the gateway checks the wall clock.
const WALL_CHECK_MS_MAX: u64 = 30_000;

fn scenario() -> Scenario<'static> {
    Scenario::new(Settings::default(), 1_024)
}

async fn ticket(actor: &Actor) -> Pass {
    let token = actor.token(TOKEN_LIFE_MS);
    let (status, issued) = request("POST", "/v1/tickets", &token, None).await.unwrap();
    assert_eq!(status, 201, "{issued}");
    Pass::Query(issued["ticket"].as_str().unwrap().to_owned())
}

#[test]
fn auth_2_clock_set_back_does_not_extend_a_ticket() {
    for wait_ms in [0, 10_000, 31_000] {
        let mut scenario = scenario();
        let actor = scenario.actor("ann", "device", move |actor| async move {
            let old = ticket(&actor).await;
            actor.mark(1);
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms + 1_000)).await;
            assert_eq!(actor.open_with(&old).await.err(), Some(Ended::Refused(401)), "{wait_ms}");
            let fresh = ticket(&actor).await;
            actor.open_with(&fresh).await.unwrap().leave().await;
            actor.mark(2);
        });
        scenario.reach(&actor, 1, 1_000);
        scenario.clock.set_clock(-HOUR_MS);
        scenario.reach(&actor, 2, wait_ms + 3_000);
    }
}

#[test]
fn auth_2_ticket_lives_exactly_its_time() {
    for (wait_ms, lives) in [(29_000, true), (31_000, false)] {
        let mut scenario = scenario();
        let actor = scenario.actor("ann", "device", move |actor| async move {
            let pass = ticket(&actor).await;
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
            assert_eq!(actor.open_with(&pass).await.is_ok(), lives, "{wait_ms}");
            actor.mark(1);
        });
        scenario.reach(&actor, 1, 40_000);
    }
}

#[test]
fn auth_3_clock_set_past_the_expiry_ends_the_connection_within_the_documented_time() {
    let mut scenario = scenario();
    let actor = scenario.actor("ann", "device", |actor| async move {
        let pass = Pass::Header(actor.token(HOUR_MS as u64));
        let mut client = actor.open_with(&pass).await.unwrap();
        actor.mark(1);
        let ended = loop {
            if let Err(ended) = client.receive().await {
                break ended;
            }
        };
        assert!(matches!(ended, Ended::Closed { code: 4401, .. }), "{ended:?}");
        actor.mark(2);
    });
    scenario.reach(&actor, 1, 1_000);
    scenario.go_on(20_000);
    scenario.clock.set_clock(2 * HOUR_MS);
    scenario.reach(&actor, 2, WALL_CHECK_MS_MAX + 100);
}

#[test]
fn auth_3_connection_follows_the_wall_clock_when_that_is_set_back() {
    let mut scenario = scenario();
    let actor = scenario.actor("ann", "device", |actor| async move {
        let pass = Pass::Header(actor.token(60_000));
        let mut client = actor.open_with(&pass).await.unwrap();
        actor.mark(1);
        while client.receive().await.is_ok() {}
        actor.mark(2);
    });
    scenario.reach(&actor, 1, 1_000);
    scenario.clock.set_clock(-HOUR_MS);
    scenario.go_on(120_000);
    assert_eq!(actor.reached.get(), 1, "its token is valid for another hour by that clock");
    scenario.clock.set_clock(0);
    scenario.reach(&actor, 2, WALL_CHECK_MS_MAX + 100);
}

#[test]
fn setting_the_clock_ends_no_run_and_no_question() {
    for by_ms in [3 * HOUR_MS, -3 * HOUR_MS, 40 * HOUR_MS] {
        let mut scenario = scenario();
        let actor = scenario.actor("ann", "device", |actor| async move {
            let mut client = actor.open().await.unwrap();
            // Longer than the interval at which deadlines are checked.
            let steps = json!([{"think": "hm", "repeat": 100, "interval_ms": 1_000}, {"answer": "done"}]);
            actor.rehearse(&mut client, "m-1", steps).await;
            let ask = json!([{"ask": {"call_id": "q", "tool_name": "approve", "parameters": {}}}]);
            actor.rehearse(&mut client, "m-2", ask).await;
            while actor.ledger.borrow().waiting.is_empty() {
                client.receive().await.unwrap();
            }
            actor.mark(1);
            while actor.ledger.borrow().running.len() > 1 {
                client.receive().await.unwrap();
            }
            let (run_id, call_id) = actor.ledger.borrow().waiting.first().cloned().expect("it still waits");
            let answer = json!({"status": "ok", "results": 1, "error": null});
            actor.ledger.borrow_mut().asks.insert((run_id.clone(), call_id.clone()), vec![answer]);
            let frame = json!({"type": "complete_call", "run_id": run_id, "call_id": call_id,
                "status": "ok", "results": 1});
            client.send(&frame).await.unwrap();
            actor.receive_out(&mut client).await;
            actor.mark(2);
        });
        scenario.reach(&actor, 1, 1_000);
        scenario.clock.set_clock(by_ms);
        scenario.reach(&actor, 2, 110_000);
        assert_eq!(scenario.judge(&actor).runs, 2, "{by_ms}");
    }
}

#[test]
fn entry_times_never_go_back_with_the_clock_even_over_restarts() {
    let mut scenario = scenario();
    let actor = scenario.actor("ann", "device", |actor| async move {
        for (life, message_id) in [(1, "m-1"), (2, "m-2"), (3, "m-3")] {
            let mut client = loop {
                match actor.open().await {
                    Ok(client) => break client,
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                }
            };
            actor.rehearse(&mut client, message_id, json!([{"answer": "hi"}])).await;
            actor.receive_out(&mut client).await;
            actor.mark(life);
            while client.receive().await.is_ok() {}
        }
    });
    scenario.reach(&actor, 1, 1_000);
    scenario.clock.set_clock(-HOUR_MS);
    scenario.crash();
    scenario.reach(&actor, 2, 2_000);
    scenario.crash();
    scenario.reach(&actor, 3, 2_000);
    // The verdict checks the times of all entries.
    assert_eq!(scenario.judge(&actor).runs, 3);
}
