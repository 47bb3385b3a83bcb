//! Every position at which a stream can be cut, split and delayed, for each protocol.

use std::sync::Arc;

use proptest::prelude::*;
use quintet_agent::ThoughtKind;
use quintet_kernel::entry::{RunErrorCode, RunStatus};
use quintet_llm::ApiKind;
use tokio::sync::Notify;

use crate::{
    RECORDED, agents, config,
    live_run::{End, calls, launch, play, text},
    upstream::{Reply, Then, Upstream, head},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = runtime();
}

const REASONING: &str = "Two sums are wanted, so two calls.";
const ANSWER: &str = "I will calculate both: 2+3 and 4*5.\n\nThe sums are 5 and 20.";

/// The answer of a run whose last response is cut is whole or the run fails; what was emitted before is the
/// beginning of the answer.
async fn check_cut(api: ApiKind, calls_before: Option<&str>, last: Reply, is_whole: bool, at: usize) {
    let replies = calls_before.map(Reply::stream).into_iter().chain([last]).collect();
    let upstream = Upstream::start(replies).await;
    let (events, end) = play(&agents(config(api, &upstream)), "two sums").await;
    let answer = text(&events, ThoughtKind::Answer);
    let expected = match calls_before {
        Some(_) => ANSWER,
        None => "The sums are 5 and 20.",
    };
    assert_eq!(calls(&events).len(), if calls_before.is_some() { 2 } else { 0 }, "{api:?} {at}");
    assert!(expected.starts_with(&answer), "{api:?} {at}: {answer}");
    match end.status {
        RunStatus::Succeeded => {
            assert_eq!(end.answer.as_deref(), Some(expected), "{api:?} {at}");
            assert!(is_whole || api == ApiKind::OpenaiChat, "{api:?} {at}: a cut stream succeeded");
        }
        RunStatus::Failed => {
            assert_eq!(end.code, Some(RunErrorCode::Upstream), "{api:?} {at}: {end:?}");
            assert!(!is_whole, "{api:?} {at}: a whole stream failed: {}", end.message);
        }
        other => panic!("{api:?} {at}: {other:?}"),
    }
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_no_success() {
    let runtime = runtime();
    for (api, first, second) in RECORDED {
        for at in 0..=second.len() {
            let bytes = &second.as_bytes()[..at];
            let closed = Reply {
                pieces: vec![head("200 OK", "text/event-stream"), bytes.to_vec()],
                then: Then::Close,
            };
            let cut = Reply::chunked(bytes, true);
            let reply = if at % 2 == 0 { closed } else { cut };
            // The run is longer at some positions only, which saves most of the time.
            let calls_before = (at % 16 < 2).then_some(first);
            runtime.block_on(check_cut(api, calls_before, reply, at == second.len(), at));
        }
    }
}

#[test]
fn calls_that_are_cut_are_not_executed() {
    let runtime = runtime();
    for (api, first, second) in RECORDED {
        let end = first.trim_end().len();
        // The last event is what completes the response; before it, every 7th byte.
        for at in (0..end).step_by(7).chain(end - 40..end) {
            let cut = Reply::chunked(&first.as_bytes()[..at], true);
            let (events, end) = runtime.block_on(async {
                let upstream = Upstream::start(vec![cut, Reply::stream(second)]).await;
                play(&agents(config(api, &upstream)), "two sums").await
            });
            match end.status {
                // Chat completions are complete with their finish reason.
                RunStatus::Succeeded => {
                    assert_eq!((api, calls(&events).len()), (ApiKind::OpenaiChat, 2), "{at}");
                }
                _ => assert_eq!((end.code, calls(&events).len()), (Some(RunErrorCode::Upstream), 0), "{at}"),
            }
            assert!(REASONING.starts_with(&text(&events, ThoughtKind::Reasoning)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_in_any_pieces_is_the_same_run(
        which in 0..3_usize,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        reset in any::<bool>(),
    ) {
        let (api, first, second) = RECORDED[which];
        let pieces = |text: &str| {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            places.sort_unstable();
            let mut pieces = vec![head("200 OK", "text/event-stream")];
            let mut from = 0;
            for place in places.into_iter().chain([text.len()]) {
                pieces.push(text.as_bytes()[from..place].to_vec());
                from = place;
            }
            pieces
        };
        let then = || if reset { Then::Silence } else { Then::Close };
        let (events, end) = RUNTIME.with(|runtime| runtime.block_on(async {
            let replies = vec![
                Reply { pieces: pieces(first), then: then() },
                Reply { pieces: pieces(second), then: then() },
            ];
            let upstream = Upstream::start(replies).await;
            play(&agents(config(api, &upstream)), "two sums").await
        }));
        prop_assert_eq!(end, End {
            status: RunStatus::Succeeded,
            code: None,
            message: String::new(),
            answer: Some(ANSWER.to_owned()),
            usage: Some(quintet_agent::Usage { input_tokens: 60, output_tokens: 19 }),
        });
        prop_assert_eq!(text(&events, ThoughtKind::Answer), ANSWER);
        prop_assert_eq!(text(&events, ThoughtKind::Reasoning), REASONING);
        prop_assert_eq!(calls(&events).len(), 2);
    }
}

/// What has arrived is emitted while the rest of the stream is delayed, at any position.
#[test]
fn a_delay_holds_nothing_back() {
    let runtime = runtime();
    for (api, _, answer) in RECORDED {
        let first = answer.find("\"ms are\"").expect("the answer is in pieces") + 40;
        for at in (first..answer.trim_end().len()).step_by(11) {
            runtime.block_on(async {
                let notice = Arc::new(Notify::new());
                let (before, after) = answer.as_bytes().split_at(at);
                let reply = Reply {
                    pieces: vec![head("200 OK", "text/event-stream"), before.to_vec()],
                    then: Then::Wait(notice.clone(), after.to_vec()),
                };
                let upstream = Upstream::start(vec![reply]).await;
                let agents = agents(config(api, &upstream));
                let mut live = launch(&agents, "two sums");
                live.until(|event| {
                    text(std::slice::from_ref(event), ThoughtKind::Answer).starts_with("The su")
                })
                .await;
                notice.notify_one();
                let (_, end) = live.finish().await;
                assert_eq!(
                    (end.status, end.answer.as_deref()),
                    (RunStatus::Succeeded, Some("The sums are 5 and 20."))
                );
            });
        }
    }
}
