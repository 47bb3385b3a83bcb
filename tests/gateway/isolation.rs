//! ISO-1, ISO-2, ISO-3 from outside: two users who choose the same ids, in any interleaving, over HTTP and
//! WebSocket. A request for something of the other user gets, byte for byte, the response for something
//! missing.

use proptest::prelude::*;
use quintet::{
    agent::host::{Assignment, RunHandle},
    kernel::{
        entry::{Call, CallOwner, Thought, ThoughtKind},
        ids::{CallId, RunId, ToolName},
        json::Json,
        user::AgentStep,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cases::cases,
    harness::{TestClient, TestService},
    http::HttpReply,
};

const USERS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Debug)]
enum AgentAction {
    Send {
        message: u8,
        thread: u8,
    },
    /// The first active agent takes its next step: thinks, asks, and ends when it is answered.
    Work,
    /// Names a run of the other user, in every way in which one can be named.
    Pry(u8),
    AnswerOwn,
    CancelOwn(u8),
}

fn action() -> impl Strategy<Value = AgentAction> {
    prop_oneof![
        3 => (0..3u8, 0..2u8).prop_map(|(message, thread)| AgentAction::Send { message, thread }),
        4 => Just(AgentAction::Work),
        3 => (0..3u8).prop_map(AgentAction::Pry),
        1 => Just(AgentAction::AnswerOwn),
        1 => (0..3u8).prop_map(AgentAction::CancelOwn),
    ]
}

struct World {
    service: TestService,
    clients: Vec<TestClient>,
    runs: [Vec<String>; 2],
    /// Runs with an agent, and whether it has asked.
    at_work: [Vec<(Assignment, bool)>; 2],
}

impl World {
    async fn new() -> Self {
        let service = TestService::start().await;
        let mut clients = Vec::new();
        for user in USERS {
            clients.push(service.open(user).await.0);
        }
        Self { service, clients, runs: Default::default(), at_work: Default::default() }
    }

    async fn play(&mut self, at: usize, action: &AgentAction) {
        let user = USERS[at];
        match action {
            AgentAction::Send { message, thread } => {
                let body = json!({
                    "message_id": format!("m{message}"), "thread_id": format!("t{thread}"), "text": "the same",
                });
                let answer = self.service.post(user, "/v1/messages", &body).await;
                if answer.status == 409 {
                    answer.problem(409, "message_id_reused");
                    return;
                }
                let accepted = answer.ok(202);
                let run_id = accepted["run_id"].as_str().unwrap().to_owned();
                assert!(!self.runs[1 - at].contains(&run_id), "ISO-2");
                if accepted["duplicate"] == false {
                    self.runs[at].push(run_id);
                }
            }
            AgentAction::Work => self.work(at).await,
            AgentAction::Pry(run) => {
                if let Some(run_id) = self.runs[1 - at].get(usize::from(*run)).cloned() {
                    self.pry(at, &run_id).await;
                }
            }
            AgentAction::AnswerOwn => {
                if let Some(run_id) = self.runs[at].first() {
                    let path = format!("/v1/runs/{run_id}/calls/c");
                    let answer = self.service.post(user, &path, &json!({"status": "ok"})).await;
                    assert!([200, 202, 404, 409].contains(&answer.status), "{answer:?}");
                }
            }
            AgentAction::CancelOwn(run) => {
                if let Some(run_id) = self.runs[at].get(usize::from(*run)) {
                    let path = format!("/v1/runs/{run_id}/cancel");
                    let answer = self.service.post(user, &path, &json!({})).await;
                    assert!([200, 202, 409].contains(&answer.status), "{answer:?}");
                }
            }
        }
    }

    async fn work(&mut self, at: usize) {
        while let Some(assignment) = self.service.launched_by_now() {
            let run_id = assignment.run_id.to_string();
            let owner = self.runs.iter().position(|runs| runs.contains(&run_id));
            self.at_work[owner.expect("every run has an owner")].push((assignment, false));
        }
        let Some((assignment, asked)) = self.at_work[at].first_mut() else { return };
        if !*asked && asks(&assignment.handle).await {
            *asked = true;
            return;
        }
        // A run that is dropped unfinished fails, and the next one of its thread starts.
        self.at_work[at].remove(0);
    }

