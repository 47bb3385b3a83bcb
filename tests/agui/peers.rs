//! Agents that others wrote, or that use the packages of AG-UI, as processes; and the examples of `examples/agents`.

use quintet::kernel::{
    entry::{CallOwner, CallResult, CallStatus, Event, RunStatus, ThoughtKind},
    ids::CallId,
    json::Json,
};
use serde_json::{Value, json};

use crate::{
    agents::{bounded, calls, finish, play, stage, text_of},
    process::{Generation, Process},
    stage::{Stage, Talk, ending},
};

const GENERATIONS: [Generation; 2] = [Generation::V1, Generation::V0];

pub fn declined() -> CallResult {
    CallResult { status: CallStatus::Declined, results: Json::null(), error: Some("not today".into()) }
}

pub fn ok(results: Value) -> CallResult {
    CallResult::ok(Json::from(results))
}

/// Plays a run in which the client answers calls by their tools.
pub async fn answering(talk: &mut Talk, text: &str, answers: &[(&str, CallResult)]) -> Vec<Event> {
    let mut watch = talk.send("remote", text).await;
    for (tool, result) in answers {
        let is_asked = |event: &Event| matches!(event, Event::ToolExecuting(call) if call.by == CallOwner::Client && call.tool_name.as_str() == *tool);
        let events =
            bounded(watch.until(|event| is_asked(event) || matches!(event, Event::Completed(_)))).await;
        let call = events.iter().find_map(|event| match event {
            Event::ToolExecuting(call) if is_asked(event) => Some(call.call_id.clone()),
            _ => None,
        });
        let call: CallId = call.unwrap_or_else(|| panic!("{tool} is not asked: {:?}", ending(events)));
        talk.user.answer(watch.run_id, call, result.clone()).await.unwrap();
    }
    finish(watch).await
}

pub fn answer_of(events: &[Event]) -> String {
    let (status, code, message) = ending(events);
    assert_eq!(status, RunStatus::Succeeded, "{code}: {message}");
    text_of(events, ThoughtKind::Answer)
}

