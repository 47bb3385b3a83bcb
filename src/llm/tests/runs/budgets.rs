//! Budgets of tokens.

use quintet_agent::{ThoughtKind, Usage};
use quintet_kernel::entry::{RunErrorCode, RunStatus};
use quintet_llm::ApiKind;

use crate::{
    RECORDED, agents, chat_answer, chat_calls, config,
    live_run::{calls, launch, play, text},
    upstream::{Reply, Then, Upstream},
};

#[tokio::test]
async fn a_run_that_has_used_its_tokens_ends() {
    let replies = (0..9).map(|_| Reply::stream(&chat_calls(&[("calculate", "{\"expression\":\"1\"}")])));
    let mut upstream = Upstream::start(replies.collect()).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.limits.run_tokens_max = 600;
    let (events, end) = play(&agents(config), "for ever").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "{end:?}");
    assert!((1..9).contains(&calls(&events).len()), "tokens that the service does not count are estimated");
    let usage = end.usage.unwrap();
    assert!(usage.input_tokens + usage.output_tokens <= 600, "{usage:?}");
    let (_, first) = upstream.request().await;
    let (_, second) = upstream.request().await;
    let [first, second] = [first, second].map(|request| request["max_tokens"].as_u64().unwrap());
    assert!(first < 600, "the request itself is counted: {first}");
    assert!(second < first, "a response may use what is left: {second}");
}

/// A request that does not fit into what is left is not made.
#[tokio::test]
async fn a_request_longer_than_the_budget_is_not_made() {
    let mut upstream = Upstream::start(vec![Reply::stream(&chat_answer("Hello."))]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.tools = vec![];
    config.limits.run_tokens_max = 8;
    let agents = agents(config);
    // Estimated as 6 tokens and one for every 3 bytes, so the first leaves none for an answer.
    let (_, end) = play(&agents, "hello").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "{end:?}");
    assert_eq!((end.message.contains("fewer tokens left"), end.usage), (true, None), "{end:?}");
    assert_eq!(play(&agents, "hi!").await.1.status, RunStatus::Succeeded);
    let (_, request) = upstream.request().await;
    assert_eq!((&request["messages"][0]["content"], &request["max_tokens"]), (&"hi!".into(), &1.into()));
}

/// Each run knows what the others have reserved for their open requests.
#[tokio::test]
async fn iso_6_runs_side_by_side_reserve_their_longest_response() {
    let begun = chat_answer("Once.");
    let (begun, _) = begun.split_once("\n\n").unwrap();
    let open = || Reply::stream(&format!("{begun}\n\n")).then(Then::Silence);
    let mut upstream = Upstream::start(vec![open(), open()]).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.tools = vec![];
    (config.limits.user_tokens_per_day_max, config.limits.output_tokens_max) = (150, 100);
    let agents = agents(config);
    let mut live = Vec::new();
    // Each request has 8 tokens.
    for longest in [100, 150 - 108 - 8] {
        let mut run = launch(&agents, "hello");
        run.until(|event| matches!(event, quintet_kernel::entry::Event::Thinking(_))).await;
        live.push(run);
        assert_eq!(upstream.request().await.1["max_tokens"], longest);
    }
    let (_, end) = play(&agents, "hello").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "all is reserved: {end:?}");
    for mut live in live {
        live.cancel();
        live.finish().await;
    }
}

/// Without a limit of the response, what has arrived is counted, also by another agent of the service.
#[tokio::test]
async fn what_open_responses_have_generated_is_counted_by_every_agent() {
    let begun = chat_answer(&"word ".repeat(60));
    let (begun, _) = begun.split_once("\n\n").unwrap();
    let mut upstream = Upstream::start(vec![
        Reply::stream(&format!("{begun}\n\n")).then(Then::Silence),
        Reply::stream(&chat_answer("Hello.")),
    ])
    .await;
    let ledger = quintet_llm::Ledger::default();
    let agent = || {
        let mut config = config(ApiKind::OpenaiChat, &upstream);
        config.limits.user_tokens_per_day_max = 200;
        let agent = quintet_llm::ModelAgent::new(config, vec![], vec![], crate::client()).unwrap();
        crate::live_run::registry(agent.with_ledger(ledger.clone()))
    };
    let (one, other) = (agent(), agent());
    let mut live = launch(&one, "hello");
    live.until(|event| matches!(event, quintet_kernel::entry::Event::Thinking(_))).await;
    assert_eq!(play(&other, "hello").await.1.status, RunStatus::Succeeded);
    live.cancel();
    live.finish().await;
    assert_eq!(upstream.request().await.1["max_tokens"], 200 - 8);
    assert_eq!(upstream.request().await.1["max_tokens"], 200 - 8 - 100 - 8);
}

