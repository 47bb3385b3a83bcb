//! Lines of a server over its standard output that are cut, split and delayed at each byte: a call has its result or an error,
//! never another result, and is made once (RUN-9); a start is whole, or another one follows.

use quintet_agent::tool::ToolSource;
use serde_json::{Value, json};
use tokio::{join, time::sleep};

use super::fake::{Peer, Run, run, start, text, tools};
use crate::ServerState;

/// The line of a result. Its length does not depend on the number of the request.
fn line(request: &Value, result: &Value) -> Vec<u8> {
    let id = request["id"].to_string();
    let pad = " ".repeat(8 - id.len());
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{pad}\"result\":{result}}}\n").into_bytes()
}

fn initialized() -> Value {
    json!({
        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "fake", "version": "ü"},
    })
}

/// Sends a line in two packets.
async fn split(peer: &mut Peer, line: &[u8], at: usize) {
    let (first, second) = line.split_at(at);
    peer.raw(first).await.unwrap();
    sleep(std::time::Duration::from_millis(1)).await;
    peer.raw(second).await.unwrap();
}

#[test]
fn run_9_a_result_is_cut_at_each_byte() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let (caller, _seen) = Run::of(1);
        let length = line(&json!({"id": 1}), &text("dön€")).len();
        for at in 0..=length {
            let mut peer = peers.ready(tools(&["a"])).await;
            server.reached(|state| state == ServerState::Ready).await;
            let tool = format!("t{at}");
            let (result, ()) = join!(caller.call(&server, &tool), async {
                let call = peer.call().await;
                // No call of an earlier connection is made again.
                assert_eq!(call["params"]["name"], tool.as_str());
                peer.raw(&line(&call, &text("dön€"))[..at]).await.unwrap();
                drop(peer);
            });
            match result {
                // Without its end, a line may be taken if it is whole.
                Ok(result) => assert!(at >= length - 1 && result == json!("dön€"), "byte {at}: {result}"),
                Err(error) => {
                    assert!(at < length, "byte {at}: {error}");
                    assert_eq!(error, "the MCP server stopped during the call", "byte {at}");
                }
            }
        }
    });
}

#[test]
fn a_line_is_split_and_delayed_at_each_byte() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.next().await;
        let initialize = peer.expect("initialize").await;
        let first = line(&initialize, &initialized());
        split(&mut peer, &first, first.len() / 2).await;
        peer.list(tools(&["a"])).await;
        assert_eq!(server.tried().await, ServerState::Ready);
        let (caller, _seen) = Run::of(1);
        let length = line(&json!({"id": 1}), &text("dön€")).len();
        for at in 0..=length {
            let (result, ()) = join!(caller.call(&server, "a"), async {
                let call = peer.call().await;
                split(&mut peer, &line(&call, &text("dön€")), at).await;
            });
            assert_eq!(result, Ok(json!("dön€")), "byte {at}");
        }
        // In packets of one byte.
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            for byte in line(&call, &text("dön€")) {
                peer.raw(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(result, Ok(json!("dön€")));
    });
}

#[test]
fn a_start_is_cut_at_each_byte() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let length = line(&json!({"id": 1}), &initialized()).len();
        for at in 0..length - 1 {
            let mut peer = peers.next().await;
            let initialize = peer.expect("initialize").await;
            peer.raw(&line(&initialize, &initialized())[..at]).await.unwrap();
        }
        let list = json!({"tools": tools(&["a", "b"])});
        let length = line(&json!({"id": 1}), &list).len();
        for at in 0..length - 1 {
            let mut peer = peers.next().await;
            let initialize = peer.expect("initialize").await;
            peer.raw(&line(&initialize, &initialized())).await.unwrap();
            let request = peer.expect("tools/list").await;
            peer.raw(&line(&request, &list)[..at]).await.unwrap();
            assert_ne!(server.state(), ServerState::Ready, "byte {at}");
        }
        assert_eq!(server.tried().await, ServerState::BackingOff);
        assert!(server.tools().is_empty());
        let _peer = peers.ready(tools(&["a"])).await;
        server.reached(|state| state == ServerState::Ready).await;
        assert_eq!(server.tools().len(), 1);
    });
}
