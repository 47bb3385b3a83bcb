//! Bodies of front ends: what is read of them, and what is refused.

use quintet_kernel::{entry::CallStatus, user::OnBusy};
use serde_json::{Value, json};

use super::words::RUN;
use crate::{
    Dialect, InputError, InputLimits, RunInput,
    envelope::{Envelope, StopScope},
    info::RuntimeInfo,
};

fn decode(body: &Value) -> Result<RunInput, InputError> {
    RunInput::decode(&body.to_string(), InputLimits { messages_max: 4 })
}

fn body(messages: Value) -> Value {
    json!({"threadId": "t", "runId": "r", "messages": messages, "tools": [], "context": [], "state": {}, "forwardedProps": {}})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn user(id: &str, content: Value) -> Value {
    json!({"id": id, "role": "user", "content": content})
}

#[test]
fn last_message_of_the_user_is_sent_and_those_before_it_are_kept() {
    let call = format!("{RUN}:c1");
    let input = decode(&body(json!([
        user("u1", json!("first")),
        {"id": "a1", "role": "assistant", "content": "x", "unknown": {"kept": true}},
        user("u2", json!([{"type": "text", "text": "se"}, {"type": "text", "text": "cond"}])),
        {"id": "x", "role": "tool", "toolCallId": call, "content": "blue"},
    ])))
    .unwrap();
    let message = input.message.unwrap();
    assert_eq!((message.id.as_str(), &*message.text), ("u2", "se\ncond"));
    assert_eq!(message.previous.unwrap().as_str(), "u1");
    let before = serde_json::to_value(&input.before).unwrap();
    assert_eq!(before[1]["unknown"], json!({"kept": true}));
    assert_eq!((before.as_array().unwrap().len(), input.dialect), (2, Dialect::V0));
    let (answered, result) = &input.tool_results[0];
    assert_eq!((answered.to_string(), result.results.as_str()), (call, "\"blue\""));
    assert!(input.ignored.is_empty());
}

#[test]
fn generation_answers_policy_and_ignored_members_are_read() {
    let tools = json!([{"name": "choose", "description": "", "parameters": {}}]);
    let resume = json!([
        {"interruptId": format!("{RUN}:c1"), "status": "resolved", "payload": {"approved": true}},
        {"interruptId": format!("{RUN}:c2"), "status": "cancelled"},
    ]);
    let mut body = body(json!([]));
    for (name, value) in [
        ("protocolVersion", json!("1.0")),
        ("tools", tools),
        ("resume", resume),
        ("state", json!({"a": 1})),
        ("context", json!([{"description": "d", "value": "v"}])),
        ("forwardedProps", json!({"quintet": {"on_busy": "interrupt"}})),
    ] {
        body = with(body, name, value);
    }
    let input = decode(&body).unwrap();
    assert_eq!((input.dialect, input.on_busy), (Dialect::V1, OnBusy::Interrupt));
    assert_eq!(input.ignored, ["state", "context", "tools"]);
    assert!(input.front_end_tools.contains("choose"));
    let statuses: Vec<_> = input.resume.iter().map(|(_, result)| result.status).collect();
    assert_eq!(statuses, [CallStatus::Ok, CallStatus::Declined]);
    assert_eq!(input.message, None);
    // Any JSON may be in these members.
    for value in [json!(null), json!("x"), json!([1])] {
        let body = with(body.clone(), "forwardedProps", value);
        assert_eq!(decode(&body).unwrap().on_busy, OnBusy::Enqueue);
    }
}

#[test]
fn invalid_requests_are_refused() {
    let image = json!([{"type": "image", "source": {"type": "url", "value": "http://x"}}]);
    let five = json!([
        user("1", json!("x")),
        user("2", json!("x")),
        user("3", json!("x")),
        user("4", json!("x")),
        user("5", json!("x"))
    ]);
    for (wrong, error) in [
        (json!([]), InputError::Malformed),
        (json!({"threadId": "t", "runId": "r"}), InputError::Malformed),
        (with(body(json!([])), "threadId", json!("two words")), InputError::Field("threadId")),
        (with(body(json!([])), "runId", json!("")), InputError::Field("runId")),
        (body(json!([user("two words", json!("x"))])), InputError::Field("messages.id")),
        (body(json!([user("u", json!(""))])), InputError::Field("messages.content")),
        (body(json!([user("u", json!(7))])), InputError::Field("messages.content")),
        (body(json!([user("u", image)])), InputError::Attachment),
        (body(json!([{"id": "x"}])), InputError::Field("messages")),
        (body(five), InputError::TooMany("messages")),
        (
            with(body(json!([])), "resume", json!([{"interruptId": "foreign", "status": "resolved"}])),
            InputError::Field("resume.interruptId"),
        ),
        (
            with(body(json!([])), "forwardedProps", json!({"quintet": {"on_busy": "never"}})),
            InputError::Field("forwardedProps.quintet"),
        ),
    ] {
        assert_eq!(decode(&wrong).unwrap_err(), error, "{wrong}");
    }
}

/// A front end's JSON with line breaks between tokens would end an event early.
#[test]
fn messages_are_kept_on_one_line() {
    let text = "{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[{\"id\":\"s\",\n\"role\":\"system\",\r\n\"content\":\"x\"}]}";
    let input = RunInput::decode(text, InputLimits { messages_max: 4 }).unwrap();
    assert!(!serde_json::to_string(&input.before).unwrap().contains(['\n', '\r']));
}

#[test]
fn envelope_has_four_methods() {
    let of = |value: Value| Envelope::decode(&value.to_string());
    let params = json!({"agentId": "a", "threadId": "t"});
    assert!(matches!(of(json!({"method": "info"})), Ok(Envelope::Info)));
    let run = of(json!({"method": "agent/run", "params": params, "body": {"x": 1}})).unwrap();
    assert!(matches!(run, Envelope::Run(agent, body) if agent.as_str() == "a" && body == r#"{"x":1}"#));
    let stop = of(json!({"method": "agent/stop", "params": params, "body": {"runId": "r"}})).unwrap();
    assert!(matches!(stop, Envelope::Stop(_, _, StopScope { run_id: Some(run_id) }) if run_id == "r"));
    let stop = of(json!({"method": "agent/stop", "params": params})).unwrap();
    assert!(matches!(stop, Envelope::Stop(_, _, StopScope { run_id: None })));
    for wrong in [
        json!({}),
        json!({"method": "transcribe"}),
        json!({"method": "agent/run", "params": params}),
        json!({"method": "agent/run", "body": {}}),
        json!({"method": "agent/stop", "params": {"agentId": "a"}}),
        json!({"method": "agent/stop", "params": params, "body": {"other": 1}}),
    ] {
        assert!(of(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(StopScope::decode("").is_ok() && StopScope::decode("[]").is_err());
}

#[test]
fn default_agent_is_listed_under_its_name_and_as_default() {
    let agents = [("a", "first", false), ("b", "second", true)];
    let info = serde_json::to_value(RuntimeInfo::new("1", agents.into_iter())).unwrap();
    assert_eq!(info["agents"]["default"]["description"], "second");
    assert_eq!(info["agents"].as_object().unwrap().len(), 3);
    assert_eq!((&info["mode"], &info["threadEndpoints"]["list"]), (&json!("sse"), &json!(false)));
}
