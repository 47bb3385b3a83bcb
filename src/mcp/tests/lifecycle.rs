//! Starts, calls, lists, failures and stops.

use std::time::Duration;

use quintet_agent::{Json, tool::ToolSource};
use serde_json::json;
use tokio::join;

use super::fake::{Peers, Run, run, start, start_in, text, tools};
use crate::ServerState;

fn names(server: &crate::McpServer) -> Vec<String> {
    server.tools().iter().map(|tool| tool.name().to_owned()).collect()
}

#[test]
fn tools_are_listed_by_pages_and_called() {
    run(async {
        let (server, mut peers) = start(json!({"call_timeout_ms": 7}));
        let mut peer = peers.next().await;
        let initialize = peer.expect("initialize").await;
        let capabilities = &initialize["params"]["capabilities"];
        assert_eq!(*capabilities, json!({"elicitation": {"form": {}}}));
        peer.reply(
            &initialize,
            json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
        )
        .await;
        let list = peer.expect("tools/list").await;
        peer.reply(&list, json!({"tools": tools(&["a"]), "nextCursor": "2"})).await;
        let list = peer.expect("tools/list").await;
        assert_eq!(list["params"]["cursor"], "2");
        peer.reply(&list, json!({"tools": tools(&["b"])})).await;
        assert_eq!(server.tried().await, ServerState::Ready);
        assert_eq!(names(&server), ["s/a", "s/b"]);
        assert_eq!(server.tools()[0].call_timeout_ms(), 7);

        let (caller, _seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            assert_eq!(call["params"]["name"], "a");
            assert_eq!(call["params"]["arguments"], json!({"a": 1}));
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));

        let (result, ()) = join!(caller.call(&server, "b"), async {
            let call = peer.call().await;
            let error = json!({"code": -32602, "message": "b needs c"});
            peer.send(json!({"jsonrpc": "2.0", "id": call["id"], "error": error})).await;
        });
        assert_eq!(result, Err("the MCP server refused the call: b needs c".to_owned()));
        server.stop().await;
        assert_eq!(peer.read().await.map(|message| message["method"].clone()), None);
    });
}

#[test]
fn a_list_is_followed_when_it_changes() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let mut changed = server.tools_changed();
        changed.mark_unchanged();
        peer.notify("notifications/tools/list_changed", json!({})).await;
        peer.list(tools(&["b", "c"])).await;
        changed.changed().await.unwrap();
        assert_eq!(names(&server), ["s/b", "s/c"]);
    });
}

#[test]
fn a_flood_of_changes_makes_few_lists() {
    run(async {
        let (server, mut peers) = start(json!({"list_pause_ms": 600_000}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        for _ in 0..10_000 {
            peer.notify("notifications/tools/list_changed", json!({})).await;
        }
        let (caller, _seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            // No list comes before the call.
            let call = peer.read().await.unwrap();
            assert_eq!(call["method"], "tools/call");
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));
    });
}

#[test]
fn a_server_that_is_down_keeps_its_tools_and_refuses_calls_at_once() {
    run(async {
        let (server, mut peers) =
            start(json!({"restart_pause_ms": 600_000, "restart_pause_max_ms": 600_000}));
        let peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        drop(peer);
        assert_eq!(server.reached(|state| state == ServerState::BackingOff).await, ServerState::BackingOff);
        assert_eq!(names(&server), ["s/a"]);
        let (caller, _seen) = Run::of(1);
        let refused = "the MCP server s is not reachable: it is down and will be started again";
        assert_eq!(caller.call(&server, "a").await, Err(refused.to_owned()));
    });
}

#[test]
fn a_server_that_stops_in_mid_call_closes_the_call_and_is_started_again() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let (caller, _seen) = Run::of(1);
        for _ in 0..3 {
            let mut peer = peers.ready(tools(&["a"])).await;
            server.reached(|state| state == ServerState::Ready).await;
            let (result, ()) = join!(caller.call(&server, "a"), async {
                peer.call().await;
                drop(peer);
            });
            assert_eq!(result, Err("the MCP server stopped during the call".to_owned()));
        }
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, _seen) = Run::of(1);
        let mut call = Box::pin(caller.call(&server, "a"));
        let request = tokio::select! {
            request = peer.call() => request,
            result = &mut call => panic!("{result:?}"),
        };
        drop(call);
        let cancelled = peer.expect("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], request["id"]);
        // A late result changes nothing; the next call is answered by its own.
        peer.reply(&request, text("late")).await;
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            peer.reply(&call, text("in time")).await;
        });
        assert_eq!(result, Ok(json!("in time")));
    });
}

