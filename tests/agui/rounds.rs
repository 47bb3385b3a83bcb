//! Runs of several requests: tools of the front end, interrupts, refusals; and what a request contains.

use quintet::kernel::{
    entry::{CallOwner, CallResult, CallStatus, Event, RunStatus, ThoughtKind},
    ids::CallId,
    json::Json,
};
use serde_json::{Value, json};

use crate::{
    agents::{bounded, calls, finish, play, stage, text_of},
    stage::{Talk, Watch, ending},
    upstream::{Request, Upstream, call, finished, result, started, stream, text},
};

/// An agent whose first response is `first`, and whose second completes these calls and says `done`.
async fn agent(first: Vec<Value>, completes: &'static [&'static str]) -> Upstream {
    Upstream::start(move |request| {
        let events = match request.number {
            0 => first.clone(),
            _ => {
                let results = completes.iter().map(|call| result(call, "\"sent\""));
                [vec![started()], results.collect(), text("m2", &["done"]), vec![finished()]].concat()
            }
        };
        stream(request, &events)
    })
    .await
}

fn interrupted(interrupts: Value) -> Value {
    json!({"type": "RUN_FINISHED", "outcome": {"type": "interrupt", "interrupts": interrupts}})
}

/// Waits for the call of the client with this name, and answers it.
async fn answer(talk: &Talk, watch: &mut Watch, tool: &str, result: CallResult) {
    let is_question = |event: &Event| matches!(event, Event::ToolExecuting(call) if call.tool_name.as_str() == tool && call.by == CallOwner::Client);
    let events = bounded(watch.until(is_question)).await;
    let Some(Event::ToolExecuting(call)) = events.iter().find(|event| is_question(event)) else {
        unreachable!()
    };
    let call_id: CallId = call.call_id.clone();
    talk.user.answer(watch.run_id, call_id, result).await.unwrap();
}

fn ok(results: Value) -> CallResult {
    CallResult::ok(Json::from(results))
}

fn declined(reason: &str) -> CallResult {
    CallResult { status: CallStatus::Declined, results: Json::null(), error: Some(reason.to_owned()) }
}

/// Plays a run with one question, and returns its events and the second request.
async fn asked(
    upstream: &mut Upstream,
    keys: Value,
    tool: &str,
    result: CallResult,
) -> (Vec<Event>, Request) {
    let stage = stage(&upstream.url, keys);
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "hi").await;
    answer(&talk, &mut watch, tool, result).await;
    let events = finish(watch).await;
    upstream.request().await;
    (events, upstream.request().await)
}

fn front_end_tool() -> Value {
    json!({"client_tools": [{"name": "choose", "description": "Asks.", "parameters": {"type": "object"}}]})
}

