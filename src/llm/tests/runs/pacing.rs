//! The rate of the deltas.

use quintet_agent::ThoughtKind;
use quintet_kernel::entry::Event;
use quintet_llm::ApiKind;
use serde_json::json;

use crate::{
    agents, config,
    live_run::{play, text},
    upstream::{Reply, Upstream},
};

/// Returns the number of deltas for an answer of 1,000 tokens.
async fn deltas(delta_pause_ms: u64) -> usize {
    let token = json!({"choices": [{"index": 0, "delta": {"content": "word "}}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let body = format!("{}data: {end}\n\ndata: [DONE]\n\n", format!("data: {token}\n\n").repeat(1_000));
    let upstream = Upstream::start(vec![Reply::stream(&body)]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.limits.delta_pause_ms = delta_pause_ms;
    let (events, _) = play(&agents(config), "talk").await;
    assert_eq!(text(&events, ThoughtKind::Answer), "word ".repeat(1_000));
    events.iter().filter(|event| matches!(event, Event::Thinking(_))).count()
}

#[tokio::test]
async fn a_token_is_not_an_entry() {
    let paced = deltas(10_000).await;
    assert_eq!(paced, 2, "the first at once, the rest at the end");
    let at_once = deltas(0).await;
    assert!(at_once > 100, "{at_once}");
}
