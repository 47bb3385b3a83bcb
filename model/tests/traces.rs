//! The running service writes a trace of its journeys, which the kernel and the specifications accept;
//! and a wrong record of each kind is refused.
//!
//! The service is the whole one with its own rehearsal agent; its journal is in memory, so that what a
//! process leaves behind when it is cut off is what the next one finds. A process is a runtime of its own.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use quintet::{
    agent::{Executor, rehearsal::Rehearsal},
    journal::memory::{AppendFault, MemoryJournal},
    kernel::{
        ids::{Timestamp, UserId},
        ticket::Identity,
    },
    ops::config::Settings,
    runtime::clock,
    service::{CheckedSettings, Parts, Running, Service, built_in},
};
use quintet_model::trace::{
    Checked,
    accept::{self, wide},
    narrow, slice,
    spoil::Spoil,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

async fn start(journal: &MemoryJournal, trace: &Path) -> Running {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let settings = Settings {
        listen: any_port,
        admin_listen: any_port,
        monitor: true,
        trace_file: Some(trace.to_owned()),
        ..Settings::default()
    };
    let agents = Arc::new(built_in(Executor::threads().unwrap()).with(Rehearsal).unwrap());
    let parts = Parts { journal: Arc::new(journal.clone()), agents, described: Vec::new() };
    Service::new(CheckedSettings::dev(settings).unwrap(), parts).start().await.unwrap()
}

struct Client {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Every frame so far.
    heard: Vec<Value>,
    messages: usize,
    name: String,
}

fn identity(user: &str) -> Identity {
    Identity { user_id: UserId::parse(user).unwrap(), expires_at: Timestamp(clock::now().0 + 600_000) }
}

/// A ticket of `user`, as the service issues it.
fn ticket(running: &Running, user: &str) -> String {
    running.gateway().auth.issue_ticket(&identity(user), None).unwrap().text
}

impl Client {
    /// Opens a connection with a ticket, and sends `hello` with these fields.
    async fn open(running: &Running, user: &str, name: &str, hello: Value) -> (Self, Value) {
        let url = format!("ws://{}/v1/ws?ticket={}", running.listen, ticket(running, user));
        let (ws, _) = soon("a handshake", tokio_tungstenite::connect_async(url)).await.unwrap();
        let mut client = Self { ws, heard: Vec::new(), messages: 0, name: name.to_owned() };
        let mut frame = json!({"type": "hello"});
        frame.as_object_mut().unwrap().extend(hello.as_object().unwrap().clone());
        client.send_frame(frame).await;
        let ready = client.until("ready").await;
        client.until("caught_up").await;
        (client, ready)
    }

    async fn send_frame(&mut self, frame: Value) {
        soon("room", self.ws.send(Message::text(frame.to_string()))).await.unwrap();
    }

    /// Returns the first frame of this type, received already or not.
    async fn until(&mut self, kind: &str) -> Value {
        self.until_so(kind, |frame| frame["type"] == kind).await
    }

    async fn until_so(&mut self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        if let Some(frame) = self.heard.iter().find(|frame| so(frame)) {
            return frame.clone();
        }
        soon(what, async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        self.heard.push(frame.clone());
                        if so(&frame) {
                            return frame;
                        }
                    }
                    Some(Ok(_)) => {}
                    end => panic!("{end:?} instead of {what}"),
                }
            }
        })
        .await
    }

    /// Sends a script; its run.
    async fn play(&mut self, thread: &str, on_busy: &str, steps: Value) -> String {
        self.messages += 1;
        let message_id = format!("{}-{}", self.name, self.messages);
        let text = json!({"steps": steps}).to_string();
        let message = json!({"type": "send_message", "message_id": message_id, "thread_id": thread, "text": text, "agent_name": "rehearsal", "on_busy": on_busy});
        let accepted = |duplicate: bool| {
            let id = message_id.clone();
            move |f: &Value| {
                f["type"] == "accepted" && f["message_id"] == id.as_str() && f["duplicate"] == duplicate
            }
        };
        self.send_frame(message.clone()).await;
        let first = self.until_so("accepted", accepted(false)).await;
        // DEL-6: the same message once more is the same run.
        self.send_frame(message).await;
        assert_eq!(self.until_so("accepted again", accepted(true)).await["run_id"], first["run_id"]);
        first["run_id"].as_str().unwrap().to_owned()
    }

    async fn ends(&mut self, run: &str) -> String {
        let end = self.until_so("an end", |f| f["type"] == "agent_completed" && f["run_id"] == run).await;
        end["status"].as_str().unwrap().to_owned()
    }

    async fn cancel(&mut self, run: &str) {
        self.send_frame(json!({"type": "cancel_run", "run_id": run})).await;
    }

    async fn closed(mut self) {
        soon("the close", async { while self.ws.next().await.is_some_and(|message| message.is_ok()) {} })
            .await;
    }
}

