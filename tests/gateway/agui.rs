//! Streams for front ends that speak AG-UI. Their clients are in `tests/agui_server`; here are the ends of a stream, its
//! limits, and what it does to the log.

use std::sync::Arc;

use quintet::{
    gateway::limits::GatewayLimits,
    journal::{Journal, Retention},
    kernel::{entry::CallOwner, ids::Timestamp},
};
use serde_json::{Value, json};

use crate::harness::{TestService, close_call, http_client, open_call, say, soon, succeed, think, until};

/// The body of one response.
struct AguiStream {
    response: reqwest::Response,
    buffer: String,
}

/// The end of a response.
#[derive(Debug, PartialEq)]
enum End {
    /// The last chunk has come.
    Orderly,
    /// The connection broke off.
    Aborted,
}

impl AguiStream {
    async fn open(service: &TestService, route: &str, user: &str, body: Value) -> Self {
        let url = service.url(&format!("/agui/agent/default/{route}"));
        let request = http_client().post(url).bearer_auth(service.token(user)).json(&body);
        let response = soon("a response", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, buffer: String::new() }
    }

    /// Returns the next event or comment.
    async fn block(&mut self) -> Result<String, End> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = block.to_owned();
                self.buffer = rest.to_owned();
                return Ok(block);
            }
            match soon("bytes", self.response.chunk()).await {
                Ok(Some(bytes)) => self.buffer.push_str(std::str::from_utf8(&bytes).unwrap()),
                Ok(None) => return Err(End::Orderly),
                Err(_) => return Err(End::Aborted),
            }
        }
    }

    async fn next(&mut self) -> Result<Value, End> {
        loop {
            if let Some(data) = self.block().await?.strip_prefix("data: ") {
                return Ok(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Returns the next event of this type.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await.unwrap_or_else(|end| panic!("{end:?} before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Returns the types of the remaining events, and the end.
    async fn rest(&mut self) -> (Vec<String>, End) {
        let mut types = Vec::new();
        loop {
            match self.next().await {
                Ok(event) => types.push(event["type"].as_str().unwrap().to_owned()),
                Err(end) => return (types, end),
            }
        }
    }
}

fn user(id: &str, content: &str) -> Value {
    json!({"id": id, "role": "user", "content": content})
}

fn input(messages: Value) -> Value {
    json!({"threadId": "t", "runId": "r", "protocolVersion": "1.0", "messages": messages, "tools": [], "context": []})
}

async fn log(service: &TestService, user: &str) -> Vec<Value> {
    let page = service.get(user, "/v1/entries?limit=1000").await.ok(200);
    page["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn run_is_streamed_and_ends_in_order() {
    let mut service = TestService::start().await;
    let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    let started = stream.next().await.unwrap();
    assert_eq!((&started["type"], &started["runId"]), (&json!("RUN_STARTED"), &json!("r")));
    assert_eq!(started["metadata"]["quintet"]["run_id"], json!(run.run_id));
    think(&run.handle, "hm").await;
    open_call(&run.handle, "c", CallOwner::Agent).await;
    close_call(&run.handle, "c").await;
    say(&run.handle, "hello").await;
    succeed(&run.handle).await;
    let (types, end) = stream.rest().await;
    assert_eq!(types.last().map(String::as_str), Some("RUN_FINISHED"));
    assert_eq!((types.len(), end), (14, End::Orderly));
    // ISO-5.
    drop(stream);
    let gateway = service.running.gateway().clone();
    until(|| (gateway.admit.connections_open(), gateway.factory.live_users()) == (0, 0)).await;
}

/// DEL-7: a client takes an orderly end for success, so there is none without the terminal event.
#[tokio::test]
async fn del_7_stream_without_its_end_is_aborted() {
    let limits = GatewayLimits { drain_timeout_ms: 50, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    say(&run.handle, "half").await;
    stream.until("TEXT_MESSAGE_CONTENT").await;
    // The service closes while the run waits for its tool.
    open_call(&run.handle, "q", CallOwner::Agent).await;
    let (_, (types, end)) = tokio::join!(service.running.drain(), stream.rest());
    assert!(!types.iter().any(|kind| kind.starts_with("RUN_")), "{types:?}");
    assert_eq!(end, End::Aborted);
}

/// AUTH-3.
#[tokio::test]
async fn auth_3_stream_is_aborted_when_its_credential_expires() {
    let mut service = TestService::start().await;
    let request = http_client().post(service.url("/agui/agent/default/run"));
    let request =
        request.bearer_auth(service.token_until("ada", 1_500)).json(&input(json!([user("m1", "hi")])));
    let response = soon("a response", request.send()).await.unwrap();
    let mut stream = AguiStream { response, buffer: String::new() };
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    let (types, end) = stream.rest().await;
    assert_eq!((types[0].as_str(), end), ("RUN_STARTED", End::Aborted));
    succeed(&run.handle).await;
}

/// DEL-3: entries that were trimmed before they were read cannot be sent any more.
#[tokio::test]
async fn del_3_connecting_to_a_trimmed_thread_shows_what_is_left() {
    let mut service = TestService::start().await;
    for message in ["m1", "m2"] {
        let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user(message, "hi")]))).await;
        service.answer(message).await;
        stream.until("RUN_FINISHED").await;
    }
    let retention = Retention { user_entries_max: Some(5), ..Retention::default() };
    service.journal.trim(retention, Timestamp(0)).await.unwrap();
    let mut stream = AguiStream::open(&service, "connect", "ada", input(json!([]))).await;
    let snapshot = stream.until("MESSAGES_SNAPSHOT").await;
    let contents: Vec<_> =
        snapshot["messages"].as_array().unwrap().iter().map(|message| message["content"].clone()).collect();
    assert_eq!(contents, ["hi", "hm", "m2"]);
    assert_eq!(stream.rest().await, (vec!["RUN_FINISHED".to_owned()], End::Orderly));
    // A request that is repeated ends, although the end of its run is not stored any more.
    let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let ended = ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"].map(str::to_owned).to_vec();
    assert_eq!(stream.rest().await, (ended, End::Orderly));
}

#[tokio::test]
async fn quiet_stream_sends_comments_also_while_other_threads_are_busy() {
    let limits = GatewayLimits { agui_heartbeat_interval_ms: 20, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    stream.until("REASONING_MESSAGE_CONTENT").await;
    let mut other = input(json!([user("m2", "hi")]));
    other["threadId"] = json!("other");
    let mut busy = AguiStream::open(&service, "run", "ada", other).await;
    let noise = service.launched().await;
    let flood = async {
        loop {
            think(&noise.handle, "x").await;
            busy.until("REASONING_MESSAGE_CONTENT").await;
        }
    };
    tokio::select! {
        () = flood => {}
        block = stream.block() => assert_eq!(block.unwrap(), ": keep-alive"),
    }
    succeed(&run.handle).await;
    let (types, end) = stream.rest().await;
    assert_eq!((types.last().map(String::as_str), end), (Some("RUN_FINISHED"), End::Orderly));
}

/// DEL-4: a stream that is not read delays no other reader, and is closed in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_4_unread_stream_delays_no_other_and_is_closed() {
    let limits = GatewayLimits { stall_timeout_ms: 400, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let (mut client, _) = service.open("ada").await;
    let _stalled = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    let flood = async {
        for _ in 0..300 {
            think(&run.handle, &"x".repeat(60 * 1024)).await;
        }
        succeed(&run.handle).await;
    };
    let ((), frames) = tokio::join!(flood, client.until("agent_completed"));
    assert_eq!(frames.len(), 303);
    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.connections_open() == 1).await;
    client.alive().await;
}

/// An edited conversation is a branch of the thread.
#[tokio::test]
async fn message_follows_the_one_before_it_in_the_request() {
    let mut service = TestService::start().await;
    let mut said = Vec::new();
    for message in ["m1", "m2"] {
        said.push(user(message, "hi"));
        let mut stream = AguiStream::open(&service, "run", "ada", input(json!(said))).await;
        service.answer("yes").await;
        stream.until("RUN_FINISHED").await;
    }
    // The second message, edited.
    let edited =
        json!([user("m1", "hi"), {"id": "a", "role": "assistant", "content": "yes"}, user("m3", "ho")]);
    let mut stream = AguiStream::open(&service, "run", "ada", input(edited.clone())).await;
    service.answer("no").await;
    stream.until("RUN_FINISHED").await;
    let entries = log(&service, "ada").await;
    let parents: Vec<_> = entries
        .iter()
        .filter(|entry| entry["type"] == "user_message")
        .map(|entry| entry["parent"].clone())
        .collect();
    assert_eq!(parents, [json!(0), json!(1), json!(1)]);
    // A retry is the same message, although another one was sent in the meantime.
    let mut stream = AguiStream::open(&service, "run", "ada", input(edited)).await;
    stream.until("MESSAGES_SNAPSHOT").await;
    assert_eq!(log(&service, "ada").await.len(), entries.len());
    // The conversation is the path to the latest message.
    let mut stream = AguiStream::open(&service, "connect", "ada", input(json!([]))).await;
    let snapshot = stream.until("MESSAGES_SNAPSHOT").await;
    let of_user = |message: &&Value| message["role"] == "user";
    let ids: Vec<_> = snapshot["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_user)
        .map(|message| message["id"].clone())
        .collect();
    assert_eq!(ids, ["m1", "m3"]);
}

/// RUN-8: a policy of the request, and a message that waits for its turn.
#[tokio::test]
async fn run_8_message_waits_or_interrupts_as_the_request_says() {
    let mut service = TestService::start().await;
    let mut first = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    first.until("REASONING_MESSAGE_CONTENT").await;
    let mut waits = AguiStream::open(&service, "run", "ada", input(json!([user("m2", "hi")]))).await;
    waits.until("RUN_STARTED").await;
    let mut body = input(json!([user("m3", "hi")]));
    body["forwardedProps"] = json!({"quintet": {"on_busy": "interrupt"}});
    let mut third = AguiStream::open(&service, "run", "ada", body).await;
    for stream in [&mut first, &mut waits] {
        assert_eq!(stream.until("RUN_FINISHED").await["outcome"], json!({"type": "cancelled"}));
    }
    service.answer("yes").await;
    assert_eq!(third.until("RUN_FINISHED").await["outcome"], Value::Null);
}

/// RUN-11: calls that are opened one after another are one interrupt.
#[tokio::test]
async fn run_11_several_open_calls_are_one_interrupt() {
    let limits = GatewayLimits { agui_settle_ms: 500, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let mut stream = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "hi")]))).await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "c", CallOwner::Agent).await;
    open_call(&run.handle, "q1", CallOwner::Client).await;
    open_call(&run.handle, "q2", CallOwner::Client).await;
    // The agent's own call is open: the run goes on without its client.
    close_call(&run.handle, "c").await;
    let finished = stream.until("RUN_FINISHED").await;
    let ids: Vec<_> =
        finished["outcome"]["interrupts"].as_array().unwrap().iter().map(|i| i["id"].clone()).collect();
    assert_eq!(ids, [format!("{}:q1", run.run_id), format!("{}:q2", run.run_id)]);
    assert_eq!(stream.next().await.unwrap_err(), End::Orderly);
}

