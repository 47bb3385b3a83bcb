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
    control::{Action, Call, LOG, OTHER},
    disk::{ALL, EACCES, EIO, ENOSPC, EROFS, Fault, FaultyDisk},
    http,
    moves::Told,
    process::{Addresses, Process},
    stage::Stage,
    verdict::{Weather, judge},
    wish::{Expect, Wish},
    witness::{Book, Heard, SharedBook},
};

/// Two users on a disk with faults that a test sets.
pub struct Scene {
    pub stage: Stage,
    pub disk: FaultyDisk,
    pub process: Process,
    pub to: Addresses,
    pub ann: SharedBook,
    pub bob: SharedBook,
}

impl Scene {
    /// Starts the service; both users have completed a run.
    pub async fn new(what: &str) -> (Self, Client, Client) {
        let stage = Stage::new(what).with_faults();
        let disk = FaultyDisk::new(stage.seed);
        let process = Process::start(disk.dev(), stage.lines());
        let to = process.ready(&stage).await;
        let book = |user| Book::new(user, &stage, &Default::default());
        let (ann, bob) = (book("ann"), book("bob"));
        let scene = Self { disk, process, to, ann, bob, stage };
        let (mut of_ann, mut of_bob) = (scene.open(&scene.ann).await, scene.open(&scene.bob).await);
        scene.run(&scene.ann, &mut of_ann).await;
        scene.run(&scene.bob, &mut of_bob).await;
        (scene, of_ann, of_bob)
    }

    /// Kills the process if it still runs, and starts it again.
    pub async fn again(&mut self) {
        self.process.kill(&self.stage).await;
        self.start().await;
    }

    pub async fn start(&mut self) {
        self.process = Process::start(self.disk.dev(), self.stage.lines());
        self.to = self.process.ready(&self.stage).await;
    }

    pub async fn open(&self, book: &SharedBook) -> Client {
        let head = book.borrow().head();
        let opened = Client::open(&self.stage, book, self.to, head, &mut self.stage.rng(1)).await;
        let mut client = opened.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
        self.until(&mut client, Heard::CaughtUp).await;
        client
    }

    pub async fn until(&self, client: &mut Client, wanted: Heard) {
        let heard = self.stage.soon(&format!("{wanted:?}"), client.until(wanted)).await;
        heard.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
        self.stage.look();
    }

    /// Sends a new message without waiting for the reply.
    pub async fn send(&self, book: &SharedBook, client: &mut Client) -> String {
        let message_id = format!("m-{}", book.borrow().messages.len());
        let script =
            json!({"steps": [{"think": "a"}, {"tool": {"call_id": "c", "tool_name": "t"}}, {"answer": "b"}]});
        let expect = Expect { status: "succeeded", answer: Some("b".into()), ..Expect::default() };
        let wish = Wish::script(&message_id, &script, expect);
        let frame = wish.frame();
        book.borrow_mut().sends(wish);
        client.send(&frame).await.unwrap();
        message_id
    }

    /// Sends a message, and reads its run to the end.
    pub async fn run(&self, book: &SharedBook, client: &mut Client) {
        self.send(book, client).await;
        self.finish(book, client).await;
    }

    /// A run of ann's that writes 60,000 bytes so many times.
    pub async fn run_long(&self, message_id: &str, thoughts: u64, client: &mut Client) {
        let wish = Wish::long(message_id, thoughts, 60_000);
        let frame = wish.frame();
        self.ann.borrow_mut().sends(wish);
        client.send(&frame).await.unwrap();
        self.finish(&self.ann, client).await;
    }

    /// Sends messages without a reply again, and reads until nothing is open.
    pub async fn finish(&self, book: &SharedBook, client: &mut Client) {
        self.send_again(book, client).await;
        let over = async {
            while book.borrow().open() > 0 {
                match client.hear().await {
                    // The log is read back after a fault; then its content is known.
                    Ok(heard) if heard == refused() => self.send_again(book, client).await,
                    Ok(_) => {}
                    Err(ended) => self.stage.fail(&format!("{ended:?}")),
                }
            }
        };
        self.stage.soon("the end of all runs", over).await;
        self.stage.look();
    }

    async fn send_again(&self, book: &SharedBook, client: &mut Client) {
        let unanswered: Vec<_> = book.borrow().unanswered.iter().cloned().collect();
        for message_id in unanswered {
            let frame = book.borrow_mut().sends_again(&message_id).unwrap();
            client.send(&frame).await.unwrap();
        }
    }

    pub async fn is_ready(&self) -> bool {
        let asked = http::request(self.to.admin, "GET", "/readyz", None, None);
        self.stage.soon("readiness", asked).await.unwrap().0 == 200
    }

    /// Sends a GET request as this user.
    pub async fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let token = http::login(self.to.listen, user).await.unwrap();
        let asked = http::request(self.to.listen, "GET", path, Some(&token), None);
        let (status, body) = self.stage.soon(path, asked).await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Checks that the connection is alive.
    pub async fn ping(&self, client: &mut Client) {
        client.send(&json!({"type": "ping"})).await.unwrap();
        self.until(client, Heard::Other).await;
    }

