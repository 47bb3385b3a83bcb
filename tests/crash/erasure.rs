//! Erasures whose process is killed: before the answer, between any two of their steps, and while the next process goes on
//! with them. Each ends once, takes what it covers and nothing else, and leaves its text in no file (DEL-8).

use std::{path::Path, process::Command, time::Duration};

use quintet_testkit::journal::files_with;
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    context::{CampaignContext, setting},
    ends::audit,
    life::Life,
    process::dev,
};

/// The service, whose erasures take a step for each entry.
fn slow(folder: &Path) -> Command {
    let mut command = dev(folder);
    command.env("QUINTET_ERASE_STEP_ENTRIES_MAX", "1");
    command
}

/// One erasure: its request, and the text that it covers.
struct Deed {
    path: &'static str,
    /// The thread that is erased; `None` for the whole log.
    thread_id: Option<&'static str>,
    mark: String,
}

/// Writes runs of two threads with the mark, and one without, which is kept. Returns a message that was sent.
async fn write(life: &Life, mark: &str, round: u64) -> (Value, String) {
    let script = |text: &str| {
        let tool =
            json!({"call_id": "c1", "tool_name": "look", "parameters": {"word": text}, "results": [text]});
        json!({"steps": [{"think": text, "repeat": 3}, {"tool": tool}, {"answer": text}]})
    };
    for number in 0..3 {
        for (thread_id, text) in [("gone", format!("{mark} in {number}")), ("kept", format!("kept {number}"))]
        {
            let message_id = format!("{thread_id}-{}-{round}-{number}", text.replace(' ', "_"));
            let run_id = life.play(&message_id, thread_id, &script(&text)).await;
            life.completed(&run_id).await;
        }
        let title = json!({"title": format!("{mark} as a title")});
        assert_eq!(life.ask("PATCH", "/v1/threads/gone", Some(&title)).await.0, 200);
    }
    // A run that the erasure has to end, with a question that is open.
    let ask = json!({"ask": {"call_id": "q", "tool_name": "approve", "parameters": {"word": mark}}});
    let script = json!({"steps": [{"think": mark}, ask, {"hang": true}]});
    let message = json!({"message_id": format!("{mark}-open"), "thread_id": "gone", "text": script.to_string(),
        "agent_name": "rehearsal"});
    let (status, accepted) = life.ask("POST", "/v1/messages", Some(&message)).await;
    assert_eq!(status, 202, "{accepted}");
    (message, accepted["run_id"].as_str().unwrap().to_owned())
}

fn is_erased(entry: &Value) -> bool {
    entry["type"] == "erased"
}

/// The ends of erasures in a log.
fn ends(log: &[Value]) -> Vec<&Value> {
    let kinds = ["thread_erased", "log_erased"];
    log.iter().filter(|entry| kinds.contains(&entry["type"].as_str().unwrap())).collect()
}

/// Polls until so many entries are erased, an erasure more has ended, or the service is gone.
async fn until_erased(life: &Life, ended: usize, count: usize) {
    while let Some(log) = life.try_log().await {
        if log.iter().filter(|entry| is_erased(entry)).count() >= count || ends(&log).len() > ended {
            return;
        }
    }
}

/// Kills processes at random instants of the erasure; returns how many of them it outlived, and the last process.
async fn storm(
    context: &CampaignContext,
    folder: &Path,
    deed: &Deed,
    first: Life,
    rng: &mut StdRng,
) -> (usize, Life) {
    let before = first.log().await;
    let (done, blank) = (ends(&before).len(), before.iter().filter(|entry| is_erased(entry)).count());
    let mut life = first;
    let mut killed = 0;
    for kill in 0..4 {
        let instant = async {
            match (kill, rng.random_range(0..3)) {
                // Before or after the intent is durable.
                (0, _) => tokio::time::sleep(Duration::from_micros(rng.random_range(0..8_000))).await,
                (_, 0) => tokio::time::sleep(Duration::from_micros(rng.random_range(0..30_000))).await,
                _ => until_erased(&life, done, blank + rng.random_range(1..20)).await,
            }
        };
        // The request is repeated like any whose answer is lost, until the log has an intent; a further one is harmless.
        let request = async {
            let is_begun = life.try_log().await.is_none_or(|log| ends(&log).len() > done);
            if kill == 0 || (!is_begun && !files_with(folder, &deed.mark).is_empty()) {
                life.try_ask("DELETE", deed.path, None).await;
            }
        };
        context.soon("an instant", async { tokio::join!(instant, request) }).await;
        life.process.kill(context).await;
        killed += usize::from(!files_with(folder, &deed.mark).is_empty());
        life = Life::start(context, slow(folder)).await;
    }
    (killed, life)
}

