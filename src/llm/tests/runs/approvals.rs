//! Calls that the client has to approve (RUN-11).

use quintet_agent::ToolPattern;
use quintet_agent::{CallResult, CallStatus, Json};
use quintet_kernel::entry::{Call, CallOwner, RunStatus};
use quintet_llm::ApiKind;
use serde_json::json;

use crate::{
    agents, chat_answer, chat_calls, config,
    live_run::{calls, launch},
    upstream::{Reply, Upstream},
};

/// Plays a run of two calls of which the client is asked about both, and returns the executed expressions and
/// what the model read.
async fn asked(mut answer: impl FnMut(&str) -> CallResult + Send + 'static) -> (Vec<String>, Vec<String>) {
    let first =
        chat_calls(&[("calculate", "{\"expression\":\"a\"}"), ("calculate", "{\"expression\":\"b\"}")]);
    let mut upstream =
        Upstream::start(vec![Reply::stream(&first), Reply::stream(&chat_answer("Done."))]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.approve = vec![ToolPattern::new("calc*")];
    let agents = agents(config);
    let mut live = launch(&agents, "sums");
    live.answer = Box::new(move |call: &Call| {
        let question = call.parameters.to_value();
        assert_eq!((call.tool_name.as_str(), &question["tool_name"]), ("approve", &json!("calculate")));
        answer(question["parameters"]["expression"].as_str().unwrap())
    });
    let (events, end) = live.finish().await;
    assert_eq!(end.status, RunStatus::Succeeded);
    let executed = calls(&events).into_iter().filter(|(call, _)| call.by == CallOwner::Agent);
    let executed =
        executed.map(|(call, _)| call.parameters.to_value()["expression"].as_str().unwrap().to_owned());
    upstream.request().await;
    let (_, body) = upstream.request().await;
    let read = body["messages"].as_array().unwrap()[2..].iter();
    let read = read.map(|message| message["content"].as_str().unwrap().to_owned());
    (executed.collect(), read.collect())
}

#[tokio::test]
async fn rule_run_11_only_what_the_client_approves_is_executed() {
    let given = |value: serde_json::Value| CallResult::ok(Json::from(value));
    let (executed, read) = asked(move |expression| match expression {
        "a" => CallResult::declined(Some("too dear".into())),
        _ => given(json!({})),
    })
    .await;
    assert_eq!(executed, ["b"]);
    assert_eq!(read, ["The user declined this call. It was not executed. The reason: too dear", "\"=b\""]);
    for no in [
        given(json!(false)),
        given(json!({"approved": false})),
        given(json!({"approved": "false"})),
        CallResult::declined(None),
        CallResult::error("no window"),
        CallResult::cut_short(CallStatus::TimedOut, "nobody answered"),
    ] {
        let (executed, read) = asked({
            let no = no.clone();
            move |_| no.clone()
        })
        .await;
        assert_eq!(executed, [""; 0], "{no:?}");
        assert!(read.iter().all(|read| read.contains("not executed")), "{read:?}");
    }
    let (executed, _) = asked(move |_| given(json!({"approved": true}))).await;
    assert_eq!(executed, ["a", "b"]);
}
