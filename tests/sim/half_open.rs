//! Peers that are gone, completely or one way: found within the documented time, with the default limits
//! (CONN-5, CONN-6, ISO-5). Simulated time costs nothing, so no limit is shortened.

use std::time::Duration;

use quintet::{gateway::limits::GatewayLimits, ops::config::Settings};
use serde_json::json;

use crate::{
    client::{Client, Ended, Pass, Resume},
    device::TOKEN_LIFE_MS,
    scene::{Actor, Scene},
    server::{PORT, SERVER},
};

const LIMITS: GatewayLimits = GatewayLimits::DEFAULT;

/// The documented bound: a ping every `heartbeat_ms`, and `pong_wait_ms_max` for its pong.
const FOUND_MS_MAX: u64 = LIMITS.heartbeat_ms + LIMITS.pong_wait_ms_max;

fn scene(segments_max: usize) -> Scene<'static> {
    Scene::new(Settings::default(), segments_max)
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
    fn apply(self, scene: &Scene) {
        match self {
            Cut::Both => scene.sim.partition("device", SERVER),
            Cut::ToServer => scene.sim.partition_oneway("device", SERVER),
            Cut::ToClient => scene.sim.partition_oneway(SERVER, "device"),
            Cut::Held => scene.sim.hold("device", SERVER),
        }
    }
}

const CUTS: [Cut; 4] = [Cut::Both, Cut::ToServer, Cut::ToClient, Cut::Held];

/// Keeps its connection and sends nothing but pongs.
async fn listen(actor: Actor) {
    let mut client = actor.open().await.unwrap();
    actor.mark(1);
    while client.hear_patiently().await.is_ok() {}
    actor.mark(2);
    std::future::pending::<()>().await;
}

#[test]
fn conn_5_half_open_peer_is_found_within_the_documented_time_for_either_half() {
    for cut in CUTS {
        for after_ms in [0, 12_000, 24_990, 25_010, 70_000] {
            let mut scene = scene(1_024);
            let actor = scene.actor("ann", "device", listen);
            scene.reach(&actor, 1, 1_000);
            scene.go_on(after_ms);
            assert_eq!((scene.connections_open(), scene.live_users()), (1, 1), "{cut:?} after {after_ms}");
            cut.apply(&scene);
            let what = format!("{cut:?} after {after_ms}");
            scene.until(&what, FOUND_MS_MAX, |scene| scene.connections_open() == 0);
            // The user's machines go with the last connection (ISO-5).
            assert_eq!(scene.live_users(), 0, "{cut:?} after {after_ms}");
        }
    }
}

#[test]
fn conn_5_healthy_peer_is_not_closed() {
    let mut scene = scene(1_024);
    let actor = scene.actor("ann", "device", listen);
    scene.reach(&actor, 1, 1_000);
    scene.go_on(600_000);
    assert_eq!((scene.connections_open(), actor.reached.get()), (1, 1));
}

#[test]
fn conn_5_link_cut_for_less_than_the_documented_time_ends_no_connection() {
    let mut scene = scene(1_024);
    let actor = scene.actor("ann", "device", listen);
    scene.reach(&actor, 1, 1_000);
    scene.go_on(24_000);
    scene.sim.hold("device", SERVER);
    scene.go_on(LIMITS.pong_wait_ms_max);
    scene.sim.release("device", SERVER);
    scene.go_on(100_000);
    assert_eq!((scene.connections_open(), actor.reached.get()), (1, 1));
}

#[test]
fn conn_5_stalled_peer_is_closed_within_the_documented_time_and_then_gets_everything() {
    let mut scene = scene(8);
    let actor = scene.actor("ann", "device", |actor| async move {
        let mut client = actor.open().await.unwrap();
        let steps = json!([{"think": "x".repeat(900), "repeat": 2_000}, {"answer": "done"}]);
        actor.rehearse(&mut client, "m-1", steps).await;
        actor.mark(1);
        // Reads nothing until long after it was closed.
        tokio::time::sleep(Duration::from_secs(60)).await;
        while client.hear().await.is_ok() {}
        let mut client = actor.open().await.unwrap();
        actor.hear_out(&mut client).await;
        actor.mark(2);
    });
    scene.reach(&actor, 1, 1_000);
    scene.until("the backlog", 2_000, |scene| {
        scene.place.gateway().is_some_and(|it| it.factory.moving_runs() == 0)
    });
    let took_ms =
        scene.until("a stalled peer", LIMITS.stall_wait_ms_max, |scene| scene.connections_open() == 0);
    assert!(took_ms > LIMITS.stall_wait_ms_max / 2, "it was closed too early: {took_ms}");
    scene.reach(&actor, 2, 120_000);
    assert_eq!(scene.judge(&actor).runs, 1);
}