/// Every course of a run, and every order of several.
async fn journeys(running: &Running, journal: &MemoryJournal) {
    let (mut ada, _) = Client::open(running, "ada", "a", json!({})).await;
    let (mut tab, ready) = Client::open(running, "ada", "b", json!({})).await;
    let tool = |id: &str| json!({"call_id": id, "tool_name": "look", "takes_ms": 1});
    let courses = [
        ("succeeded", json!([{"think": "a"}, {"answer": "b"}])),
        ("succeeded", json!([{"think": "a", "repeat": 5}, {"tool": tool("c1")}, {"answer": "b"}])),
        ("succeeded", json!([{"think": "a"}, {"tools": [tool("c1"), tool("c2")]}, {"answer": "b"}])),
        ("failed", json!([{"think": "a"}, {"fail": "no"}])),
        ("failed", json!([{"fail": "no"}])),
        ("failed", json!([{"think": "a"}, {"panic": "oh"}])),
        ("failed", json!([{"think": "a"}, {"illegal": "complete_unopened_call"}])),
        ("failed", json!([{"think": "a"}, {"illegal": "complete_with_open_call"}])),
        ("failed", json!([{"think": "a"}, {"tool": tool("c1")}, {"illegal": "reopen_call"}])),
        ("failed", json!([{"illegal": "tool_before_thinking"}])),
    ];
    for (status, steps) in courses {
        let run = ada.play("t", "enqueue", steps.clone()).await;
        assert_eq!(tab.ends(&run).await, status, "{steps}");
        assert_eq!(ada.ends(&run).await, status);
    }

    // RUN-11: a question, answered by the other tab, once.
    let run = ada
        .play(
            "q",
            "enqueue",
            json!([{"think": "a"}, {"ask": {"call_id": "q1", "tool_name": "approve"}}, {"answer": "b"}]),
        )
        .await;
    tab.until_so("a question", |frame| frame["call_id"] == "q1").await;
    let answer =
        json!({"type": "complete_call", "run_id": run, "call_id": "q1", "status": "ok", "results": {}});
    tab.send_frame(answer.clone()).await;
    tab.send_frame(answer).await;
    tab.until_so("call_closed", |frame| frame["code"] == "call_closed").await;
    assert_eq!(ada.ends(&run).await, "succeeded");

    // RUN-8: enqueue, reject, interrupt; and a cancel.
    let first = ada.play("line", "enqueue", json!([{"think": "a"}, {"hang": true}])).await;
    let second = ada.play("line", "enqueue", json!([{"think": "a"}, {"tool": tool("c1")}])).await;
    ada.send_frame(json!({"type": "send_message", "message_id": "busy", "thread_id": "line", "text": "x", "on_busy": "reject"})).await;
    ada.until_so("thread_busy", |frame| frame["code"] == "thread_busy").await;
    ada.cancel(&first).await;
    assert_eq!(ada.ends(&first).await, "cancelled");
    assert_eq!(ada.ends(&second).await, "succeeded");
    let first = ada
        .play("line", "enqueue", json!([{"think": "a"}, {"ask": {"call_id": "q", "tool_name": "approve"}}]))
        .await;
    let second = ada.play("line", "enqueue", json!([{"think": "a"}])).await;
    let third = ada.play("line", "interrupt", json!([{"think": "a"}])).await;
    assert_eq!(tab.ends(&third).await, "succeeded");
    ada.cancel(&first).await;
    ada.until_so("run_ended", |frame| frame["code"] == "run_ended").await;
    ada.cancel("018f3c2e-7b1a-7c3d-8e4f-0123456789ab").await;
    ada.until_so("not_found", |frame| frame["code"] == "not_found").await;
    drop(second);

    // One message, two readers: as much as `Delivery.tla` knows of a log.
    let (mut dan, _) = Client::open(running, "dan", "d", json!({})).await;
    let text = json!({"steps": [{"think": "a"}, {"answer": "b"}]}).to_string();
    dan.send_frame(json!({"type": "send_message", "message_id": "d", "thread_id": "t", "text": text, "agent_name": "rehearsal"}))
        .await;
    dan.until("agent_completed").await;
    let (mut tab, _) = Client::open(running, "dan", "e", json!({})).await;
    tab.until("agent_completed").await;

    // A resume, one from another epoch, one from the future; and one more ticket than there is.
    for hello in [
        json!({"after": 3, "epoch": ready["epoch"]}),
        json!({"after": 9, "epoch": "018f3c2e-7b1a-7c3d-8e4f-0123456789ab"}),
        json!({"after": 100_000}),
    ] {
        let (client, _) = Client::open(running, "ada", "r", hello).await;
        drop(client);
    }
    let spent = ticket(running, "ada");
    for known in [true, false] {
        assert_eq!(running.gateway().auth.ticket(&spent).await.is_ok(), known);
    }

    // DEL-7: appends that fail, with and without an effect.
    for (n, fault) in [AppendFault::Lost, AppendFault::Applied].into_iter().enumerate() {
        let (mut bob, _) = Client::open(running, "bob", &format!("f{n}"), json!({})).await;
        journal.fail_next_append(fault);
        let text = json!({"steps": [{"think": "a"}]}).to_string();
        let message = json!({"type": "send_message", "message_id": format!("f{n}"), "thread_id": "t", "text": text, "agent_name": "rehearsal"});
        bob.send_frame(message.clone()).await;
        bob.until_so("unavailable", |frame| frame["code"] == "unavailable").await;
        bob.send_frame(message).await;
        let run = bob.until("accepted").await["run_id"].as_str().unwrap().to_owned();
        let (mut again, _) = Client::open(running, "bob", "again", json!({})).await;
        let late = json!({"type": "cancel_run", "run_id": run});
        again.send_frame(late).await;
        again.until_so("the end", |f| f["code"] == "run_ended" || f["type"] == "agent_completed").await;
    }
}

