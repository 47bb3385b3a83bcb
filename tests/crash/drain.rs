//! Rolling restarts: the service is drained under load, again and again. Every client is notified, runs end,
//! connections close with 1012, and nothing is lost or repeated (CONN-6).

use std::{path::Path, process::Command};

use rand::RngExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Client, Ended},
    crowd::{Crowd, Phase},
    ends::{audit, end, finish, verdict},
    http,
    moves::Told,
    process::{Addresses, Process, watched},
    stage::{Stage, setting},
    verdict::{Weather, judge},
    wish::{Expect, ExpectedCall, Wish},
    witness::{Book, Heard, Parting, SharedBook},
};

#[tokio::test]
async fn conn_6_rolling_restarts_under_load_lose_and_repeat_nothing() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let restarts = setting("QUINTET_CAMPAIGN_KILLS").map_or(8, |kills| kills.div_ceil(5));
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(6);
    let stage = Stage::new("rolling restarts");
    let folder = TempDir::new().unwrap();
    let crowd = Crowd::new(&stage, users as usize, Wish::brief);
    let storm = async {
        let mut rng = stage.rng(0);
        for _ in 0..restarts {
            let process = Process::start(watched(folder.path()), stage.lines());
            crowd.place.send_replace(Some(process.ready(&stage).await));
            stage.soon("load", crowd.hears(rng.random_range(1..600))).await;
            process.signal(Signal::TERM);
            let status = process.ended(&stage).await;
            crowd.place.send_replace(None);
            if status.code() != Some(0) {
                stage.found(format!("the service ended with {status} (CONN-6)"));
            }
            stage.look();
        }
        let process = Process::start(watched(folder.path()), stage.lines());
        crowd.place.send_replace(Some(process.ready(&stage).await));
        crowd.phase.send_replace(Phase::Finish);
        process
    };
    let process = finish(&stage, &crowd, storm).await;
    let ends = crowd.ends.borrow().clone();
    for ended in &ends {
        if let Ended::Broken { parting: Parting::Told | Parting::Untold } = ended {
            stage.found(format!("a connection broke that a drain had to close (CONN-6): {ended:?}"));
        }
    }
    end(&stage, &crowd, &process).await;
    let tally = verdict(&stage, &crowd, Weather { killed: false, hasty: false });
    audit(&stage, folder.path());

    let closed = |ended: &&Ended| matches!(ended, Ended::Closed { code: 1012, parting: Parting::Told });
    let closed = ends.iter().filter(closed).count();
    eprintln!("{restarts} restarts, {users} users, {closed} connections closed with 1012: {tally:?}");
    assert!(closed as u64 >= restarts, "a drain without connections shows nothing");
    assert!(tally.runs as u64 > restarts, "{tally:?}");
}

/// One user and one process, for one drain in detail.
struct Scene {
    stage: Stage,
    folder: TempDir,
    book: SharedBook,
}

impl Scene {
    fn new(what: &str) -> Self {
        let stage = Stage::new(what);
        let book = Book::new("ann", &stage, &Default::default());
        Self { stage, folder: TempDir::new().unwrap(), book }
    }

    async fn serve(&self) -> (Process, Addresses, Client) {
        self.serve_by(watched(self.folder.path())).await
    }

    async fn serve_by(&self, command: Command) -> (Process, Addresses, Client) {
        let process = Process::start(command, self.stage.lines());
        let to = process.ready(&self.stage).await;
        let client = self.open(to).await.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
        (process, to, client)
    }

    async fn open(&self, to: Addresses) -> Result<Client, Ended> {
        let head = self.book.borrow().head();
        Client::open(&self.stage, &self.book, to, head, &mut self.stage.rng(1)).await
    }

    /// Sends a script and reads until its run has reached `entry`.
    async fn send(&self, client: &mut Client, wish: Wish, entry: &str) {
        let frame = wish.frame();
        self.book.borrow_mut().sends(wish);
        client.send(&frame).await.unwrap();
        self.until(client, entry).await;
    }

    /// Reads until the log ends with an entry of this type.
    async fn until(&self, client: &mut Client, entry: &str) {
        let until = async {
            while self.last()["type"] != entry {
                client.hear().await.unwrap_or_else(|ended| self.stage.fail(&format!("{ended:?}")));
            }
        };
        self.stage.soon(entry, until).await;
    }

    fn last(&self) -> Value {
        self.book.borrow().log.last().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Reads until the connection ends.
    async fn ends(&self, client: &mut Client) -> Ended {
        let end = async {
            loop {
                if let Err(ended) = client.hear().await {
                    return ended;
                }
            }
        };
        self.stage.soon("the end of a connection", end).await
    }

    fn judged(&self, killed: bool) {
        judge(&self.book.borrow(), Weather { killed, hasty: false });
        self.stage.look();
        audit(&self.stage, self.folder.path());
    }
}

const TOLD: Ended = Ended::Closed { code: 1012, parting: Parting::Told };

fn script(message_id: &str, steps: Value, expect: Expect) -> Wish {
    Wish::script(message_id, &json!({"steps": steps}), expect)
}

fn succeeds() -> Expect {
    Expect { status: "succeeded", ..Expect::default() }
}

#[tokio::test]
async fn conn_6_drain_refuses_new_work_and_lets_runs_end() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("one drain");
    // The run holds the drain until the test cancels it, on a machine of any speed: the refusals come before
    // the close.
    let mut patient = watched(scene.folder.path());
    patient.args(["--set", "drain_wait_ms_max=600000"]);
    let (process, to, mut client) = scene.serve_by(patient).await;
    let slow = json!([{"think": "a"}, {"hang": true}]);
    let cancelled = Expect { status: "cancelled", ..Expect::default() };
    let slow = Wish { cancels: true, ..script("slow", slow, cancelled) };
    scene.send(&mut client, slow, "agent_thinking").await;
    assert_eq!(readiness(to).await, 200);

