//! `kill -9` of the real binary in mid-stream and in mid-tool, for each kind of agent of the configuration: a language
//! model, a tool of an MCP server, a remote agent over AG-UI. The peers live on; the next process works on the same
//! folder, and the log is read over a socket.

mod agui;
mod mcp;
mod model;
pub mod peers;
mod secrets;
pub mod socket;

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::socket::Socket;
use crate::command::{Service, on_free_ports};

/// A folder with the configuration and the journal of a service.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file and returns its path as text.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts a service with this configuration.
    pub fn start(&self, config: &str) -> Service {
        let config = self.write("quintet.toml", config);
        let mut command = on_free_ports("dev", &self.data());
        command.args(["--config", &config, "--log", "trace"]).stderr(std::process::Stdio::piped());
        Service::spawn(command)
    }
}

/// Ends a service by SIGKILL, and returns its log.
fn kill(service: Service) -> String {
    service.signal(Signal::KILL);
    service.ended().2
}

/// Sends a message to an agent, and returns the run's id.
pub async fn send(service: &Service, token: &str, agent: &str, text: &str) -> String {
    let message = json!({"message_id": "m1", "thread_id": "t1", "agent_name": agent, "text": text});
    let (status, accepted) = service.post("/v1/messages", token, &message).await;
    assert_eq!(status, 202, "{accepted}");
    accepted["run_id"].as_str().unwrap().to_owned()
}

/// A run that a kill has cut, and its log before and after.
struct CutRun {
    before: Vec<Value>,
    after: Vec<Value>,
}

/// Sends a message, kills the service once an entry matches, starts it again after `between`, and reads the run to its
/// end. Checks what holds for each run.
async fn cut(
    place: &Place,
    configs: [&str; 2],
    (agent, text): (&str, &str),
    reached: impl Fn(&[Value]) -> bool,
    between: impl FnOnce(),
) -> CutRun {
    let service = place.start(configs[0]);
    let token = service.login("ada").await;
    let run_id = send(&service, &token, agent, text).await;
    let before = Socket::open(&service, &token, 0).await.until(reached).await;
    kill(service);
    between();
    let service = place.start(configs[1]);
    let token = service.login("ada").await;
    let is_end = |entries: &[Value]| entries.iter().any(|entry| entry["type"] == "agent_completed");
    let after = Socket::open(&service, &token, 0).await.until(is_end).await;
    // What was delivered is in the log, as it was (DEL-1).
    assert_eq!(after[..before.len()], before[..], "{after:#?}");
    // A client that resumes behind the last entry gets nothing again, and nothing else (DEL-3).
    let head = after.last().unwrap()["offset"].as_u64().unwrap();
    assert_eq!(Socket::open(&service, &token, head).await.caught_up().await, head);
    check_run(&after, &run_id);
    service.drained();
    CutRun { before, after }
}

/// Checks the rules of one run: RUN-1, RUN-2, RUN-4, RUN-5, and that its text is its answer.
fn check_run(entries: &[Value], run_id: &str) {
    let events: Vec<&Value> =
        entries.iter().filter(|entry| entry["run_id"] == run_id && entry["seq"].is_u64()).collect();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{entries:#?}");
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("agent_started"), count("agent_completed")), (1, 1), "{entries:#?}");
    let end = events.last().unwrap();
    assert_eq!(end["type"], "agent_completed");
    for call in calls(entries) {
        assert_eq!((call.opened, call.closed), (1, 1), "{}: {entries:#?}", call.id);
    }
    if end["status"] == "succeeded" {
        assert_eq!(end["final_response"], said(entries, "answer"), "{entries:#?}");
    }
}

/// A call in a log.
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedCall {
    pub id: String,
    pub tool: String,
    pub opened: usize,
    pub closed: usize,
    pub status: String,
    pub results: Value,
}

pub fn calls(entries: &[Value]) -> Vec<LoggedCall> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut calls: Vec<LoggedCall> = Vec::new();
    for entry in entries {
        let known = calls.iter_mut().find(|call| call.id == entry["call_id"]);
        match (entry["type"].as_str().unwrap(), known) {
            ("tool_executing", Some(call)) => call.opened += 1,
            ("tool_executing", None) => calls.push(LoggedCall {
                id: text(&entry["call_id"]),
                tool: text(&entry["tool_name"]),
                opened: 1,
                closed: 0,
                status: String::new(),
                results: Value::Null,
            }),
            ("tool_completed", Some(call)) => {
                call.closed += 1;
                (call.status, call.results) = (text(&entry["status"]), entry["results"].clone());
            }
            ("tool_completed", None) => panic!("a result without its call: {entry}"),
            _ => {}
        }
    }
    calls
}

/// The tools and the statuses of all calls.
fn statuses(entries: &[Value]) -> Vec<(String, String)> {
    calls(entries).into_iter().map(|call| (call.tool, call.status)).collect()
}

/// The text of one kind, since its last reset.
fn said(entries: &[Value], kind: &str) -> String {
    let mut text = String::new();
    for entry in entries.iter().filter(|entry| entry["kind"] == kind) {
        if entry["reset"] == true {
            text.clear();
        }
        text.push_str(entry["delta"].as_str().unwrap());
    }
    text
}

fn resets(entries: &[Value], kind: &str) -> usize {
    entries.iter().filter(|entry| entry["kind"] == kind && entry["reset"] == true).count()
}

pub fn end(entries: &[Value]) -> &Value {
    entries.iter().find(|entry| entry["type"] == "agent_completed").unwrap()
}

/// Returns true once the text of a kind contains these words.
fn has_said(kind: &'static str, words: &'static str) -> impl Fn(&[Value]) -> bool {
    move |entries| said(entries, kind).contains(words)
}

/// Returns true once a call of this tool is open.
pub fn is_open(tool: &'static str) -> impl Fn(&[Value]) -> bool {
    move |entries| entries.iter().any(|entry| entry["type"] == "tool_executing" && entry["tool_name"] == tool)
}

/// Returns the number of lines of a file.
pub fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}
