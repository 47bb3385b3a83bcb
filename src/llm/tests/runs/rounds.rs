//! The loop of an agent: calls, their results, and the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quintet_agent::{CallStatus, ThoughtKind, Tool, ToolError, tool};
use quintet_agent::{ToolPattern, ToolSource, async_trait};
use quintet_kernel::entry::{Event, RunErrorCode, RunStatus};
use quintet_llm::{ApiKind, ModelAgent};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    RECORDED, agents, agents_with, calculate, chat_answer, chat_calls, client, config,
    live_run::{self, calls, launch, play, text},
    upstream::{Reply, Upstream},
};

#[tokio::test]
async fn calls_are_executed_and_their_results_go_back_in_the_form_of_the_protocol() {
    for (api, first, second) in RECORDED {
        let mut upstream = Upstream::start(vec![Reply::stream(first), Reply::stream(second)]).await;
        let (events, end) = play(&agents(config(api, &upstream)), "two sums").await;
        assert_eq!(end.status, RunStatus::Succeeded);
        let results: Vec<_> = calls(&events)
            .into_iter()
            .map(|(call, result)| (call.tool_name.as_str().to_owned(), result.unwrap().results.to_value()))
            .collect();
        let name = || "calculate".to_owned();
        assert_eq!(results, [(name(), json!("=2+3")), (name(), json!("=4*5 — “é”"))]);
        upstream.request().await;
        let (_, body) = upstream.request().await;
        let given_back = match api {
            ApiKind::OpenaiChat => body["messages"].clone(),
            ApiKind::OpenaiResponses => body["input"].clone(),
            ApiKind::Anthropic => body["messages"].clone(),
        };
        let given_back = given_back.to_string();
        for part in ["call_1", "call_2", "=2+3", "=4*5"] {
            assert!(given_back.contains(part), "{api:?}: {part} is missing in {given_back}");
        }
        assert_eq!(
            given_back.contains("aimock-placeholder-signature"),
            api == ApiKind::Anthropic,
            "{given_back}"
        );
    }
}

