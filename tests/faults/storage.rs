//! One fault at a time, with two users connected. For any fault, a message that is not on the disk is refused
//! and never accepted, `/readyz` reports it, readers are served where the disk allows it, and after the fault
//! everything continues as before (DEL-1, DEL-5, DEL-7, ISO-6).

use quintet::{
    audit::AuditOptions,
    journal::sqlite::{SqliteJournal, SqliteOptions},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    client::Client,
    context::CampaignContext,
    control::{Action, Call, LOG, OTHER},
    disk::{ALL, EACCES, EIO, ENOSPC, EROFS, Fault, FaultyDisk},
    http,
    ledger::{FrameSeen, Ledger, SharedLedger},
    moves::ReportedOnce,
    planned_message::{Expect, PlannedMessage},
    process::{Addresses, Process},
    verdict::{CampaignFaults, judge},
};

/// Two users on a disk with faults that a test sets.
pub struct Scenario {
    pub context: CampaignContext,
    pub disk: FaultyDisk,
    pub process: Process,
    pub to: Addresses,
    pub ann: SharedLedger,
    pub bob: SharedLedger,
}

impl Scenario {
    /// Starts the service; both users have completed a run.
    pub async fn new(what: &str) -> (Self, Client, Client) {
        let context = CampaignContext::new(what).with_faults();
        let disk = FaultyDisk::new(context.seed);
        let process = Process::start(disk.dev(), context.lines());
        let to = process.ready(&context).await;
        let ledger = |user| Ledger::new(user, &context, &Default::default());
        let (ann, bob) = (ledger("ann"), ledger("bob"));
        let scenario = Self { disk, process, to, ann, bob, context };
        let (mut of_ann, mut of_bob) =
            (scenario.open(&scenario.ann).await, scenario.open(&scenario.bob).await);
        scenario.run(&scenario.ann, &mut of_ann).await;
        scenario.run(&scenario.bob, &mut of_bob).await;
        (scenario, of_ann, of_bob)
    }

    /// Kills the process if it still runs, and starts it again.
    pub async fn again(&mut self) {
        self.process.kill(&self.context).await;
        self.start().await;
    }

    pub async fn start(&mut self) {
        self.process = Process::start(self.disk.dev(), self.context.lines());
        self.to = self.process.ready(&self.context).await;
    }

    pub async fn open(&self, ledger: &SharedLedger) -> Client {
        let head = ledger.borrow().head();
        let opened = Client::open(&self.context, ledger, self.to, head, &mut self.context.rng(1)).await;
        let mut client = opened.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
        self.until(&mut client, FrameSeen::CaughtUp).await;
        client
    }

    pub async fn until(&self, client: &mut Client, wanted: FrameSeen) {
        let heard = self.context.soon(&format!("{wanted:?}"), client.until(wanted)).await;
        heard.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
        self.context.look();
    }

    /// Sends a new message without waiting for the reply.
    pub async fn send(&self, ledger: &SharedLedger, client: &mut Client) -> String {
        let message_id = format!("m-{}", ledger.borrow().messages.len());
        let script =
            json!({"steps": [{"think": "a"}, {"tool": {"call_id": "c", "tool_name": "t"}}, {"answer": "b"}]});
        let expect = Expect { status: "succeeded", answer: Some("b".into()), ..Expect::default() };
        let planned = PlannedMessage::script(&message_id, &script, expect);
        let frame = planned.frame();
        ledger.borrow_mut().sends(planned);
        client.send(&frame).await.unwrap();
        message_id
    }

    /// Sends a message, and reads its run to the end.
    pub async fn run(&self, ledger: &SharedLedger, client: &mut Client) {
        self.send(ledger, client).await;
        self.finish(ledger, client).await;
    }

    /// A run of ann's that writes 60,000 bytes so many times.
    pub async fn run_long(&self, message_id: &str, thoughts: u64, client: &mut Client) {
        let planned = PlannedMessage::long(message_id, thoughts, 60_000);
        let frame = planned.frame();
        self.ann.borrow_mut().sends(planned);
        client.send(&frame).await.unwrap();
        self.finish(&self.ann, client).await;
    }

    /// Sends messages without a reply again, and reads until nothing is open.
    pub async fn finish(&self, ledger: &SharedLedger, client: &mut Client) {
        self.send_again(ledger, client).await;
        let over = async {
            while ledger.borrow().open() > 0 {
                match client.receive().await {
                    // The log is read back after a fault; then its content is known.
                    Ok(heard) if heard == refused() => self.send_again(ledger, client).await,
                    Ok(_) => {}
                    Err(ended) => self.context.fail(&format!("{ended:?}")),
                }
            }
        };
        self.context.soon("the end of all runs", over).await;
        self.context.look();
    }

