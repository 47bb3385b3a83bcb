//! Panics under the hook of the real process: logged once, without their formatted text.
//!
//! Each scene runs in a process of its own, this test's executable: a hook and a log are per process.

use std::{
    fmt,
    process::{Command, Stdio},
};

use quintet::ops::{
    config::LogFormat,
    telemetry::{self, LogLimits},
};
use serde_json::{Value, json};

use crate::command::Service;

const SCENE: &str = "SCENE_OF_A_PANIC";

/// Runs a scene of [`scenes`] in a process of its own; returns its exit code and its stderr.
fn played(scenario: &str, stderr: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "panics::scenes", "--nocapture"]).env(SCENE, scenario);
    let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("while it is formatted")
    }
}

/// The scenes; does nothing in a process without a scene.
#[test]
fn scenes() {
    let Some(scenario) = std::env::var_os(SCENE) else { return };
    let log = telemetry::start("info", LogFormat::Json, LogLimits::DEFAULT).unwrap();
    let secret = String::from("xyzzy-42");
    let panics = move || match scenario.to_str().unwrap() {
        "literal" => panic!("written in the source"),
        "formatted" => panic!("what ann said: {secret}"),
        "expect" => std::hint::black_box(Err::<(), _>(secret)).expect("a reason of the source"),
        "payload" => std::panic::panic_any(secret),
        "event" => tracing::error!(value = ?Panics, "an event"),
        "span" => {
            let span = tracing::info_span!("a span", value = tracing::field::Empty).entered();
            span.record("value", tracing::field::debug(Panics));
        }
        scenario => unreachable!("{scenario}"),
    };
    assert!(std::thread::spawn(panics).join().is_err());
    tracing::info!("after the panic");
    let _flushed = log.flushed();
}

#[test]
fn auth_6_text_of_a_formatted_panic_is_not_in_the_log() {
    for (scenario, message) in [
        ("literal", "written in the source"),
        ("formatted", "(formatted)"),
        ("expect", "(formatted)"),
        ("payload", "(formatted)"),
        ("event", "while it is formatted"),
        ("span", "while it is formatted"),
    ] {
        let (code, log) = played(scenario, Stdio::piped());
        assert_eq!(code, Some(0), "{scenario}: {log}");
        assert!(!log.contains("xyzzy-42"), "{scenario}: {log}");
        let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let panics: Vec<_> = events.iter().filter(|event| event["message"] == "panic").collect();
        assert_eq!(panics.len(), 1, "{scenario}: {log}");
        assert_eq!(panics[0]["panic_message"], message, "{scenario}");
        assert!(panics[0]["place"].as_str().unwrap().contains("panics.rs:"), "{scenario}: {log}");
        assert_eq!(events.last().unwrap()["message"], "after the panic", "{scenario}");
    }
}

#[test]
fn panic_while_the_log_cannot_be_written_does_not_abort() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, no_reader) = std::io::pipe().unwrap();
    drop(reader);
    let (_unread, unread) = std::io::pipe().unwrap();
    for stderr in [Stdio::from(full()), no_reader.into(), unread.into()] {
        assert_eq!(played("formatted", stderr).0, Some(0));
    }
}

#[tokio::test]
async fn run_6_panic_of_an_agent_is_logged_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"panic": "xyzzy-42"}])).await;
    let run = service.until_run(&token, &run_id, "completed").await;
    assert_eq!(run["status"], "failed", "{run}");
    let log = service.drained();
    assert!(log.contains(r#""reason":"panic""#) && !log.contains("xyzzy-42"), "{log}");
}
