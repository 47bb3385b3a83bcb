//! Runs the examples for authors of agents, each as a process of its own, and talks to its agent over HTTP.
//!
//! `cargo test` builds the examples. With `--test agent_examples` alone it does not: `cargo build --examples` first.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use http::Method;
use quintet_testkit::gateway::http_client;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running example with a logged-in user. Killed when it is dropped.
struct Example {
    child: Child,
    url: String,
    token: String,
    _folder: TempDir,
}

impl Example {
    async fn start(name: &str) -> Self {
        let test = std::env::current_exe().unwrap();
        let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(path)
            .arg("127.0.0.1:0")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let mut example = Self { child, url, token: String::new(), _folder: folder };
        let login = example.request(Method::POST, "/dev/login", Some(json!({"user_id": "ada"}))).await;
        example.token = login["token"].as_str().unwrap().to_owned();
        example
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = http_client().request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// Sends a message.
    async fn send(&self, message_id: &str, text: &str) {
        let message = json!({"message_id": message_id, "thread_id": message_id, "text": text});
        self.request(Method::POST, "/v1/messages", Some(message)).await;
    }

    /// Waits for the first entry of this type in a thread.
    async fn entry(&self, thread_id: &str, kind: &str) -> Value {
        let stream = http_client().get(format!("{}/v1/stream", self.url)).bearer_auth(&self.token);
        let mut stream = stream.send().await.unwrap();
        let mut text = String::new();
        while let Some(chunk) = stream.chunk().await.unwrap() {
            text += std::str::from_utf8(&chunk).unwrap();
            while let Some((line, rest)) = text.split_once('\n') {
                let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
                text = rest;
                let Some(entry) = line.strip_prefix("data: ").or(line.strip_prefix("data:")) else {
                    continue;
                };
                let Ok(entry) = serde_json::from_str::<Value>(entry) else { continue };
                if entry["thread_id"] == thread_id && entry["type"] == kind {
                    return entry;
                }
            }
        }
        panic!("the stream ended before a {kind}");
    }

    /// Sends a message and returns the final response of its run.
    async fn ask(&self, message_id: &str, text: &str) -> String {
        self.send(message_id, text).await;
        self.response(message_id).await
    }

    async fn response(&self, thread_id: &str) -> String {
        let end = self.entry(thread_id, "agent_completed").await;
        let shown = end["final_response"].as_str().or(end["error"]["message"].as_str());
        shown.unwrap().to_owned()
    }

    /// Completes the question of a thread.
    async fn complete(&self, thread_id: &str, body: Value) {
        let question = self.entry(thread_id, "tool_executing").await;
        assert_eq!((&question["tool_name"], &question["by"]), (&json!("approve"), &json!("client")));
        let (run, call) = (question["run_id"].as_str().unwrap(), question["call_id"].as_str().unwrap());
        self.request(Method::POST, &format!("/v1/runs/{run}/calls/{call}"), Some(body)).await;
    }

    /// Interrupts the example, which drains and ends with exit code 0.
    fn interrupt(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn minimal_agent_repeats_the_message() {
    let example = Example::start("minimal_agent").await;
    assert_eq!(example.ask("m1", "Good morning.").await, "Good morning.");
    example.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_loop_answers_from_the_results_of_its_tools() {
    let example = Example::start("tool_loop").await;
    let answer = example.ask("m1", "count the words of: the quick brown fox").await;
    assert_eq!(
        answer,
        r#"4 words, the longest is "quick"."#.replace("quick", longest("the quick brown fox"))
    );
    assert_eq!(example.ask("m2", "count the words of:").await, "There is nothing to count.");
    example.interrupt();
}

/// The last of the longest words.
fn longest(text: &str) -> &str {
    text.split_whitespace().max_by_key(|word| word.len()).unwrap()
}

/// RUN-11: a refusal is no consent.
#[tokio::test(flavor = "multi_thread")]
async fn human_approval_acts_only_after_consent() {
    let example = Example::start("human_approval").await;
    example.send("yes", "500").await;
    example.complete("yes", json!({"status": "ok", "results": {"approved": true}})).await;
    assert_eq!(example.response("yes").await, "Done.");

    example.send("no", "500").await;
    example.complete("no", json!({"status": "declined", "error": "too much"})).await;
    assert_eq!(example.entry("no", "tool_completed").await["status"], "declined");
    assert_eq!(example.response("no").await, "Not transferred: too much");
    let entries = example.request(Method::GET, "/v1/threads/no/entries", None).await;
    assert!(!entries.to_string().contains("transferred\":"), "{entries}");

    assert_eq!(example.ask("bad", "a lot").await, "Please send an amount in cents.");
    example.interrupt();
}
