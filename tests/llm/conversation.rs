//! The conversation that a model reads from the user's log, and budgets that are counted from it.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use quintet::kernel::entry::{Event, RunStatus};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    agents, config,
    stage::{Stage, completion, ending},
    stream, three_doubles,
    upstream::{Then, Upstream},
};

#[tokio::test]
async fn a_model_reads_the_earlier_runs_of_its_thread() {
    let mut upstream = Upstream::start_with(three_doubles).await;
    let stage = Stage::with(agents(config(&upstream), &Arc::new(AtomicUsize::new(0))));
    let mut ann = stage.ann();
    ann.play("model", "first").await;
    ann.play("model", "second").await;
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(upstream.request().await.1);
    }
    let told: Vec<Value> = requests[3]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| match (&message["content"], &message["tool_calls"][0]["function"]["arguments"]) {
            (Value::Null, arguments) => arguments.clone(),
            (content, _) => content.clone(),
        })
        .collect();
    let answer = "First two.\n\nThen the third.\n\nThey are 2, 4, 6.";
    assert_eq!(
        told,
        [
            json!("first"),
            json!(r#"{"n":1}"#),
            json!("2"),
            json!(r#"{"n":2}"#),
            json!("4"),
            json!(r#"{"n":3}"#),
            json!("6"),
            json!(answer),
            json!("second"),
        ]
    );
    // Another user's thread of the same name is another conversation (ISO-2).
    stage.user("bob").play("model", "mine").await;
    for _ in 0..2 {
        upstream.request().await;
    }
    let (_, request) = upstream.request().await;
    assert_eq!(request["messages"].as_array().unwrap().len(), 1, "{request}");
}

#[tokio::test]
async fn budgets_are_counted_from_the_log_after_a_restart() {
    for per_thread in [true, false] {
        let upstream = Upstream::start_with(|_| stream(json!({"content": "Hello."}), "stop")).await;
        let executed = Arc::new(AtomicUsize::new(0));
        let budget = || {
            let mut config = config(&upstream);
            let limits = &mut config.limits;
            *if per_thread { &mut limits.thread_tokens_max } else { &mut limits.user_tokens_per_day_max } =
                30;
            config
        };
        let stage = Stage::with(agents(budget(), &executed));
        let mut ann = stage.ann();
        for _ in 0..2 {
            assert_eq!(completion(&ann.play("model", "hello").await).status, RunStatus::Succeeded);
        }
        let (_, code, _) = ending(&ann.play("model", "hello").await);
        assert_eq!(code, "limit_reached", "15 tokens a run");
        let stage = Stage::after_crash(&ann.log().await, agents(budget(), &executed)).await;
        let mut ann = stage.ann();
        for _ in 0..3 {
            // The ids of the first messages are known, and name their runs.
            ann.send("model", "hello").await;
        }
        let (_, code, _) = ending(&ann.play("model", "hello").await);
        assert_eq!(code, "limit_reached", "the log holds the tokens of the earlier process");
        let (_, code, _) = ending(&stage.user("bob").play("model", "hello").await);
        assert_eq!(code, "", "the budget of another user is untouched (ISO-6)");
    }
}

#[tokio::test]
async fn a_cancel_by_the_client_closes_the_request() {
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"Once\"}}]}\n\n";
    let mut upstream =
        Upstream::start_with(move |_| crate::upstream::Reply::stream(begun).then(Then::Silence)).await;
    let stage = Stage::with(agents(config(&upstream), &Arc::new(AtomicUsize::new(0))));
    let mut ann = stage.ann();
    let mut run = ann.send("model", "a story").await;
    run.until(|event| matches!(event, Event::Thinking(_))).await;
    ann.user.cancel(run.run_id).await.unwrap();
    // Before the model's own timeouts.
    timeout(Duration::from_secs(30), upstream.closed()).await.expect("the request is closed");
    assert_eq!(completion(&run.finish().await).status, RunStatus::Cancelled);
}
