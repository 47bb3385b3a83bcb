//! Budgets of tokens.

use quintet_kernel::entry::{RunErrorCode, RunStatus};
use quintet_llm::ApiKind;

use crate::{
    agents, chat_answer, chat_calls, config,
    live_run::{calls, launch, play},
    upstream::{Reply, Then, Upstream},
};

#[tokio::test]
async fn a_run_that_has_used_its_tokens_ends() {
    let replies = (0..9).map(|_| Reply::stream(&chat_calls(&[("calculate", "{\"expression\":\"1\"}")])));
    let mut upstream = Upstream::start(replies.collect()).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.limits.run_tokens_max = 300;
    let (events, end) = play(&agents(config), "for ever").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "{end:?}");
    assert!((1..9).contains(&calls(&events).len()), "tokens that the service does not count are estimated");
    let (_, first) = upstream.request().await;
    assert_eq!(first["max_tokens"], 300, "a response may use what is left");
    let (_, second) = upstream.request().await;
    assert!(second["max_tokens"].as_u64().unwrap() < 300);
}

#[tokio::test]
async fn the_budgets_of_a_thread_and_of_a_day_count_earlier_runs() {
    for thread in [true, false] {
        let replies = (0..9).map(|_| Reply::stream(&chat_answer("Hello.")));
        let upstream = Upstream::start(replies.collect()).await;
        let mut config = config(ApiKind::OpenaiChat, &upstream);
        if thread {
            config.limits.thread_tokens_max = 30;
        } else {
            config.limits.user_tokens_per_day_max = 30;
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
    config.limits.user_tokens_per_day_max = 60;
    let agents = agents(config);
    let mut live = launch(&agents, "hello");
    live.until(|event| matches!(event, quintet_kernel::entry::Event::Thinking(_))).await;
    live.cancel();
    upstream.closed().await;
    let (_, end) = play(&agents, "hello").await;
    assert_eq!(end.code, Some(RunErrorCode::LimitReached), "{end:?}");
}