fn asks_front_end() -> Vec<Value> {
    [vec![started()], text("m1", &["Which?"]), call("c", "choose", r#"{"of":[1,2]}"#), vec![finished()]]
        .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_tool_of_the_front_end_is_a_call_of_the_client() {
    let mut upstream = agent(asks_front_end(), &[]).await;
    let (events, second) = asked(&mut upstream, front_end_tool(), "choose", ok(json!({"choice": 2}))).await;
    assert_eq!(calls(&events), [r#"client choose({"of":[1,2]}) ok {"choice":2}"#]);
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
    assert_eq!(text_of(&events, ThoughtKind::Answer), "Which?\n\ndone");
    let messages = json!([
        {"role": "user", "id": "m1", "content": "hi"},
        {"role": "assistant", "id": "m1", "content": "Which?", "toolCalls": [
            {"id": "c", "type": "function", "function": {"name": "choose", "arguments": "{\"of\":[1,2]}"}}
        ]},
        {"role": "tool", "id": "c-result", "toolCallId": "c", "content": "{\"choice\":2}"},
    ]);
    assert_eq!(second.body["messages"], messages);
    assert_eq!(second.body["tools"][0]["name"], "choose");
    assert_eq!(second.body.get("resume"), None);
    assert!(second.body["runId"].as_str().unwrap().ends_with("-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_refusal_reaches_the_agent_as_one() {
    let mut upstream = agent(asks_front_end(), &[]).await;
    let (events, second) = asked(&mut upstream, front_end_tool(), "choose", declined("not now")).await;
    assert_eq!(calls(&events), [r#"client choose({"of":[1,2]}) declined not now"#]);
    let answer = &second.body["messages"][2];
    assert_eq!(answer["error"], "The user declined: not now");
    assert_eq!(answer["content"], "The user declined: not now");
}

/// A call without a result that is of no tool of the configuration: the client is asked beside it.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_call_without_a_result_becomes_a_call_of_the_client() {
    let first = [vec![started()], call("c", "confirm", ""), vec![finished()]].concat();
    let mut upstream = agent(first, &[]).await;
    let (events, second) = asked(&mut upstream, json!({}), "confirm", ok(json!("yes"))).await;
    assert_eq!(calls(&events), ["agent confirm({}) ok \"yes\"", "client confirm({}) ok \"yes\""]);
    assert_eq!(second.body["messages"][2]["content"], "yes");
}

fn sends_mail() -> Vec<Value> {
    let interrupt = json!([{
        "id": "int-c", "reason": "tool_call", "toolCallId": "c", "message": "Send?",
        "responseSchema": {"type": "object", "properties": {"approved": {"type": "boolean"}}}
    }]);
    let made = call("c", "send", r#"{"to":"bob"}"#);
    [vec![started()], made, vec![interrupted(interrupt)]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_11_an_interrupt_is_approved_by_the_client() {
    let mut upstream = agent(sends_mail(), &["c"]).await;
    let (events, second) = asked(&mut upstream, json!({}), "approve", ok(json!({}))).await;
    let [send, approve] = &calls(&events)[..] else { panic!("{:?}", calls(&events)) };
    assert_eq!(send, r#"agent send({"to":"bob"}) ok "sent""#);
    assert!(
        approve.contains(r#""message":"Send?""#) && approve.contains(r#""tool_name":"send""#),
        "{approve}"
    );
    let resume = json!([{"interruptId": "int-c", "status": "resolved", "payload": {"approved": true}}]);
    assert_eq!(second.body["resume"], resume);
    // The call is in the messages, without a result.
    assert_eq!(second.body["messages"].as_array().unwrap().len(), 2);
    assert_eq!(second.body["messages"][1]["toolCalls"][0]["function"]["name"], "send");
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_declined_interrupt_is_no_consent() {
    // The agent reports the refusal as the result of its call, which the log does not need.
    let mut upstream = agent(sends_mail(), &["c"]).await;
    let (events, second) = asked(&mut upstream, json!({}), "approve", declined("no mail")).await;
    assert_eq!(calls(&events)[0], r#"agent send({"to":"bob"}) declined no mail"#);
    let resume = json!([{
        "interruptId": "int-c", "status": "resolved", "payload": {"approved": false, "reason": "no mail"},
        "metadata": {"quintet": {"status": "declined", "reason": "no mail"}}
    }]);
    assert_eq!(second.body["resume"], resume);
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_asked_side_by_side_and_answered_in_any_order() {
    let interrupts = json!([
        {"id": "i1", "reason": "input_required", "message": "Which quarter?"},
        {"id": "i2", "reason": "custom reason", "message": "And?"},
        {"id": "i3", "reason": "confirmation"},
    ]);
    let mut upstream = agent(vec![started(), interrupted(interrupts)], &[]).await;
    let stage = stage(&upstream.url, json!({}));
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "hi").await;
    let is_last =
        |event: &Event| matches!(event, Event::ToolExecuting(call) if call.call_id.as_str() == "c3");
    bounded(watch.until(is_last)).await;
    let failed = CallResult { status: CallStatus::Error, results: Json::null(), error: Some("lost".into()) };
    let results = [("c3", ok(Value::Null)), ("c1", ok(json!({"quarter": "Q1"}))), ("c2", failed)];
    for (call, result) in results {
        talk.user.answer(watch.run_id, CallId::parse(call).unwrap(), result).await.unwrap();
    }
    let asked = calls(&finish(watch).await);
    assert!(asked[1].starts_with("client input_required("), "a reason that is no name of a tool: {asked:?}");
    assert_eq!(asked.len(), 3);
    upstream.request().await;
    let resume = json!([
        {"interruptId": "i1", "status": "resolved", "payload": {"quarter": "Q1"}},
        {"interruptId": "i2", "status": "cancelled", "metadata": {"quintet": {"status": "error", "reason": "lost"}}},
        {"interruptId": "i3", "status": "resolved", "payload": true},
    ]);
    assert_eq!(upstream.request().await.body["resume"], resume);
}

/// Parallel calls, of which one waits for consent: the other is closed by the next response.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_beside_an_interrupt_waits_for_the_next_response() {
    let interrupt = json!([{"id": "i", "reason": "tool_call", "toolCallId": "c"}]);
    let first =
        [vec![started()], call("c", "a", ""), call("d", "b", ""), vec![interrupted(interrupt)]].concat();
    let mut upstream = agent(first, &["d", "c"]).await;
    let (events, _) = asked(&mut upstream, json!({}), "approve", ok(json!({"approved": true}))).await;
    assert_eq!(calls(&events)[..2], [r#"agent a({}) ok "sent""#, r#"agent b({}) ok "sent""#]);
}

/// A call that was approved and has no result is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_without_a_result_ends_as_unknown() {
    let mut upstream = agent(sends_mail(), &[]).await;
    let (events, _) = asked(&mut upstream, json!({}), "approve", ok(json!({}))).await;
    assert!(
        calls(&events)[0].contains("unknown the remote agent reported no result"),
        "{:?}",
        calls(&events)
    );
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_without_end_reaches_a_limit() {
    let upstream = Upstream::start(|request| {
        let id = format!("c{}", request.number);
        stream(request, &[vec![started()], call(&id, "choose", ""), vec![finished()]].concat())
    })
    .await;
    let mut keys = front_end_tool();
    keys["requests_max"] = json!(2);
    let stage = stage(&upstream.url, keys);
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "hi").await;
    for call in ["c1", "c2"] {
        bounded(
            watch.until(|event| matches!(event, Event::ToolExecuting(open) if open.call_id.as_str() == call)),
        )
        .await;
        talk.user.answer(watch.run_id, CallId::parse(call).unwrap(), ok(json!(1))).await.unwrap();
    }
    let (status, code, message) = ending(&finish(watch).await);
    assert_eq!((status, &*code), (RunStatus::Failed, "limit_reached"), "{message}");
}

fn answers() -> Vec<Value> {
    let mut events = vec![started()];
    events.extend(call("c", "look_up", r#"{"a":1}"#));
    events.push(result("c", "2"));
    events.extend(text("m", &["two"]));
    events.push(finished());
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_earlier_runs_of_its_thread() {
    let mut upstream = Upstream::start(|request| stream(request, &answers())).await;
    let stage = stage(&upstream.url, json!({"forwarded_props": {"model": "x"}, "protocol": "0.0.59"}));
    let mut talk = stage.ann();
    play(&mut talk, "one").await;
    play(&mut talk, "more").await;
    let (first, second) = (upstream.request().await, upstream.request().await);
    assert_eq!(first.body["messages"], json!([{"role": "user", "id": "m1", "content": "one"}]));
    let messages = json!([
        {"role": "user", "id": "past-0", "content": "one"},
        {"role": "assistant", "id": "past-0-calls", "toolCalls": [
            {"id": "past-0-c1", "type": "function", "function": {"name": "look_up", "arguments": "{\"a\":1}"}}
        ]},
        {"role": "tool", "id": "past-0-c1-result", "toolCallId": "past-0-c1", "content": "2"},
        {"role": "assistant", "id": "past-0-answer", "content": "two"},
        {"role": "user", "id": "m2", "content": "more"},
    ]);
    assert_eq!(second.body["messages"], messages);
    assert_eq!(first.body["threadId"], second.body["threadId"]);
    assert_eq!(second.body["forwardedProps"], json!({"model": "x"}));
    assert_eq!(
        (&second.body["state"], &second.body["context"], &second.body["tools"]),
        (&json!({}), &json!([]), &json!([]))
    );
    assert_eq!(second.body.get("protocolVersion"), None, "0.0.59 has no such field");

    let mut upstream = Upstream::start(|request| stream(request, &answers())).await;
    let without = crate::agents::stage(&upstream.url, json!({"conversation_bytes_max": 0}));
    let mut talk = without.ann();
    play(&mut talk, "one").await;
    play(&mut talk, "more").await;
    upstream.request().await;
    let second = upstream.request().await;
    assert_eq!(second.body["messages"], json!([{"role": "user", "id": "m2", "content": "more"}]));
    assert_eq!(second.body["protocolVersion"], "1.0");
}

/// ISO-2: both users have a thread `t`.
#[tokio::test(flavor = "multi_thread")]
async fn iso_2_threads_of_two_users_have_different_ids() {
    let mut upstream = Upstream::start(|request| stream(request, &answers())).await;
    let stage = stage(&upstream.url, json!({}));
    for user in ["ann", "bob"] {
        play(&mut stage.user(user), "hi").await;
    }
    let (ann, bob) = (upstream.request().await, upstream.request().await);
    assert_ne!(ann.body["threadId"], bob.body["threadId"]);
    for request in [ann, bob] {
        let all = format!("{}{}", request.head, String::from_utf8(request.bytes).unwrap());
        assert!(!["ann", "bob", "quintet-user"].iter().any(|name| all.contains(name)), "{all}");
    }
}

/// The user's id is in a signed header only, and the keys are in no log.
#[tokio::test(flavor = "multi_thread")]
async fn iso_4_the_user_is_in_a_signed_header_only() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key) in [("bearer", "bearer-secret"), ("signing", "signing-secret")] {
        std::fs::write(folder.path().join(name), key).unwrap();
    }
    let mut upstream = Upstream::start(|request| stream(request, &answers())).await;
    let keys =
        json!({"key_file": folder.path().join("bearer"), "signing_key_file": folder.path().join("signing")});
    let agent = crate::agents::remote(&upstream.url, keys.clone());
    let debug = format!("{agent:?}");
    assert!(!debug.contains("-secret"), "{debug}");
    play(&mut stage(&upstream.url, keys).user("ann@example.org"), "hi").await;
    let request = upstream.request().await;
    let header = |name: &str| {
        let line = request.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} in {}", request.head)).to_owned()
    };
    assert_eq!(header("authorization"), "bearer bearer-secret");
    // `ann@example.org` in base64url, in lower case here.
    assert_eq!(header("quintet-user"), "yw5uqgv4yw1wbguub3jn");
    assert!(header("quintet-signature").starts_with("v1=") && header("quintet-signature").len() == 67);
    assert!(!request.body.to_string().contains("ann"));
}

/// A question of an agent of LangGraph, which a `CUSTOM` event reports.
fn asks_by_event() -> Vec<Value> {
    let value = json!({"question": "Which city?", "options": ["Rome", "Oslo"]}).to_string();
    let raw = json!({"id": "int-1", "value": "x"});
    let event = json!({"type": "CUSTOM", "name": "on_interrupt", "value": value, "rawEvent": raw});
    [vec![started()], text("m1", &["Hm."]), vec![event, finished()]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_question_of_a_custom_event_is_a_call_of_the_client() {
    let mut upstream = agent(asks_by_event(), &[]).await;
    let keys = json!({"forwarded_props": {"tenant": "a"}});
    let (events, second) = asked(&mut upstream, keys, "langgraph:interrupt", ok(json!("Rome"))).await;
    let asked = calls(&events);
    assert!(asked.len() == 1 && asked[0].contains(r#""message":"Which city?""#), "{asked:?}");
    assert_eq!(second.body["forwardedProps"], json!({"tenant": "a", "command": {"resume": "Rome"}}));
    assert!(second.body.get("resume").is_none());
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
}

/// LangGraph has no refusal: without a value that the agent knows as one, the run ends.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_declined_question_of_a_custom_event_is_no_answer() {
    let mut upstream = agent(asks_by_event(), &[]).await;
    let keys = json!({"declined_resume": {"approved": false}});
    let (events, second) = asked(&mut upstream, keys, "langgraph:interrupt", declined("no")).await;
    assert_eq!(second.body["forwardedProps"], json!({"command": {"resume": {"approved": false}}}));
    assert_eq!(ending(&events).0, RunStatus::Succeeded);

    let mut upstream = agent(asks_by_event(), &[]).await;
    let stage = stage(&upstream.url, json!({}));
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "hi").await;
    answer(&talk, &mut watch, "langgraph:interrupt", declined("no")).await;
    let (status, code, message) = ending(&finish(watch).await);
    assert_eq!((status, code.as_str()), (RunStatus::Failed, "agent_error"));
    assert!(message.contains("no form for a refusal"), "{message}");
    upstream.request().await;
    assert!(upstream.requests.try_recv().is_err(), "the agent is not asked again");
}
