//! Runs of model agents against a service that fails in every way, over real connections.

mod approvals;
mod budgets;
mod cancel;
mod cuts;
mod pacing;
mod resume;
mod retries;
mod rounds;

use std::sync::Arc;

use quintet_agent::ToolPattern;
use quintet_agent::{AgentRegistry, Tool, ToolError, tool};
use quintet_llm::{ApiKind, ModelAgent, ModelConfig};
use quintet_upstream::{HttpClient, HttpOptions};
use schemars::JsonSchema;
use serde::Deserialize;

use quintet_testkit::{
    live_run,
    upstream::{self, Upstream},
};

/// The recorded streams of each protocol: one of two calls, and one of an answer.
const RECORDED: [(ApiKind, &str, &str); 3] = [
    (
        ApiKind::OpenaiChat,
        include_str!("../../recorded/chat-calls.sse"),
        include_str!("../../recorded/chat-answer.sse"),
    ),
    (
        ApiKind::OpenaiResponses,
        include_str!("../../recorded/responses-calls.sse"),
        include_str!("../../recorded/responses-answer.sse"),
    ),
    (
        ApiKind::Anthropic,
        include_str!("../../recorded/anthropic-calls.sse"),
        include_str!("../../recorded/anthropic-answer.sse"),
    ),
];

#[derive(Deserialize, JsonSchema)]
struct Sum {
    expression: String,
}

/// A tool that repeats the sum.
fn calculate() -> Arc<dyn Tool> {
    Arc::new(tool("calculate", "Calculates.", |Sum { expression }, _| async move {
        match expression.as_str() {
            "1/0" => Err(ToolError::user_facing("division by zero")),
            _ => Ok(format!("={expression}")),
        }
    }))
}

/// The client of this test; to build one takes some milliseconds.
fn client() -> HttpClient {
    thread_local! {
        static CLIENT: HttpClient = HttpClient::new(&HttpOptions::default()).unwrap();
    }
    CLIENT.with(HttpClient::clone)
}

fn config(api: ApiKind, upstream: &Upstream) -> ModelConfig {
    let url = format!("http://{}/v1/", upstream.address).parse().unwrap();
    let mut config = ModelConfig::new("model", api, url, "m");
    config.tools = vec![ToolPattern::new("*")];
    config.limits.retries_max = 0;
    config
}

fn agents(config: ModelConfig) -> AgentRegistry {
    agents_with(config, vec![calculate()])
}

fn agents_with(config: ModelConfig, tools: Vec<Arc<dyn Tool>>) -> AgentRegistry {
    live_run::registry(ModelAgent::new(config, tools, vec![], client()).unwrap())
}

/// A stream of chat completions with this text.
fn chat_answer(text: &str) -> String {
    let delta = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    let end = serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = serde_json::json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    format!("data: {delta}\n\ndata: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

/// A stream of chat completions with these calls.
fn chat_calls(calls: &[(&str, &str)]) -> String {
    let calls: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(at, (name, arguments))| {
            serde_json::json!({
                "index": at, "id": format!("call_{at}"), "type": "function",
                "function": {"name": name, "arguments": arguments},
            })
        })
        .collect();
    let delta = serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]});
    let end = serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    format!("data: {delta}\n\ndata: {end}\n\ndata: [DONE]\n\n")
}