    /// Reads both logs from the beginning, ends the service in order, and judges all of it.
    pub async fn end(self) {
        for book in [&self.ann, &self.bob] {
            let opened = Client::open(&self.stage, book, self.to, 0, &mut self.stage.rng(2)).await;
            let mut client = opened.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
            self.until(&mut client, Heard::CaughtUp).await;
            client.leave().await;
        }
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.ended(&self.stage).await.code(), Some(0));
        for book in [&self.ann, &self.bob] {
            judge(&book.borrow(), Weather { killed: true, hasty: false });
        }
        self.stage.look();
        match quintet::audit::audit(&self.disk.folder(), &AuditOptions::default()) {
            Ok(report) if report.is_clean() && report.unfinished_total == 0 => {}
            Ok(report) => self.stage.fail(&format!("the auditor found something:\n{report}")),
            Err(error) => self.stage.fail(&format!("there was no audit: {error}")),
        }
    }
}

fn refused() -> Heard {
    Heard::Error { code: "unavailable".into() }
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
        let (scene, mut ann, mut bob) = Scene::new(name).await;
        let head = scene.bob.borrow().head();
        faults.iter().for_each(|fault| scene.disk.set(*fault));

        scene.send(&scene.ann, &mut ann).await;
        scene.until(&mut ann, refused()).await;
        assert!(faults.iter().any(|fault| scene.disk.bitten(fault.call) > 0), "{name}: nothing failed");
        assert!(!scene.is_ready().await, "{name}");
        // And once more, for any number of sendings.
        let again = scene.ann.borrow_mut().sends_again("m-1").unwrap();
        ann.send(&again).await.unwrap();
        scene.until(&mut ann, refused()).await;
        // The connections are alive, the other user is served: all stored entries, and a new connection.
        scene.ping(&mut ann).await;
        scene.ping(&mut bob).await;
        let (status, page) = scene.get("bob", "/v1/entries").await;
        assert_eq!((status, page["head"].as_u64()), (200, Some(head)), "{name}: {page}");
        let mut second =
            Client::open(&scene.stage, &scene.bob, scene.to, 0, &mut scene.stage.rng(3)).await.unwrap();
        scene.until(&mut second, Heard::CaughtUp).await;
        second.leave().await;

        scene.disk.clear();
        assert!(scene.is_ready().await, "{name}: it recovers by itself");
        scene.finish(&scene.ann, &mut ann).await;
        scene.run(&scene.bob, &mut bob).await;
        scene.end().await;
    }
}

/// The sync of a commit fails once, and its transaction is in the log after all, once that is written again.
/// Replies to the user between the fault and that moment must not rest on a log without it.
#[tokio::test]
async fn run_6_commit_that_appears_after_a_failed_sync_is_accepted_with_its_run() {
    let (mut scene, mut ann, mut bob) = Scene::new("one sync").await;
    scene.disk.set(Fault { times: 1, files: LOG, ..Fault::every(Call::Sync, Action::Fail, EIO) });
    scene.send(&scene.ann, &mut ann).await;
    scene.until(&mut ann, refused()).await;
    assert_eq!(scene.disk.bitten(Call::Sync), 1);
    // The log of ann is read back for this, before the writer has done anything else.
    let unknown = "/v1/runs/01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081/cancel";
    let token = http::login(scene.to.listen, "ann").await.unwrap();
    let asked = http::request(scene.to.listen, "POST", unknown, Some(&token), None);
    assert_eq!(scene.stage.soon("the reply to a cancel", asked).await.unwrap().0, 404);
    // The writer goes on, for another user.
    scene.run(&scene.bob, &mut bob).await;
    scene.finish(&scene.ann, &mut ann).await;
    // Accepted messages are on the disk, not only in the memory of the kernel (DEL-5).
    scene.process.kill(&scene.stage).await;
    scene.disk.lose_power();
    scene.start().await;
    scene.end().await;
}

#[tokio::test]
async fn short_writes_are_continued() {
    let (scene, mut ann, _bob) = Scene::new("short writes").await;
    scene.disk.set(Fault::every(Call::Write, Action::Short, 0));
    scene.run(&scene.ann, &mut ann).await;
    assert!(scene.disk.bitten(Call::Write) > 0);
    assert!(scene.is_ready().await);
    scene.disk.clear();
    scene.end().await;
}

#[tokio::test]
async fn del_7_disk_without_reads_is_an_error_for_readers() {
    let (mut scene, _, _) = Scene::new("no read").await;
    // A new process has nothing of the journal in memory yet.
    scene.again().await;
    let mut ann = scene.open(&scene.ann).await;
    scene.disk.set(Fault::every(Call::Read, Action::Fail, EIO));
    let (status, problem) = scene.get("bob", "/v1/entries").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("unavailable")), "{problem}");
    assert!(scene.disk.bitten(Call::Read) > 0);
    assert!(!scene.is_ready().await);
    scene.ping(&mut ann).await;

    scene.disk.clear();
    assert!(scene.is_ready().await, "it recovers by itself");
    scene.run(&scene.ann, &mut ann).await;
    let mut bob = scene.open(&scene.bob).await;
    scene.run(&scene.bob, &mut bob).await;
    scene.end().await;
}

