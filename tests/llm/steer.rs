//! Messages that a run takes between two requests to its model, over crashes at any entry (RUN-12).

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use quintet::agent::ToolPattern;
use quintet::{
    kernel::{
        entry::{Body, CallOwner, CallResult, Event, RunStatus},
        user::OnBusy,
    },
    prelude::Json,
};
use quintet_llm::ModelConfig;
use serde_json::Value;

use crate::{
    agents, config,
    crash::approved,
    stage::{Stage, completion},
    three_doubles,
    upstream::Upstream,
};

fn approving(upstream: &Upstream) -> ModelConfig {
    let mut config = config(upstream);
    config.approve = vec![ToolPattern::new("*")];
    config
}

/// The texts of the user in a request, with the number of results before each.
fn texts(request: &Value) -> Vec<(String, usize)> {
    let (mut texts, mut results) = (Vec::new(), 0);
    for message in request["messages"].as_array().unwrap() {
        match message["role"].as_str().unwrap() {
            "user" => texts.push((message["content"].as_str().unwrap().to_owned(), results)),
            "tool" => results += 1,
            _ => {}
        }
    }
    texts
}

#[tokio::test]
async fn run_12_a_message_that_steers_joins_the_conversation_once_also_after_a_crash() {
    let last = Arc::new(Mutex::new(Value::Null));
    let seen = last.clone();
    let upstream = Upstream::start_with(move |request| {
        *seen.lock().unwrap() = request.clone();
        three_doubles(request)
    })
    .await;
    let executed = Arc::new(AtomicUsize::new(0));
    let stage = Stage::with(agents(approving(&upstream), &executed));
    let mut ann = stage.ann();
    let mut run = ann.send("model", "1, 2, 3").await;
    let is_question =
        |event: &Event| matches!(event, Event::ToolExecuting(call) if call.by == CallOwner::Client);
    run.until(is_question).await;
    let steering = ann.send_as("model", "also be brief", OnBusy::Steer, None).await;
    for call_id in ["c1", "c2"] {
        run.until(|event| matches!(event, Event::ToolExecuting(call) if call.call_id.as_str() == call_id))
            .await;
        let call_id = quintet::kernel::ids::CallId::parse(call_id).unwrap();
        ann.user.answer(run.run_id, call_id, CallResult::ok(Json::null())).await.unwrap();
    }
    let run_id = run.run_id;
    let whole = approved(&ann, run).await;
    assert_eq!(completion(&whole).status, RunStatus::Succeeded);
    assert_eq!(completion(&steering.finish().await).status, RunStatus::Merged);
    let told = [("1, 2, 3".to_owned(), 0), ("also be brief".to_owned(), 2)];
    assert_eq!(texts(&last.lock().unwrap()), told);

    let log = ann.log().await;
    let is_merged = |entry: &quintet::kernel::entry::RunEntry| entry.run_id != run_id;
    let accepted = log.iter().position(is_merged).expect("the message is in the log") + 1;
    for crash in accepted..log.len() {
        // The events of the message's own run are in one append.
        if is_merged(&log[crash - 1])
            && matches!(&log[crash - 1].body, Body::Event { event: Event::Started { .. }, .. })
        {
            continue;
        }
        let stage =
            Stage::after_crash(&log[..crash], agents(approving(&upstream), &Arc::new(AtomicUsize::new(0))))
                .await;
        let ann = stage.ann();
        let events = approved(&ann, ann.watch(run_id).await).await;
        assert_eq!(completion(&events).status, RunStatus::Succeeded, "crash after {crash}");
        let texts = texts(&last.lock().unwrap());
        let taken: Vec<_> = texts.iter().filter(|(text, _)| text.contains("also be brief")).collect();
        assert_eq!(taken.len(), 1, "crash after {crash}: {texts:?}");
    }
}
