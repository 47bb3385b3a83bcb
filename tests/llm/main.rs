//! Model agents on real users' machines over a journal in memory: conversations, crashes at every entry of a run's log,
//! cancels, and budgets that are counted from the log.
#![cfg(feature = "llm")]

mod conversation;
mod crash;
mod steer;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use quintet::agent::ToolPattern;
use quintet::{
    agent::{AgentRegistry, Executor},
    prelude::*,
};
use quintet_llm::{ApiKind, ModelAgent, ModelConfig};
use quintet_testkit::{
    stage,
    upstream::{self, Reply, Upstream},
};
use quintet_upstream::{HttpClient, HttpOptions};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Number {
    n: u32,
}

/// A tool that doubles a number and counts its executions.
fn double(executed: Arc<AtomicUsize>) -> Arc<dyn Tool> {
    Arc::new(tool("double", "Doubles.", move |Number { n }: Number, _| {
        executed.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, ToolError>(2 * n) }
    }))
}

fn config(upstream: &Upstream) -> ModelConfig {
    let url = format!("http://{}/v1", upstream.address).parse().unwrap();
    let mut config = ModelConfig::new("model", ApiKind::OpenaiChat, url, "m");
    config.tools = vec![ToolPattern::new("*")];
    config.limits.retries_max = 0;
    config
}

fn agents(config: ModelConfig, executed: &Arc<AtomicUsize>) -> AgentRegistry {
    let http = HttpClient::new(&HttpOptions::default()).unwrap();
    let agent = ModelAgent::new(config, vec![double(executed.clone())], vec![], http).unwrap();
    AgentRegistry::new(agent, Executor::shared()).unwrap()
}

/// The messages of a request since the message of its run, which is the last one of the user that does not begin with `also`.
fn since_the_message(request: &Value) -> Vec<&Value> {
    let messages = request["messages"].as_array().unwrap();
    let last = messages.iter().rposition(|message| {
        message["role"] == "user" && !message["content"].as_str().unwrap().starts_with("also")
    });
    let last = last.unwrap();
    messages[last + 1..].iter().collect()
}

fn stream(delta: Value, reason: &str) -> Reply {
    let delta = json!({"choices": [{"index": 0, "delta": delta}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    Reply::stream(&format!("data: {delta}\n\ndata: {end}\n\ndata: [DONE]\n\n"))
}

/// Asks for the doubles of 1 and 2, then for that of 3, then answers with all results. Does not repeat a call.
fn three_doubles(request: &Value) -> Reply {
    let messages = since_the_message(request);
    let called = |n: u32| {
        let arguments = json!({"n": n}).to_string();
        let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
        calls.into_iter().any(|call| call["function"]["arguments"] == arguments)
    };
    let call = |(at, n): (usize, u32)| {
        json!({"index": at, "id": format!("call_{n}"), "type": "function",
            "function": {"name": "double", "arguments": json!({"n": n}).to_string()}})
    };
    let calls = |numbers: Vec<u32>| -> Vec<Value> { numbers.into_iter().enumerate().map(call).collect() };
    let missing: Vec<u32> = [1, 2].into_iter().filter(|n| !called(*n)).collect();
    if !missing.is_empty() {
        let text = json!({
            "reasoning_content": "Three numbers.", "content": "First two.", "tool_calls": calls(missing),
        });
        return stream(text, "tool_calls");
    }
    if !called(3) {
        return stream(json!({"content": "Then the third.", "tool_calls": calls(vec![3])}), "tool_calls");
    }
    let results = messages.iter().filter(|message| message["role"] == "tool");
    let mut results: Vec<&str> = results.map(|message| message["content"].as_str().unwrap()).collect();
    results.sort_unstable();
    stream(json!({"content": format!("They are {}.", results.join(", "))}), "stop")
}
