//! Questions of a server to the client.

use quintet_agent::{Answer, Json};
use serde_json::{Value, json};
use tokio::join;

use super::fake::{Peer, Peers, Run, run, start, start_in, text, tools};
use crate::{McpServer, ServerState};

fn question() -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    json!({"mode": "form", "message": "Where to?", "requestedSchema": schema})
}

fn given() -> Answer {
    Answer::Given(Json::parse(r#"{"city": "Rome"}"#).unwrap())
}

#[test]
fn run_11_a_question_reaches_the_client_and_its_answer_the_server() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let answers = [
            (given(), json!({"action": "accept", "content": {"city": "Rome"}})),
            (Answer::Declined { reason: None }, json!({"action": "decline"})),
            (Answer::Unanswered { why: String::new() }, json!({"action": "cancel"})),
            (Answer::Failed { error: String::new() }, json!({"action": "cancel"})),
        ];
        for (answer, expected) in answers {
            let (result, ()) = join!(caller.call(&server, "a"), async {
                let call = peer.call().await;
                peer.request(5, "elicitation/create", question()).await;
                let (name, parameters, reply) = seen.asks.recv().await.unwrap();
                assert_eq!(name, "s/elicit");
                assert_eq!(parameters["message"], "Where to?");
                assert_eq!(parameters["tool"], "s/a");
                assert_eq!(parameters["requested_schema"]["required"], json!(["city"]));
                reply.send(answer).unwrap();
                assert_eq!(peer.answer(5).await["result"], expected);
                peer.reply(&call, text("done")).await;
            });
            assert_eq!(result, Ok(json!("done")));
        }
    });
}

#[test]
fn iso_2_a_question_that_may_be_another_users_is_refused() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let ((ada, mut ada_seen), (bob, mut bob_seen)) = (Run::of(1), Run::of(2));
        // Without a call there is no client to ask.
        peer.request(1, "elicitation/create", question()).await;
        assert_eq!(peer.answer(1).await["error"]["code"], -32602);
        let (first, second, ()) = join!(ada.call(&server, "a"), bob.call(&server, "a"), async {
            let calls = [peer.call().await, peer.call().await];
            peer.request(2, "elicitation/create", question()).await;
            assert_eq!(peer.answer(2).await["error"]["code"], -32602);
            for call in &calls {
                peer.reply(call, text("done")).await;
            }
        });
        assert_eq!((first, second), (Ok(json!("done")), Ok(json!("done"))));
        // Ada's call is cancelled, and the server may not have noticed; Bob is not asked in her place.
        {
            let mut call = Box::pin(ada.call(&server, "a"));
            tokio::select! {
                _ = peer.call() => {}
                result = &mut call => panic!("{result:?}"),
            }
        }
        peer.expect("notifications/cancelled").await;
        let (result, ()) = join!(bob.call(&server, "a"), async {
            let call = peer.call().await;
            peer.request(3, "elicitation/create", question()).await;
            assert_eq!(peer.answer(3).await["error"]["code"], -32602);
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));
        assert!(ada_seen.asks.try_recv().is_err() && bob_seen.asks.try_recv().is_err());
        // The server is started again, and then Bob is asked.
        let mut peer = peers.ready(tools(&["a"])).await;
        server.reached(|state| state == ServerState::Ready).await;
        let (result, ()) = join!(bob.call(&server, "a"), async {
            let call = peer.call().await;
            peer.request(4, "elicitation/create", question()).await;
            bob_seen.asks.recv().await.unwrap().2.send(given()).unwrap();
            assert_eq!(peer.answer(4).await["result"]["action"], "accept");
            peer.reply(&call, text("done")).await;
        });
        assert_eq!(result, Ok(json!("done")));
    });
}

#[test]
fn sampling_roots_and_unknown_requests_are_refused() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let message = json!({"role": "user", "content": {"type": "text", "text": "hello"}});
        peer.request(1, "sampling/createMessage", json!({"messages": [message], "maxTokens": 9})).await;
        assert_eq!(peer.answer(1).await["error"]["code"], -32601);
        peer.request(2, "roots/list", json!({})).await;
        assert_eq!(peer.answer(2).await["error"]["code"], -32601);
        peer.request(3, "something/else", json!({})).await;
        assert_eq!(peer.answer(3).await["error"]["code"], -32601);
        peer.request(4, "ping", json!({})).await;
        assert_eq!(peer.answer(4).await["result"], json!({}));
    });
}

/// Starts a server of revision 2026-07-28.
async fn modern(keys: Value) -> (McpServer, Peers, Peer) {
    let (server, mut peers) = start_in("2026-07-28", keys);
    let mut peer = peers.next().await;
    let discover = peer.expect("server/discover").await;
    let meta = &discover["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    peer.reply(&discover, json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "fake", "version": "1"}, "ttlMs": 0, "cacheScope": "private",
    }))
    .await;
    let list = peer.expect("tools/list").await;
    peer.reply(
        &list,
        json!({
            "resultType": "complete", "tools": tools(&["a"]), "ttlMs": 0, "cacheScope": "private",
        }),
    )
    .await;
    assert_eq!(server.tried().await, ServerState::Ready);
    (server, peers, peer)
}