#[tokio::test]
async fn requests_over_a_limit_are_refused_before_they_have_an_effect() {
    let limits = GatewayLimits {
        agui_body_bytes_max: 2_048,
        agui_messages_max: 3,
        user_connections_max: 1,
        ..GatewayLimits::DEFAULT
    };
    let mut service = TestService::with(limits).await;
    let path = "/agui/agent/default/run";
    let long = input(json!([user("m1", &"x".repeat(4_000))]));
    service.post("ada", path, &long).await.problem(413, "too_large");
    let single = json!({"method": "agent/run", "params": {"agentId": "default"}, "body": long});
    service.post("ada", "/agui", &single).await.problem(413, "too_large");
    let many = input(json!([user("1", "x"), user("2", "x"), user("3", "x"), user("4", "x")]));
    service.post("ada", path, &many).await.problem(413, "too_large");
    service.post("ada", path, &json!({"threadId": "t"})).await.problem(400, "malformed_frame");
    let unknown = service.post("ada", "/agui/agent/nobody/run", &input(json!([user("m1", "x")]))).await;
    unknown.problem(400, "unknown_agent");
    assert_eq!(log(&service, "ada").await.len(), 0);
    // A stream is a connection.
    let _open = AguiStream::open(&service, "run", "ada", input(json!([user("m1", "x")]))).await;
    let refused = service.post("ada", path, &input(json!([user("m2", "x")]))).await;
    refused.problem(429, "limit_reached");
    service.answer("y").await;
    assert_eq!(log(&service, "ada").await.iter().filter(|entry| entry["type"] == "user_message").count(), 1);
}

/// DEL-7: the journal fails in the middle of a run.
#[tokio::test]
async fn del_7_a_message_whose_outcome_is_unknown_is_no_run() {
    let service = TestService::start().await;
    let journal: Arc<quintet::journal::memory::MemoryJournal> = service.journal.clone();
    journal.set_down(true);
    let refused = service.post("ada", "/agui/agent/default/run", &input(json!([user("m1", "x")]))).await;
    refused.problem(503, "unavailable");
    journal.set_down(false);
    let mut stream = AguiStream::open(&service, "connect", "ada", input(json!([]))).await;
    assert_eq!(
        stream.rest().await,
        (vec!["RUN_STARTED".to_owned(), "RUN_FINISHED".to_owned()], End::Orderly)
    );
}
