//! Agents that promise to be resumable: a response that breaks, and a service that crashes.

use quintet::kernel::{
    entry::{Body, CallResult, Event, RunEntry, RunStatus, ThoughtKind},
    ids::CallId,
    json::Json,
};
use serde_json::{Value, json};

use crate::{
    agents::{calls, finish, play, registry, stage, text_of},
    stage::{Stage, Watch, ending, words},
    upstream::{HEAD, Part, Request, Upstream, body, call, finished, result, started, stream, text},
};

fn everything() -> Vec<Value> {
    let mut events = vec![started()];
    events.extend(text("m", &["Hel", "lo"]));
    events.extend(call("c", "look_up", r#"{"a":1}"#));
    events.push(result("c", "2"));
    events.extend(text("n", &["wo", "rld"]));
    events.push(finished());
    events
}

/// The first events of a response, and a reset.
fn broken(request: &Request, events: &[Value]) -> Vec<Part> {
    vec![Part::Bytes(format!("{HEAD}{}", body(request, events)).into_bytes())]
}

fn resumable() -> Value {
    json!({"resumable": true, "retries_max": 0})
}

/// A response that breaks after each of its events, and is requested again: nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_response_continues_where_it_broke() {
    for breaks in 0..everything().len() {
        let mut upstream = Upstream::start(move |request| match request.number {
            0 => broken(request, &everything()[..breaks]),
            1 => broken(request, &everything()[..breaks.max(3)]),
            _ => stream(request, &everything()),
        })
        .await;
        let events = play(&mut stage(&upstream.url, resumable()).ann(), "hi").await;
        assert_eq!(ending(&events).0, RunStatus::Succeeded, "{breaks}: {}", ending(&events).2);
        assert_eq!(text_of(&events, ThoughtKind::Answer), "Hello\n\nworld", "{breaks}");
        assert!(!words(&events).iter().any(|word| word.starts_with("reset")), "{breaks}");
        assert_eq!(calls(&events), [r#"agent look_up({"a":1}) ok 2"#], "{breaks}");
        let (first, second) = (upstream.request().await, upstream.request().await);
        assert_eq!(first.body, second.body, "the same run is asked for");
    }
}

/// An agent that words its repeated response in another way: the text is replaced (`reset`).
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_changes_replaces_its_text() {
    for (again, whole) in [(&["Hel", "p!"][..], "Help!"), (&["He"], "He"), (&["Bye"], "Bye"), (&[], "")] {
        let upstream = Upstream::start(move |request| match request.number {
            0 => broken(request, &[vec![started()], text("m", &["Hel", "lo"])].concat()),
            _ => stream(request, &[vec![started()], text("m", again), vec![finished()]].concat()),
        })
        .await;
        let events = play(&mut stage(&upstream.url, resumable()).ann(), "hi").await;
        assert_eq!(text_of(&events, ThoughtKind::Answer), whole);
        assert_eq!(ending(&events).0, RunStatus::Succeeded);
        let resets = words(&events).iter().filter(|word| word.starts_with("reset")).count();
        assert_eq!(resets, 1, "{:?}", words(&events));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_repeats_other_calls_fails() {
    for other in [call("c", "look_up", r#"{"a":2}"#), call("d", "look_up", "{}"), vec![]] {
        let upstream = Upstream::start(move |request| match request.number {
            0 => broken(request, &[vec![started()], call("c", "look_up", r#"{"a":1}"#)].concat()),
            _ => stream(request, &[vec![started()], other.clone(), vec![finished()]].concat()),
        })
        .await;
        let events = play(&mut stage(&upstream.url, resumable()).ann(), "hi").await;
        let (status, code, message) = ending(&events);
        assert_eq!((status, &*code), (RunStatus::Failed, "upstream"), "{message}");
        assert!(message.contains("another course"), "{message}");
    }
}

/// A crash of the service after each entry of a run's log: the run continues with the agent's repeated response, and ends
/// as it would have.
#[tokio::test(flavor = "multi_thread")]
async fn run_6_a_crash_at_each_entry_is_resumed() {
    let upstream = Upstream::start(|request| stream(request, &everything())).await;
    let first = stage(&upstream.url, resumable());
    let mut talk = first.ann();
    let whole = play(&mut talk, "hi").await;
    let log = talk.log().await;
    assert!(log.len() > 6, "{log:?}");
    // The message and the start of its run are one append.
    for left in 2..log.len() {
        let resumed = Stage::after_crash(&log[..left], registry(&upstream.url, resumable())).await;
        let watch: Watch = resumed.ann().watch(log[0].run_id).await;
        let events = finish(watch).await;
        assert_eq!(text_of(&events, ThoughtKind::Answer), "Hello\n\nworld", "{left}");
        assert_eq!(calls(&events), calls(&whole), "{left}");
        assert_eq!(ending(&events).0, RunStatus::Succeeded, "{left}");
    }
}

/// Without the promise a run that was cut off by a crash ends as `interrupted`, and the agent is not asked again (RUN-9).
#[tokio::test(flavor = "multi_thread")]
async fn run_9_a_run_of_another_agent_is_not_repeated_after_a_crash() {
    let mut upstream = Upstream::start(|request| stream(request, &everything())).await;
    let first = stage(&upstream.url, json!({}));
    let mut talk = first.ann();
    play(&mut talk, "hi").await;
    upstream.request().await;
    let log: Vec<RunEntry> = talk.log().await;
    let open = log
        .iter()
        .position(|entry| matches!(&entry.body, Body::Event { event: Event::ToolExecuting(_), .. }));
    let left = &log[..=open.unwrap()];
    let resumed = Stage::after_crash(left, registry(&upstream.url, json!({}))).await;
    let events = finish(resumed.ann().watch(log[0].run_id).await).await;
    assert_eq!(ending(&events).0, RunStatus::Interrupted);
    assert!(calls(&events)[0].contains("unknown"), "{:?}", calls(&events));
    assert!(upstream.requests.try_recv().is_err());
}

/// RUN-11: the client's answer before a crash is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_an_answer_outlives_a_crash() {
    let upstream = Upstream::start(|request| {
        let resumes =
            request.body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
        let events = if resumes { text("n", &["done"]) } else { call("c", "choose", "") };
        stream(request, &[vec![started()], events, vec![finished()]].concat())
    })
    .await;
    let keys = || {
        let mut keys = resumable();
        keys["client_tools"] = json!([{"name": "choose", "description": ""}]);
        keys
    };
    let first = stage(&upstream.url, keys());
    let mut talk = first.ann();
    let mut watch = talk.send("remote", "hi").await;
    watch.until(|event| matches!(event, Event::ToolExecuting(_))).await;
    let call_id = CallId::parse("c1").unwrap();
    let answer = CallResult::ok(Json::parse("7").unwrap());
    talk.user.answer(watch.run_id, call_id, answer).await.unwrap();
    finish(watch).await;
    let log = talk.log().await;
    let mut asked = 0;
    for left in 4..log.len() {
        let resumed = Stage::after_crash(&log[..left], registry(&upstream.url, keys())).await;
        let ann = resumed.ann();
        let mut watch = ann.watch(log[0].run_id).await;
        let events = watch.until(|event| matches!(event, Event::ToolExecuting(_))).await;
        if !events.iter().any(|event| matches!(event, Event::ToolCompleted { .. })) {
            asked += 1;
            let call_id = CallId::parse("c1").unwrap();
            let answer = CallResult::ok(Json::parse("7").unwrap());
            // The answer may be in the part of the log that was left.
            let _ = ann.user.answer(watch.run_id, call_id, answer).await;
        }
        let events = finish(watch).await;
        assert_eq!(calls(&events), ["client choose({}) ok 7"], "{left}");
        assert_eq!(text_of(&events, ThoughtKind::Answer), "done", "{left}");
    }
    assert!(asked >= 1);
}
