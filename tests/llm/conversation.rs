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
            config.tools = vec![];
            let limits = &mut config.limits;
            // Two runs of 15 tokens, and less than the third request has, of which the earlier runs are a part.
            *if per_thread { &mut limits.thread_tokens_max } else { &mut limits.user_tokens_per_day_max } =
                50;
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
    let events = run.finish().await;
    let end = completion(&events);
    assert_eq!(end.status, RunStatus::Cancelled);
    let usage = end.usage.expect("what the model has read and generated is counted");
    assert!(usage.input_tokens > 0 && usage.output_tokens > 0, "{usage:?}");
}

/// The tokens of runs that did not succeed are in the log too, so that a restart does not free them.
#[tokio::test]
async fn budgets_count_failed_runs_after_a_restart() {
    let begun = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "word ".repeat(60)}}]}));
    let upstream =
        Upstream::start_with(move |_| crate::upstream::Reply::chunked(begun.as_bytes(), true)).await;
    let executed = Arc::new(AtomicUsize::new(0));
    let limited = || {
        let mut config = config(&upstream);
        config.tools = vec![];
        config.limits.user_tokens_per_day_max = 200;
        agents(config, &executed)
    };
    let stage = Stage::with(limited());
    let mut ann = stage.ann();
    for _ in 0..2 {
        let (status, code, _) = ending(&ann.play("model", "hello").await);
        assert_eq!((status, code.as_str()), (RunStatus::Failed, "upstream"));
    }
    let stage = Stage::after_crash(&ann.log().await, limited()).await;
    let mut ann = stage.ann();
    for _ in 0..2 {
        // The ids of the first messages are known, and name their runs.
        ann.send("model", "hello").await;
    }
    let (_, code, _) = ending(&ann.play("model", "hello").await);
    assert_eq!(code, "limit_reached", "100 tokens of text and more in each of two runs");
}

/// A run that a crash has cut has used tokens, which are estimated.
#[tokio::test]
async fn a_resumed_run_counts_what_it_has_used_before() {
    let upstream = Upstream::start_with(three_doubles).await;
    let executed = Arc::new(AtomicUsize::new(0));
    let stage = Stage::with(agents(config(&upstream), &executed));
    let mut ann = stage.ann();
    let run = ann.send("model", "1, 2, 3").await;
    let run_id = run.run_id;
    let whole = completion(&run.finish().await).usage.unwrap();
    assert_eq!((whole.input_tokens, whole.output_tokens), (30, 15), "three responses");
    let log = ann.log().await;
    let stage = Stage::after_crash(&log[..log.len() - 1], agents(config(&upstream), &executed)).await;
    let usage = completion(&stage.ann().watch(run_id).await.finish().await).usage.unwrap();
    // One response of this process; three requests of the earlier one, of a tool, a message and three calls.
    assert!(usage.input_tokens > 10 + 100 && usage.output_tokens > 5 + 15, "{usage:?}");
}