#[test]
fn conn_1_peer_without_hello_is_closed_within_the_documented_time() {
    let mut scene = scene(1_024);
    let actor = scene.actor("ann", "device", |actor| async move {
        let token = actor.token(TOKEN_LIFE_MS);
        let resume = Resume { epoch: None, after: 0 };
        let pass = Pass::Header(token);
        let _client = Client::upgrade(&actor.sky, "ann", &actor.book, &pass, &resume).await.unwrap();
        actor.mark(1);
        std::future::pending::<()>().await;
    });
    scene.reach(&actor, 1, 1_000);
    Cut::Both.apply(&scene);
    let tasks = |scene: &Scene| scene.place.gateway().map_or(0, |gateway| gateway.tasks.len());
    let idle = tasks(&scene) - 1;
    let bound_ms = LIMITS.hello_wait_ms_max + LIMITS.farewell_wait_ms_max;
    scene.until("a peer without a hello", bound_ms, |scene| tasks(scene) == idle);
}

#[test]
fn peer_without_a_whole_request_is_closed_within_the_documented_time() {
    let mut scene = scene(1_024);
    let actor = scene.actor("ann", "device", |actor| async move {
        use tokio::io::AsyncWriteExt;
        let mut socket = turmoil::net::TcpStream::connect((SERVER, PORT)).await.unwrap();
        socket.write_all(b"GET /v1/ws HTTP/1.1\r\nhost: qui").await.unwrap();
        actor.mark(1);
        std::future::pending::<()>().await;
    });
    scene.reach(&actor, 1, 1_000);
    scene.go_on(100);
    let tasks = |scene: &Scene| scene.place.gateway().map_or(0, |gateway| gateway.tasks.len());
    let idle = tasks(&scene) - 1;
    Cut::Both.apply(&scene);
    scene.until("half a request", LIMITS.head_wait_ms_max, |scene| tasks(scene) == idle);
}

#[test]
fn conn_6_drain_ends_in_time_with_a_device_cut_off_and_nothing_is_lost() {
    for cut in CUTS {
        for drain_after_ms in [0, 50, 5_000] {
            let mut scene = scene(1_024);
            let far = scene.actor("ann", "device", |actor| async move {
                let mut client = actor.open().await.unwrap();
                let steps = json!([{"think": "hm", "repeat": 40, "interval_ms": 100}, {"answer": "done"}]);
                actor.rehearse(&mut client, "m-1", steps).await;
                actor.mark(1);
                while actor.book.borrow().open() > 0 {
                    if client.hear().await.is_err() {
                        client = loop {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                            if let Ok(client) = actor.open().await {
                                break client;
                            }
                        };
                        let unanswered = actor.book.borrow().unanswered.clone();
                        for message_id in unanswered {
                            let again = actor.book.borrow_mut().sends_again(&message_id).unwrap();
                            let _ = client.send(&again).await;
                        }
                    }
                }
                actor.mark(2);
            });
            let near = scene.actor("bob", "near", |actor| async move {
                let mut client = actor.open().await.unwrap();
                actor.mark(1);
                let ended = loop {
                    if let Err(ended) = client.hear().await {
                        break ended;
                    }
                };
                assert!(matches!(ended, Ended::Closed { code: 1012, .. }), "{ended:?}");
                actor.mark(2);
            });
            scene.reach(&far, 1, 1_000);
            scene.reach(&near, 1, 1_000);
            scene.go_on(100);
            cut.apply(&scene);
            scene.go_on(drain_after_ms);
            scene.place.drain();
            let bound_ms =
                LIMITS.drain_wait_ms_max + LIMITS.leave_wait_ms_max + LIMITS.close_wait_ms_max + 1_000;
            scene.until("the drain", bound_ms, |scene| !scene.place.drained().is_empty());
            let (drained, took) = scene.place.drained()[0];
            assert!(drained.runs_at_rest, "{cut:?}: a run does not wait for its reader: {took:?}");
            scene.reach(&near, 2, 1_000);
            scene.crash();
            scene.sim.release("device", SERVER);
            scene.reach(&far, 2, 60_000);
            assert_eq!(scene.judge(&far).runs, 1, "{cut:?}");
        }
    }
}
