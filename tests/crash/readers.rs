//! Readers that do not read. The cost of one of them to the service is bounded for any backlog; others are
//! not affected; and when it reads again, or comes back, it gets everything in order (DEL-4, ISO-6, CONN-5).

use std::{path::Path, process::Command, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Client, Ended},
    context::{CampaignContext, setting},
    ends::audit,
    http,
    ledger::{FrameSeen, Ledger, SharedLedger},
    planned_message::{Expect, PlannedMessage},
    process::{Addresses, Process, dev},
    verdict::{CampaignFaults, judge},
};

/// Bound of the memory that a reader that does not read adds to the service, for any backlog, and while it
/// gets all of it: its user's tail (256 KiB), one chunk in flight (32 KiB), the steps that wait at the hub
/// (256), one append, and what the journal's page caches (8 MiB and 3 × 2 MiB) and the allocator take
/// meanwhile.
const GROWTH_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Runs of another user beside the long one, at least.
const BESIDE_MIN: usize = 5;

struct Scenario {
    context: CampaignContext,
    folder: TempDir,
    stalled: SharedLedger,
    other: SharedLedger,
    events: u64,
    /// Bytes of one thought.
    thought_bytes: usize,
}

impl Scenario {
    fn new(what: &str) -> Self {
        let context = CampaignContext::new(what);
        let ledger = |user| Ledger::new(user, &context, &Default::default());
        let (stalled, other) = (ledger("stalled"), ledger("other"));
        let events = setting("QUINTET_CAMPAIGN_EVENTS").unwrap_or(40_000);
        let thought_bytes = setting("QUINTET_CAMPAIGN_EVENT_BYTES").unwrap_or(400) as usize;
        Self { folder: TempDir::new().unwrap(), stalled, other, events, thought_bytes, context }
    }

    async fn open(&self, ledger: &SharedLedger, to: Addresses) -> Client {
        let head = ledger.borrow().head();
        let opened = Client::open(&self.context, ledger, to, head, &mut self.context.rng(1)).await;
        let mut client = opened.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
        let caught_up = self.context.soon("caught_up", client.until(FrameSeen::CaughtUp)).await;
        caught_up.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
        client
    }

    /// Plays the long run of one user, whose client does not read, beside short runs of another.
    /// Returns the memory of the service before it.
    async fn run_long(&self, process: &Process, to: Addresses, client: &mut Client) -> u64 {
        let mut other = self.open(&self.other, to).await;
        self.run_short(&mut other).await;
        let before = process.resident_bytes();

        let planned = PlannedMessage::long("long", self.events, self.thought_bytes);
        let frame = planned.frame();
        self.stalled.borrow_mut().sends(planned);
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
        let planned = PlannedMessage::script(&format!("m-{number}"), &script, expect);
        let frame = planned.frame();
        self.other.borrow_mut().sends(planned);
        client.send(&frame).await.unwrap();
        let over = async {
            while self.other.borrow().open() > 0 {
                client.receive().await.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
            }
        };
        self.context.soon("a run beside one with a stalled reader (ISO-6)", over).await;
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
                    if let Err(ended) = client.receive().await {
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
        self.context.within("the whole backlog", wait, whole).await;
        first_end
    }

    async fn ends(&self, process: &Process) {
        process.signal(Signal::TERM);
        assert_eq!(process.ended(&self.context).await.code(), Some(0));
        for ledger in [&self.stalled, &self.other] {
            judge(&ledger.borrow(), CampaignFaults { killed: false, hasty: false });
        }
        self.context.look();
        assert!(self.stalled.borrow().head() > self.events);
        audit(&self.context, self.folder.path());
    }
}

/// A service that closes stalled readers soon, or not at all during this test.
fn service(folder: &Path, stall_timeout_ms: u64) -> Command {
    let mut command = dev(folder);
    command.args(["--set", &format!("stall_timeout_ms={stall_timeout_ms}")]);
    command.args(["--set", "pong_timeout_ms=600000"]);
    command
}

const CATCH_UP_WAIT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn del_4_stalled_reader_costs_bounded_memory_and_then_gets_everything() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("a reader that reads again");
    let process = Process::start(service(scenario.folder.path(), 600_000), scenario.context.lines());
    let to = process.ready(&scenario.context).await;
    let mut client = scenario.open(&scenario.stalled, to).await;
    let before = scenario.run_long(&process, to, &mut client).await;
    assert_eq!(scenario.catch_up(to, client).await, None, "a slow reader was closed");
    scenario.bounded(&process, before);
    scenario.ends(&process).await;
}

#[tokio::test]
async fn conn_5_reader_that_stalls_too_long_is_closed_and_resumes_without_a_hole() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("a reader that is closed");
    let process = Process::start(service(scenario.folder.path(), 500), scenario.context.lines());
    let to = process.ready(&scenario.context).await;
    let mut client = scenario.open(&scenario.stalled, to).await;
    let before = scenario.run_long(&process, to, &mut client).await;
    // The close frame comes after everything that was not read: it may be cut off with it.
    match scenario.catch_up(to, client).await {
        Some(Ended::Closed { code: 4408, .. } | Ended::Broken { .. }) => {}
        other => scenario.context.fail(&format!("a reader that did not read for too long: {other:?}")),
    }
    scenario.bounded(&process, before);
    scenario.ends(&process).await;
}
