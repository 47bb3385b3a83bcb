//! Pages of folded runs against a fold of the entries that a client reads: a property of any log.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quintet::{
    journal::Journal,
    kernel::{
        entry::{CallOwner, RunStatus},
        ids::Offset,
    },
};
use quintet_testkit::journal::LogWriter;
use serde_json::{Value, json};

use crate::{cases::cases, harness::TestService};

#[derive(Clone, Debug)]
enum Step {
    Message(u8),
    Start(u8),
    Think(u8),
    Open(u8, u8),
    Close(u8, u8),
    End(u8, bool),
    Update(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2u8).prop_map(Step::Message),
        3 => (0..8u8).prop_map(Step::Start),
        4 => (0..8u8).prop_map(Step::Think),
        2 => (0..8u8, 0..2u8).prop_map(|(run, call)| Step::Open(run, call)),
        2 => (0..8u8, 0..2u8).prop_map(|(run, call)| Step::Close(run, call)),
        2 => (0..8u8, any::<bool>()).prop_map(|(run, succeeds)| Step::End(run, succeeds)),
        1 => (0..2u8).prop_map(Step::Update),
    ]
}

/// Writes a log of interleaved runs. A step that its run does not permit is left out.
fn write(writer: &mut LogWriter, steps: &[Step]) {
    #[derive(Default)]
    struct Written {
        started: bool,
        ended: bool,
        calls: BTreeMap<u8, bool>,
    }
    let mut runs: Vec<Written> = Vec::new();
    for step in steps {
        let number = |run: u8| u64::from(run) + 1;
        match *step {
            Step::Message(thread) if runs.len() < 8 => {
                runs.push(Written::default());
                let run = runs.len() as u64;
                writer.message(run, &format!("t{thread}"), &format!("m{run}"));
            }
            Step::Update(thread) => drop(writer.updated(&format!("t{thread}"), Some("title"), false)),
            Step::Start(run) if runs.get(run as usize).is_some_and(|at| !at.started) => {
                runs[run as usize].started = true;
                writer.started(number(run), &format!("m{}", number(run)));
            }
            Step::Think(run) | Step::Open(run, _) | Step::Close(run, _) | Step::End(run, _)
                if runs.get(run as usize).is_some_and(|at| at.started && !at.ended) =>
            {
                let at = &mut runs[run as usize];
                match *step {
                    Step::Think(_) => drop(writer.think(number(run), "word ")),
                    Step::Open(_, call) if !at.calls.contains_key(&call) => {
                        at.calls.insert(call, true);
                        writer.open(number(run), &format!("c{call}"), CallOwner::Agent);
                    }
                    Step::Close(_, call) if at.calls.get(&call) == Some(&true) => {
                        at.calls.insert(call, false);
                        writer.close(number(run), &format!("c{call}"));
                    }
                    Step::End(_, true) => {
                        at.ended = true;
                        writer.succeeded(number(run), "the end");
                    }
                    Step::End(_, false) => {
                        at.ended = true;
                        writer.completed(number(run), RunStatus::Cancelled);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// Folds the entries of a thread, independently of the service.
fn folded(entries: &[Value], thread: &str) -> Vec<Value> {
    let mut runs: Vec<Value> = Vec::new();
    for entry in entries.iter().filter(|entry| entry["thread_id"] == thread) {
        if entry["type"] == "user_message" {
            runs.push(json!({
                "run_id": entry["run_id"], "text": entry["text"], "accepted_offset": entry["offset"], "state": "waiting",
                "status": null, "answer": null, "calls": [],
            }));
            continue;
        }
        let Some(run) = runs.iter_mut().find(|run| run["run_id"] == entry["run_id"]) else { continue };
        match entry["type"].as_str().unwrap() {
            "agent_started" => run["state"] = json!("active"),
            "agent_thinking" => {
                let text =
                    run["answer"].as_str().unwrap_or_default().to_owned() + entry["delta"].as_str().unwrap();
                run["answer"] = json!(text);
            }
            "tool_executing" => {
                let call =
                    json!({"call_id": entry["call_id"], "opened_offset": entry["offset"], "status": null});
                run["calls"].as_array_mut().unwrap().push(call);
            }
            "tool_completed" => {
                let calls = run["calls"].as_array_mut().unwrap();
                let call = calls.iter_mut().find(|call| call["call_id"] == entry["call_id"]).unwrap();
                call["status"] = entry["status"].clone();
            }
            "agent_completed" => {
                (run["state"], run["status"]) = (json!("completed"), entry["status"].clone());
                if !entry["final_response"].is_null() {
                    run["answer"] = entry["final_response"].clone();
                }
            }
            other => panic!("{other}"),
        }
    }
    runs.reverse();
    runs
}

/// Returns the part of a folded run that [`folded`] has.
fn comparable(run: &Value) -> Value {
    let mut part = json!({});
    for field in ["run_id", "text", "accepted_offset", "state", "status", "answer"] {
        part[field] = run[field].clone();
    }
    let call = |call: &Value| json!({"call_id": call["call_id"], "opened_offset": call["opened_offset"], "status": call["status"]});
    part["calls"] = run["calls"].as_array().unwrap().iter().map(call).collect();
    assert_eq!(run["truncated"], false, "{run}");
    part
}

proptest! {
    #![proptest_config(cases(24))]
    /// For any log: the pages of folded runs, concatenated, are the fold of the whole log.
    #[test]
    fn concatenated_pages_of_runs_are_the_fold_of_the_log(steps in prop::collection::vec(step(), 1..80), limit in 1..5u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = TestService::start().await;
            // After the start, so that nothing resumes the open runs.
            let mut writer = LogWriter::new("ada");
            write(&mut writer, &steps);
            if writer.head == Offset::ZERO {
                return Ok(());
            }
            let log = service.journal.log(&writer.user_id);
            writer.append(&log).await;
            let entries = service.get("ada", "/v1/entries?limit=1000").await.ok(200);
            let entries = entries["entries"].as_array().unwrap();
            for thread in ["t0", "t1"] {
                let expected = folded(entries, thread);
                if expected.is_empty() {
                    service.get("ada", &format!("/v1/threads/{thread}/runs")).await.problem(404, "not_found");
                    continue;
                }
                let (mut found, mut before) = (Vec::new(), String::new());
                loop {
                    let path = format!("/v1/threads/{thread}/runs?limit={limit}{before}");
                    let page = service.get("ada", &path).await.ok(200);
                    found.extend(page["runs"].as_array().unwrap().iter().map(comparable));
                    match page["next_before"].as_u64() {
                        Some(next) => before = format!("&before={next}"),
                        None => break,
                    }
                }
                prop_assert_eq!(&found, &expected, "{}", thread);
            }
            Ok(())
        })?;
    }
}