#[tokio::test]
async fn wrong_calls_are_answered_and_the_run_goes_on() {
    let first = chat_calls(&[
        ("calculate", "{\"expression\":"),
        ("calculate", "[1]"),
        ("unknown", "{}"),
        ("calculate", "{\"wrong\":1}"),
        ("calculate", "{\"expression\":\"1/0\"}"),
        ("calculate", "{\"expression\":\"2+3\"}"),
    ]);
    let mut upstream =
        Upstream::start(vec![Reply::stream(&first), Reply::stream(&chat_answer("It is 5."))]).await;
    let (events, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "sums").await;
    assert_eq!(end.answer.as_deref(), Some("It is 5."));
    let statuses: Vec<_> = calls(&events).into_iter().map(|(_, result)| result.unwrap().status).collect();
    assert_eq!(statuses, [CallStatus::Error, CallStatus::Error, CallStatus::Ok], "three were executed");
    assert_eq!(
        text(&events, ThoughtKind::Progress).lines().count(),
        1,
        "RUN-3: a thought precedes the calls"
    );
    upstream.request().await;
    let (_, body) = upstream.request().await;
    let messages = body["messages"].as_array().unwrap();
    let results: Vec<&str> =
        messages[2..].iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert!(results[0].starts_with("The arguments are invalid: not JSON"), "{results:?}");
    assert!(results[1].contains("not a JSON object"), "{results:?}");
    assert_eq!(results[2], "There is no tool of this name.");
    assert!(
        results[3].starts_with("The call failed: the arguments are invalid: missing field"),
        "{results:?}"
    );
    assert_eq!(results[4..], ["The call failed: division by zero", "\"=2+3\""]);
    let arguments: Vec<_> = messages[1]["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["function"]["arguments"].clone())
        .collect();
    assert_eq!(arguments[..2], ["{}", "{}"], "arguments that are no object are not given back");
}

/// A service may refuse a conversation with them, or the next request would be too long.
#[tokio::test]
async fn names_and_arguments_that_no_call_can_have_are_answered_and_not_given_back() {
    let long = format!("{{\"expression\":\"{}\"}}", "1+".repeat(100_000));
    let name = "x".repeat(100_000);
    let first = chat_calls(&[("calculate", &*long), (&*name, "{}"), ("../etc passwd\n", "{}"), ("", "{}")]);
    let mut upstream =
        Upstream::start(vec![Reply::stream(&first), Reply::stream(&chat_answer("I see."))]).await;
    let (events, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "sums").await;
    assert_eq!(end.answer.as_deref(), Some("I see."), "{end:?}");
    assert_eq!(calls(&events).len(), 0);
    assert!(text(&events, ThoughtKind::Progress).len() < 1_000);
    upstream.request().await;
    let (_, body) = upstream.request().await;
    let messages = body["messages"].as_array().unwrap();
    let given: Vec<_> =
        messages[1]["tool_calls"].as_array().unwrap().iter().map(|call| &call["function"]).collect();
    assert_eq!(given[0]["arguments"], "{}");
    let names: Vec<_> = given[1..].iter().map(|call| call["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&"x".repeat(64), "___etc_passwd_", "_"]);
    assert!(messages[2]["content"].as_str().unwrap().starts_with("The arguments are longer than"));
    assert!(messages[3..].iter().all(|message| message["content"] == "There is no tool of this name."));
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// A tool that records how many of its calls were executed at the same time, and whose calls wait until these many were.
fn counting(name: &'static str, most: Arc<AtomicUsize>, wanted: usize) -> Arc<dyn Tool> {
    let (now, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    Arc::new(tool(name, "Counts.", move |_: Nothing, _| {
        let (now, most, reached) = (now.clone(), most.clone(), reached.clone());
        async move {
            let together = now.fetch_add(1, Ordering::SeqCst) + 1;
            if most.fetch_max(together, Ordering::SeqCst).max(together) >= wanted {
                reached.add_permits(1_000);
            }
            let waited = timeout(Duration::from_secs(60), reached.acquire()).await;
            drop(waited.expect("the calls are executed together"));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, ToolError>("done")
        }
    }))
}

#[tokio::test]
async fn calls_are_executed_in_parallel_within_their_limits() {
    let first = chat_calls(&[("count", "{}"); 7]);
    let mut upstream =
        Upstream::start(vec![Reply::stream(&first), Reply::stream(&chat_answer("Done."))]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    (config.limits.parallel_calls_max, config.limits.round_calls_max) = (2, 5);
    let most = Arc::new(AtomicUsize::new(0));
    let (events, end) = play(&agents_with(config, vec![counting("count", most.clone(), 2)]), "count").await;
    assert_eq!((end.status, calls(&events).len()), (RunStatus::Succeeded, 5));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    upstream.request().await;
    let (_, body) = upstream.request().await;
    let last = body["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    assert_eq!(last, "Too many calls at once. This one was not executed.");
}

#[tokio::test]
async fn rounds_are_bounded() {
    let replies = (0..5).map(|_| Reply::stream(&chat_calls(&[("calculate", "{\"expression\":\"1\"}")])));
    let upstream = Upstream::start(replies.collect()).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.limits.model_rounds_max = 3;
    let (events, end) = play(&agents(config), "for ever").await;
    assert_eq!((end.code, calls(&events).len()), (Some(RunErrorCode::LimitReached), 3), "{end:?}");
}

#[tokio::test]
async fn answers_that_are_cut_withheld_or_empty_are_no_success() {
    let ending = |reason: &str, text: &str| {
        let delta = json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]});
        Reply::stream(&format!("data: {delta}\n\ndata: [DONE]\n\n"))
    };
    for (reply, code) in [
        (ending("length", "Half an"), RunErrorCode::LimitReached),
        (ending("content_filter", "Half an"), RunErrorCode::Upstream),
        (ending("stop", ""), RunErrorCode::Upstream),
        (ending("stop", " \n"), RunErrorCode::Upstream),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let (_, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "hello").await;
        assert_eq!((end.status, end.code), (RunStatus::Failed, Some(code)), "{end:?}");
    }
}

#[tokio::test]
async fn only_the_chosen_tools_are_offered_under_names_that_the_api_accepts() {
    let named = |name: &'static str| counting(name, Arc::default(), 1);
    let calls_both = chat_calls(&[("files_read", "{}"), ("files_write", "{}"), ("calculate", "{}")]);
    let mut upstream =
        Upstream::start(vec![Reply::stream(&calls_both), Reply::stream(&chat_answer("Done."))]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.tools = vec![ToolPattern::new("files/r*")];
    let tools = vec![named("files/read"), named("files/write"), calculate()];
    let (events, _) = play(&agents_with(config, tools), "read").await;
    let called: Vec<_> = calls(&events).into_iter().map(|(call, _)| call.tool_name.to_string()).collect();
    assert_eq!(called, ["files/read"]);
    let (_, body) = upstream.request().await;
    let offered: Vec<_> =
        body["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(offered, ["files_read"]);
}

#[tokio::test]
async fn a_thought_precedes_a_call_that_the_model_did_not_explain() {
    let replies = vec![
        Reply::stream(&chat_calls(&[("calculate", "{\"expression\":\"1\"}")])),
        Reply::stream(&chat_answer("One.")),
    ];
    let upstream = Upstream::start(replies).await;
    let (events, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "one").await;
    assert_eq!(end.status, RunStatus::Succeeded);
    let Event::Thinking(thought) = &events[1] else { panic!("{events:?}") };
    assert_eq!((thought.kind, thought.delta.as_str()), (ThoughtKind::Progress, "Calling calculate.\n"));
}

/// Tools of a server that is being started.
struct Late(watch::Receiver<bool>);

#[async_trait]
impl ToolSource for Late {
    fn tools(&self) -> Arc<[Arc<dyn Tool>]> {
        let is_started = *self.0.borrow();
        if is_started { Arc::from([calculate()]) } else { Arc::from([]) }
    }

    async fn prepare(&self) {
        let mut started = self.0.clone();
        let _started = started.wait_for(|started| *started).await;
    }
}

#[tokio::test]
async fn a_run_waits_for_the_first_start_of_its_tools_up_to_a_limit() {
    for (is_started, tools_wait_ms) in [(true, 60_000), (false, 1)] {
        let (start, started) = watch::channel(false);
        let mut upstream = Upstream::start(vec![Reply::stream(&chat_answer("Hello."))]).await;
        let mut config = config(ApiKind::OpenaiChat, &upstream);
        config.limits.tools_wait_ms = tools_wait_ms;
        let agent = ModelAgent::new(config, vec![], vec![Arc::new(Late(started))], client()).unwrap();
        let agents = live_run::registry(agent);
        let live = launch(&agents, "hello");
        if is_started {
            assert!(upstream.seen.try_recv().is_err());
            start.send_replace(true);
        }
        assert_eq!(live.finish().await.1.status, RunStatus::Succeeded);
        let (_, body) = upstream.request().await;
        assert_eq!(body["tools"].as_array().map_or(0, Vec::len), usize::from(is_started), "{body}");
    }
}
