//! The binary as a child process, and its output. A test waits for lines and replies, never for time.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Time limit for everything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with an environment that sets nothing.
pub fn quintet(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quintet"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUINTET_") {
            command.env_remove(name);
        }
    }
    command
}

/// The result of a command that ends by itself.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn outcome(mut command: Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        code: output.status.code().expect("it exits without a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn run(arguments: &[&str]) -> Outcome {
    outcome(quintet(arguments))
}

/// A running service. Killed when it is dropped.
pub struct Service {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<std::thread::JoinHandle<String>>,
    pub ready: Value,
    client: reqwest::Client,
}

impl Service {
    /// `quintet dev` on free ports with its journal in `folder`.
    pub fn dev(folder: &Path, more: &[&str]) -> Self {
        Self::start("dev", folder, more)
    }

    /// Starts a command on free ports with its journal in `folder`, and waits until it is ready.
    pub fn start(command: &str, folder: &Path, more: &[&str]) -> Self {
        let mut command = on_free_ports(command, folder);
        command.args(more).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a command whose stderr the test has set up, and waits until it is ready.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        // The command holds copies of its descriptors.
        drop(command);
        // A pipe that is not read fills up.
        let stderr = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = String::new();
                stderr.read_to_string(&mut text).unwrap();
                text
            })
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("it did not become ready: {:?}", stderr.map(|stderr| stderr.join().unwrap()));
        }
        let ready = serde_json::from_str(&line).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, stdout, stderr, ready, client }
    }

    pub fn listen(&self) -> &str {
        self.ready["listen"].as_str().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; returns the status, the rest of stdout, and the whole log.
    pub fn ended(mut self) -> (ExitStatus, String, String) {
        let status = self.exited();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest, self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default())
    }

    /// Waits for the end of the process, at most [`PATIENCE`].
    fn exited(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let (done, waits) = std::sync::mpsc::channel();
        let guard = std::thread::spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                kill_process(pid, Signal::KILL).unwrap();
            }
        });
        let status = self.child.wait().unwrap();
        let _ = done.send(());
        guard.join().unwrap();
        status
    }

    /// Drains it and checks that it exits with success.
    pub fn drained(self) -> String {
        self.signal(Signal::TERM);
        let (status, rest, log) = self.ended();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{log}");
        log
    }

    pub async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.answer(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.answer(self.client.post(self.url(path)).bearer_auth(token).json(body)).await
    }

    /// The status and the text of a route of the admin listener; `None` if its port is closed.
    pub async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.ready["admin_listen"].as_str().unwrap());
        let response = self.client.get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen())
    }

    pub async fn login(&self, user_id: &str) -> String {
        let (status, body) = self.post("/dev/login", "", &json!({"user_id": user_id})).await;
        assert_eq!(status, 200, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// Sends a message that is accepted, and returns the run's id.
    pub async fn rehearse(&self, token: &str, message_id: &str, steps: Value) -> String {
        let text = json!({ "steps": steps }).to_string();
        let message = json!({"message_id": message_id, "thread_id": message_id, "agent_name": "rehearsal", "text": text});
        let (status, body) = self.post("/v1/messages", token, &message).await;
        assert_eq!(status, 202, "{body}");
        body["run_id"].as_str().unwrap().to_owned()
    }

    /// Waits for the event that brings a run to this state, `active` or `completed`, and returns the run.
    pub async fn until_run(&self, token: &str, run_id: &str, state: &str) -> Value {
        let event = match state {
            "active" => "agent_started",
            "completed" => "agent_completed",
            _ => panic!("no event for {state}"),
        };
        let mut stream =
            self.client.get(self.url("/v1/stream?after=0")).bearer_auth(token).send().await.unwrap();
        assert_eq!(stream.status().as_u16(), 200);
        let mut text = String::new();
        soon(async {
            while !text.lines().any(|line| line.contains(event) && line.contains(run_id)) {
                let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
        })
        .await;
        let (status, run) = self.get(&format!("/v1/runs/{run_id}"), token).await;
        assert_eq!((status, &run["state"]), (200, &json!(state)));
        run
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The process is gone already if the test has waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn on_free_ports(command: &str, folder: &Path) -> Command {
    let mut command = quintet([command, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(folder);
    command
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it has to happen soon")
}
