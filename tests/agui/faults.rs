//! A hostile or failing agent: never a wrong `succeeded`, never lost or doubled text, always one end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use quintet::kernel::entry::{Event, RunStatus, ThoughtKind};
use serde_json::{Value, json};

use crate::{
    agents::{bounded, calls, finish, play, stage, text_of},
    stage::{Stage, ending, words},
    upstream::{HEAD, Part, Request, Upstream, body, call, finished, result, started, status, stream, text},
};

/// A response with each sort of step.
fn everything() -> Vec<Value> {
    let mut events =
        vec![started(), json!({"type": "REASONING_MESSAGE_CHUNK", "messageId": "r", "delta": "hm €"})];
    events.extend(call("c", "look_up", r#"{"a":"ü"}"#));
    events.push(result("c", r#"{"b":2}"#));
    events.extend(text("m", &["Hel", "lo, ", "wörld"]));
    events.push(finished());
    events
}

/// The bytes of a response, and the number of them after which it is complete.
fn bytes(request: &Request, framing: Framing) -> (Vec<u8>, usize) {
    let body = body(request, &everything());
    match framing {
        Framing::Close => {
            let bytes = [HEAD.as_bytes(), body.as_bytes()].concat();
            let complete = bytes.len();
            (bytes, complete)
        }
        Framing::Chunks => {
            let head = HEAD.replace("connection: close", "transfer-encoding: chunked");
            let chunks = body
                .as_bytes()
                .chunks(97)
                .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            let mut bytes = head.into_bytes();
            bytes.extend(chunks.flatten());
            let complete = bytes.len() - 2;
            bytes.extend(b"0\r\n\r\n");
            (bytes, complete)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Close,
    Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The connection ends.
    Cut,
    /// The connection is reset.
    Reset,
    /// The rest comes in another packet, later.
    Delay,
    /// Nothing more comes.
    Silence,
}

/// The sequence of everything that a run with the response above shows.
fn check(events: &[Event], whole: bool, at: &str) {
    let (status, code, message) = ending(events);
    let answer = text_of(events, ThoughtKind::Answer);
    assert!("Hello, wörld".starts_with(&answer), "{at}: {answer}");
    assert!("hm €".starts_with(&text_of(events, ThoughtKind::Reasoning)), "{at}");
    assert_eq!(words(events).iter().filter(|word| *word == "started").count(), 1, "{at}: RUN-1");
    assert!(calls(events).len() <= 1, "{at}");
    if whole {
        assert_eq!((status, &*answer), (RunStatus::Succeeded, "Hello, wörld"), "{at}: {message}");
        assert_eq!(calls(events), [r#"agent look_up({"a":"ü"}) ok {"b":2}"#], "{at}");
    } else {
        assert_eq!((status, &*code), (RunStatus::Failed, "upstream"), "{at}: {message}");
    }
}

async fn at_each_position(framing: Framing, fault: Fault) {
    let position = |request: &Request| -> usize {
        request.body["messages"][0]["content"].as_str().unwrap().parse().unwrap()
    };
    let upstream = Upstream::start(move |request| {
        let (bytes, _) = bytes(request, framing);
        let (before, after) = bytes.split_at(position(request).min(bytes.len()));
        let mut parts = vec![Part::Bytes(before.to_vec())];
        match fault {
            Fault::Cut => {}
            Fault::Reset => parts.push(Part::Reset),
            Fault::Delay => {
                parts.extend([Part::Pause(Duration::from_millis(3)), Part::Bytes(after.to_vec())]);
            }
            Fault::Silence => parts.push(Part::Silence),
        }
        parts
    })
    .await;
    // The ids in the body have the same length in every run.
    let request = Request {
        number: 0,
        head: String::new(),
        body: json!({"threadId": "x".repeat(32), "runId": "x".repeat(36)}),
        bytes: Vec::new(),
    };
    let (all, complete) = bytes(&request, framing);
    // A response that comes in time does so on a busy machine too.
    let [hasty, patient] = [150, 30_000].map(|ms| {
        let keys = json!({"idle_timeout_ms": ms, "first_event_timeout_ms": ms, "retries_max": 0});
        stage(&upstream.url, keys)
    });
    let mut runs = stream::iter(0..=all.len())
        .map(|at| {
            let stage = if fault == Fault::Silence && at < complete { &hasty } else { &patient };
            let mut talk = stage.user(&format!("u{at}"));
            async move { (at, play(&mut talk, &at.to_string()).await) }
        })
        .buffer_unordered(64);
    let mut seen = 0;
    while let Some((at, events)) = runs.next().await {
        // A reset may overtake bytes that were sent before it.
        let lenient = fault == Fault::Reset && at >= complete && ending(&events).0 == RunStatus::Failed;
        let whole = (at >= complete || fault == Fault::Delay) && !lenient;
        check(&events, whole, &format!("{framing:?} {fault:?} at byte {at} of {}", all.len()));
        seen += 1;
    }
    assert!(seen > 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_cut_at_each_byte() {
    at_each_position(Framing::Close, Fault::Cut).await;
    at_each_position(Framing::Chunks, Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_reset_at_each_byte() {
    at_each_position(Framing::Chunks, Fault::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_split_and_delayed_at_each_byte() {
    at_each_position(Framing::Close, Fault::Delay).await;
    at_each_position(Framing::Chunks, Fault::Delay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_falls_silent_at_each_byte() {
    at_each_position(Framing::Close, Fault::Silence).await;
}

/// An agent that is about to close a connection fails the next request on it, after which it is unknown whether it was
/// executed (RFC 9112, section 9.6).
#[tokio::test(flavor = "multi_thread")]
async fn run_9_a_connection_carries_one_request() {
    let mut upstream = Upstream::start(|request| {
        let (all, _) = bytes(request, Framing::Chunks);
        vec![Part::Bytes(all), Part::Silence]
    })
    .await;
    let stage = stage(&upstream.url, json!({"retries_max": 0}));
    let mut talk = stage.ann();
    for text in ["1", "2", "3"] {
        check(&play(&mut talk, text).await, true, text);
    }
    bounded(upstream.closed.wait_for(|closed| *closed == 3)).await.unwrap();
}

/// The stage of a run whose response is these events.
async fn stage_of(events: Vec<Value>, keys: Value) -> (Stage, Upstream) {
    let upstream = Upstream::start(move |request| stream(request, &events)).await;
    (stage(&upstream.url, keys), upstream)
}

async fn ending_of(events: Vec<Value>, keys: Value) -> (RunStatus, String, String) {
    let (stage, _upstream) = stage_of(events, keys).await;
    ending(&play(&mut stage.ann(), "hi").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_10_a_broken_order_ends_the_run_as_a_violation() {
    let mut events = vec![started()];
    events.extend(call("c", "look_up", "{}"));
    events.extend([result("d", "1"), finished()]);
    let (stage, _upstream) = stage_of(events, json!({})).await;
    let events = play(&mut stage.ann(), "hi").await;
    let (status, code, message) = ending(&events);
    assert_eq!((status, &*code), (RunStatus::Failed, "violation"), "{message}");
    assert!(message.contains("TOOL_CALL_RESULT refers to something that is not open"), "{message}");
    assert_eq!(calls(&events).len(), 1, "RUN-7: the open call is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn iso_2_events_of_another_run_are_a_violation() {
    let other = |name: &str| json!({"type": name, "threadId": "x", "runId": "x"});
    let own_ids = move || vec![Part::Bytes(format!("{HEAD}data: {}\n\n", other("RUN_STARTED")).into_bytes())];
    let upstream = Upstream::start(move |_| own_ids()).await;
    let strict = ending(&play(&mut stage(&upstream.url, json!({})).ann(), "hi").await);
    assert_eq!(&*strict.1, "violation");
    let upstream = Upstream::start(move |_| {
        let both = format!("{HEAD}data: {}\n\ndata: {}\n\n", other("RUN_STARTED"), other("RUN_FINISHED"));
        vec![Part::Bytes(both.into_bytes())]
    })
    .await;
    let lenient = stage(&upstream.url, json!({"check_ids": false}));
    assert_eq!(ending(&play(&mut lenient.ann(), "hi").await).0, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_agent_is_shown_shortened() {
    let error =
        |message: &str| vec![started(), json!({"type": "RUN_ERROR", "message": message, "code": "x"})];
    let short = ending_of(error("no\nmodel"), json!({})).await;
    assert_eq!(short, (RunStatus::Failed, "agent_error".into(), "no model".into()));
    let long = ending_of(error(&"ä".repeat(100_000)), json!({})).await;
    assert_eq!(long.2.chars().count(), 1_001);
    let other_end = |outcome: Value| vec![started(), json!({"type": "RUN_FINISHED", "outcome": outcome})];
    for outcome in [json!({"type": "cancelled"}), json!({"type": "of a later version"})] {
        let (status, code, _) = ending_of(other_end(outcome), json!({})).await;
        assert_eq!((status, &*code), (RunStatus::Failed, "upstream"), "DEL-7");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_responses_end_the_run() {
    let many = |event: Value, count| [vec![started()], vec![event; count]].concat();
    let (status, code, message) =
        ending_of(many(json!({"type": "RAW"}), 1_000), json!({"run_events_max": 100})).await;
    assert_eq!((status, &*code), (RunStatus::Failed, "limit_reached"), "{message}");
    let raw = json!({"type": "RAW", "event": "x".repeat(1_000)});
    for (events, keys) in [
        (many(raw.clone(), 100), json!({"run_bytes_max": 10_000})),
        (
            vec![started(), json!({"type": "RAW", "event": "x".repeat(100_000)})],
            json!({"event_bytes_max": 10_000}),
        ),
        (many(json!({"type": "TEXT_MESSAGE_START", "messageId": "x".repeat(2_000)}), 1), json!({})),
    ] {
        assert_eq!(ending_of(events, keys).await.1, "limit_reached");
    }
    for malformed in
        [json!("text"), json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": 7}), json!([]), json!({})]
    {
        let (status, code, message) = ending_of(vec![started(), malformed], json!({})).await;
        assert_eq!((status, &*code), (RunStatus::Failed, "upstream"), "{message}");
        assert_eq!(message, "The remote agent sent something else than events.");
    }
    let html = |_: &Request| {
        let head = HEAD.replace("text/event-stream", "text/html");
        vec![Part::Bytes(format!("{head}<html>").into_bytes())]
    };
    let upstream = Upstream::start(html).await;
    let (_, _, message) = ending(&play(&mut stage(&upstream.url, json!({})).ann(), "hi").await);
    assert_eq!(message, "The remote agent sent no event stream.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_closes_the_request() {
    let mut upstream = Upstream::start(|request| {
        let begin = body(request, &[vec![started()], text("m", &["on and on"])].concat());
        vec![Part::Bytes([HEAD.as_bytes(), begin.as_bytes()].concat()), Part::Silence]
    })
    .await;
    let stage = stage(&upstream.url, json!({}));
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "hi").await;
    bounded(watch.until(|event| matches!(event, Event::Thinking(_)))).await;
    talk.user.cancel(watch.run_id).await.unwrap();
    // Before the agent's own timeouts.
    bounded(upstream.closed.wait_for(|closed| *closed == 1)).await.unwrap();
    assert_eq!(ending(&finish(watch).await).0, RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_is_not_waited_for() {
    let upstream = Upstream::start(|_| vec![Part::Silence]).await;
    let keys = json!({"first_event_timeout_ms": 100});
    let (_, code, message) = ending(&play(&mut stage(&upstream.url, keys).ann(), "hi").await);
    assert_eq!((&*code, &*message), ("upstream", "The remote agent sent no event for 100 ms."));
    // Comments are signs of life of the connection, but no events.
    let upstream = Upstream::start(|_| {
        let ping = || [Part::Bytes(b": ping\n\n".to_vec()), Part::Pause(Duration::from_millis(20))];
        let pings = (0..100).flat_map(|_| ping());
        [Part::Bytes(HEAD.as_bytes().to_vec())].into_iter().chain(pings).collect()
    })
    .await;
    let keys = json!({"first_event_timeout_ms": 200});
    let (_, code, message) = ending(&play(&mut stage(&upstream.url, keys).ann(), "hi").await);
    assert_eq!((&*code, &*message), ("upstream", "The remote agent sent no event for 200 ms."));
}

/// The number of requests of a run whose agent answers with this before it answers well.
async fn requests_after(first: fn() -> Vec<Part>, keys: Value) -> (RunStatus, usize) {
    let mut upstream =
        Upstream::start(
            move |request| {
                if request.number == 0 { first() } else { stream(request, &everything()) }
            },
        )
        .await;
    let events = play(&mut stage(&upstream.url, keys).ann(), "hi").await;
    let mut requests = 0;
    while upstream.requests.try_recv().is_ok() {
        requests += 1;
    }
    (ending(&events).0, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_9_only_a_request_that_was_not_executed_is_sent_again() {
    use RunStatus::{Failed, Succeeded};
    let busy = || status("429 Too Many Requests\r\nretry-after: 0");
    let cut = || vec![Part::Reset];
    let begun = || vec![Part::Bytes(format!("{HEAD}data: {{\"type\":\"RAW\"").into_bytes())];
    let resumable = || json!({"resumable": true});
    assert_eq!(requests_after(busy, json!({})).await, (Succeeded, 2));
    assert_eq!(requests_after(|| status("503 Unavailable"), json!({})).await, (Succeeded, 2));
    assert_eq!(requests_after(busy, json!({"retries_max": 0})).await, (Failed, 1));
    // The agent may have executed these.
    assert_eq!(requests_after(|| status("502 Bad Gateway"), json!({})).await, (Failed, 1));
    assert_eq!(requests_after(cut, json!({})).await, (Failed, 1));
    assert_eq!(requests_after(begun, json!({})).await, (Failed, 1));
    assert_eq!(requests_after(|| status("502 Bad Gateway"), resumable()).await, (Succeeded, 2));
    assert_eq!(requests_after(cut, resumable()).await, (Succeeded, 2));
    assert_eq!(requests_after(begun, resumable()).await, (Succeeded, 2));
    // These would be answered in the same way again.
    assert_eq!(requests_after(|| status("401 Unauthorized"), resumable()).await, (Failed, 1));
    assert_eq!(
        requests_after(|| status("307 Temporary Redirect\r\nlocation: /"), resumable()).await,
        (Failed, 1)
    );
    let wait = || status("429 Too Many Requests\r\nretry-after: 86400");
    assert_eq!(requests_after(wait, json!({})).await, (Failed, 1), "a day is too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_gone_cannot_be_reached() {
    // A port that was free a moment ago.
    let url = Upstream::start(|_| Vec::new()).await.url;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_ne!(url, format!("http://{closed}/"));
    let stage = stage(&format!("http://{closed}/"), json!({}));
    let (status, code, message) = ending(&play(&mut stage.ann(), "hi").await);
    assert_eq!(
        (status, &*code, &*message),
        (RunStatus::Failed, "upstream", "The remote agent cannot be reached.")
    );
}

/// A token is not a write to the disk: text that comes within `delta_pause_ms` is one delta.
#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_joined_to_a_rate() {
    let pieces: Vec<String> = (0..3_000).map(|n| format!("{n} ")).collect();
    let whole = pieces.concat();
    let upstream = Upstream::start(move |request| {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        stream(request, &[vec![started()], text("m", &pieces), vec![finished()]].concat())
    })
    .await;
    let stage = stage(&upstream.url, json!({"delta_pause_ms": 40}));
    let begun = tokio::time::Instant::now();
    let events = play(&mut stage.ann(), "hi").await;
    let pauses = begun.elapsed().as_millis() / 40;
    let deltas = events.iter().filter(|event| matches!(event, Event::Thinking(_))).count() as u128;
    assert!(deltas <= pauses + 3, "{deltas} deltas in {pauses} pauses");
    assert_eq!(text_of(&events, ThoughtKind::Answer), whole);
}
