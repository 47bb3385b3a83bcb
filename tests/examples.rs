//! Runs each example as a process of its own, over real sockets, and checks what it does.
//!
//! `cargo test` builds the examples. With `--test examples` alone it does not:
//! `cargo test --examples --test examples`.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Returns the path of an example, which cargo puts beside the folder of the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let path = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}

/// A program that serves until it is interrupted. Killed when it is dropped.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The first line of its output.
    first: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        Self { child, stdout, first: first.trim().to_owned() }
    }

    /// Interrupts it, and returns the rest of its output once it has ended with exit code 0.
    fn interrupt(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Runs a program to its end and returns its output.
fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}\n{errors}");
    text
}

fn embedded(folder: &Path) -> Server {
    let mut command = Command::new(example("embed_in_axum"));
    command.arg(folder).arg("127.0.0.1:0");
    Server::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn embed_in_axum_serves_both_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let server = embedded(folder.path());
    let get = async |path: &str| {
        let answer = quintet_testkit::gateway::http_client().get(format!("{}{path}", server.first));
        let answer = answer.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/hello").await, (200, "Hello from the host.\n".to_owned()));
    let (status, metrics) = get("/metrics").await;
    assert!(status == 200 && metrics.contains("quintet_entries_appended_total 0"), "{metrics}");
    let (status, page) = get("/").await;
    assert!(status == 200 && page.contains("<html"), "{page}");
    assert!(server.interrupt().contains("connections_closed: true"));
}

/// Every entry exactly once, in order, over several connections; then the same entries from the journal.
#[test]
fn resuming_client_and_read_journal_see_each_entry_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = embedded(folder.path());
    let host = server.first.strip_prefix("http://").unwrap().to_owned();
    let client = |user: &str| {
        let mut command = Command::new(example("resuming_client"));
        command.args([&host, user]);
        output(command)
    };
    let text = client("ada");
    let (entries, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(entries, "1 user_message\n2 agent_started\n3 agent_thinking\n4 agent_completed");
    assert_eq!(last, "complete after 2 connections");
    // Another run of the same user: what is old comes first, once, and the client waits for its own run.
    let text = client("ada");
    let offsets: Vec<u64> = text.lines().filter_map(|line| line.split_once(' ')?.0.parse().ok()).collect();
    assert_eq!(offsets, (1..=8).collect::<Vec<_>>(), "{text}");
    server.interrupt();

    let mut command = Command::new(example("read_journal"));
    command.arg(folder.path()).arg("ada");
    let text = output(command);
    assert!(text.contains("violations: 0\n"), "{text}");
    let read: Vec<u64> = text.lines().filter_map(|line| line.split_once('\t')?.0.parse().ok()).collect();
    assert_eq!(read, offsets, "{text}");
}

/// A client of the predecessor gets the welcome first, then the acknowledgement and the events of its run.
#[test]
fn legacy_client_sees_the_events_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = embedded(folder.path());
    let host = server.first.strip_prefix("http://").unwrap().to_owned();
    let mut command = Command::new(example("legacy_client"));
    command.args([&host, "ada"]);
    let text = output(command);
    let types: Vec<&str> = text.lines().filter(|line| *line != "ack" && *line != "agent_thinking").collect();
    assert_eq!(types[..3], ["connection_established", "thread_message", "agent_started"], "{text}");
    assert!(text.contains("\nack\n") && text.contains("\nagent_thinking\n"), "{text}");
    assert!(types.last().unwrap().starts_with("\"success\": "), "{text}");
    server.interrupt();
}