/// Answers each next connection until it ends. On a busy machine, a start may be given up in the middle of the handshake, and
/// another one follows.
async fn play(peers: &mut Peers) {
    let initialized = json!({
        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "fake", "version": "1"},
    });
    loop {
        let mut peer = peers.next().await;
        while let Some(request) = peer.read().await {
            let result = match request["method"].as_str() {
                Some("initialize") => &initialized,
                Some("tools/list") => &json!({"tools": tools(&["a"])}),
                _ => continue,
            };
            let response = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
            // Fails if the start was given up meanwhile.
            let _late = peer.raw(format!("{response}\n").as_bytes()).await;
        }
    }
}

#[test]
fn a_silent_server_is_given_up_and_tried_again() {
    run(async {
        let (server, mut peers) = start(json!({"start_timeout_ms": 50}));
        let silent = peers.next().await;
        assert_ne!(server.tried().await, ServerState::Ready);
        drop(silent);
        tokio::select! {
            state = server.reached(|state| state == ServerState::Ready) => assert_eq!(state, ServerState::Ready),
            () = play(&mut peers) => {}
        }
        assert_eq!(names(&server), ["s/a"]);
    });
}

#[test]
fn the_newest_revision_is_tried_first_and_the_handshake_is_the_fallback() {
    run(async {
        let (server, mut peers) = start_in("auto", json!({}));
        let mut peer = peers.next().await;
        let discover = peer.expect("server/discover").await;
        let error = json!({"code": -32601, "message": "unknown"});
        peer.send(json!({"jsonrpc": "2.0", "id": discover["id"], "error": error})).await;
        peer.handshake(tools(&["a"])).await;
        assert_eq!(server.tried().await, ServerState::Ready);

        // A server that the first request ends is started again at once, with the handshake alone.
        let (server, mut peers) = start_in("auto", json!({}));
        let mut peer = peers.next().await;
        peer.expect("server/discover").await;
        drop(peer);
        let mut peer = peers.ready(tools(&["a"])).await;
        assert_eq!(server.tried().await, ServerState::Ready);
        // It is not asked again.
        peer.raw(b"").await.unwrap();
        drop(peer);
        let _peer = peers.ready(tools(&["a"])).await;
        assert_eq!(server.reached(|state| state == ServerState::Ready).await, ServerState::Ready);
    });
}

#[test]
fn a_server_that_ignores_the_newest_revision_gets_the_handshake_next() {
    run(async {
        let (_server, mut peers) = start_in("auto", json!({"start_timeout_ms": 50}));
        let mut seen = Vec::new();
        for expected in ["server/discover", "initialize"].into_iter().cycle() {
            let mut silent = peers.next().await;
            // On a busy machine, a start may be given up before its first request.
            if let Some(request) = silent.read().await {
                assert_eq!(request["method"], expected);
                seen.push(expected);
            }
            if seen.ends_with(&["server/discover", "initialize"]) {
                return;
            }
            // Until it is given up.
            while silent.read().await.is_some() {}
        }
    });
}

