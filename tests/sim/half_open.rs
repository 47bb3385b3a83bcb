//! Peers that are gone, completely or one way: found within the documented time, with the default limits
//! (CONN-5, CONN-6, ISO-5). Simulated time costs nothing, so no limit is shortened.

use std::time::Duration;

use quintet::{gateway::limits::GatewayLimits, ops::config::Settings};
use serde_json::json;

use crate::{
    client::{Client, Ended, Pass, Resume},
    device::TOKEN_LIFE_MS,
    scenario::{Actor, Scenario},
    server::{PORT, SERVER},
};

const LIMITS: GatewayLimits = GatewayLimits::DEFAULT;

/// The documented bound: a ping every `heartbeat_interval_ms`, and `pong_timeout_ms` for its pong.
const FOUND_MS_MAX: u64 = LIMITS.heartbeat_interval_ms + LIMITS.pong_timeout_ms;

fn scenario(segments_max: usize) -> Scenario<'static> {
    Scenario::new(Settings::default(), segments_max)
}

/// A cut of the link: both ways, or one of them.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Both,
    ToServer,
    ToClient,
    /// Nothing is lost, and nothing arrives.
    Held,
}

impl Cut {
    fn apply(self, scenario: &Scenario) {
        match self {
            Cut::Both => scenario.sim.partition("device", SERVER),
            Cut::ToServer => scenario.sim.partition_oneway("device", SERVER),
            Cut::ToClient => scenario.sim.partition_oneway(SERVER, "device"),
            Cut::Held => scenario.sim.hold("device", SERVER),
        }
    }
}

const CUTS: [Cut; 4] = [Cut::Both, Cut::ToServer, Cut::ToClient, Cut::Held];

/// Keeps its connection and sends nothing but pongs.
async fn listen(actor: Actor) {
    let mut client = actor.open().await.unwrap();
    actor.mark(1);
    while client.receive_patiently().await.is_ok() {}
    actor.mark(2);
    std::future::pending::<()>().await;
}

#[test]
fn conn_5_half_open_peer_is_found_within_the_documented_time_for_either_half() {
    for cut in CUTS {
        for after_ms in [0, 12_000, 24_990, 25_010, 70_000] {
            let mut scenario = scenario(1_024);
            let actor = scenario.actor("ann", "device", listen);
            scenario.reach(&actor, 1, 1_000);
            scenario.go_on(after_ms);
            assert_eq!(
                (scenario.connections_open(), scenario.live_users()),
                (1, 1),
                "{cut:?} after {after_ms}"
            );
            cut.apply(&scenario);
            let what = format!("{cut:?} after {after_ms}");
            scenario.until(&what, FOUND_MS_MAX, |scenario| scenario.connections_open() == 0);
            // The user's machines go with the last connection (ISO-5).
            assert_eq!(scenario.live_users(), 0, "{cut:?} after {after_ms}");
        }
    }
}

#[test]
fn conn_5_healthy_peer_is_not_closed() {
    let mut scenario = scenario(1_024);
    let actor = scenario.actor("ann", "device", listen);
    scenario.reach(&actor, 1, 1_000);
    scenario.go_on(600_000);
    assert_eq!((scenario.connections_open(), actor.reached.get()), (1, 1));
}

#[test]
fn conn_5_link_cut_for_less_than_the_documented_time_ends_no_connection() {
    let mut scenario = scenario(1_024);
    let actor = scenario.actor("ann", "device", listen);
    scenario.reach(&actor, 1, 1_000);
    scenario.go_on(24_000);
    scenario.sim.hold("device", SERVER);
    scenario.go_on(LIMITS.pong_timeout_ms);
    scenario.sim.release("device", SERVER);
    scenario.go_on(100_000);
    assert_eq!((scenario.connections_open(), actor.reached.get()), (1, 1));
}

#[test]
fn conn_5_stalled_peer_is_closed_within_the_documented_time_and_then_gets_everything() {
    let mut scenario = scenario(8);
    let actor = scenario.actor("ann", "device", |actor| async move {
        let mut client = actor.open().await.unwrap();
        let steps = json!([{"think": "x".repeat(900), "repeat": 2_000}, {"answer": "done"}]);
        actor.rehearse(&mut client, "m-1", steps).await;
        actor.mark(1);
        // Reads nothing until long after it was closed.
        tokio::time::sleep(Duration::from_secs(60)).await;
        while client.receive().await.is_ok() {}
        let mut client = actor.open().await.unwrap();
        actor.receive_out(&mut client).await;
        actor.mark(2);
    });
    scenario.reach(&actor, 1, 1_000);
    scenario.until("the backlog", 2_000, |scenario| {
        scenario.place.gateway().is_some_and(|it| it.factory.active_runs() == 0)
    });
    let took_ms = scenario
        .until("a stalled peer", LIMITS.stall_timeout_ms, |scenario| scenario.connections_open() == 0);
    assert!(took_ms > LIMITS.stall_timeout_ms / 2, "it was closed too early: {took_ms}");
    scenario.reach(&actor, 2, 120_000);
    assert_eq!(scenario.judge(&actor).runs, 1);
}

