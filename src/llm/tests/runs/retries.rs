//! Which requests are repeated, and when.

use std::time::Duration;

use quintet_agent::ThoughtKind;
use quintet_kernel::entry::{RunErrorCode, RunStatus};
use quintet_llm::ApiKind;
use tokio::time::{Instant, timeout};

use crate::{
    RECORDED, agents, chat_answer, config,
    live_run::{End, play, text},
    upstream::{Reply, Then, Upstream, head},
};

async fn ended(replies: Vec<Reply>, retries_max: u32) -> End {
    let upstream = Upstream::start(replies).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    (config.limits.retries_max, config.limits.retry_pause_ms) = (retries_max, 1);
    play(&agents(config), "hello").await.1
}

#[tokio::test]
async fn failures_before_the_first_token_are_repeated() {
    let answer = || Reply::stream(&chat_answer("Hello."));
    let overloaded = "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n";
    for failure in [
        Reply::refusal("429 Too Many Requests", "", "{}"),
        Reply::refusal("503 Service Unavailable", "", "{}"),
        Reply::refusal("529 Overloaded", "", "{}"),
        Reply { pieces: vec![], then: Then::Close },
        Reply { pieces: vec![], then: Then::Reset },
        Reply { pieces: vec![head("200 OK", "text/event-stream")], then: Then::Close },
        Reply::chunked(b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n", true),
        Reply::stream(overloaded),
    ] {
        let end = ended(vec![failure.clone(), failure.clone(), answer()], 2).await;
        assert_eq!(end.answer.as_deref(), Some("Hello."), "{failure:?}: {end:?}");
        let end = ended(vec![failure.clone(), failure.clone(), answer()], 1).await;
        assert_eq!((end.status, end.code), (RunStatus::Failed, Some(RunErrorCode::Upstream)), "{failure:?}");
    }
}

#[tokio::test]
async fn other_failures_are_not_repeated() {
    let answer = || Reply::stream(&chat_answer("Hello."));
    for failure in [
        Reply::refusal("400 Bad Request", "", "{}"),
        Reply::refusal("401 Unauthorized", "", "{}"),
        Reply::refusal("307 Temporary Redirect", "location: /elsewhere\r\n", ""),
        Reply::refusal("200 OK", "", r#"{"error":{"message":"no streams here"}}"#),
        Reply::stream("data: no json\n\n"),
        Reply::stream("data: {\"error\":{\"message\":\"bad\",\"code\":400}}\n\n"),
    ] {
        let end = ended(vec![failure.clone(), answer()], 4).await;
        assert_eq!((end.status, end.code), (RunStatus::Failed, Some(RunErrorCode::Upstream)), "{failure:?}");
    }
}

/// After the first token, of text, reasoning or a call, no failure is repeated: the answer would be doubled.
#[tokio::test]
async fn nothing_is_repeated_after_the_first_token() {
    for (api, calls, answer) in RECORDED {
        for stream in [calls, answer] {
            for marker in ["\"Two su\"", "\"The su\"", "\"call_1\""] {
                let Some(at) = stream.find(marker) else { continue };
                let at = at + stream[at..].find("\n\n").unwrap() + 2;
                let cut = Reply::chunked(&stream.as_bytes()[..at], true);
                let mut upstream = Upstream::start(vec![cut, Reply::stream(answer)]).await;
                let mut config = config(api, &upstream);
                (config.limits.retries_max, config.limits.retry_pause_ms) = (4, 1);
                let (_, end) = play(&agents(config), "two sums").await;
                assert_eq!(end.code, Some(RunErrorCode::Upstream), "{api:?} {marker}: {end:?}");
                upstream.request().await;
                assert!(upstream.seen.try_recv().is_err(), "{api:?} {marker}: a second request");
            }
        }
    }
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_the_longest_pause() {
    let busy =
        |seconds: u32| Reply::refusal("429 Too Many Requests", &format!("retry-after: {seconds}\r\n"), "{}");
    let begun = Instant::now();
    let end = ended(vec![busy(1), Reply::stream(&chat_answer("Hello."))], 1).await;
    assert_eq!(end.status, RunStatus::Succeeded);
    assert!(begun.elapsed() >= Duration::from_millis(1_000), "{:?}", begun.elapsed());
    let refused = ended(vec![busy(3_600), Reply::stream(&chat_answer("Hello."))], 1);
    let end = timeout(Duration::from_secs(60), refused).await.expect("an hour is not waited for");
    assert_eq!(end.status, RunStatus::Failed);
}

#[tokio::test]
async fn a_refusal_shows_its_message_without_the_key() {
    let folder = std::env::temp_dir().join(format!("quintet-llm-{}", std::process::id()));
    std::fs::write(&folder, "sk-very-secret-key\n").unwrap();
    let body =
        r#"{"error":{"message":"Incorrect API key provided: sk-very-secret-key. token also-secret-value"}}"#;
    for api in [ApiKind::OpenaiChat, ApiKind::OpenaiResponses, ApiKind::Anthropic] {
        let mut upstream = Upstream::start(vec![Reply::refusal("401 Unauthorized", "", body)]).await;
        let mut config = config(api, &upstream);
        config.key_file = Some(folder.clone());
        config.headers.insert("x-team".into(), "also-secret-value".into());
        let (events, end) = play(&agents(config), "hello").await;
        assert_eq!(
            end.message,
            "the model's service refused the request with status 401: Incorrect API key provided: …. token …"
        );
        assert_eq!(text(&events, ThoughtKind::Answer), "");
        let (head, _) = upstream.request().await;
        let name = if api == ApiKind::Anthropic { "x-api-key: " } else { "authorization: bearer " };
        assert!(head.contains(&format!("{name}sk-very-secret-key")), "{head}");
        assert!(head.contains("x-team: also-secret-value"), "{head}");
    }
    std::fs::remove_file(&folder).unwrap();
}
