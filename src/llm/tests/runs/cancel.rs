//! The end of a run closes its request.

use std::{sync::Arc, time::Duration};

use quintet_agent::ThoughtKind;
use quintet_kernel::entry::Event;
use quintet_llm::ApiKind;
use tokio::{sync::Notify, time::timeout};

use crate::{
    RECORDED, agents, chat_answer, chat_calls, config,
    live_run::{launch, text},
    upstream::{Reply, Then, Upstream, head},
};

/// Waits for the close of the request. The model's own timeouts are longer; `benches/models.rs` measures the time.
async fn is_closed(upstream: &mut Upstream) {
    timeout(Duration::from_secs(30), upstream.closed()).await.expect("the request is closed");
}

#[tokio::test]
async fn a_cancel_closes_the_request() {
    for (api, _, answer) in RECORDED {
        let begun = &answer[..answer.find("\"ms are\"").unwrap() + 40];
        let mut upstream = Upstream::start(vec![Reply::stream(begun).then(Then::Silence)]).await;
        let agents = agents(config(api, &upstream));
        let mut live = launch(&agents, "two sums");
        live.until(|event| matches!(event, Event::Thinking(_))).await;
        live.cancel();
        is_closed(&mut upstream).await;
    }
}

#[tokio::test]
async fn a_cancel_before_the_first_byte_closes_the_request() {
    let silence = Reply { pieces: vec![], then: Then::Silence };
    let mut upstream = Upstream::start(vec![silence]).await;
    let agents = agents(config(ApiKind::OpenaiChat, &upstream));
    let mut live = launch(&agents, "two sums");
    // Before its request, the agent takes the messages that wait.
    assert!(live.next().await);
    upstream.request().await;
    live.cancel();
    is_closed(&mut upstream).await;
}

#[tokio::test]
async fn silence_ends_a_run_at_its_timeouts() {
    let silent = Reply { pieces: vec![], then: Then::Silence };
    let begun = Reply {
        pieces: vec![head("200 OK", "text/event-stream"), chat_answer("Half")[..60].into()],
        then: Then::Silence,
    };
    // The other timeout is long, so that a slow machine does not reach it first.
    for (reply, timeouts, message) in [
        (silent, (50, 60_000), "the model's service did not answer within 50 ms"),
        (begun, (60_000, 50), "the model's response broke off: no data came for 50 ms"),
    ] {
        let mut upstream = Upstream::start(vec![reply]).await;
        let mut config = config(ApiKind::OpenaiChat, &upstream);
        (config.limits.first_byte_timeout_ms, config.limits.idle_timeout_ms) = timeouts;
        let (_, end) = launch(&agents(config), "two sums").finish().await;
        assert_eq!(end.message, message);
        is_closed(&mut upstream).await;
    }
}

/// A run that waits for its model takes steps, so that the step timeout of the service does not end it.
#[tokio::test]
async fn a_silent_model_is_reported() {
    let calls = chat_calls(&[("calculate", "{\"expression\":\"1\"}")]);
    let (first, rest) = calls.split_at(calls.find("\n\n").unwrap() + 2);
    let (head_notice, rest_notice) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let replies = vec![
        Reply {
            pieces: vec![],
            then: Then::Wait(head_notice.clone(), Reply::stream(&chat_answer("")).pieces.concat()),
        },
        Reply {
            pieces: vec![head("200 OK", "text/event-stream"), first.into()],
            then: Then::Wait(rest_notice.clone(), rest.into()),
        },
        Reply::stream(&chat_answer("One.")),
    ];
    let upstream = Upstream::start(replies).await;
    let mut config = config(ApiKind::OpenaiChat, &upstream);
    config.limits.wait_notice_ms = 20;
    let agents = agents(config);
    let waits =
        |events: &[Event]| text(events, ThoughtKind::Progress).matches("Waiting for the model.").count();
    // Before the head of the response.
    let mut live = launch(&agents, "one");
    while waits(&live.events) < 3 {
        assert!(live.next().await);
    }
    head_notice.notify_one();
    assert_eq!(live.finish().await.1.message, "The model gave no answer.");
    // While the arguments of a call arrive.
    let mut live = launch(&agents, "one");
    while waits(&live.events) < 3 {
        assert!(live.next().await);
    }
    rest_notice.notify_one();
    assert_eq!(live.finish().await.1.answer.as_deref(), Some("One."));
}
