//! One defect at a time, as a faulty writer would make it, stored with a sound chain and index. Each is found
//! at its entry, under its rule, without further findings.

use quintet::{
    audit::{AuditOptions, audit},
    journal::sqlite::{SqliteJournal, SqliteOptions},
    kernel::entry::{CallOwner, RunStatus::*},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{LogWriter, run};

/// A defect: its name, the expected findings as rule and entry, and a function that writes a log with it.
type Plant = (&'static str, &'static [(&'static str, u64)], fn(&mut LogWriter));

const PLANTS: &[Plant] = &[
    ("none", &[], |s| {
        started(s).open(1, "c", CallOwner::Agent).close(1, "c").completed(1, Succeeded);
    }),
    ("agent_started twice", &[("RUN-1", 4)], |s| {
        started(s).started(1, "m1").completed(1, Failed);
    }),
    ("no agent_started", &[("RUN-1", 2)], |s| {
        s.message(1, "t", "m1").think(1, "x").edit(|line| line["delta"] = "y".into());
    }),
    ("agent_started of another message", &[("RUN-1", 2)], |s| {
        s.message(1, "t", "m1").started(1, "m2").completed(1, Failed);
    }),
    ("agent_started with another seq", &[("RUN-2", 2), ("RUN-1", 2)], |s| {
        s.message(1, "t", "m1").started(1, "m1").edit(|line| line["seq"] = 2.into());
    }),
    ("an event of a run that no message caused", &[("RUN-1", 3)], |s| {
        started(s).edit(|line| line["run_id"] = run(9).to_string().into());
    }),
    ("a seq left out", &[("RUN-2", 4)], |s| {
        started(s).think(1, "b").edit(|line| line["seq"] = 4.into());
    }),
    ("a seq repeated", &[("RUN-2", 4)], |s| {
        started(s).think(1, "b").edit(|line| line["seq"] = 2.into());
    }),
    ("a tool before thinking", &[("RUN-3", 3)], |s| {
        s.message(1, "t", "m1").started(1, "m1").open(1, "c", CallOwner::Agent);
    }),
    ("success without thinking", &[("RUN-3", 3)], |s| {
        s.message(1, "t", "m1").started(1, "m1").completed(1, Succeeded);
    }),
    ("a call opened twice", &[("RUN-4", 6)], |s| {
        started(s).open(1, "c", CallOwner::Agent).close(1, "c").open(1, "c", CallOwner::Agent);
    }),
    ("a call closed that was never opened", &[("RUN-4", 4)], |s| {
        started(s).close(1, "c");
    }),
    ("a call closed twice", &[("RUN-4", 6)], |s| {
        started(s).open(1, "c", CallOwner::Client).close(1, "c").close(1, "c");
    }),
    ("a call closed for another tool", &[("RUN-4", 5)], |s| {
        started(s)
            .open(1, "c", CallOwner::Agent)
            .close(1, "c")
            .edit(|line| line["tool_name"] = "other".into());
    }),
    ("a call of another run closed", &[("RUN-4", 8)], |s| {
        started(s)
            .open(1, "c", CallOwner::Agent)
            .message(2, "u", "m2")
            .started(2, "m2")
            .think(2, "x")
            .close(2, "c");
    }),
    ("success with a call open", &[("RUN-5", 5)], |s| {
        started(s).open(1, "c", CallOwner::Agent).completed(1, Succeeded);
    }),
    ("an early end with a call open", &[("RUN-7", 5)], |s| {
        started(s).open(1, "c", CallOwner::Agent).completed(1, Cancelled);
    }),
    ("an event after the end", &[("RUN-5", 5)], |s| {
        started(s).completed(1, Failed).think(1, "late");
    }),
    ("two ends", &[("RUN-5", 5)], |s| {
        started(s).completed(1, Failed).think(1, "late").edit(|line| {
            *line = json!({"type": "agent_completed", "offset": 5, "user_id": "ann", "thread_id": "t",
                "run_id": line["run_id"], "timestamp": line["timestamp"], "seq": 4, "agent_name": "assistant",
                "status": "failed", "final_response": null, "error": null, "duration_ms": 0});
        });
    }),
    ("two active runs of a thread", &[("RUN-8", 5)], |s| {
        started(s).message(2, "t", "m2").started(2, "m2").think(2, "x");
    }),
    ("two active runs of a thread, the last entry", &[("RUN-8", 5)], |s| {
        started(s).message(2, "t", "m2").started(2, "m2");
    }),
    ("a later message overtakes", &[("RUN-8", 7)], |s| {
        started(s).message(2, "t", "m2").message(3, "t", "m3").started_after_end(1, 3);
    }),
    ("a queued run is cancelled while another is active", &[], |s| {
        started(s)
            .message(2, "t", "m2")
            .started(2, "m2")
            .completed(2, Cancelled)
            .think(1, "b")
            .completed(1, Failed);
    }),
    ("runs of two threads side by side", &[], |s| {
        started(s).message(2, "u", "m2").started(2, "m2").think(1, "x").think(2, "x");
    }),
    ("a message accepted twice", &[("DEL-6", 5), ("INDEX", 5), ("RUN-1", 6)], |s| {
        started(s).completed(1, Failed).message(2, "t", "m2").edit(|line| line["message_id"] = "m1".into());
        s.started(2, "m2");
    }),
    ("a run id used twice", &[("DEL-6", 4), ("INDEX", 4)], |s| {
        started(s).message(2, "u", "m2").edit(|line| line["run_id"] = run(1).to_string().into());
    }),
    ("a branch at an earlier message", &[], |s| {
        started(s).completed(1, Failed).message_under(2, "t", "m2", Some(1));
        s.started(2, "m2").completed(2, Failed).message_under(3, "t", "m3", Some(0));
        s.message_under(4, "t", "m4", Some(5)).message(5, "t", "m5");
    }),
    ("a parent in another thread", &[("ENTRY", 5)], |s| {
        started(s).completed(1, Failed).message_under(2, "u", "m2", Some(1));
    }),
    ("a parent that is no message", &[("ENTRY", 5)], |s| {
        started(s).completed(1, Failed).message_under(2, "t", "m2", Some(3));
    }),
    ("a parent that is later", &[("ENTRY", 5)], |s| {
        started(s).completed(1, Failed).message_under(2, "t", "m2", Some(5));
    }),
    ("a parent that the index does not have", &[("INDEX", 5)], |s| {
        started(s).completed(1, Failed).message(2, "t", "m2").edit(|line| line["parent"] = 0.into());
    }),
    ("a message that the active run takes", &[], |s| {
        started(s).message(2, "t", "m2").edit(|line| line["steer"] = true.into());
        s.merged(2, "m2", 1).think(1, "b").completed(1, Failed);
    }),
    ("a message that does not steer is taken", &[("RUN-12", 6)], |s| {
        started(s).message(2, "t", "m2").merged(2, "m2", 1);
    }),
    ("a message is taken by a run of another thread", &[("RUN-12", 8)], |s| {
        started(s).message(2, "u", "m2").started(2, "m2").message(3, "t", "m3");
        s.edit(|line| line["steer"] = true.into()).merged(3, "m3", 2);
    }),
    ("a message is taken by a run that has ended", &[("RUN-12", 9)], |s| {
        started(s).message(2, "t", "m2").message(3, "t", "m3").edit(|line| line["steer"] = true.into());
        s.completed(1, Failed).started(2, "m2").merged(3, "m3", 1);
    }),
    ("a run that took a step is merged", &[("RUN-8", 5), ("RUN-12", 7)], |s| {
        started(s).message(2, "t", "m2").edit(|line| line["steer"] = true.into());
        s.started(2, "m2").think(2, "x").merge(2, 1);
    }),
    ("a merged run that does not name the other", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Failed).edit(|line| line["status"] = "merged".into());
    }),
    ("an entry of another user", &[("ISO-1", 3)], |s| {
        started(s).edit(|line| line["user_id"] = "bob".into());
    }),
    ("an offset that is not the place", &[("DEL-2", 3)], |s| {
        started(s).edit(|line| line["offset"] = 4.into());
    }),
    ("an event in another thread", &[("ENTRY", 3), ("INDEX", 0), ("INDEX", 0)], |s| {
        started(s).edit(|line| line["thread_id"] = "other".into());
    }),
    ("an event of another agent", &[("ENTRY", 3)], |s| {
        started(s).edit(|line| line["agent_name"] = "other".into());
    }),
    ("an answer that was not given", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Succeeded).edit(|line| line["final_response"] = "something else".into());
    }),
    ("an answer from before the reset", &[("ENTRY", 5)], |s| {
        started(s).think(1, "b").edit(|line| line["reset"] = true.into());
        s.completed(1, Succeeded).edit(|line| line["final_response"] = "ab".into());
    }),
    ("an answer since the reset", &[], |s| {
        started(s).think(1, "b").edit(|line| line["reset"] = true.into());
        s.completed(1, Succeeded).edit(|line| line["final_response"] = "b".into());
    }),
    ("a success with an error", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Succeeded);
        s.edit(|line| line["error"] = json!({"code": "upstream", "message": "x"}));
    }),
    ("a run longer than time", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Failed).edit(|line| line["duration_ms"] = 1_000_000.into());
    }),
    ("a call longer than time", &[("ENTRY", 5)], |s| {
        started(s)
            .open(1, "c", CallOwner::Agent)
            .close(1, "c")
            .edit(|line| line["duration_ms"] = 1_000_000.into());
    }),
    ("an unknown type", &[("ENTRY", 3)], |s| {
        started(s).edit(|line| line["type"] = "agent_failed".into());
    }),
    ("an unknown status", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Failed).edit(|line| line["status"] = "done".into());
    }),
    ("an unknown error code", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Failed).edit(|line| line["error"] = json!({"code": "odd", "message": "x"}));
    }),
    ("a field left out", &[("ENTRY", 3)], |s| {
        started(s).edit(|line| drop(line.as_object_mut().unwrap().remove("kind")));
    }),
    ("a nullable field left out", &[("ENTRY", 4)], |s| {
        started(s).completed(1, Failed).edit(|line| drop(line.as_object_mut().unwrap().remove("error")));
    }),
    ("parameters that are no object", &[("ENTRY", 4)], |s| {
        started(s).open(1, "c", CallOwner::Agent).edit(|line| line["parameters"] = json!([]));
    }),
    ("a run id that is no UUIDv7", &[("ENTRY", 3)], |s| {
        started(s).edit(|line| line["run_id"] = "018f3c2e-7b1a-4c3d-8e4f-0123456789ab".into());
    }),
    ("a name that is none", &[("ENTRY", 3)], |s| {
        started(s).edit(|line| line["agent_name"] = "no name".into());
    }),
];

/// A message, its run started, and one answer delta: entries 1 to 3.
fn started(log_writer: &mut LogWriter) -> &mut LogWriter {
    log_writer.message(1, "t", "m1").started(1, "m1").think(1, "a")
}

#[tokio::test]
async fn every_planted_defect_is_found_without_other_findings() {
    for (name, expected, plant) in PLANTS {
        let folder = TempDir::new().unwrap();
        let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
        let mut log_writer = LogWriter::new("ann");
        plant(&mut log_writer);
        log_writer.append_to(&journal).await;
        drop(journal);

        let report = audit(folder.path(), &AuditOptions::default()).unwrap();
        let found: Vec<_> =
            report.violations().iter().map(|v| (v.rule.as_str(), v.offset.unwrap_or(0))).collect();
        assert_eq!(found, *expected, "{name}: {report}");
        assert_eq!(report.violations_total, expected.len() as u64, "{name}");
        assert!(report.violations().iter().all(|v| v.user_id.as_deref() == Some("ann")), "{name}: {report}");
    }
}
