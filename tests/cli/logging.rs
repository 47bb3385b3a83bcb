//! The log on a stderr that is full, slow, closed or broken: the service continues, and ends in time.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{Service, on_free_ports, outcome, quintet, soon};

/// A command that logs to `stderr`, at level `debug`.
fn logs_to(stderr: impl Into<Stdio>, folder: &Path, more: &[&str]) -> Service {
    let mut command = on_free_ports("dev", folder);
    // All refused requests of these tests come from one address.
    command.args(["--log", "debug", "--set", "peer_auth_failures_per_minute_max=1000000"]);
    command.args(more).stderr(stderr);
    Service::spawn(command)
}

/// A device that is always full.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Makes the service log at least one line each.
async fn refused(service: &Service, requests: usize) {
    for _ in 0..requests {
        let (status, _) = soon(service.get("/v1/entries", "no token")).await;
        assert_eq!(status, 401);
    }
}

/// The events of a log; every other line must be part of the text that `quintet dev` prints.
fn events(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| !line.is_empty() && !line.starts_with("  Quintet is ready."));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The value of a metric without labels.
async fn metric(service: &Service, name: &str) -> u64 {
    let (_, metrics) = service.admin("/metrics").await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
}

/// Lines of more bytes than a pipe holds.
const MORE_THAN_A_PIPE: usize = 1_500;

#[tokio::test]
async fn unread_log_delays_neither_the_service_nor_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (_unread, stderr) = std::io::pipe().unwrap();
    let service = logs_to(stderr, folder.path(), &[]);
    refused(&service, MORE_THAN_A_PIPE).await;
    let token = soon(service.login("ada")).await;
    let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"answer": "done"}])).await;
    service.until_run(&token, &run_id, "completed").await;
    assert_eq!(service.admin("/livez").await, Some((200, "ok\n".into())));
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));
}

#[tokio::test]
async fn second_signal_stops_at_once_while_the_log_is_not_read() {
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM], [Signal::HUP, Signal::INT]] {
        let folder = tempfile::tempdir().unwrap();
        let (_unread, stderr) = std::io::pipe().unwrap();
        let service = logs_to(stderr, folder.path(), &["--set", "drain_timeout_ms=3600000"]);
        let token = service.login("ada").await;
        let hangs = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"hang": true}])).await;
        service.until_run(&token, &hangs, "active").await;
        refused(&service, MORE_THAN_A_PIPE).await;
        service.signal(signals[0]);
        soon(async { while service.admin("/readyz").await != Some((503, "draining\n".into())) {} }).await;
        service.signal(signals[1]);
        assert_eq!(service.ended().0.code(), Some(1), "{signals:?}");
    }
}

#[tokio::test]
async fn returning_log_reader_gets_whole_lines_and_the_number_of_dropped_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, stderr) = std::io::pipe().unwrap();
    let service = logs_to(stderr, folder.path(), &["--set", "log_queue_bytes_max=65536"]);
    refused(&service, MORE_THAN_A_PIPE).await;
    let dropped = metric(&service, "quintet_log_dropped_total").await;
    assert!(dropped > 0);
    assert_eq!(metric(&service, "quintet_log_write_errors_total").await, 0);
    let caught_up = Arc::new(AtomicBool::new(false));
    let notices = caught_up.clone();
    let reader = std::thread::spawn(move || {
        let mut log = String::new();
        for line in BufReader::new(unread).lines() {
            let line = line.unwrap();
            notices.fetch_or(line.contains(" log lines dropped"), Ordering::Relaxed);
            log.push_str(&line);
            log.push('\n');
        }
        log
    });
    // The notice is written where lines are missing: behind it the queue has room for the end.
    soon(async {
        while !caught_up.load(Ordering::Relaxed) {
            refused(&service, 1).await;
        }
    })
    .await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));
    let events = events(&reader.join().unwrap());
    let notice =
        |event: &Value| event["message"].as_str()?.strip_suffix(" log lines dropped")?.parse::<u64>().ok();
    let reported: u64 = events.iter().filter_map(notice).sum();
    assert!(reported >= dropped, "{reported} of {dropped} are reported");
    let refusals = events.iter().filter(|event| event["message"] == "credential refused").count() as u64;
    assert!(refusals + reported >= MORE_THAN_A_PIPE as u64, "each line is written or reported as dropped");
    assert!(events.iter().any(|event| event["message"] == "drained"), "the end is logged");
}