    async fn send_again(&self, ledger: &SharedLedger, client: &mut Client) {
        let unanswered: Vec<_> = ledger.borrow().unanswered.iter().cloned().collect();
        for message_id in unanswered {
            let frame = ledger.borrow_mut().sends_again(&message_id).unwrap();
            client.send(&frame).await.unwrap();
        }
    }

    pub async fn is_ready(&self) -> bool {
        let asked = http::request(self.to.admin, "GET", "/readyz", None, None);
        self.context.soon("readiness", asked).await.unwrap().0 == 200
    }

    /// Sends a GET request as this user.
    pub async fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let token = http::login(self.to.listen, user).await.unwrap();
        let asked = http::request(self.to.listen, "GET", path, Some(&token), None);
        let (status, body) = self.context.soon(path, asked).await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Checks that the connection is alive.
    pub async fn ping(&self, client: &mut Client) {
        client.send(&json!({"type": "ping"})).await.unwrap();
        self.until(client, FrameSeen::Other).await;
    }

    /// Reads both logs from the beginning, ends the service in order, and judges all of it.
    pub async fn end(self) {
        for ledger in [&self.ann, &self.bob] {
            let opened = Client::open(&self.context, ledger, self.to, 0, &mut self.context.rng(2)).await;
            let mut client = opened.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
            self.until(&mut client, FrameSeen::CaughtUp).await;
            client.leave().await;
        }
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.ended(&self.context).await.code(), Some(0));
        for ledger in [&self.ann, &self.bob] {
            judge(&ledger.borrow(), CampaignFaults { killed: true, hasty: false });
        }
        self.context.look();
        match quintet::audit::audit(&self.disk.folder(), &AuditOptions::default()) {
            Ok(report) if report.is_clean() && report.unfinished_total == 0 => {}
            Ok(report) => self.context.fail(&format!("the auditor found something:\n{report}")),
            Err(error) => self.context.fail(&format!("there was no audit: {error}")),
        }
    }
}

fn refused() -> FrameSeen {
    FrameSeen::Error { code: "unavailable".into() }
}

/// Faults of a disk that prevent all writes.
const NO_WRITES: &[(&str, &[Fault])] = &[
    ("full", &[Fault::every(Call::Write, Action::Full, ENOSPC)]),
    (
        "read only",
        &[
            Fault { files: ALL, ..Fault::every(Call::Write, Action::Fail, EROFS) },
            Fault { files: ALL, ..Fault::every(Call::Open, Action::Fail, EROFS) },
        ],
    ),
    (
        "not ours any more",
        &[
            Fault { times: 1, ..Fault::every(Call::Write, Action::Fail, EIO) },
            Fault { files: ALL, ..Fault::every(Call::Open, Action::Fail, EACCES) },
        ],
    ),
    ("no write", &[Fault::every(Call::Write, Action::Fail, EIO)]),
    ("torn writes", &[Fault::every(Call::Write, Action::Torn, EIO)]),
    ("no sync", &[Fault::every(Call::Sync, Action::Fail, EIO)]),
];

#[tokio::test]
async fn del_7_disk_without_writes_refuses_messages_and_serves_readers() {
    for (name, faults) in NO_WRITES {
        let (scenario, mut ann, mut bob) = Scenario::new(name).await;
        let head = scenario.bob.borrow().head();
        faults.iter().for_each(|fault| scenario.disk.set(*fault));

        scenario.send(&scenario.ann, &mut ann).await;
        scenario.until(&mut ann, refused()).await;
        assert!(faults.iter().any(|fault| scenario.disk.bitten(fault.call) > 0), "{name}: nothing failed");
        assert!(!scenario.is_ready().await, "{name}");
        // And once more, for any number of sendings.
        let again = scenario.ann.borrow_mut().sends_again("m-1").unwrap();
        ann.send(&again).await.unwrap();
        scenario.until(&mut ann, refused()).await;
        // The connections are alive, the other user is served: all stored entries, and a new connection.
        scenario.ping(&mut ann).await;
        scenario.ping(&mut bob).await;
        let (status, page) = scenario.get("bob", "/v1/entries").await;
        assert_eq!((status, page["head"].as_u64()), (200, Some(head)), "{name}: {page}");
        let mut second =
            Client::open(&scenario.context, &scenario.bob, scenario.to, 0, &mut scenario.context.rng(3))
                .await
                .unwrap();
        scenario.until(&mut second, FrameSeen::CaughtUp).await;
        second.leave().await;

        scenario.disk.clear();
        assert!(scenario.is_ready().await, "{name}: it recovers by itself");
        scenario.finish(&scenario.ann, &mut ann).await;
        scenario.run(&scenario.bob, &mut bob).await;
        scenario.end().await;
    }
}

