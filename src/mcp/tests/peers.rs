//! Servers of others: `@modelcontextprotocol/server-everything` of npm, and the SDK for Python, by stdio and HTTP.
//!
//! `tests/mcp/run.sh` installs them and sets `MCP_EVERYTHING` to the script of the one, and
//! `MCP_PYTHON` to a Python with the other. Without the variables these tests do nothing, except under `CI`,
//! where they fail.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use quintet_agent::{Answer, Json, tool::ToolSource};
use quintet_testkit::ports::spare_port;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::join;

use super::{
    fake::{Run, Seen, config, http, run},
    process::Watched,
};
use crate::{McpServer, ServerState};

const SOON: Duration = Duration::from_secs(20);

/// Returns the value of a variable, or `None` if the test is to be skipped.
fn peer(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: run tests/mcp/run.sh");
        eprintln!("skipped: {variable} is not set, see tests/mcp/run.sh");
    }
    value
}

fn python_server() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/mcp/server.py");
    path.to_str().unwrap().to_owned()
}

/// A server over HTTP.
struct HttpPeer(Child, u16);

impl HttpPeer {
    /// Starts a program with a port of its own. Other tests have thousands of servers, one after another, on ports that the
    /// kernel chooses: on one of those the client would find the server of another test.
    fn start(command: impl FnOnce(u16) -> Command) -> Self {
        let port = spare_port();
        Self(spawn(command(port)), port)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.1)
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn ready(mut keys: Value) -> McpServer {
    // A server over HTTP may be started later than its client.
    keys["restart_pause_ms"] = json!(50);
    keys["restart_pause_max_ms"] = json!(50);
    let server = McpServer::start(config(keys), http()).unwrap();
    assert_eq!(server.reached(|state| state == ServerState::Ready).await, ServerState::Ready);
    server
}

async fn call(server: &McpServer, caller: &Run, tool: &str, parameters: Value) -> Result<Value, String> {
    let result = server.tool(tool).call(&Json::from(parameters), caller).await;
    result.map(|json| json.to_value()).map_err(|error| error.user_message().to_owned())
}

/// Answers the next question and returns it.
async fn answer(seen: &mut Seen, answer: Answer) -> Value {
    let (name, parameters, reply) = seen.asks.recv().await.unwrap();
    assert_eq!(name, "s/elicit");
    reply.send(answer).unwrap();
    parameters
}

fn has(server: &McpServer, tool: &str) -> bool {
    server.tools().iter().any(|listed| listed.name() == format!("s/{tool}"))
}

fn progress(seen: &mut Seen) -> Vec<String> {
    std::iter::from_fn(|| seen.progress.try_recv().ok()).collect()
}

/// Checks the server of npm by one transport.
async fn everything(server: &McpServer) {
    let (caller, mut seen) = Run::of(1);
    let echo = call(server, &caller, "echo", json!({"message": "Grüße"})).await;
    assert_eq!(echo, Ok(json!("Echo: Grüße")));
    let refused = call(server, &caller, "echo", json!({})).await.unwrap_err();
    assert!(refused.contains("message"), "{refused}");
    let refused = call(server, &caller, "no-such-tool", json!({})).await.unwrap_err();
    assert!(refused.contains("no-such-tool"), "{refused}");
    let structured = call(server, &caller, "get-structured-content", json!({"location": "Chicago"})).await;
    assert!(structured.unwrap()["temperature"].is_number());
    let image = call(server, &caller, "get-tiny-image", json!({})).await.unwrap();
    let image = image.as_array().unwrap().iter().find(|block| block["type"] == "image").unwrap().clone();
    assert_eq!(image["mimeType"], "image/png");
    assert!(image["bytes"].as_u64().unwrap() > 100 && image.get("data").is_none(), "{image}");
    let links = call(server, &caller, "get-resource-links", json!({"count": 2})).await.unwrap();
    assert_eq!(links.as_array().unwrap().iter().filter(|block| block["type"] == "resource_link").count(), 2);

    let steps = json!({"duration": 0.2, "steps": 4});
    let done = call(server, &caller, "trigger-long-running-operation", steps).await.unwrap();
    assert!(done.as_str().unwrap().contains("completed"), "{done}");
    let progress = progress(&mut seen);
    // On a busy machine, one may take the place of another; the last one is passed on.
    assert!(progress.last().is_some_and(|last| last == "4/4\n") && progress.is_sorted(), "{progress:?}");

    // The tool is added after the handshake, and its addition is announced.
    let mut changed = server.tools_changed();
    while !has(server, "trigger-elicitation-request") {
        changed.changed().await.unwrap();
    }
    let answers = Json::parse(r#"{"name": "Ada", "check": true, "integer": 7}"#).unwrap();
    let tool = "trigger-elicitation-request";
    let (result, question) =
        join!(call(server, &caller, tool, json!({})), answer(&mut seen, Answer::Given(answers)));
    assert_eq!(question["requested_schema"]["properties"]["check"]["type"], "boolean");
    assert!(result.unwrap().to_string().contains("Ada"));
    let declined = Answer::Declined { reason: None };
    let (result, _) = join!(call(server, &caller, tool, json!({})), answer(&mut seen, declined));
    assert!(result.unwrap().to_string().contains("declined"));
    assert!(!has(server, "trigger-sampling-request"), "sampling is not offered");
}

#[test]
fn everything_by_stdio() {
    let Some(script) = peer("MCP_EVERYTHING") else { return };
    run(async {
        let server = ready(json!({"command": ["node", script, "stdio"]})).await;
        everything(&server).await;
        server.stop().await;
    });
}

#[test]
fn everything_by_http() {
    let Some(script) = peer("MCP_EVERYTHING") else { return };
    let peer = HttpPeer::start(|port| {
        let mut command = Command::new("node");
        command.args([&script, "streamableHttp"]).env("PORT", port.to_string());
        command
    });
    run(async {
        let server = ready(json!({"url": peer.url()})).await;
        everything(&server).await;
        server.stop().await;
    });
}

/// Checks the server of the SDK for Python by one transport and revision.
async fn python(server: &McpServer) {
    let (caller, mut seen) = Run::of(1);
    assert_eq!(call(server, &caller, "add", json!({"a": 1, "b": 2})).await, Ok(json!({"result": 3})));
    let counted = call(server, &caller, "count", json!({"to": 5})).await;
    assert_eq!(counted, Ok(json!({"result": "counted to 5"})));
    let progress = progress(&mut seen);
    assert!(progress.last().is_some_and(|last| last == "5 of 5\n") && progress.is_sorted(), "{progress:?}");
    let failed = call(server, &caller, "fail", json!({})).await.unwrap_err();
    assert!(failed.contains("fail"), "{failed}");

    let rome = Answer::Given(Json::parse(r#"{"city": "Rome"}"#).unwrap());
    let (booked, question) =
        join!(call(server, &caller, "book", json!({"nights": 2})), answer(&mut seen, rome));
    assert_eq!(question["message"], "Which city for 2 nights?");
    assert_eq!(question["requested_schema"]["required"], json!(["city"]));
    assert_eq!(question["tool"], "s/book");
    assert_eq!(booked, Ok(json!({"result": "2 nights in Rome"})));
    for no in [Answer::Declined { reason: None }, Answer::Unanswered { why: String::new() }] {
        let (booked, _) = join!(call(server, &caller, "book", json!({"nights": 2})), answer(&mut seen, no));
        assert!(booked.is_err(), "{booked:?}");
    }

    let mut changed = server.tools_changed();
    assert!(!has(server, "grown"));
    assert!(call(server, &caller, "grow", json!({})).await.is_ok());
    while !has(server, "grown") {
        changed.changed().await.unwrap();
    }
    assert_eq!(call(server, &caller, "grown", json!({})).await, Ok(json!({"result": "grown"})));
}

fn python_by_stdio(protocol: &str) {
    let Some(python_path) = peer("MCP_PYTHON") else { return };
    run(async {
        let server = ready(json!({"command": [python_path, python_server()], "protocol": protocol})).await;
        python(&server).await;
        server.stop().await;
    });
}

#[test]
fn python_by_stdio_2025_11_25() {
    python_by_stdio("2025-11-25");
}

#[test]
fn python_by_stdio_2026_07_28() {
    python_by_stdio("2026-07-28");
}

fn python_by_http(protocol: &str) {
    let Some(path) = peer("MCP_PYTHON") else { return };
    let start = |port: u16| {
        let mut command = Command::new(&path);
        command.args([&python_server(), "http", &port.to_string()]);
        command
    };
    let peer = HttpPeer::start(start);
    run(async {
        let server = ready(json!({"url": peer.url(), "protocol": protocol})).await;
        python(&server).await;
        // A server that has gone closes the call, and is found again when it is back.
        let (caller, _seen) = Run::of(1);
        let port = peer.1;
        drop(peer);
        let lost = call(&server, &caller, "add", json!({"a": 1, "b": 2})).await.unwrap_err();
        assert!(lost.contains("the MCP server"), "{lost}");
        server.reached(|state| state != ServerState::Ready).await;
        let _peer = HttpPeer(spawn(start(port)), port);
        server.reached(|state| state == ServerState::Ready).await;
        assert_eq!(call(&server, &caller, "add", json!({"a": 1, "b": 2})).await, Ok(json!({"result": 3})));
        server.stop().await;
    });
}

#[test]
fn python_by_http_2025_11_25() {
    python_by_http("2025-11-25");
}

#[test]
fn python_by_http_2026_07_28() {
    python_by_http("2026-07-28");
}

#[test]
fn kill_9_in_mid_call_closes_the_call_and_leaves_no_process() {
    let Some(python_path) = peer("MCP_PYTHON") else { return };
    run(async {
        let server = ready(json!({"command": [python_path, python_server()]})).await;
        let (caller, _seen) = Run::of(1);
        let mut left = Vec::new();
        // Once from inside, once from outside.
        for tool in ["die", "hang"] {
            server.reached(|state| state == ServerState::Ready).await;
            let pids = call(&server, &caller, "processes", json!({})).await.unwrap();
            let pids: Vec<i32> = serde_json::from_value(pids["result"].clone()).unwrap();
            left.extend(pids.iter().map(|pid| Watched::of(*pid)));
            let (result, ()) = join!(call(&server, &caller, tool, json!({})), async {
                if tool == "hang" {
                    // The next call is answered, so the one before it has begun.
                    call(&server, &caller, "add", json!({"a": 1, "b": 1})).await.unwrap();
                    kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
                }
            });
            assert_eq!(result, Err("the MCP server stopped during the call".to_owned()));
            server.reached(|state| state != ServerState::Ready).await;
        }
        server.reached(|state| state == ServerState::Ready).await;
        assert_eq!(call(&server, &caller, "add", json!({"a": 1, "b": 2})).await, Ok(json!({"result": 3})));
        server.stop().await;
        assert!(left.iter().all(|process| process.ends_within(SOON)));
    });
}

/// A call that is dropped ends at the server: the tool writes to a pipe when it begins and when it is cancelled.
fn cancelled(start: impl FnOnce(&str) -> (Option<HttpPeer>, Value)) {
    let folder =
        std::env::temp_dir().join(format!("quintet-mcp-{}-{:x}", std::process::id(), rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    let pipe = folder.join("mark");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (marks, marked) = mpsc::channel();
    let reader = {
        // Open for reading and writing, so that the end of one writer is not the end of the pipe.
        let pipe = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().take(2) {
                marks.send(line.unwrap()).unwrap();
            }
        })
    };
    let (peer, keys) = start(pipe.to_str().unwrap());
    run(async {
        let server = ready(keys).await;
        let (caller, _seen) = Run::of(1);
        let marked = tokio::task::spawn_blocking(move || {
            let started = marked.recv_timeout(SOON).unwrap();
            (started, marked)
        });
        let hang = call(&server, &caller, "hang", json!({}));
        let (started, marked) = tokio::select! {
            marked = marked => marked.unwrap(),
            result = hang => panic!("{result:?}"),
        };
        assert_eq!(started, "started");
        let mark = tokio::task::spawn_blocking(move || marked.recv_timeout(SOON).unwrap()).await.unwrap();
        assert_eq!(mark, "cancelled");
        server.stop().await;
    });
    reader.join().unwrap();
    drop(peer);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_call_that_is_dropped_ends_at_the_server_by_stdio() {
    let Some(python) = peer("MCP_PYTHON") else { return };
    for protocol in ["2025-11-25", "2026-07-28"] {
        cancelled(|pipe| {
            let command = [&python, &python_server()];
            (None, json!({"command": command, "env": {"MARK": pipe}, "protocol": protocol}))
        });
    }
}

#[test]
fn a_call_that_is_dropped_ends_at_the_server_by_http() {
    let Some(python) = peer("MCP_PYTHON") else { return };
    for protocol in ["2025-11-25", "2026-07-28"] {
        cancelled(|pipe| {
            let peer = HttpPeer::start(|port| {
                let mut command = Command::new(&python);
                command.args([&python_server(), "http", &port.to_string()]).env("MARK", pipe);
                command
            });
            let keys = json!({"url": peer.url(), "protocol": protocol});
            (Some(peer), keys)
        });
    }
}
