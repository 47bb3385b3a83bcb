//! Runs that are resumed after a crash (RUN-9).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use quintet_agent::ToolPattern;
use quintet_agent::{CallResult, CallStatus, Json, ThoughtKind, Tool, ToolError, tool};
use quintet_kernel::{
    entry::{Call, CallOwner, Event, RunStatus, Thought},
    ids::{CallId, ToolName},
};
use quintet_llm::ApiKind;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    agents_with, chat_answer, config,
    live_run::{calls, launch_from},
    upstream::{Reply, Upstream},
};

#[derive(Deserialize, JsonSchema)]
struct Number {
    n: u32,
}

fn doubling(executed: Arc<AtomicUsize>) -> Arc<dyn Tool> {
    Arc::new(tool("double", "Doubles.", move |Number { n }, _| {
        executed.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, ToolError>(2 * n) }
    }))
}

fn thought() -> Event {
    Event::Thinking(Thought { kind: ThoughtKind::Progress, delta: String::new(), reset: false })
}

fn opened(id: &str, tool: &str, by: CallOwner, parameters: Value) -> Event {
    let (call_id, tool_name) = (CallId::parse(id).unwrap(), ToolName::parse(tool).unwrap());
    Event::ToolExecuting(Call { call_id, tool_name, parameters: Json::from(parameters), by })
}

fn closed(id: &str, result: CallResult) -> Event {
    let (call_id, tool_name) = (CallId::parse(id).unwrap(), ToolName::parse("double").unwrap());
    Event::ToolCompleted { call_id, tool_name, result, duration_ms: 0 }
}

/// Resumes a run, and returns its calls, the number of executed ones, and what the model read.
async fn resumed(past: Vec<Event>) -> (Vec<String>, usize, Vec<Value>) {
    let mut upstream = Upstream::start(vec![Reply::stream(&chat_answer("Done."))]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.approve = vec![ToolPattern::new("double")];
    let executed = Arc::new(AtomicUsize::new(0));
    let agents = agents_with(config, vec![doubling(executed.clone())]);
    let (events, end) = launch_from(&agents, "double", past).finish().await;
    assert_eq!(end.status, RunStatus::Succeeded);
    let (_, body) = upstream.request().await;
    let read = body["messages"].as_array().unwrap()[1..].to_vec();
    let calls = calls(&events)
        .into_iter()
        .map(|(call, result)| format!("{} {:?}", call.call_id, result.unwrap().status));
    (calls.collect(), executed.load(Ordering::SeqCst), read)
}

#[tokio::test]
async fn rule_run_9_completed_calls_are_told_to_the_model_and_not_executed_again() {
    let approve = |n: u32| json!({"tool_name": "double", "parameters": {"n": n}});
    let past = vec![
        thought(),
        opened("c1", "approve", CallOwner::Client, approve(1)),
        opened("c2", "approve", CallOwner::Client, approve(2)),
        closed("c1", CallResult::ok(Json::null())),
        closed("c2", CallResult::declined(None)),
        opened("c3", "double", CallOwner::Agent, json!({"n": 1})),
        closed("c3", CallResult::ok(Json::from(json!(2)))),
        opened("c4", "double", CallOwner::Agent, json!({"n": 9})),
        closed("c4", CallResult::cut_short(CallStatus::Unknown, "the node was lost")),
    ];
    let (calls, executed, read) = resumed(past).await;
    assert_eq!(calls, ["c1 Ok", "c2 Declined", "c3 Ok", "c4 Unknown"]);
    assert_eq!(executed, 0);
    let contents: Vec<_> = read
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    assert_eq!(contents.len(), 3);
    assert_eq!(contents[..2], ["The user declined this call. It was not executed.", "2"]);
    assert!(contents[2].starts_with("The outcome is not known"), "{contents:?}");
}

#[tokio::test]
async fn a_call_that_was_approved_before_the_crash_is_executed() {
    let past = vec![
        thought(),
        opened("c1", "approve", CallOwner::Client, json!({"tool_name": "double", "parameters": {"n": 4}})),
        closed("c1", CallResult::ok(Json::null())),
    ];
    let (calls, executed, read) = resumed(past).await;
    assert_eq!((calls, executed), (vec!["c1 Ok".to_owned(), "c2 Ok".to_owned()], 1));
    assert_eq!(read.last().unwrap()["content"], "8");
}