#[test]
fn iso_6_more_calls_than_the_limits_are_refused() {
    run(async {
        let (server, mut peers) = start(json!({"calls_max": 2, "user_calls_max": 1}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let [ada, bob, eve] = [1, 2, 3].map(|owner| Run::of(owner).0);
        let mut first = Box::pin(ada.call(&server, "a"));
        let one = tokio::select! {
            request = peer.call() => request,
            result = &mut first => panic!("{result:?}"),
        };
        assert_eq!(ada.call(&server, "a").await, Err("the MCP server is busy with 1 calls".to_owned()));
        let mut second = Box::pin(bob.call(&server, "a"));
        let two = tokio::select! {
            request = peer.call() => request,
            result = &mut second => panic!("{result:?}"),
        };
        assert_eq!(eve.call(&server, "a").await, Err("the MCP server is busy with 2 calls".to_owned()));
        peer.reply(&two, text("two")).await;
        peer.reply(&one, text("one")).await;
        assert_eq!((first.await, second.await), (Ok(json!("one")), Ok(json!("two"))));
    });
}

/// A call that timed out does not keep its place until the server has taken its cancellation.
#[test]
fn iso_6_calls_that_timed_out_at_a_server_that_reads_nothing_give_their_places_back() {
    run(async {
        let (server, mut peers) = start(json!({"call_timeout_ms": 1}));
        let peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, _seen) = Run::of(1);
        let tool = server.tool("a");
        // More than the connection holds, so that the server has to read before it gets anything else.
        let long = json!({"a": "x".repeat(2 * super::DUPLEX_BYTES)}).to_string();
        let long = Json::parse(&long).unwrap();
        for parameters in std::iter::once(long).chain(std::iter::repeat_n(Json::empty_object(), 64)) {
            let call = tool.call(&parameters, &caller);
            let result = tokio::time::timeout(Duration::from_millis(5), call).await;
            assert!(result.is_err(), "the call is not on its way: {result:?}");
        }
        drop(peer);
    });
}

#[test]
fn a_stop_closes_open_calls() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let tool = server.tool("a");
        let (caller, _seen) = Run::of(1);
        let parameters = Json::empty_object();
        let (result, ()) = join!(tool.call(&parameters, &caller), async {
            peer.call().await;
            server.stop().await;
        });
        assert_eq!(result.unwrap_err().user_message(), "the MCP server stopped during the call");
        let refused = "the MCP server s is not reachable: it is stopped";
        assert_eq!(tool.call(&parameters, &caller).await.unwrap_err().user_message(), refused);
    });
}

#[test]
fn progress_is_passed_on() {
    run(async {
        let (server, mut peers) = start(json!({"progress_max": 2}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            let token = call["params"]["_meta"]["progressToken"].clone();
            for (token, message) in [(json!(99), "not mine"), (token.clone(), "one"), (token.clone(), "two")]
            {
                let params = json!({"progressToken": token, "progress": 1, "message": message});
                peer.notify("notifications/progress", params).await;
                if message != "not mine" {
                    assert_eq!(seen.progress.recv().await.unwrap(), format!("{message}\n"));
                }
            }
            peer.notify("notifications/progress", json!({"progressToken": token, "progress": 3})).await;
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));
        assert!(seen.progress.try_recv().is_err());
    });
}

/// The last report of a call is passed on, even if it comes together with the result.
#[test]
fn progress_comes_before_the_result() {
    run(async {
        let (server, mut peers) = start(json!({"progress_pause_ms": 60_000}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            let token = call["params"]["_meta"]["progressToken"].clone();
            for message in ["one", "two", "three"] {
                let params = json!({"progressToken": token, "progress": 1, "message": message});
                peer.notify("notifications/progress", params).await;
            }
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));
        let reports: Vec<String> = std::iter::from_fn(|| seen.progress.try_recv().ok()).collect();
        assert!(reports.len() <= 2 && reports.last().is_some_and(|last| last == "three\n"), "{reports:?}");
    });
}

/// A run waits for the first start of a server, and not for the ones after a failure.
#[test]
fn the_first_start_is_waited_for_and_no_other() {
    run(async {
        let (server, mut peers) = start(json!({"start_timeout_ms": 60_000}));
        let mut peer = peers.next().await;
        let prepared = tokio::select! {
            biased;
            () = server.prepare() => true,
            _ = peer.expect("initialize") => false,
        };
        assert!(!prepared, "the server is not started yet");
        drop(peer);
        server.prepare().await;
        let mut silent = peers.next().await;
        silent.expect("initialize").await;
        assert_eq!(server.state(), ServerState::Connecting);
        server.prepare().await;
    });
}
