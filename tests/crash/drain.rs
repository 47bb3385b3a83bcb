//! Rolling restarts: the service is drained under load, again and again. Every client is notified, runs end,
//! connections close with 1012, and nothing is lost or repeated (CONN-6).

use std::{path::Path, process::Command};

use rand::RngExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Client, Ended},
    context::{CampaignContext, setting},
    crowd::{CampaignPhase, Crowd},
    ends::{audit, end, finish, verdict},
    http,
    ledger::{FrameSeen, Ledger, Parting, SharedLedger},
    moves::ReportedOnce,
    planned_message::{Expect, ExpectedCall, PlannedMessage},
    process::{Addresses, Process, watched},
    verdict::{CampaignFaults, judge},
};

#[tokio::test]
async fn conn_6_rolling_restarts_under_load_lose_and_repeat_nothing() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let restarts = setting("QUINTET_CAMPAIGN_KILLS").map_or(8, |kills| kills.div_ceil(5));
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(6);
    let context = CampaignContext::new("rolling restarts");
    let folder = TempDir::new().unwrap();
    let crowd = Crowd::new(&context, users as usize, PlannedMessage::brief);
    let storm = async {
        let mut rng = context.rng(0);
        for _ in 0..restarts {
            let process = Process::start(watched(folder.path()), context.lines());
            crowd.place.send_replace(Some(process.ready(&context).await));
            context.soon("load", crowd.receives(rng.random_range(1..600))).await;
            process.signal(Signal::TERM);
            let status = process.ended(&context).await;
            crowd.place.send_replace(None);
            if status.code() != Some(0) {
                context.found(format!("the service ended with {status} (CONN-6)"));
            }
            context.look();
        }
        let process = Process::start(watched(folder.path()), context.lines());
        crowd.place.send_replace(Some(process.ready(&context).await));
        crowd.phase.send_replace(CampaignPhase::Finish);
        process
    };
    let process = finish(&context, &crowd, storm).await;
    let ends = crowd.ends.borrow().clone();
    for ended in &ends {
        if let Ended::Broken { parting: Parting::Told | Parting::Untold } = ended {
            context.found(format!("a connection broke that a drain had to close (CONN-6): {ended:?}"));
        }
    }
    end(&context, &crowd, &process).await;
    let tally = verdict(&context, &crowd, CampaignFaults { killed: false, hasty: false });
    audit(&context, folder.path());

    let closed = |ended: &&Ended| matches!(ended, Ended::Closed { code: 1012, parting: Parting::Told });
    let closed = ends.iter().filter(closed).count();
    eprintln!("{restarts} restarts, {users} users, {closed} connections closed with 1012: {tally:?}");
    assert!(closed as u64 >= restarts, "a drain without connections shows nothing");
    assert!(tally.runs as u64 > restarts, "{tally:?}");
}

/// One user and one process, for one drain in detail.
struct Scenario {
    context: CampaignContext,
    folder: TempDir,
    ledger: SharedLedger,
}

impl Scenario {
    fn new(what: &str) -> Self {
        let context = CampaignContext::new(what);
        let ledger = Ledger::new("ann", &context, &Default::default());
        Self { context, folder: TempDir::new().unwrap(), ledger }
    }

    async fn serve(&self) -> (Process, Addresses, Client) {
        self.serve_by(watched(self.folder.path())).await
    }

    async fn serve_by(&self, command: Command) -> (Process, Addresses, Client) {
        let process = Process::start(command, self.context.lines());
        let to = process.ready(&self.context).await;
        let client = self.open(to).await.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
        (process, to, client)
    }

    async fn open(&self, to: Addresses) -> Result<Client, Ended> {
        let head = self.ledger.borrow().head();
        Client::open(&self.context, &self.ledger, to, head, &mut self.context.rng(1)).await
    }