    /// Names a run in every way, once one of another user and once a missing one.
    async fn pry(&mut self, at: usize, foreign: &str) {
        let nobodys = RunId(Uuid::now_v7()).to_string();
        let user = USERS[at];
        for (method, path, body) in [
            ("GET", "/v1/runs/ID", json!({})),
            ("POST", "/v1/runs/ID/cancel", json!({})),
            ("POST", "/v1/runs/ID/calls/c", json!({"status": "ok"})),
            ("POST", "/v1/runs/ID/calls/never", json!({"status": "error", "error": "no"})),
        ] {
            let mut answers = Vec::new();
            for id in [foreign, &nobodys] {
                let path = path.replace("ID", id);
                let answer = match method {
                    "GET" => self.service.get(user, &path).await,
                    _ => self.service.post(user, &path, &body).await,
                };
                assert_eq!(answer.status, 404, "ISO-3: {answer:?}");
                answers.push(bytes(&answer, id));
            }
            assert_eq!(answers[0], answers[1], "ISO-3: {method} {path}");
        }
        for frame in [
            json!({"type": "cancel_run", "run_id": "ID"}),
            json!({"type": "complete_call", "run_id": "ID", "call_id": "c", "status": "ok"}),
        ] {
            let mut answers = Vec::new();
            for id in [foreign, &nobodys] {
                let client = &mut self.clients[at];
                client.send_text(&frame.to_string().replace("ID", id)).await;
                // Entries of the user's own run may come in between.
                let heard = client.until("error").await;
                own(at, &heard[..heard.len() - 1]);
                answers.push(heard.last().unwrap().to_string().replace(id, "ID"));
            }
            assert_eq!(answers[0], answers[1], "ISO-3: {frame}");
        }
    }

    /// Checks that each user reads exactly its own entries at the end, in every way.
    async fn ends(self) {
        for (at, user) in USERS.iter().enumerate() {
            let page = self.service.get(user, "/v1/entries?limit=1000").await.ok(200);
            let entries = page["entries"].as_array().unwrap();
            own(at, entries);
            let messages = entries.iter().filter(|entry| entry["type"] == "user_message");
            let in_log: Vec<&str> = messages.map(|entry| entry["run_id"].as_str().unwrap()).collect();
            assert_eq!(in_log, self.runs[at], "ISO-1: its own runs, all of them");
            let offsets: Vec<u64> = entries.iter().map(|entry| entry["offset"].as_u64().unwrap()).collect();
            assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "ISO-2: a log of its own");
            let mut client = self.service.known(user).await;
            client.hello(json!({})).await;
            let replayed = client.until("caught_up").await;
            own(at, &replayed);
            // Runs that have failed by now may have added to it.
            assert_eq!(replayed[..entries.len()], entries[..], "the same over each route");
            for thread in ["t0", "t1"] {
                let answer =
                    self.service.get(user, &format!("/v1/threads/{thread}/entries?limit=1000")).await;
                if answer.status == 200 {
                    own(at, answer.ok(200)["entries"].as_array().unwrap());
                }
            }
        }
    }
}

/// ISO-1: all entries are of this user.
fn own(at: usize, frames: &[Value]) {
    for frame in frames.iter().filter(|frame| frame.get("user_id").is_some()) {
        assert_eq!(frame["user_id"], USERS[at], "ISO-1: {frame}");
    }
}

/// Everything in a response that a client can distinguish, without the id of its own request.
fn bytes(answer: &HttpReply, id: &str) -> String {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    format!("{} {headers:?} {}", answer.status, answer.text).replace(id, "ID")
}

/// Thinks, and asks the client; returns `false` if the run has ended.
async fn asks(port: &RunHandle) -> bool {
    let thought = Thought { kind: ThoughtKind::Answer, delta: "x".into(), reset: false };
    let call = Call {
        call_id: CallId::parse("c").unwrap(),
        tool_name: ToolName::parse("ask").unwrap(),
        parameters: Json::empty_object(),
        by: CallOwner::Client,
    };
    port.take(AgentStep::Think(thought)).await.is_ok() && port.take(AgentStep::Open(call)).await.is_ok()
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn iso_3_foreign_things_look_like_missing_ones(
        actions in prop::collection::vec((0..USERS.len(), action()), 8..30)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.unwrap().block_on(async {
            let mut world = World::new().await;
            for (at, action) in &actions {
                world.play(*at, action).await;
            }
            world.ends().await;
        });
    }
}