#[tokio::test]
async fn the_budgets_of_a_thread_and_of_a_day_count_earlier_runs() {
    for thread in [true, false] {
        let replies = (0..9).map(|_| Reply::stream(&chat_answer("Hello.")));
        let upstream = Upstream::start(replies.collect()).await;
        let mut config = config(ApiKind::OpenaiChat, &upstream);
        config.tools = vec![];
        // Two runs of 15 tokens, and less than the 8 of the next request.
        if thread {
            config.limits.thread_tokens_max = 37;
        } else {
            config.limits.user_tokens_per_day_max = 37;
        }
        let agents = agents(config);
        for _ in 0..2 {
            assert_eq!(play(&agents, "hello").await.1.status, RunStatus::Succeeded);
        }
        let (_, end) = play(&agents, "hello").await;
        assert_eq!(end.code, Some(RunErrorCode::LimitReached), "15 tokens a run: {end:?}");
    }
}

/// A run that was cancelled has used tokens, which are estimated.
#[tokio::test]
async fn cancelled_runs_count() {
    let begun = chat_answer(&"word ".repeat(100));
    let (first, _) = begun.split_once("\n\n").unwrap();
    let mut upstream = Upstream::start(vec![
        Reply::stream(&format!("{first}\n\n")).then(Then::Silence),
        Reply::stream(&chat_answer("Hello.")),
    ])
    .await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.tools = vec![];
    config.limits.user_tokens_per_day_max = 180;
    let agents = agents(config);
    let mut live = launch(&agents, "hello");
    live.until(|event| matches!(event, quintet_kernel::entry::Event::Thinking(_))).await;
    live.cancel();
    upstream.closed().await;
    let (_, end) = play(&agents, "hello").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "{end:?}");
}

/// Every end of a run has the tokens that it has used: counted by the service, or estimated where that has not counted them.
#[tokio::test]
async fn runs_that_fail_or_are_cancelled_have_their_usage() {
    // Two responses, then a failure.
    let calls = chat_calls(&[("calculate", "{\"expression\":\"1\"}")]);
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":7}}"#;
    let counted = calls.replace("data: [DONE]", &format!("{usage}\n\ndata: [DONE]"));
    assert_ne!(counted, calls);
    let refused = Reply::refusal("400 Bad Request", "", "{}");
    let replies = vec![Reply::stream(&counted), Reply::stream(&counted), refused.clone()];
    let upstream = Upstream::start(replies).await;
    let (_, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "one").await;
    assert_eq!((end.status, end.code), (RunStatus::Failed, Some(RunErrorCode::Upstream)));
    assert_eq!(end.usage, Some(Usage { input_tokens: 140, output_tokens: 14 }), "a refusal costs nothing");
    // A request that was refused at once.
    let upstream = Upstream::start(vec![refused]).await;
    let (_, end) = play(&agents(config(ApiKind::OpenaiChat, &upstream)), "one").await;
    assert_eq!((end.status, end.usage), (RunStatus::Failed, None));
    // A response that breaks off, and one that is cancelled, of each protocol: its text is counted.
    for (api, _, answer) in RECORDED {
        let begun = &answer[..answer.find("\"ms are\"").unwrap() + 40];
        let upstream = Upstream::start(vec![Reply::chunked(begun.as_bytes(), true)]).await;
        let (_, end) = play(&agents(config(api, &upstream)), "two sums").await;
        let usage = end.usage.unwrap();
        assert_eq!(end.status, RunStatus::Failed, "{api:?}");
        assert!(usage.input_tokens > 0 && usage.output_tokens >= 2, "{api:?}: {usage:?}");

        let mut upstream = Upstream::start(vec![Reply::stream(begun).then(Then::Silence)]).await;
        let agents = agents(config(api, &upstream));
        let mut live = launch(&agents, "two sums");
        live.until(|event| text(std::slice::from_ref(event), ThoughtKind::Answer).contains("The su")).await;
        live.cancel();
        upstream.closed().await;
        let (_, end) = live.finish().await;
        assert_eq!((end.status, end.usage), (RunStatus::Cancelled, Some(usage)), "{api:?}");
    }
}