#[test]
fn conn_1_peer_without_hello_is_closed_within_the_documented_time() {
    let mut scenario = scenario(1_024);
    let actor = scenario.actor("ann", "device", |actor| async move {
        let token = actor.token(TOKEN_LIFE_MS);
        let resume = Resume { epoch: None, after: 0 };
        let pass = Pass::Header(token);
        let _client = Client::upgrade(&actor.clock, "ann", &actor.ledger, &pass, &resume).await.unwrap();
        actor.mark(1);
        std::future::pending::<()>().await;
    });
    scenario.reach(&actor, 1, 1_000);
    Cut::Both.apply(&scenario);
    let tasks = |scenario: &Scenario| scenario.place.gateway().map_or(0, |gateway| gateway.tasks.len());
    let idle = tasks(&scenario) - 1;
    let bound_ms = LIMITS.hello_timeout_ms + LIMITS.ws_close_timeout_ms;
    scenario.until("a peer without a hello", bound_ms, |scenario| tasks(scenario) == idle);
}

#[test]
fn peer_without_a_whole_request_is_closed_within_the_documented_time() {
    let mut scenario = scenario(1_024);
    let actor = scenario.actor("ann", "device", |actor| async move {
        use tokio::io::AsyncWriteExt;
        let mut socket = turmoil::net::TcpStream::connect((SERVER, PORT)).await.unwrap();
        socket.write_all(b"GET /v1/ws HTTP/1.1\r\nhost: qui").await.unwrap();
        actor.mark(1);
        std::future::pending::<()>().await;
    });
    scenario.reach(&actor, 1, 1_000);
    scenario.go_on(100);
    let tasks = |scenario: &Scenario| scenario.place.gateway().map_or(0, |gateway| gateway.tasks.len());
    let idle = tasks(&scenario) - 1;
    Cut::Both.apply(&scenario);
    scenario.until("half a request", LIMITS.request_header_timeout_ms, |scenario| tasks(scenario) == idle);
}

#[test]
fn conn_6_drain_ends_in_time_with_a_device_cut_off_and_nothing_is_lost() {
    for cut in CUTS {
        for drain_after_ms in [0, 50, 5_000] {
            let mut scenario = scenario(1_024);
            let far = scenario.actor("ann", "device", |actor| async move {
                let mut client = actor.open().await.unwrap();
                let steps = json!([{"think": "hm", "repeat": 40, "interval_ms": 100}, {"answer": "done"}]);
                actor.rehearse(&mut client, "m-1", steps).await;
                actor.mark(1);
                while actor.ledger.borrow().open() > 0 {
                    if client.receive().await.is_err() {
                        client = loop {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                            if let Ok(client) = actor.open().await {
                                break client;
                            }
                        };
                        let unanswered = actor.ledger.borrow().unanswered.clone();
                        for message_id in unanswered {
                            let again = actor.ledger.borrow_mut().sends_again(&message_id).unwrap();
                            let _ = client.send(&again).await;
                        }
                    }
                }
                actor.mark(2);
            });
            let near = scenario.actor("bob", "near", |actor| async move {
                let mut client = actor.open().await.unwrap();
                actor.mark(1);
                let ended = loop {
                    if let Err(ended) = client.receive().await {
                        break ended;
                    }
                };
                assert!(matches!(ended, Ended::Closed { code: 1012, .. }), "{ended:?}");
                actor.mark(2);
            });
            scenario.reach(&far, 1, 1_000);
            scenario.reach(&near, 1, 1_000);
            scenario.go_on(100);
            cut.apply(&scenario);
            scenario.go_on(drain_after_ms);
            scenario.place.drain();
            let bound_ms = LIMITS.drain_timeout_ms
                + LIMITS.drain_flush_timeout_ms
                + LIMITS.drain_close_timeout_ms
                + 1_000;
            scenario.until("the drain", bound_ms, |scenario| !scenario.place.drained().is_empty());
            let (drained, took) = scenario.place.drained()[0];
            assert!(drained.runs_quiesced, "{cut:?}: a run does not wait for its reader: {took:?}");
            scenario.reach(&near, 2, 1_000);
            scenario.crash();
            scenario.sim.release("device", SERVER);
            scenario.reach(&far, 2, 60_000);
            assert_eq!(scenario.judge(&far).runs, 1, "{cut:?}");
        }
    }
}