/// The sync of a commit fails once, and its transaction is in the log after all, once that is written again.
/// Replies to the user between the fault and that moment must not rest on a log without it.
#[tokio::test]
async fn run_6_commit_that_appears_after_a_failed_sync_is_accepted_with_its_run() {
    let (mut scenario, mut ann, mut bob) = Scenario::new("one sync").await;
    scenario.disk.set(Fault { times: 1, files: LOG, ..Fault::every(Call::Sync, Action::Fail, EIO) });
    scenario.send(&scenario.ann, &mut ann).await;
    scenario.until(&mut ann, refused()).await;
    assert_eq!(scenario.disk.bitten(Call::Sync), 1);
    // The log of ann is read back for this, before the writer has done anything else.
    let unknown = "/v1/runs/01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081/cancel";
    let token = http::login(scenario.to.listen, "ann").await.unwrap();
    let asked = http::request(scenario.to.listen, "POST", unknown, Some(&token), None);
    assert_eq!(scenario.context.soon("the reply to a cancel", asked).await.unwrap().0, 404);
    // The writer goes on, for another user.
    scenario.run(&scenario.bob, &mut bob).await;
    scenario.finish(&scenario.ann, &mut ann).await;
    // Accepted messages are on the disk, not only in the memory of the kernel (DEL-5).
    scenario.process.kill(&scenario.context).await;
    scenario.disk.lose_power();
    scenario.start().await;
    scenario.end().await;
}

#[tokio::test]
async fn short_writes_are_continued() {
    let (scenario, mut ann, _bob) = Scenario::new("short writes").await;
    scenario.disk.set(Fault::every(Call::Write, Action::Short, 0));
    scenario.run(&scenario.ann, &mut ann).await;
    assert!(scenario.disk.bitten(Call::Write) > 0);
    assert!(scenario.is_ready().await);
    scenario.disk.clear();
    scenario.end().await;
}

#[tokio::test]
async fn del_7_disk_without_reads_is_an_error_for_readers() {
    let (mut scenario, _, _) = Scenario::new("no read").await;
    // A new process has nothing of the journal in memory yet.
    scenario.again().await;
    let mut ann = scenario.open(&scenario.ann).await;
    scenario.disk.set(Fault::every(Call::Read, Action::Fail, EIO));
    let (status, problem) = scenario.get("bob", "/v1/entries").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("unavailable")), "{problem}");
    assert!(scenario.disk.bitten(Call::Read) > 0);
    assert!(!scenario.is_ready().await);
    scenario.ping(&mut ann).await;

    scenario.disk.clear();
    assert!(scenario.is_ready().await, "it recovers by itself");
    scenario.run(&scenario.ann, &mut ann).await;
    let mut bob = scenario.open(&scenario.bob).await;
    scenario.run(&scenario.bob, &mut bob).await;
    scenario.end().await;
}

#[tokio::test]
async fn del_7_flipped_bit_is_an_error_and_never_an_entry() {
    let (mut scenario, mut ann, _) = Scenario::new("flipped bits").await;
    // Enough to fill pages: a flip in unused space changes nothing.
    let long = PlannedMessage::long("long", 300, 400);
    scenario.ann.borrow_mut().sends(long);
    scenario.finish(&scenario.ann, &mut ann).await;
    let path = "/v1/entries?limit=1000";
    let (_, sound) = scenario.get("ann", path).await;
    let (mut refused, mut served) = (0, 0);
    for _ in 0..3 {
        // A process keeps what it has read correctly, and does not read it again.
        scenario.again().await;
        scenario.disk.set(Fault::every(Call::Read, Action::Flip, 0));
        for _ in 0..10 {
            match scenario.get("ann", path).await {
                // An index page has no checksum: what it hides is missing until it is read again.
                (200, page) if entries(&page).all(|entry| entries(&sound).any(|known| known == entry)) => {
                    served += 1;
                }
                (503, problem) if problem["code"] == "unavailable" => refused += 1,
                other => scenario.context.fail(&format!("{other:?}")),
            }
        }
        scenario.disk.clear();
        assert!(scenario.is_ready().await, "it recovers by itself");
    }
    assert!(refused > 10, "{served} times right, with {} bits flipped", scenario.disk.bitten(Call::Read));
    let mut ann = scenario.open(&scenario.ann).await;
    scenario.run(&scenario.ann, &mut ann).await;
    scenario.end().await;
}

fn entries(page: &Value) -> impl Iterator<Item = &Value> {
    page["entries"].as_array().into_iter().flatten()
}

