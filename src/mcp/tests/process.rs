//! Child processes: what they inherit, and that none is left.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use quintet_agent::tool::ToolSource;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::json;

use super::fake::{Run, config, http, run};
use crate::{McpServer, ServerState};

/// A server in shell. Its only tool has a description of the script's choice, and is never answered.
fn script(description: &str, then: &str) -> String {
    let info = r#""serverInfo":{"name":"sh","version":"1"}"#;
    let initialized = format!(
        r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},{info}}}}}"#
    );
    let tool = r#"{"name":"t","description":"%s","inputSchema":{"type":"object"}}"#;
    let listed = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}]}}}}"#);
    format!(
        "sleep 1000 & read -r _; printf '%s\\n' '{initialized}'; read -r _; read -r _; \
         printf '{listed}\\n' \"{description}\"; {then}"
    )
}

fn start(description: &str, then: &str) -> McpServer {
    let command = ["sh", "-c", &script(description, then)];
    let keys = json!({
        "command": command, "protocol": "2025-11-25", "stop_timeout_ms": 100, "env": {"GIVEN": "given"},
        "restart_pause_ms": 600_000, "restart_pause_max_ms": 600_000,
    });
    McpServer::start(config(keys), http()).unwrap()
}

fn described(server: &McpServer) -> String {
    server.tools()[0].description().to_owned()
}

/// A process that is waited for.
pub(super) struct Watched(OwnedFd);

impl Watched {
    pub(super) fn of(pid: i32) -> Self {
        Self(pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap())
    }

    /// Returns true if the process ends within the time.
    pub(super) fn ends_within(&self, limit: Duration) -> bool {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)).unwrap() == 1
    }
}

fn watched(pids: &str) -> Vec<Watched> {
    pids.split(' ').map(|pid| Watched::of(pid.parse().unwrap())).collect()
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn auth_6_a_child_inherits_no_variables_but_the_named_ones() {
    run(async {
        let server = start("$(env | cut -d= -f1 | sort | tr '\\n' ' ')", "cat >/dev/null");
        assert_eq!(server.tried().await, ServerState::Ready);
        // The shell sets PWD, and some set OLDPWD, SHLVL and _.
        let own = ["PWD", "OLDPWD", "SHLVL", "_"];
        let names = described(&server);
        let names: Vec<&str> = names.split(' ').filter(|name| !own.contains(name)).collect();
        let expected: Vec<&str> = ["GIVEN", "HOME", "LANG", "PATH", "TMPDIR"]
            .into_iter()
            .filter(|name| *name == "GIVEN" || std::env::var_os(name).is_some())
            .collect();
        assert_eq!(names, expected);
        // Cargo gives variables to a test that the child must not see.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        server.stop().await;
    });
}

#[test]
fn a_stop_leaves_no_process() {
    run(async {
        // The server and its child ignore the end of their input, and signals that can be ignored.
        let server = start("$$ $!", "trap '' HUP INT TERM; while :; do sleep 1000; done");
        assert_eq!(server.tried().await, ServerState::Ready);
        let left = watched(&described(&server));
        assert!(left.iter().all(|process| !process.ends_within(Duration::ZERO)));
        server.stop().await;
        assert!(left.iter().all(|process| process.ends_within(SOON)));
    });
}

#[test]
fn a_server_that_is_killed_in_mid_call_closes_the_call_and_leaves_no_process() {
    run(async {
        let server = start("$$ $!", "read -r _; kill -s KILL $$");
        assert_eq!(server.tried().await, ServerState::Ready);
        let left = watched(&described(&server));
        let (caller, _seen) = Run::of(1);
        assert_eq!(caller.call(&server, "t").await, Err("the MCP server stopped during the call".to_owned()));
        assert_eq!(server.reached(|state| state == ServerState::BackingOff).await, ServerState::BackingOff);
        assert!(left.iter().all(|process| process.ends_within(SOON)));
    });
}

#[test]
fn a_program_that_does_not_exist_is_a_failed_start() {
    run(async {
        for command in [json!(["/does/not/exist"]), json!(["true"])] {
            let keys =
                json!({"command": command, "restart_pause_ms": 600_000, "restart_pause_max_ms": 600_000});
            let server = McpServer::start(config(keys), http()).unwrap();
            assert_eq!(server.tried().await, ServerState::BackingOff);
            server.stop().await;
        }
    });
}

/// Is executed by the next test as a service of its own.
#[test]
#[ignore = "the body of another test"]
fn a_service() {
    run(async {
        let server = start("$$ $!", "trap '' HUP INT TERM; while :; do sleep 1000; done");
        assert_eq!(server.tried().await, ServerState::Ready);
        println!("processes: {}", described(&server));
        std::future::pending().await
    });
}

#[test]
fn a_service_that_is_killed_leaves_no_process() {
    let mut service = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::process::a_service", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let pids = lines.map(Result::unwrap).find_map(|line| Some(line.split_once("processes: ")?.1.to_owned()));
    let left = watched(&pids.expect("the service ended before its server was ready"));
    assert!(left.iter().all(|process| !process.ends_within(Duration::ZERO)));
    kill_process(Pid::from_raw(service.id() as i32).unwrap(), Signal::KILL).unwrap();
    service.wait().unwrap();
    assert!(left.iter().all(|process| process.ends_within(SOON)));
}
