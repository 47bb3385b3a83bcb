//! A tool of an MCP server, which a language model calls.

use std::time::Duration;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};
use serde_json::Value;

use super::{
    CutRun, Place, cut, end, is_open, lines,
    peers::{self, Release, model_table, server_table},
    send,
    socket::Socket,
    statuses,
};
use crate::command::{PATIENCE, soon};

/// Kills the service while the MCP server works on a call of `tool`.
async fn killed(place: &Place, tool: &'static str, trust: &str) -> CutRun {
    let model = peers::model(&Release::default()).await;
    let hold = place.path("hold");
    std::fs::write(&hold, "").unwrap();
    let config = model_table(&model, "") + &server_table(place, trust);
    let calls = place.path("calls");
    let opened = is_open(if tool == "notes_act" { "notes/act" } else { "notes/look" });
    // The server has the call: its file is written before anything that follows.
    let reached = |entries: &[serde_json::Value]| opened(entries) && until(|| lines(&calls) == 1);
    cut(place, [&config, &config], ("tiny", tool), reached, || std::fs::remove_file(&hold).unwrap()).await
}

/// Waits until a condition of a file holds, for which there is no notification.
fn until(so: impl Fn() -> bool) -> bool {
    let begun = tokio::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "the file is not written");
        std::thread::yield_now();
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn run_9_a_kill_in_mid_tool_leaves_the_call_unknown_and_repeats_no_call() {
    for trust in ["", "trust_hints = true"] {
        let place = Place::new();
        let run = killed(&place, "notes_act", trust).await;
        let expected = [("calculate", "ok"), ("notes/act", "unknown")];
        assert_eq!(statuses(&run.after), expected.map(|(tool, status)| (tool.into(), status.into())));
        assert_eq!(lines(&place.path("calls")), 1, "the call is not made again");
        let end = end(&run.after);
        assert_eq!(end["status"], "succeeded", "{end}");
        let answer = end["final_response"].as_str().unwrap();
        assert!(answer.contains("42") && answer.contains("The outcome is not known"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_9_a_call_that_only_reads_is_repeated_where_the_hints_are_trusted() {
    for (trust, status, made) in [("trust_hints = true", "ok", 2), ("trust_hints = false", "unknown", 1)] {
        let place = Place::new();
        let run = killed(&place, "notes_look", trust).await;
        let expected = [("calculate", "ok"), ("notes/look", status)];
        assert_eq!(
            statuses(&run.after),
            expected.map(|(tool, status)| (tool.into(), status.into())),
            "{trust}"
        );
        assert_eq!(lines(&place.path("calls")), made, "{trust}");
        let end = end(&run.after);
        assert_eq!(end["status"], "succeeded", "{end}");
        let answer = end["final_response"].as_str().unwrap();
        assert!(answer.contains("42") && answer.contains("seen") == (made == 2), "{answer}");
    }
}

/// Waits for the process of the server, and returns it and the leader of its group.
fn processes(place: &Place) -> [OwnedFd; 2] {
    let process = place.path("process");
    until(|| lines(&process) == 1);
    let pid: i32 = std::fs::read_to_string(&process).unwrap().trim().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let group: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().parse().unwrap();
    [pid, group].map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap())
}

/// Returns true if all processes end within the time.
fn end_within(processes: &[OwnedFd], limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
    processes
        .iter()
        .all(|process| poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap() == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_an_mcp_server_ends_with_the_service_drained_or_killed() {
    let model = peers::model(&Release::default()).await;
    for is_killed in [true, false] {
        let place = Place::new();
        let service = place.start(&(model_table(&model, "") + &server_table(&place, "")));
        let processes = processes(&place);
        let log = if is_killed { super::kill(service) } else { service.drained() };
        // Zero: after a drain, the server has been waited for.
        let limit = if is_killed { PATIENCE } else { Duration::ZERO };
        assert!(end_within(&processes, limit), "killed: {is_killed}: a process lives on: {log}");
        if !is_killed {
            assert_eq!(lines(&place.path("process.ended")), 1, "the server ends in order: {log}");
        }
    }
}

/// A call that goes on at the end of a drain, or at a second signal, is of unknown outcome for the next process (RUN-9).
#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_an_mcp_server_ends_with_a_service_that_does_not_wait_for_its_call() {
    for signals in [1, 2] {
        let place = Place::new();
        let model = peers::model(&Release::default()).await;
        let hold = place.path("hold");
        std::fs::write(&hold, "").unwrap();
        let config = model_table(&model, "") + &server_table(&place, "");
        let service =
            place.start(&(if signals == 1 { "drain_timeout_ms = 50\n" } else { "" }.to_owned() + &config));
        let token = service.login("ada").await;
        send(&service, &token, "tiny", "notes_act").await;
        Socket::open(&service, &token, 0).await.until(is_open("notes/act")).await;
        // The entry is written before the call is made.
        until(|| lines(&place.path("calls")) == 1);
        let processes = processes(&place);
        assert!(!end_within(&processes, Duration::ZERO));
        service.signal(Signal::TERM);
        if signals == 2 {
            soon(async { while service.admin("/readyz").await != Some((503, "draining\n".into())) {} }).await;
            service.signal(Signal::TERM);
        }
        let (status, _, log) = service.ended();
        assert_eq!(status.code(), Some(signals - 1), "{log}");
        assert!(end_within(&processes, PATIENCE), "{signals} signals: a process lives on: {log}");

        std::fs::remove_file(&hold).unwrap();
        let service = place.start(&config);
        let token = service.login("ada").await;
        let is_end = |entries: &[Value]| entries.iter().any(|entry| entry["type"] == "agent_completed");
        let entries = Socket::open(&service, &token, 0).await.until(is_end).await;
        let expected = [("calculate", "ok"), ("notes/act", "unknown")];
        assert_eq!(statuses(&entries), expected.map(|(tool, status)| (tool.into(), status.into())));
        assert_eq!(lines(&place.path("calls")), 1, "the call is not made again");
        service.drained();
    }
}

/// A server that has left its group is not killed with the service, and sees the end of its input.
#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_server_outside_its_group_sees_the_end_of_its_input_when_the_service_is_killed() {
    let model = peers::model(&Release::default()).await;
    let place = Place::new();
    let servers = server_table(&place, "").replace("['sh', ", "['setsid', 'sh', ");
    assert!(servers.contains("setsid"));
    let service = place.start(&(model_table(&model, "") + &servers));
    let processes = processes(&place);
    let log = super::kill(service);
    assert!(end_within(&processes, PATIENCE), "the process lives on: {log}");
    assert_eq!(lines(&place.path("process.ended")), 1, "the server ends in order: {log}");
}