    /// Sends a script and reads until its run has reached `entry`.
    async fn send(&self, client: &mut Client, planned: PlannedMessage, entry: &str) {
        let frame = planned.frame();
        self.ledger.borrow_mut().sends(planned);
        client.send(&frame).await.unwrap();
        self.until(client, entry).await;
    }

    /// Reads until the log ends with an entry of this type.
    async fn until(&self, client: &mut Client, entry: &str) {
        let until = async {
            while self.last()["type"] != entry {
                client.receive().await.unwrap_or_else(|ended| self.context.fail(&format!("{ended:?}")));
            }
        };
        self.context.soon(entry, until).await;
    }

    fn last(&self) -> Value {
        self.ledger.borrow().log.last().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Reads until the connection ends.
    async fn ends(&self, client: &mut Client) -> Ended {
        let end = async {
            loop {
                if let Err(ended) = client.receive().await {
                    return ended;
                }
            }
        };
        self.context.soon("the end of a connection", end).await
    }

    fn judged(&self, killed: bool) {
        judge(&self.ledger.borrow(), CampaignFaults { killed, hasty: false });
        self.context.look();
        audit(&self.context, self.folder.path());
    }
}

const TOLD: Ended = Ended::Closed { code: 1012, parting: Parting::Told };

fn script(message_id: &str, steps: Value, expect: Expect) -> PlannedMessage {
    PlannedMessage::script(message_id, &json!({"steps": steps}), expect)
}

fn succeeds() -> Expect {
    Expect { status: "succeeded", ..Expect::default() }
}

#[tokio::test]
async fn conn_6_drain_refuses_new_work_and_lets_runs_end() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("one drain");
    // The run holds the drain until the test cancels it, on a machine of any speed: the refusals come before
    // the close.
    let mut patient = watched(scenario.folder.path());
    patient.args(["--set", "drain_timeout_ms=600000"]);
    let (process, to, mut client) = scenario.serve_by(patient).await;
    let slow = json!([{"think": "a"}, {"hang": true}]);
    let cancelled = Expect { status: "cancelled", ..Expect::default() };
    let slow = PlannedMessage { cancels: true, ..script("slow", slow, cancelled) };
    scenario.send(&mut client, slow, "agent_thinking").await;
    assert_eq!(readiness(to).await, 200);

    process.signal(Signal::TERM);
    let context = &scenario.context;
    context.soon("draining", client.until(FrameSeen::Draining)).await.unwrap();
    assert_eq!(readiness(to).await, 503);
    let new = script("new", json!([{"answer": "no"}]), succeeds());
    client.send(&new.frame()).await.unwrap();
    let refused = FrameSeen::Error { code: "draining".to_owned() };
    context.soon("a refusal", client.until(refused)).await.unwrap();
    // Known messages are not new (DEL-6).
    let again = scenario.ledger.borrow_mut().sends_again("slow").unwrap();
    client.send(&again).await.unwrap();
    context.soon("the same answer", client.until(FrameSeen::Accepted)).await.unwrap();
    match scenario.open(to).await {
        Err(Ended::Refused(503)) | Err(Ended::Broken { parting: Parting::Stranger }) => {}
        Ok(_) | Err(_) => context.fail("a new connection during a drain"),
    }
    let cancels =
        ReportedOnce::default().cancels(&mut scenario.ledger.borrow_mut(), true, 1.0, &mut context.rng(1));
    for frame in cancels {
        client.send(&frame).await.unwrap();
    }

    assert_eq!(scenario.ends(&mut client).await, TOLD);
    assert_eq!(scenario.last()["status"], "cancelled", "the run ended before the close");
    assert_eq!(process.ended(context).await.code(), Some(0));
    scenario.judged(false);
}

