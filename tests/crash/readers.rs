//! Readers that do not read. The cost of one of them to the service is bounded for any backlog; others are
//! not affected; and when it reads again, or comes back, it gets everything in order (DEL-4, ISO-6, CONN-5).

use std::{path::Path, process::Command, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Client, Ended},
    ends::audit,
    http,
    process::{Addresses, Process, dev},
    stage::{Stage, setting},
    verdict::{Weather, judge},
    wish::{Expect, Wish},
    witness::{Book, Heard, SharedBook},
};

/// Bound of the memory that a reader that does not read adds to the service, for any backlog, and while it
/// gets all of it: its user's tail (256 KiB), one chunk in flight (32 KiB), the steps that wait at the hub
/// (256), one append, and what the journal's page caches (8 MiB and 3 × 2 MiB) and the allocator take
/// meanwhile.
const GROWTH_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Runs of another user beside the long one, at least.
const BESIDE_MIN: usize = 5;

struct Scene {
    stage: Stage,
    folder: TempDir,
    stalled: SharedBook,
    other: SharedBook,
    events: u64,
    /// Bytes of one thought.
    thought_bytes: usize,
}

impl Scene {
    fn new(what: &str) -> Self {
        let stage = Stage::new(what);
        let book = |user| Book::new(user, &stage, &Default::default());
        let (stalled, other) = (book("stalled"), book("other"));
        let events = setting("QUINTET_CAMPAIGN_EVENTS").unwrap_or(40_000);
        let thought_bytes = setting("QUINTET_CAMPAIGN_EVENT_BYTES").unwrap_or(400) as usize;
        Self { folder: TempDir::new().unwrap(), stalled, other, events, thought_bytes, stage }
    }

    async fn open(&self, book: &SharedBook, to: Addresses) -> Client {
        let head = book.borrow().head();
        let opened = Client::open(&self.stage, book, to, head, &mut self.stage.rng(1)).await;
        let mut client = opened.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
        let caught_up = self.stage.soon("caught_up", client.until(Heard::CaughtUp)).await;
        caught_up.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
        client
    }

    /// Plays the long run of one user, whose client does not read, beside short runs of another.
    /// Returns the memory of the service before it.
    async fn run_long(&self, process: &Process, to: Addresses, client: &mut Client) -> u64 {
        let mut other = self.open(&self.other, to).await;
        self.run_short(&mut other).await;
        let before = process.resident_bytes();

        let wish = Wish::long("long", self.events, self.thought_bytes);
        let frame = wish.frame();
        self.stalled.borrow_mut().sends(wish);
        client.send(&frame).await.unwrap();
        let user = self.stalled.borrow().user.clone();
        let token = http::login(to.listen, &user).await.unwrap();
        let mut beside = 0;
        while !self.is_over(to, &token).await || beside < BESIDE_MIN {
            self.run_short(&mut other).await;
            beside += 1;
        }
        other.leave().await;
        let growth = process.peak_bytes().saturating_sub(before);
        eprintln!("{} events, {beside} runs beside, grown by {} KiB at most", self.events, growth / 1024);
        before
    }

    /// Checks the growth of the peak memory since `before`.
    fn bounded(&self, process: &Process, before: u64) {
        let behind: usize = self.stalled.borrow().log.iter().map(|entry| entry.len()).sum();
        let (peak, after) = (process.peak_bytes(), process.resident_bytes());
        eprintln!(
            "{} MiB behind and caught up: {} KiB before, {} KiB at most, {} KiB after",
            behind >> 20,
            before / 1024,
            peak / 1024,
            after / 1024
        );
        assert!(peak < before + GROWTH_BYTES_MAX, "{} bytes for one stalled reader", peak - before);
    }