/// Erases in the storm, and checks the log and the files.
async fn erase(context: &CampaignContext, folder: &Path, deed: Deed, round: u64, rng: &mut StdRng) -> usize {
    let life = Life::start(context, slow(folder)).await;
    let (message, run_id) = write(&life, &deed.mark, round).await;
    let before = life.log().await;
    let ends_before = ends(&before).len();
    let (killed, life) = storm(context, folder, &deed, life, rng).await;

    // A thread without entries is unknown: then an earlier request was accepted.
    let (status, receipt) = life.ask("DELETE", deed.path, None).await;
    assert!(status == 202 || (status == 404 && deed.thread_id.is_some()), "{status} {receipt}");
    let over = async {
        loop {
            let (listed, threads) = life.ask("GET", "/v1/threads", None).await;
            let log = life.log().await;
            let open = log.iter().any(|entry| entry.to_string().contains(&deed.mark));
            let ended = ends(&log);
            let asked = status == 404 || ended.iter().any(|end| end["receipt"] == receipt["receipt"]);
            if !open
                && asked
                && ended.len() > ends_before
                && listed == 200
                && !threads.to_string().contains(&deed.mark)
            {
                return log;
            }
            tokio::task::yield_now().await;
        }
    };
    let log = context.soon("the end of the erasure", over).await;

    // DEL-8: while the service runs, the text is in no file, and the record is there once.
    assert_eq!(files_with(folder, &deed.mark), [""; 0], "{} is left behind", deed.mark);
    let receipts: Vec<&Value> = ends(&log).iter().map(|end| &end["receipt"]).collect();
    for (number, receipt) in receipts.iter().enumerate() {
        assert!(!receipts[..number].contains(receipt), "an erasure ends once: {receipts:?}");
    }
    let offsets: Vec<u64> = log.iter().map(|entry| entry["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=log.len() as u64).collect::<Vec<_>>(), "DEL-2");
    for (was, is) in before.iter().zip(&log) {
        let is_covered = deed.thread_id.is_none_or(|thread_id| was["thread_id"] == thread_id);
        let is_record = was.get("receipt").is_some();
        assert!(if is_covered && !is_record { is_erased(is) } else { is == was }, "{was} became {is}");
    }
    // DEL-6: the id of an erased message stays that of its first run.
    let (status, again) = life.ask("POST", "/v1/messages", Some(&message)).await;
    assert_eq!(
        (status, &again["run_id"], &again["duplicate"]),
        (202, &json!(run_id), &json!(true)),
        "{again}"
    );
    life.drain(context).await;
    assert_eq!(files_with(folder, &deed.mark), [""; 0], "{} is left behind at the end", deed.mark);
    audit(context, folder);
    killed
}

#[tokio::test]
async fn del_8_an_erasure_ends_once_however_often_its_process_is_killed() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let rounds = setting("QUINTET_CAMPAIGN_ERASURES").unwrap_or(4);
    let (context, folder) = (CampaignContext::new("erasures"), TempDir::new().unwrap());
    let mut rng = context.rng(0);
    let mut killed = 0;
    for round in 0..rounds {
        let (path, thread_id) = match round % 2 {
            0 => ("/v1/threads/gone", Some("gone")),
            _ => ("/v1/log", None),
        };
        let deed = Deed { path, thread_id, mark: format!("plover-{round}-plover") };
        killed += erase(&context, folder.path(), deed, round, &mut rng).await;
    }
    eprintln!("{rounds} erasures, {killed} kills before their end");
    assert!(killed as u64 > rounds, "kills after the end show nothing: {killed}");
}