#[tokio::test]
async fn damaged_page_is_reported_at_the_start_and_by_the_audit_and_affects_one_user() {
    let (mut scenario, _, mut of_bob) = Scenario::new("a damaged page").await;
    // The run with the damaged page is open, so that a start has to read it.
    let question = json!({"steps": [{"think": "hm"}, {"ask": {"call_id": "asked", "tool_name": "approve"}}]});
    let planned =
        PlannedMessage::script("open", &question, Expect { status: "succeeded", ..Expect::default() });
    let frame = planned.frame();
    scenario.bob.borrow_mut().sends(planned);
    of_bob.send(&frame).await.unwrap();
    while scenario.bob.borrow().waiting.is_empty() {
        scenario.until(&mut of_bob, FrameSeen::Entry).await;
    }
    scenario.process.signal(Signal::TERM);
    assert_eq!(scenario.process.ended(&scenario.context).await.code(), Some(0));
    let path = scenario.disk.folder().join("quintet.db");
    let sound = std::fs::read(&path).unwrap();
    let needle = br#""call_id":"asked""#;
    let at = sound.windows(needle.len()).position(|bytes| bytes == needle).unwrap() + needle.len() - 2;
    let mut damaged = sound.clone();
    damaged[at] ^= 1;
    std::fs::write(&path, &damaged).unwrap();

    let refused = Process::start(scenario.disk.dev(), scenario.context.lines());
    assert!(!refused.becomes_ready(&scenario.context).await);
    assert_eq!(refused.ended(&scenario.context).await.code(), Some(1));
    assert!(scenario.context.was_said("quintet audit") && scenario.context.was_said("is damaged"));
    let mut audit = std::process::Command::new(env!("CARGO_BIN_EXE_quintet"));
    let audit = audit.args(["audit", "--data-dir"]).arg(scenario.disk.folder()).output().unwrap();
    let report = String::from_utf8(audit.stdout).unwrap();
    assert!(audit.status.code() == Some(1) && report.contains("bob") && !report.contains("ann"), "{report}");

    // The service can continue before the backup is restored: for all users but the one whose entry it is.
    let mut unchecked = scenario.disk.dev();
    unchecked.args(["--set", "check_bytes_max=0"]);
    scenario.process = Process::start(unchecked, scenario.context.lines());
    scenario.to = scenario.process.ready(&scenario.context).await;
    assert!(scenario.context.was_said("the runs of a user are not resumed"));
    assert_eq!(scenario.get("bob", "/v1/entries").await.0, 503);
    let mut ann = scenario.open(&scenario.ann).await;
    scenario.run(&scenario.ann, &mut ann).await;
    scenario.process.signal(Signal::TERM);
    assert_eq!(scenario.process.ended(&scenario.context).await.code(), Some(0));

    // The original bytes restore it.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    scenario.start().await;
    let mut bob = scenario.open(&scenario.bob).await;
    let mut told = ReportedOnce::default();
    let answers = told.answers(&mut scenario.bob.borrow_mut(), true, &mut scenario.context.rng(4));
    for frame in answers {
        bob.send(&frame).await.unwrap();
    }
    scenario.finish(&scenario.bob, &mut bob).await;
    scenario.end().await;
}

/// A backup that finds no room reports the failure and leaves nothing, neither a part of the copy nor its
/// folder; the same command works once there is room.
#[test]
fn del_7_backup_to_a_full_disk_fails_and_leaves_nothing() {
    let disk = FaultyDisk::new(1);
    // Open, so that its own files have the size that they need.
    let _journal = SqliteJournal::open(&disk.folder(), SqliteOptions::default()).unwrap();
    // Within the data folder, so that the layer applies to it.
    let to = disk.folder().join("copy");
    let backup = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_quintet"));
        command.arg("backup").arg("--data-dir").arg(disk.folder()).arg("--to").arg(&to);
        let output = disk.under_the_layer(command).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for (skip, is_new) in [(0, true), (2, true), (0, false), (2, false)] {
        if !is_new {
            std::fs::create_dir_all(&to).unwrap();
        }
        disk.set(Fault { files: OTHER, skip, ..Fault::every(Call::Write, Action::Fail, ENOSPC) });
        let (succeeded, said) = backup();
        assert!(disk.bitten(Call::Write) > 0, "nothing failed: {said}");
        assert!(!succeeded && said.contains("the backup failed: the disk of"), "{said}");
        assert!(!said.contains("by itself"), "{said}");
        assert_eq!(to.exists(), !is_new, "the folder is left as it was: {said}");
        assert!(is_new || std::fs::read_dir(&to).unwrap().next().is_none(), "a part is left");
        disk.clear();
    }
    assert_eq!(backup(), (true, String::new()));
    assert!(to.join("quintet.db").exists());
}
