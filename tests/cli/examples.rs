//! The commands and tables of the README and of `docs/agents.md`, as they stand there, with the addresses of peers that
//! `tests/models/run.sh`, `tests/mcp/run.sh` and `tests/agui/run.sh` install.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use quintet_testkit::{
    peer_process::{Generation, Process},
    ports::spare_port,
};
use serde_json::{Value, json};

use crate::command::{Service, on_free_ports, soon};

/// Returns the value of a variable. Without it the test fails under CI, and is skipped otherwise.
fn peer(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: see tests/run.sh");
        println!("skipped: {variable} is not set, see tests/run.sh");
    }
    value
}

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Replaces a part of an example, which has it.
fn with(example: &str, old: &str, new: &str) -> String {
    assert!(example.contains(old), "{old} is missing in {example}");
    example.replace(old, new)
}

/// Asks an agent, and returns its answer.
async fn answer(service: &Service, agent: Option<&str>, text: &str) -> String {
    let token = service.login("ada").await;
    let id = agent.unwrap_or("default");
    let mut message = json!({"message_id": id, "thread_id": id, "text": text});
    if let Some(agent) = agent {
        message["agent_name"] = json!(agent);
    }
    let (status, accepted) = service.post("/v1/messages", &token, &message).await;
    assert_eq!(status, 202, "{accepted}");
    let run = service.until_run(&token, accepted["run_id"].as_str().unwrap(), "completed").await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let before = run["completed_offset"].as_u64().unwrap() - 1;
    let (_, page) = service.get(&format!("/v1/entries?after={before}&limit=1"), &token).await;
    page["entries"][0]["final_response"].as_str().unwrap().to_owned()
}

/// Without a model, the assistant needs nothing, and names the flags of one.
#[tokio::test(flavor = "multi_thread")]
async fn the_assistant_without_a_model_says_how_to_configure_one() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    assert!(answer(&service, None, "What is 6 times 7?").await.contains("42"));
    let said = answer(&service, Some("assistant"), "Write a poem about the sea.").await;
    assert!(said.contains("--llm-url") && said.contains("--llm-model"), "{said}");
    service.drained();
}

const SUMS: &str = "I will calculate both. \n\nThe sums are 5 and 20.";

#[tokio::test(flavor = "multi_thread")]
async fn the_command_with_a_model_answers() {
    let Some(mock) = peer("MODEL_MOCK") else { return };
    for (name, program) in [("README.md", "cargo run --release -- dev "), ("docs/agents.md", "quintet dev ")]
    {
        let text = page(name);
        let command = text
            .lines()
            .find_map(|line| line.strip_prefix(program).filter(|flags| flags.starts_with("--llm-url")));
        let command = command.unwrap_or_else(|| panic!("{name} has no such command"));
        let flags = with(command, "http://127.0.0.1:11434/v1", &format!("{mock}/v1"));
        let folder = tempfile::tempdir().unwrap();
        let service = Service::dev(folder.path(), &flags.split(' ').collect::<Vec<_>>());
        assert_eq!(answer(&service, None, "two sums").await, SUMS, "{name}");
        service.drained();
    }
}

/// The server of npm over HTTP, on a free port.
struct HttpServer(Child, u16);

impl HttpServer {
    fn start(script: &str) -> Self {
        let port = spare_port();
        let mut command = Command::new("node");
        command.args([script, "streamableHttp"]).env("PORT", port.to_string());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("listening")), "the server ended");
        // The pipe is read to its end, so that the server does not wait for room in it.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, port)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_the_page_on_agents_run() {
    let (Some(mock), Some(script)) = (peer("MODEL_MOCK"), peer("MCP_EVERYTHING")) else { return };
    let Some(python) = Process::python("AGUI_PYTHON", "examples/agents", "pydantic_agent") else { return };
    let Some(node) = Process::node(Generation::V1, "client_agent.mjs", &["0"]) else { return };
    let http = HttpServer::start(&script);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a-key-of-the-test\n").unwrap();
    let key = key.to_str().unwrap();

    let text = page("docs/agents.md");
    let tables: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [model, servers, remote] = tables[..] else { panic!("{tables:?}") };
    let model = with(model, "https://api.anthropic.com/v1", &format!("{mock}/v1"));
    let model = with(&model, "/etc/quintet/anthropic.key", key);
    let everything = json!(["node", script, "stdio"]).to_string();
    let files = r#"["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]"#;
    let servers = with(servers, files, &everything);
    let servers =
        with(&servers, "https://tickets.example.org/mcp", &format!("http://127.0.0.1:{}/mcp", http.1));
    let servers = with(&servers, "/etc/quintet/tickets.key", key);
    let in_python = with(remote, "http://127.0.0.1:8000/", &python.url);
    let in_typescript = with(&with(remote, "http://127.0.0.1:8000/", &node.url), "\"py\"", "\"ts\"");
    let config = folder.path().join("quintet.toml");
    std::fs::write(&config, [model, servers, in_python, in_typescript].join("\n")).unwrap();

    let mut command = on_free_ports("dev", &folder.path().join("data"));
    command.args(["--config", config.to_str().unwrap()]).stderr(Stdio::piped());
    let service = Service::spawn(command);
    let ready = |metrics: &str, server: &str| {
        let row = format!("quintet_mcp_server_state{{server=\"{server}\",state=\"ready\"}} 1");
        metrics.contains(&row)
    };
    soon(async {
        loop {
            let (_, metrics) = service.admin("/metrics").await.unwrap();
            if ready(&metrics, "files") && ready(&metrics, "tickets") {
                break;
            }
        }
    })
    .await;
    assert_eq!(answer(&service, Some("claude"), "two sums").await, SUMS);
    assert_eq!(answer(&service, Some("py"), "How warm is it?").await, r#"{"temperature":"21 degrees in a"}"#);
    assert_eq!(answer(&service, Some("ts"), "the quick brown fox").await, "The message has 4 words.");
    let (_, agents) = service.get("/v1/agents", &service.login("ada").await).await;
    let names: Vec<&Value> =
        agents["agents"].as_array().unwrap().iter().map(|agent| &agent["agent_name"]).collect();
    for name in ["claude", "py", "ts"] {
        assert!(names.contains(&&json!(name)), "{names:?}");
    }
    service.drained();
}