#[tokio::test]
async fn del_7_flipped_bit_is_an_error_and_never_an_entry() {
    let (mut scene, mut ann, _) = Scene::new("flipped bits").await;
    // Enough to fill pages: a flip in unused space changes nothing.
    let long = Wish::long("long", 300, 400);
    scene.ann.borrow_mut().sends(long);
    scene.finish(&scene.ann, &mut ann).await;
    let path = "/v1/entries?limit=1000";
    let (_, sound) = scene.get("ann", path).await;
    let (mut refused, mut served) = (0, 0);
    for _ in 0..3 {
        // A process keeps what it has read correctly, and does not read it again.
        scene.again().await;
        scene.disk.set(Fault::every(Call::Read, Action::Flip, 0));
        for _ in 0..10 {
            match scene.get("ann", path).await {
                // An index page has no checksum: what it hides is missing until it is read again.
                (200, page) if entries(&page).all(|entry| entries(&sound).any(|known| known == entry)) => {
                    served += 1;
                }
                (503, problem) if problem["code"] == "unavailable" => refused += 1,
                other => scene.stage.fail(&format!("{other:?}")),
            }
        }
        scene.disk.clear();
        assert!(scene.is_ready().await, "it recovers by itself");
    }
    assert!(refused > 10, "{served} times right, with {} bits flipped", scene.disk.bitten(Call::Read));
    let mut ann = scene.open(&scene.ann).await;
    scene.run(&scene.ann, &mut ann).await;
    scene.end().await;
}

fn entries(page: &Value) -> impl Iterator<Item = &Value> {
    page["entries"].as_array().into_iter().flatten()
}

#[tokio::test]
async fn damaged_page_is_reported_at_the_start_and_by_the_audit_and_affects_one_user() {
    let (mut scene, _, mut of_bob) = Scene::new("a damaged page").await;
    // The run with the damaged page is open, so that a start has to read it.
    let question = json!({"steps": [{"think": "hm"}, {"ask": {"call_id": "asked", "tool_name": "approve"}}]});
    let wish = Wish::script("open", &question, Expect { status: "succeeded", ..Expect::default() });
    let frame = wish.frame();
    scene.bob.borrow_mut().sends(wish);
    of_bob.send(&frame).await.unwrap();
    while scene.bob.borrow().waiting.is_empty() {
        scene.until(&mut of_bob, Heard::Entry).await;
    }
    scene.process.signal(Signal::TERM);
    assert_eq!(scene.process.ended(&scene.stage).await.code(), Some(0));
    let path = scene.disk.folder().join("quintet.db");
    let sound = std::fs::read(&path).unwrap();
    let needle = br#""call_id":"asked""#;
    let at = sound.windows(needle.len()).position(|bytes| bytes == needle).unwrap() + needle.len() - 2;
    let mut damaged = sound.clone();
    damaged[at] ^= 1;
    std::fs::write(&path, &damaged).unwrap();

    let refused = Process::start(scene.disk.dev(), scene.stage.lines());
    assert!(!refused.becomes_ready(&scene.stage).await);
    assert_eq!(refused.ended(&scene.stage).await.code(), Some(1));
    assert!(scene.stage.was_said("quintet audit") && scene.stage.was_said("is damaged"));
    let mut audit = std::process::Command::new(env!("CARGO_BIN_EXE_quintet"));
    let audit = audit.args(["audit", "--data-dir"]).arg(scene.disk.folder()).output().unwrap();
    let report = String::from_utf8(audit.stdout).unwrap();
    assert!(audit.status.code() == Some(1) && report.contains("bob") && !report.contains("ann"), "{report}");

    // The service can continue before the backup is restored: for all users but the one whose entry it is.
    let mut unchecked = scene.disk.dev();
    unchecked.args(["--set", "check_bytes_max=0"]);
    scene.process = Process::start(unchecked, scene.stage.lines());
    scene.to = scene.process.ready(&scene.stage).await;
    assert!(scene.stage.was_said("the runs of a user are not resumed"));
    assert_eq!(scene.get("bob", "/v1/entries").await.0, 503);
    let mut ann = scene.open(&scene.ann).await;
    scene.run(&scene.ann, &mut ann).await;
    scene.process.signal(Signal::TERM);
    assert_eq!(scene.process.ended(&scene.stage).await.code(), Some(0));

    // The original bytes restore it.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    scene.start().await;
    let mut bob = scene.open(&scene.bob).await;
    let mut told = Told::default();
    let answers = told.answers(&mut scene.bob.borrow_mut(), true, &mut scene.stage.rng(4));
    for frame in answers {
        bob.send(&frame).await.unwrap();
    }
    scene.finish(&scene.bob, &mut bob).await;
    scene.end().await;
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