    /// A run of the other user, from its message to its end.
    async fn run_short(&self, client: &mut Client) {
        let number = self.other.borrow().messages.len();
        let script = json!({"steps": [{"think": "a"}, {"tool": {"call_id": "c", "tool_name": "t"}}]});
        let expect = Expect { status: "succeeded", ..Expect::default() };
        let wish = Wish::script(&format!("m-{number}"), &script, expect);
        let frame = wish.frame();
        self.other.borrow_mut().sends(wish);
        client.send(&frame).await.unwrap();
        let over = async {
            while self.other.borrow().open() > 0 {
                client.hear().await.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
            }
        };
        self.stage.soon("a run beside one with a stalled reader (ISO-6)", over).await;
    }

    async fn is_over(&self, to: Addresses, token: &str) -> bool {
        let path = "/v1/threads/long/entries?limit=1";
        let page = http::request(to.listen, "GET", path, Some(token), None).await.unwrap();
        let page: Value = serde_json::from_str(&page.1).unwrap();
        let Some(run_id) = page["entries"][0]["run_id"].as_str() else { return false };
        let path = format!("/v1/runs/{run_id}");
        let run = http::request(to.listen, "GET", &path, Some(token), None).await.unwrap();
        let run: Value = serde_json::from_str(&run.1).unwrap();
        run["state"] == "completed"
    }

    /// Reads until the long run has ended, with any number of reconnects.
    async fn catch_up(&self, to: Addresses, mut client: Client) -> Option<Ended> {
        let mut first_end = None;
        let whole = async {
            loop {
                while self.stalled.borrow().open() > 0 {
                    if let Err(ended) = client.hear().await {
                        first_end.get_or_insert(ended);
                        break;
                    }
                }
                if self.stalled.borrow().open() == 0 {
                    return client.leave().await;
                }
                client = self.open(&self.stalled, to).await;
                // A message without a reply is sent again.
                let frame = self.stalled.borrow_mut().sends_again("long").unwrap();
                client.send(&frame).await.unwrap();
            }
        };
        let wait = CATCH_UP_WAIT + Duration::from_millis(self.events);
        self.stage.within("the whole backlog", wait, whole).await;
        first_end
    }

    async fn ends(&self, process: &Process) {
        process.signal(Signal::TERM);
        assert_eq!(process.ended(&self.stage).await.code(), Some(0));
        for book in [&self.stalled, &self.other] {
            judge(&book.borrow(), Weather { killed: false, hasty: false });
        }
        self.stage.look();
        assert!(self.stalled.borrow().head() > self.events);
        audit(&self.stage, self.folder.path());
    }
}

/// A service that closes stalled readers soon, or not at all during this test.
fn service(folder: &Path, stall_wait_ms: u64) -> Command {
    let mut command = dev(folder);
    command.args(["--set", &format!("stall_wait_ms_max={stall_wait_ms}")]);
    command.args(["--set", "pong_wait_ms_max=600000"]);
    command
}

const CATCH_UP_WAIT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn del_4_stalled_reader_costs_bounded_memory_and_then_gets_everything() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("a reader that reads again");
    let process = Process::start(service(scene.folder.path(), 600_000), scene.stage.lines());
    let to = process.ready(&scene.stage).await;
    let mut client = scene.open(&scene.stalled, to).await;
    let before = scene.run_long(&process, to, &mut client).await;
    assert_eq!(scene.catch_up(to, client).await, None, "a slow reader was closed");
    scene.bounded(&process, before);
    scene.ends(&process).await;
}

#[tokio::test]
async fn conn_5_reader_that_stalls_too_long_is_closed_and_resumes_without_a_hole() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("a reader that is closed");
    let process = Process::start(service(scene.folder.path(), 500), scene.stage.lines());
    let to = process.ready(&scene.stage).await;
    let mut client = scene.open(&scene.stalled, to).await;
    let before = scene.run_long(&process, to, &mut client).await;
    // The close frame comes after everything that was not read: it may be cut off with it.
    match scene.catch_up(to, client).await {
        Some(Ended::Closed { code: 4408, .. } | Ended::Broken { .. }) => {}
        other => scene.stage.fail(&format!("a reader that did not read for too long: {other:?}")),
    }
    scene.bounded(&process, before);
    scene.ends(&process).await;
}