/// A trace of two processes: all journeys, then cut off in the middle of runs, then to an orderly end.
fn trace() -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journeys.jsonl");
    let journal = MemoryJournal::default();
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    let first = runtime();
    let run = first.block_on(async {
        let running = start(&journal, &path).await;
        journeys(&running, &journal).await;
        let (mut cyd, _) = Client::open(&running, "cyd", "c", json!({})).await;
        let steps = json!([{"think": "a"}, {"tool": {"call_id": "c1", "tool_name": "look", "takes_ms": 1}}, {"ask": {"call_id": "q1", "tool_name": "approve"}}, {"answer": "b"}]);
        let run = cyd.play("t", "enqueue", steps).await;
        cyd.until_so("a question", |frame| frame["call_id"] == "q1").await;
        cyd.play("t", "enqueue", json!([{"think": "a"}])).await;
        // What is in the queue of the trace when a process is killed is lost: here nothing is.
        running.monitor().expect("a trace is written").flushed().await;
        run
    });
    first.shutdown_timeout(Duration::from_secs(10));

    runtime().block_on(async {
        let running = start(&journal, &path).await;
        let (mut cyd, _) = Client::open(&running, "cyd", "d", json!({})).await;
        let answer =
            json!({"type": "complete_call", "run_id": run, "call_id": "q1", "status": "ok", "results": {}});
        cyd.send_frame(answer).await;
        cyd.until_so("the second end", |f| f["type"] == "agent_completed" && f["run_id"] != run.as_str())
            .await;
        soon("the drain", async { tokio::join!(running.drain(), cyd.closed()) }).await;
    });
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_service_s_journeys_are_accepted_and_wrong_records_are_refused() {
    let text = trace();
    let account = match accept::accept(&text, &mut Checked::with_deliveries()) {
        Ok(account) => account,
        Err(refused) => {
            let kept = std::env::temp_dir().join(format!("refused-{}.jsonl", std::process::id()));
            std::fs::write(&kept, &text).unwrap();
            panic!("{refused}\nthe trace is kept in {}", kept.display());
        }
    };
    println!("{account}");
    assert!(account.commands > 50 && account.connections > 5 && account.tickets > 5, "{account}");
    assert_eq!((account.processes, account.unjudged, account.searched_appends), (2, 0, 2), "{account}");
    for narrow in &account.narrow {
        let all = matches!(narrow.spec, "Run" | "User" | "Ticket");
        assert!(narrow.slices > 0 && (narrow.left_out == 0 || !all), "{account}");
    }

    for spoil in Spoil::ALL {
        let spoiled = spoil.plant(&text).unwrap_or_else(|| panic!("no place for {spoil:?}"));
        match wide(&spoiled) {
            Err(refused) => println!("{spoil:?}: {:.160}", refused.to_string()),
            Ok(_) => panic!("{spoil:?} is accepted"),
        }
    }

    // The specifications by themselves, which the kernel has not sifted before.
    let accept::Wide { logs, deliveries, tickets, .. } = wide(&text).unwrap();
    for slices in slice::all(&logs).into_iter().chain([deliveries.slices(), tickets]) {
        let spec = slices.spec;
        let edits = [
            ("\"succeeded\"", "\"timed_out\""),
            ("agent_thinking", "tool_completed"),
            ("tool_executing", "agent_thinking"),
            ("seq |-> 3", "seq |-> 4"),
            ("opened |-> 1", "opened |-> 2"),
        ];
        let mut refusals = 0;
        for (right, wrong) in edits {
            let Some(slice) = slices.slices.iter().find(|slice| slice.module.contains(right)) else {
                continue;
            };
            let mut spoiled = slices.clone();
            let mut slice = slice.clone();
            slice.module = slice.module.replacen(right, wrong, 1);
            spoiled.slices = vec![slice];
            let refused = narrow::check(spoiled, &mut Checked::default());
            // A run may time out wherever it may succeed.
            let is_legal = right == "\"succeeded\"";
            assert_eq!(refused.is_err(), !is_legal, "{spec}: {right} as {wrong}: {refused:?}");
            refusals += usize::from(refused.is_err());
        }
        assert!(refusals > 0, "{spec}: no slice was spoiled");
    }
}