#[tokio::test]
async fn log_without_a_reader_does_not_stop_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, stderr) = std::io::pipe().unwrap();
    let service = logs_to(stderr, folder.path(), &[]);
    let mut first = String::new();
    let mut reader = BufReader::new(reader);
    reader.read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    drop(reader);
    refused(&service, 20).await;
    assert!(metric(&service, "quintet_log_write_errors_total").await > 0);
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));
}

#[tokio::test]
async fn service_starts_with_a_log_on_a_full_device_or_on_none() {
    let folder = tempfile::tempdir().unwrap();
    let service = logs_to(full(), folder.path(), &[]);
    refused(&service, 20).await;
    assert!(metric(&service, "quintet_log_write_errors_total").await > 0);
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));

    // No descriptor is open in the place of stderr.
    let dev = on_free_ports("dev", folder.path());
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&-"]).arg(dev.get_program()).args(dev.get_args());
    let service = Service::spawn(command);
    refused(&service, 20).await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));
}

#[tokio::test]
async fn log_file_continues_with_whole_lines_after_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let dev = on_free_ports("dev", &folder.path().join("data"));
    // A limit of the file's size stands in for the size of the disk: the write that reaches it is torn.
    let mut command = Command::new("prlimit");
    command.arg("--fsize=unlimited").arg(dev.get_program()).args(dev.get_args()).args(["--log", "debug"]);
    command.stderr(OpenOptions::new().create(true).append(true).open(&path).unwrap());
    let service = Service::spawn(command);
    refused(&service, 3).await;
    let pid = service.pid().to_string();
    let limited = |bytes: &str| {
        let set =
            Command::new("prlimit").args([&format!("--fsize={bytes}:unlimited"), "--pid", &pid]).status();
        assert!(set.unwrap().success());
    };
    let size = || std::fs::metadata(&path).unwrap().len();
    limited(&(size() + 40).to_string());
    refused(&service, 20).await;
    soon(async { while metric(&service, "quintet_log_write_errors_total").await < 20 {} }).await;
    limited("unlimited");
    refused(&service, 3).await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(0));
    let log = std::fs::read_to_string(&path).unwrap();
    let is_torn = |line: &&str| line.starts_with('{') && serde_json::from_str::<Value>(line).is_err();
    let (torn, whole): (Vec<_>, Vec<_>) = log.lines().partition(is_torn);
    assert_eq!(torn.len(), 1, "{torn:?}");
    events(&whole.join("\n"));
    assert!(log.contains("log lines dropped") && log.contains("\"drained\""), "{log}");
}

#[tokio::test]
async fn ready_line_on_a_broken_or_full_stdout_does_not_stop_the_service() {
    let (unread, mut stdout) = std::io::pipe().unwrap();
    socket2::SockRef::from(&stdout).set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut stdout, &[b'x'; 4096]).is_ok() {}
    socket2::SockRef::from(&stdout).set_nonblocking(false).unwrap();
    let (closed, no_reader) = std::io::pipe().unwrap();
    drop(closed);
    for stdout in [Stdio::from(full()), no_reader.into(), stdout.into()] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = on_free_ports("dev", folder.path());
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut until = |message: &str| loop {
            let line = log.next().expect("the log goes on").unwrap();
            if line.contains(message) {
                return serde_json::from_str::<Value>(&line).unwrap();
            }
        };
        let started = until("service started");
        until("the service continues");
        let livez = format!("http://{}/livez", started["admin_listen"].as_str().unwrap());
        assert_eq!(soon(reqwest::get(livez)).await.unwrap().status(), 200);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        until("drained");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    drop(unread);
}

