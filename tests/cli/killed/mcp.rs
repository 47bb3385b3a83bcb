//! A tool of an MCP server, which a language model calls.

use std::time::Duration;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::{
    CutRun, Place, cut, end, is_open, lines,
    peers::{self, Release, model_table, server_table},
    statuses,
};
use crate::command::PATIENCE;

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

#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_an_mcp_server_ends_with_the_service_drained_or_killed() {
    let model = peers::model(&Release::default()).await;
    for is_killed in [true, false] {
        let place = Place::new();
        let service = place.start(&(model_table(&model, "") + &server_table(&place, "")));
        let process = place.path("process");
        until(|| lines(&process) == 1);
        let pid: i32 = std::fs::read_to_string(&process).unwrap().trim().parse().unwrap();
        let server = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let group = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group: i32 =
            group.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().parse().unwrap();
        let watcher = pidfd_open(Pid::from_raw(group).unwrap(), PidfdFlags::empty()).unwrap();
        let log = if is_killed { super::kill(service) } else { service.drained() };
        // Zero: after a drain, the server has been waited for.
        let limit = if is_killed { PATIENCE } else { Duration::ZERO };
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
        for process in [&server, &watcher] {
            let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap();
            assert_eq!(ended, 1, "killed: {is_killed}: the process lives on: {log}");
        }
        if !is_killed {
            assert_eq!(lines(&place.path("process.ended")), 1, "the server ends in order: {log}");
        }
    }
}
