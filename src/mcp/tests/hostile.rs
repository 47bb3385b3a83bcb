//! Servers that break the protocol, and floods.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::join;
use tracing::{Event, Subscriber, field, span};

use super::fake::{Run, run, start, text, tools};
use crate::ServerState;

#[test]
fn junk_between_messages_is_ignored() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.next().await;
        peer.raw(b"Listening on stdio\n\n{\"jsonrpc\":\"2.0\"\n\xff\xfe\n").await.unwrap();
        peer.handshake(tools(&["a"])).await;
        assert_eq!(server.tried().await, ServerState::Ready);
        let (caller, _seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            peer.raw(b"[1,2\n{\"a\":}\nnull\n").await.unwrap();
            // Answers to requests that were not made, and numbers of ids that are none of ours.
            peer.reply(&json!({"id": 4_000_000}), text("wrong")).await;
            peer.reply(&json!({"id": "x"}), text("wrong")).await;
            peer.reply(&json!({"id": -1}), text("wrong")).await;
            peer.send(json!({"jsonrpc": "2.0", "id": 1e300, "result": {}})).await;
            peer.send(json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "x"}})).await;
            peer.notify("notifications/progress", json!({"progressToken": [], "progress": "x"})).await;
            peer.notify("notifications/cancelled", json!({"requestId": call["id"]})).await;
            peer.reply(&call, text("right")).await;
            peer.reply(&call, text("again")).await;
        });
        assert_eq!(result, Ok(json!("right")));
    });
}

#[test]
fn a_line_without_end_ends_the_connection() {
    run(async {
        let (server, mut peers) = start(json!({"frame_bytes_max": 100_000}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, _seen) = Run::of(1);
        let (result, written) = join!(caller.call(&server, "a"), async {
            peer.call().await;
            let mut written = 0;
            while peer.raw(&[b'x'; 1_000]).await.is_ok() {
                written += 1_000;
            }
            written
        });
        assert_eq!(result, Err("the MCP server stopped during the call".to_owned()));
        // What was not read is in the buffers between the two.
        assert!(written <= 100_000 + 2 * super::DUPLEX_BYTES, "{written}");
        let _peer = peers.ready(tools(&["a"])).await;
        assert_eq!(server.reached(|state| state == ServerState::Ready).await, ServerState::Ready);
    });
}

#[test]
fn requests_whose_answers_are_not_read_end_the_connection() {
    run(async {
        let (server, mut peers) = start(json!({"requests_max": 10}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let ping = |id: u64| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
        let mut id = 0;
        while peer.raw(ping(id).as_bytes()).await.is_ok() {
            id += 1;
            assert!(id < 100_000, "the connection goes on");
        }
        let _peer = peers.ready(tools(&["a"])).await;
    });
}

#[test]
fn two_requests_of_one_id_end_the_connection() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            peer.call().await;
            let schema = json!({"type": "object", "properties": {}});
            let params = json!({"message": "m", "requestedSchema": schema});
            peer.request(1, "elicitation/create", params).await;
            let asked = seen.asks.recv().await.unwrap();
            peer.request(1, "ping", json!({})).await;
            while peer.read().await.is_some() {}
            drop(asked);
        });
        assert_eq!(result, Err("the MCP server stopped during the call".to_owned()));
    });
}

#[test]
fn a_list_that_is_none_is_a_failed_start() {
    run(async {
        let (server, mut peers) = start(json!({}));
        for list in [json!({}), json!({"tools": {}}), json!(7), json!({"tools": null})] {
            let mut peer = peers.next().await;
            let initialize = peer.expect("initialize").await;
            let info = json!({"name": "fake", "version": "1"});
            let result =
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info});
            peer.reply(&initialize, result).await;
            let request = peer.expect("tools/list").await;
            peer.reply(&request, list).await;
            while peer.read().await.is_some() {}
        }
        // A list with one good tool is a list.
        let _peer = peers
            .ready(json!([{"name": 1}, {"name": "a", "inputSchema": {"type": 3}}, tools(&["b"])[0]]))
            .await;
        server.reached(|state| state == ServerState::Ready).await;
        let listed: Vec<String> =
            server.tools_changed().borrow().iter().map(|tool| tool.name().to_owned()).collect();
        assert_eq!(listed, ["s/b"]);
    });
}

#[test]
fn pages_without_end_are_ended() {
    run(async {
        let (server, mut peers) = start(json!({"tools_max": 5}));
        let mut peer = peers.next().await;
        let initialize = peer.expect("initialize").await;
        let info = json!({"name": "fake", "version": "1"});
        let result =
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info});
        peer.reply(&initialize, result).await;
        let mut pages = 0;
        let endless = async {
            loop {
                let list = peer.expect("tools/list").await;
                pages += 1;
                peer.reply(&list, json!({"tools": [], "nextCursor": format!("c{pages}")})).await;
            }
        };
        tokio::select! {
            () = endless => {}
            state = server.tried() => assert_eq!(state, ServerState::Ready),
        }
        assert!(pages <= 6, "{pages}");
    });
}

/// Collects all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        event.record(&mut |field: &field::Field, value: &dyn std::fmt::Debug| {
            log.push_str(&format!("{field}={value:?} "));
        });
        log.push('\n');
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn auth_6_no_message_of_the_protocol_is_logged() {
    let log = Log::default();
    // For all threads, so that it is the one of the protocol library too if nothing else is set there.
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            let token = &call["params"]["_meta"]["progressToken"];
            let params = json!({"progressToken": token, "progress": 1, "message": "hunter2"});
            peer.notify("notifications/progress", params).await;
            peer.notify("notifications/message", json!({"level": "info", "data": "hunter2"})).await;
            let schema = json!({"type": "object", "properties": {}});
            let params = json!({"message": "hunter2", "requestedSchema": schema});
            peer.request(1, "elicitation/create", params).await;
            drop(seen.asks.recv().await.unwrap());
            peer.answer(1).await;
            peer.send(
                json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": 1, "message": "hunter2"}}),
            )
            .await;
        });
        assert!(result.unwrap_err().contains("hunter2"));
        server.stop().await;
    });
    let log = log.0.lock().unwrap();
    assert!(log.contains("an MCP server is ready"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