#[test]
fn command_with_a_closed_stdout_ends_without_a_message() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["check-config"][..], &["--help"], &["--version"]] {
        let (reader, stdout) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = quintet(arguments);
        command.current_dir(&folder).stdout(stdout).stderr(Stdio::piped());
        let ended = command.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code().is_some_and(|code| code < 2), "{arguments:?}: {:?}", ended.status);
        assert!(stderr.is_empty(), "{arguments:?}: {stderr}");
    }
    let mut command = quintet(["check-config"]);
    command.stdout(full()).stderr(Stdio::piped());
    let ended = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().starts_with("quintet: stdout cannot be written to"));
}

#[test]
fn an_error_that_cannot_be_reported_keeps_its_exit_code() {
    let (reader, no_reader) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [Stdio::from(full()), no_reader.into()] {
        let mut command = quintet(["check-config", "--config", "/does/not/exist"]);
        assert_eq!(command.stdout(Stdio::null()).stderr(stderr).status().unwrap().code(), Some(2));
    }
}

#[tokio::test]
async fn auth_6_log_at_trace_holds_no_credential_and_no_text() {
    let folder = tempfile::tempdir().unwrap();
    for filter in ["trace", "info,tungstenite=trace,hyper=trace,tokio_tungstenite=trace,reqwest=trace"] {
        let folder = folder.path().join(filter.len().to_string());
        let service = Service::dev(&folder, &["--log", filter]);
        let token = service.login("ada").await;
        let (_, issued) = service.post("/v1/tickets", &token, &json!({})).await;
        let ticket = issued["ticket"].as_str().unwrap().to_owned();
        let url = format!("ws://{}/v1/ws?ticket={ticket}", service.listen());
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for frame in [
            json!({"type": "hello"}),
            json!({"type": "send_message", "message_id": "m", "thread_id": "t", "text": "say xyzzy-42"}),
            json!({"type": "renew", "token": token}),
        ] {
            let frame = tokio_tungstenite::tungstenite::Message::text(frame.to_string());
            futures::SinkExt::send(&mut socket, frame).await.unwrap();
        }
        soon(async {
            loop {
                let frame = futures::StreamExt::next(&mut socket).await.unwrap().unwrap();
                if frame.to_text().unwrap().contains("agent_completed") {
                    return;
                }
            }
        })
        .await;
        drop(socket);
        let log = service.drained();
        assert!(log.contains("connection closed"), "{log}");
        for secret in ["xyzzy-42", &ticket, token.rsplit('.').next().unwrap()] {
            assert!(!log.contains(secret), "{filter}: {secret} is in the log");
        }
    }
}

#[tokio::test]
async fn log_escapes_control_and_direction_characters_of_user_ids() {
    let name = "a\u{9b}31m\u{202e}b\u{2066}\u{1b}[2J\n\u{85}forged";
    for format in ["json", "text"] {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::dev(folder.path(), &["--set", &format!("log_format={format}")]);
        let token = service.login(name).await;
        let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
            format!("ws://{}/v1/ws", service.listen()),
        )
        .unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let hello = tokio_tungstenite::tungstenite::Message::text(json!({"type": "hello"}).to_string());
        futures::SinkExt::send(&mut socket, hello).await.unwrap();
        futures::StreamExt::next(&mut socket).await.unwrap().unwrap();
        drop(socket);
        let log = service.drained();
        let line = log.lines().find(|line| line.contains("connection closed")).expect("it is logged");
        assert!(line.contains(r"\u009b") || line.contains(r"\u{9b}"), "{line}");
        assert!(line.contains("forged"), "{line}");
        let hidden = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
        assert!(!log.chars().any(hidden), "{format}: {log:?}");
    }
}

#[test]
fn failure_to_open_is_reported_after_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failed = outcome(on_free_ports("dev", &file));
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{}", failed.stderr);
    assert!(failed.stderr.lines().last().unwrap().starts_with("quintet: "), "{}", failed.stderr);
}