#[tokio::test]
async fn run_11_question_outlives_a_drain_and_a_kill() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("a question");
    let ask = json!([{"ask": {"call_id": "q1", "tool_name": "approve"}}, {"answer": "done"}]);
    let question = ExpectedCall { by: "client", tool_name: "approve".into(), status: "", results: None };
    let expect = Expect { calls: Some([("q1".to_owned(), question)].into()), ..succeeds() };

    let (process, _, mut client) = scenario.serve().await;
    scenario.send(&mut client, script("ask", ask, expect), "tool_executing").await;
    process.signal(Signal::TERM);
    assert_eq!(scenario.ends(&mut client).await, TOLD);
    assert_eq!(process.ended(&scenario.context).await.code(), Some(0));

    let (process, _, _client) = scenario.serve().await;
    process.kill(&scenario.context).await;

    let (process, _, mut client) = scenario.serve().await;
    let run_id = scenario.last()["run_id"].clone();
    let answer = json!({"type": "complete_call", "run_id": run_id, "call_id": "q1",
        "status": "ok", "results": {"approved": true}, "error": null});
    let call = (run_id.as_str().unwrap().to_owned(), "q1".to_owned());
    scenario.ledger.borrow_mut().asks.entry(call).or_default().push(answer.clone());
    client.send(&answer).await.unwrap();
    scenario.until(&mut client, "agent_completed").await;
    client.leave().await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&scenario.context).await.code(), Some(0));
    scenario.judged(true);
}

#[tokio::test]
async fn conn_6_runs_that_outlast_the_drain_are_resumed_by_the_next_process() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("a drain that runs out of time");
    let (process, _, mut client) = scenario.serve_by(impatient(scenario.folder.path())).await;
    scenario.send(&mut client, long_call(), "tool_executing").await;
    process.signal(Signal::TERM);
    assert_eq!(scenario.ends(&mut client).await, TOLD);
    assert_eq!(process.ended(&scenario.context).await.code(), Some(0));
    assert_resumed(&scenario).await;
}

#[tokio::test]
async fn second_signal_stops_at_once_and_loses_nothing() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let scenario = Scenario::new("a second signal");
    let (process, _, mut client) = scenario.serve().await;
    scenario.send(&mut client, long_call(), "tool_executing").await;
    process.signal(Signal::TERM);
    scenario.context.soon("draining", client.until(FrameSeen::Draining)).await.unwrap();
    process.signal(Signal::INT);
    let status =
        scenario.context.within("the end", SECOND_SIGNAL_MAX, process.ended(&scenario.context)).await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert_resumed(&scenario).await;
}

/// A service with very short time limits for runs.
fn impatient(folder: &Path) -> Command {
    let mut command = watched(folder);
    command.args(["--set", "drain_timeout_ms=100"]);
    command
}

/// A call that outlasts every drain.
fn long_call() -> PlannedMessage {
    let call = json!({"call_id": "c1", "tool_name": "slow", "takes_ms": 600_000});
    let expected = ExpectedCall { by: "agent", tool_name: "slow".into(), status: "ok", results: None };
    let expect = Expect { calls: Some([("c1".to_owned(), expected)].into()), ..succeeds() };
    script("long", json!([{"tool": call}, {"answer": "done"}]), expect)
}

/// The next process closes the call as `unknown`, does not make it again, and the run goes on.
async fn assert_resumed(scenario: &Scenario) {
    let (process, _, mut client) = scenario.serve().await;
    scenario.until(&mut client, "agent_completed").await;
    client.leave().await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&scenario.context).await.code(), Some(0));
    let closed = |text: &str| text.contains("tool_completed") && text.contains("\"unknown\"");
    assert_eq!(scenario.ledger.borrow().log.iter().filter(|text| closed(text)).count(), 1);
    scenario.judged(true);
}

async fn readiness(to: Addresses) -> u16 {
    http::request(to.admin, "GET", "/readyz", None, None).await.unwrap().0
}

/// Time limit for the end of the process after a second signal: runs are dropped, not waited for.
const SECOND_SIGNAL_MAX: std::time::Duration = std::time::Duration::from_secs(10);