    process.signal(Signal::TERM);
    let stage = &scene.stage;
    stage.soon("draining", client.until(Heard::Draining)).await.unwrap();
    assert_eq!(readiness(to).await, 503);
    let new = script("new", json!([{"answer": "no"}]), succeeds());
    client.send(&new.frame()).await.unwrap();
    let refused = Heard::Error { code: "draining".to_owned() };
    stage.soon("a refusal", client.until(refused)).await.unwrap();
    // Known messages are not new (DEL-6).
    let again = scene.book.borrow_mut().sends_again("slow").unwrap();
    client.send(&again).await.unwrap();
    stage.soon("the same answer", client.until(Heard::Accepted)).await.unwrap();
    match scene.open(to).await {
        Err(Ended::Refused(503)) | Err(Ended::Broken { parting: Parting::Stranger }) => {}
        Ok(_) | Err(_) => stage.fail("a new connection during a drain"),
    }
    let cancels = Told::default().cancels(&mut scene.book.borrow_mut(), true, 1.0, &mut stage.rng(1));
    for frame in cancels {
        client.send(&frame).await.unwrap();
    }

    assert_eq!(scene.ends(&mut client).await, TOLD);
    assert_eq!(scene.last()["status"], "cancelled", "the run ended before the close");
    assert_eq!(process.ended(stage).await.code(), Some(0));
    scene.judged(false);
}

#[tokio::test]
async fn run_11_question_outlives_a_drain_and_a_kill() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("a question");
    let ask = json!([{"ask": {"call_id": "q1", "tool_name": "approve"}}, {"answer": "done"}]);
    let question = ExpectedCall { by: "client", tool_name: "approve".into(), status: "", results: None };
    let expect = Expect { calls: Some([("q1".to_owned(), question)].into()), ..succeeds() };

    let (process, _, mut client) = scene.serve().await;
    scene.send(&mut client, script("ask", ask, expect), "tool_executing").await;
    process.signal(Signal::TERM);
    assert_eq!(scene.ends(&mut client).await, TOLD);
    assert_eq!(process.ended(&scene.stage).await.code(), Some(0));

    let (process, _, _client) = scene.serve().await;
    process.kill(&scene.stage).await;

    let (process, _, mut client) = scene.serve().await;
    let run_id = scene.last()["run_id"].clone();
    let answer = json!({"type": "complete_call", "run_id": run_id, "call_id": "q1",
        "status": "ok", "results": {"approved": true}, "error": null});
    let call = (run_id.as_str().unwrap().to_owned(), "q1".to_owned());
    scene.book.borrow_mut().asks.entry(call).or_default().push(answer.clone());
    client.send(&answer).await.unwrap();
    scene.until(&mut client, "agent_completed").await;
    client.leave().await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&scene.stage).await.code(), Some(0));
    scene.judged(true);
}

#[tokio::test]
async fn conn_6_runs_that_outlast_the_drain_are_resumed_by_the_next_process() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("a drain that runs out of time");
    let (process, _, mut client) = scene.serve_by(impatient(scene.folder.path())).await;
    scene.send(&mut client, long_call(), "tool_executing").await;
    process.signal(Signal::TERM);
    assert_eq!(scene.ends(&mut client).await, TOLD);
    assert_eq!(process.ended(&scene.stage).await.code(), Some(0));
    taken_up(&scene).await;
}

#[tokio::test]
async fn second_signal_stops_at_once_and_loses_nothing() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scene = Scene::new("a second signal");
    let (process, _, mut client) = scene.serve().await;
    scene.send(&mut client, long_call(), "tool_executing").await;
    process.signal(Signal::TERM);
    scene.stage.soon("draining", client.until(Heard::Draining)).await.unwrap();
    process.signal(Signal::INT);
    let status = scene.stage.within("the end", SECOND_SIGNAL_MAX, process.ended(&scene.stage)).await;
    assert_eq!(status.code(), Some(1), "{status}");
    taken_up(&scene).await;
}

/// A service with very short time limits for runs.
fn impatient(folder: &Path) -> Command {
    let mut command = watched(folder);
    command.args(["--set", "drain_wait_ms_max=100"]);
    command
}

/// A call that outlasts every drain.
fn long_call() -> Wish {
    let call = json!({"call_id": "c1", "tool_name": "slow", "takes_ms": 600_000});
    let expected = ExpectedCall { by: "agent", tool_name: "slow".into(), status: "ok", results: None };
    let expect = Expect { calls: Some([("c1".to_owned(), expected)].into()), ..succeeds() };
    script("long", json!([{"tool": call}, {"answer": "done"}]), expect)
}

/// The next process closes the call as `unknown`, does not make it again, and the run goes on.
async fn taken_up(scene: &Scene) {
    let (process, _, mut client) = scene.serve().await;
    scene.until(&mut client, "agent_completed").await;
    client.leave().await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&scene.stage).await.code(), Some(0));
    let closed = |text: &str| text.contains("tool_completed") && text.contains("\"unknown\"");
    assert_eq!(scene.book.borrow().log.iter().filter(|text| closed(text)).count(), 1);
    scene.judged(true);
}

async fn readiness(to: Addresses) -> u16 {
    http::request(to.admin, "GET", "/readyz", None, None).await.unwrap().0
}

/// Time limit for the end of the process after a second signal: runs are dropped, not waited for.
const SECOND_SIGNAL_MAX: std::time::Duration = std::time::Duration::from_secs(10);