fn input_required(requests: Value, state: &str) -> Value {
    json!({"resultType": "input_required", "inputRequests": requests, "requestState": state})
}

#[test]
fn run_11_an_input_required_result_is_a_question() {
    run(async {
        let (server, _peers, mut peer) = modern(json!({})).await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            let requests = json!({
                "one": {"method": "elicitation/create", "params": question()},
                "two": {"method": "elicitation/create", "params": question()},
            });
            peer.reply(&call, input_required(requests, "opaque")).await;
            seen.asks.recv().await.unwrap().2.send(given()).unwrap();
            seen.asks.recv().await.unwrap().2.send(Answer::Declined { reason: None }).unwrap();
            let call = peer.call().await;
            assert_eq!(call["params"]["requestState"], "opaque");
            assert_eq!(call["params"]["arguments"], json!({"a": 1}));
            let answers = &call["params"]["inputResponses"];
            assert_eq!(answers["one"], json!({"action": "accept", "content": {"city": "Rome"}}));
            assert_eq!(answers["two"], json!({"action": "decline"}));
            peer.reply(&call, json!({"resultType": "complete", "content": [], "structuredContent": 7})).await;
        });
        assert_eq!(result, Ok(json!(7)));
    });
}

#[test]
fn rounds_and_questions_without_end_are_ended() {
    run(async {
        let (server, _peers, mut peer) = modern(json!({"questions_max": 3})).await;
        let (caller, mut seen) = Run::of(1);
        let (result, ()) = join!(caller.call(&server, "a"), async {
            for _ in 0..crate::call::ROUNDS_MAX {
                let call = peer.call().await;
                peer.reply(&call, json!({"resultType": "input_required", "requestState": "again"})).await;
            }
        });
        assert_eq!(result, Err("the MCP server did not complete the call in 16 rounds".to_owned()));

        let many: serde_json::Map<String, Value> = (0..9)
            .map(|n| (n.to_string(), json!({"method": "elicitation/create", "params": question()})))
            .collect();
        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            peer.reply(&call, input_required(Value::Object(many), "s")).await;
            for _ in 0..3 {
                seen.asks.recv().await.unwrap().2.send(given()).unwrap();
            }
        });
        let refused = "the MCP server asked for input during the call: the call has asked too many questions";
        assert_eq!(result, Err(refused.to_owned()));

        let (result, ()) = join!(caller.call(&server, "a"), async {
            let call = peer.call().await;
            peer.reply(&call, input_required(json!({"r": {"method": "roots/list"}}), "s")).await;
        });
        assert!(result.unwrap_err().contains("which it does not get"));
    });
}

#[test]
fn changes_of_the_list_are_subscribed_to_in_the_newest_revision() {
    run(async {
        let (server, _peers, mut peer) = modern(json!({})).await;
        let listen = peer.expect("subscriptions/listen").await;
        let meta = json!({"io.modelcontextprotocol/subscriptionId": listen["id"]});
        let filter = json!({"toolsListChanged": true});
        let params = json!({"notifications": filter, "_meta": meta});
        peer.notify("notifications/subscriptions/acknowledged", params).await;
        peer.notify("notifications/tools/list_changed", json!({"_meta": meta})).await;
        let list = peer.expect("tools/list").await;
        let mut changed = server.tools_changed();
        changed.mark_unchanged();
        peer.reply(&list, json!({"resultType": "complete", "tools": tools(&["x", "y"]), "ttlMs": 0, "cacheScope": "private"}))
            .await;
        changed.changed().await.unwrap();
        assert_eq!(changed.borrow().len(), 2);
    });
}

#[test]
fn run_11_an_answer_that_does_not_fit_is_asked_again_and_never_accepted() {
    run(async {
        let (server, mut peers) = start(json!({}));
        let mut peer = peers.ready(tools(&["a"])).await;
        server.tried().await;
        let (caller, mut seen) = Run::of(1);
        let given = |json: &str| Answer::Given(Json::parse(json).unwrap());
        let accepted = json!({"action": "accept", "content": {"city": "Rome"}});
        for (answers, expected) in [
            (vec![given(r#"{"city": 7}"#), given("{}"), given(r#"{"city": "Rome"}"#)], accepted),
            (vec![given("true"), given("{}"), given("[]")], json!({"action": "cancel"})),
            (vec![given("{}"), Answer::Declined { reason: None }], json!({"action": "decline"})),
        ] {
            let (result, ()) = join!(caller.call(&server, "a"), async {
                let call = peer.call().await;
                peer.request(5, "elicitation/create", question()).await;
                for (number, answer) in answers.into_iter().enumerate() {
                    let (_, parameters, reply) = seen.asks.recv().await.unwrap();
                    assert_eq!(parameters.get("problem").is_some(), number > 0, "{parameters}");
                    reply.send(answer).unwrap();
                }
                assert_eq!(peer.answer(5).await["result"], expected);
                peer.reply(&call, text("done")).await;
            });
            assert_eq!(result, Ok(json!("done")));
            assert!(seen.asks.try_recv().is_err(), "asked at most three times");
        }
    });
}