/// Kills the agent in the middle of a run: the run ends as failed, `upstream`, with its calls closed (RUN-6, RUN-7).
pub async fn killed(
    stage: &Stage,
    process: &mut Process,
    text: &str,
    reached: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let mut watch = stage.ann().send("remote", text).await;
    bounded(watch.until(reached)).await;
    process.kill();
    let events = finish(watch).await;
    let (status, code, message) = ending(&events);
    assert_eq!((status, &*code), (RunStatus::Failed, "upstream"), "{message}");
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn example_in_python_answers_with_its_tool() {
    let Some(agent) = Process::python("AGUI_PYTHON", "examples/agents", "pydantic_agent") else { return };
    let stage = stage(&agent.url, json!({}));
    let mut talk = stage.ann();
    let events = play(&mut talk, "How warm is it?").await;
    assert_eq!(calls(&events), [r#"agent temperature({"city":"a"}) ok "21 degrees in a""#]);
    assert_eq!(answer_of(&events), r#"{"temperature":"21 degrees in a"}"#);
    // Its model calls a tool once in a conversation, and finds the result in the messages.
    let events = play(&mut talk, "And now?").await;
    assert_eq!((calls(&events).len(), &*answer_of(&events)), (0, r#"{"temperature":"21 degrees in a"}"#));
}

/// Checks an example that counts words, and asks before it deletes.
async fn counts_and_asks(agent: &Process, protocol: &str) {
    let confirm =
        json!([{"name": "confirm", "description": "Asks the user.", "parameters": {"type": "object"}}]);
    let stage = stage(&agent.url, json!({"client_tools": confirm, "protocol": protocol}));
    let mut talk = stage.ann();
    let events = play(&mut talk, "the quick brown fox").await;
    assert_eq!(calls(&events), [r#"agent count_words({"text":"the quick brown fox"}) ok 4"#]);
    assert_eq!(answer_of(&events), "The message has 4 words.");
    let events = answering(&mut talk, "delete it", &[("confirm", ok(json!(true)))]).await;
    assert_eq!(answer_of(&events), "Deleted.");
    let events = answering(&mut talk, "delete it", &[("confirm", declined())]).await;
    assert_eq!(answer_of(&events), "Kept: The user declined: not today");
}

#[tokio::test(flavor = "multi_thread")]
async fn example_in_javascript_counts_and_asks() {
    for generation in GENERATIONS {
        let Some(agent) = Process::node(generation, "agent.mjs", &["0"]) else { return };
        counts_and_asks(&agent, generation.protocol()).await;
    }
}

/// An agent that is a class of `@ag-ui/client`, in TypeScript.
#[tokio::test(flavor = "multi_thread")]
async fn example_in_typescript_counts_and_asks() {
    let Some(agent) = Process::node(Generation::V1, "client_agent.mjs", &["0"]) else { return };
    counts_and_asks(&agent, "1.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_of_pydantic_ai_streams_calls_and_remembers() {
    let Some(agent) = Process::python("AGUI_PYTHON", "tests/agui/peers", "pydantic_peer") else { return };
    let stage = stage(&agent.url, json!({}));
    let mut talk = stage.ann();
    assert_eq!(answer_of(&play(&mut talk, "hello").await), "You sent 1 messages. ");
    let events = play(&mut talk, "both").await;
    assert_eq!(text_of(&events, ThoughtKind::Reasoning), "Two tools at once.");
    assert_eq!(
        calls(&events),
        [r#"agent add({"a": 1, "b": 2}) ok 3"#, r#"agent add({"a": 3, "b": 4}) ok 7"#]
    );
    assert_eq!(answer_of(&events), "The results are ['3', '7']. ");
    assert_eq!(answer_of(&play(&mut talk, "again").await), "You sent 3 messages. ");
    let (_, code, message) = ending(&play(&mut talk, "fail").await);
    assert_eq!((&*code, &*message), ("agent_error", "no model today"));
}

/// RUN-11: approvals and tools of the front end, with consent and with a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_agent_of_pydantic_ai_asks_the_client() {
    let Some(agent) = Process::python("AGUI_PYTHON", "tests/agui/peers", "pydantic_peer") else { return };
    let choose =
        json!([{"name": "choose", "description": "Asks the user.", "parameters": {"type": "object"}}]);
    let stage = stage(&agent.url, json!({"client_tools": choose}));
    let mut talk = stage.ann();
    let events = answering(&mut talk, "delete", &[("approve", ok(json!({})))]).await;
    assert!(
        calls(&events)[0].ends_with(r#"delete({"name": "report"}) ok "deleted report""#),
        "{:?}",
        calls(&events)
    );
    assert_eq!(answer_of(&events), "The results are ['deleted report']. ");

    let events = answering(&mut talk, "delete", &[("approve", declined())]).await;
    assert!(calls(&events)[0].ends_with("declined not today"), "{:?}", calls(&events));
    assert_eq!(answer_of(&events), "The results are ['not today']. ");

    let events = answering(&mut talk, "choose", &[("choose", ok(json!("blue")))]).await;
    assert_eq!(calls(&events), [r#"client choose({"of": ["red", "blue"]}) ok "blue""#]);
    assert_eq!(answer_of(&events), "The results are ['blue']. ");
    let events = answering(&mut talk, "choose", &[("choose", declined())]).await;
    assert_eq!(answer_of(&events), "The results are ['The user declined: not today']. ");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_6_agent_of_pydantic_ai_is_killed() {
    let Some(mut agent) = Process::python("AGUI_PYTHON", "tests/agui/peers", "pydantic_peer") else { return };
    let streaming = stage(&agent.url, json!({}));
    let events = killed(&streaming, &mut agent, "slow", |event| matches!(event, Event::Thinking(_))).await;
    assert_eq!(text_of(&events, ThoughtKind::Answer), "half ");
    let mut agent = Process::python("AGUI_PYTHON", "tests/agui/peers", "pydantic_peer").unwrap();
    let working = stage(&agent.url, json!({}));
    let events =
        killed(&working, &mut agent, "slow tool", |event| matches!(event, Event::ToolExecuting(_))).await;
    assert_eq!(calls(&events).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_generations_stream_and_call() {
    for generation in GENERATIONS {
        let Some(agent) = Process::node(generation, "peer.mjs", &[]) else { return };
        let stage = stage(&agent.url, json!({"protocol": generation.protocol()}));
        let mut talk = stage.ann();
        let events = play(&mut talk, "think").await;
        let reasoning = if generation == Generation::V1 { "so" } else { "hm\n\nso" };
        assert_eq!(text_of(&events, ThoughtKind::Reasoning), reasoning);
        assert_eq!(answer_of(&events), "thought");
        let events = play(&mut talk, "chunks").await;
        assert_eq!(answer_of(&events), "one two");
        assert_eq!(calls(&events), [r#"agent look_up({"a":1}) ok "done""#]);
        let events = play(&mut talk, "parallel").await;
        let mut parallel = calls(&events);
        parallel.sort();
        let call = |id| format!(r#"agent tool_{id}({{"id":"{id}"}}) ok "{id}""#);
        assert_eq!(parallel, ["a", "b", "c"].map(call));
        assert_eq!(answer_of(&events), "all three");
        let (_, code, message) = ending(&play(&mut talk, "fail").await);
        assert_eq!((&*code, &*message), ("agent_error", "no model today"));
        // Four runs, three of which have answered: their calls and results are accepted by the schema.
        let roles = answer_of(&play(&mut talk, "history").await);
        assert_eq!(
            roles,
            "user assistant user assistant tool assistant user assistant tool tool tool assistant user user"
        );
    }
}

/// RUN-11: interrupts and tools of the front end, with consent and with a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_both_generations_ask_the_client() {
    for generation in GENERATIONS {
        let Some(agent) = Process::node(generation, "peer.mjs", &[]) else { return };
        let choose =
            json!([{"name": "choose", "description": "Asks the user.", "parameters": {"type": "object"}}]);
        let stage = stage(&agent.url, json!({"client_tools": choose, "protocol": generation.protocol()}));
        let mut talk = stage.ann();
        let events = answering(&mut talk, "choose", &[("choose", ok(json!("red")))]).await;
        assert_eq!(answer_of(&events), "chosen: red");
        let events = answering(&mut talk, "choose", &[("choose", declined())]).await;
        assert_eq!(answer_of(&events), "no choice (The user declined: not today)");

        let answers = [("approve", ok(json!({"approved": true}))), ("input_required", ok(json!("Hello")))];
        let events = answering(&mut talk, "approve", &answers).await;
        assert_eq!(calls(&events)[0], r#"agent send_mail({"to":"bob"}) ok "sent""#);
        assert_eq!(answer_of(&events), r#"sent: "Hello""#);
        let answers = [("input_required", declined()), ("approve", declined())];
        let events = answering(&mut talk, "approve", &answers).await;
        assert_eq!(calls(&events)[0], r#"agent send_mail({"to":"bob"}) declined not today"#);
        assert_eq!(answer_of(&events), r#"not sent: "cancelled""#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn iso_4_an_agent_verifies_the_signature_and_learns_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a-shared-key\n").unwrap();
    for generation in GENERATIONS {
        let Some(agent) = Process::node(generation, "peer.mjs", &["a-shared-key"]) else { return };
        let signed = stage(&agent.url, json!({"signing_key_file": key, "protocol": generation.protocol()}));
        assert_eq!(answer_of(&play(&mut signed.user("größe / 名前"), "who").await), "größe / 名前");
        let unsigned = stage(&agent.url, json!({"protocol": generation.protocol()}));
        let (_, code, message) = ending(&play(&mut unsigned.ann(), "who").await);
        assert_eq!(&*code, "upstream");
        assert!(message.contains("401"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_6_agents_of_both_generations_are_killed() {
    for generation in GENERATIONS {
        let start = || Process::node(generation, "peer.mjs", &[]);
        let Some(mut agent) = start() else { return };
        let keys = json!({"protocol": generation.protocol()});
        let streaming = stage(&agent.url, keys.clone());
        let half = |event: &Event| matches!(event, Event::Thinking(_));
        let events = killed(&streaming, &mut agent, "stall", half).await;
        assert!("half ".starts_with(&text_of(&events, ThoughtKind::Answer)));
        let mut agent = start().unwrap();
        let working = stage(&agent.url, keys.clone());
        let called = |event: &Event| matches!(event, Event::ToolExecuting(_));
        let events = killed(&working, &mut agent, "stall in a tool", called).await;
        assert_eq!(calls(&events).len(), 1);
        // An agent that ends itself, in order.
        let agent = start().unwrap();
        let (status, code, _) = ending(&play(&mut stage(&agent.url, keys).ann(), "end").await);
        assert_eq!((status, &*code), (RunStatus::Failed, "upstream"));
    }
}

/// The mock of aimock has ids of its own, so `check_ids` is off.
#[tokio::test(flavor = "multi_thread")]
async fn mock_of_aimock_plays_its_fixtures() {
    let Some(agent) = Process::node(Generation::V1, "mock.mjs", &[]) else { return };
    let stage = stage(&agent.url, json!({"check_ids": false}));
    let mut talk = stage.ann();
    assert_eq!(answer_of(&play(&mut talk, "hello").await), "Hello from the mock.");
    assert_eq!(answer_of(&play(&mut talk, "chunk").await), "In one chunk.");
    let events = play(&mut talk, "weather").await;
    assert_eq!(calls(&events), [r#"agent get_weather({"city":"Berlin"}) ok {"degrees":21}"#]);
    let events = play(&mut talk, "why").await;
    assert_eq!(text_of(&events, ThoughtKind::Reasoning), "Because of the fixture.");
    let events = play(&mut talk, "all").await;
    assert_eq!(calls(&events), [r#"agent look_up({}) ok "found""#]);
    assert_eq!(text_of(&events, ThoughtKind::Reasoning), "First.");
    let (_, _, message) = ending(&play(&mut talk, "no such fixture").await);
    assert!(message.contains("404"), "{message}");
}
