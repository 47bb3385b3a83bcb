//! RUN-6: processes that die while they resume a run. A process here is a runtime of its own over a journal
//! that stays, so that its death stops all of it at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quintet::{
    agent::host::{Assignment, RunEnded},
    journal::{
        Journal,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Body, CallOwner, CallResult, Event, RunEntry, RunErrorCode, ThoughtKind},
        json::Json,
        limits::Limits,
    },
    user::limits::UserLimits,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, timeout},
};

use crate::manual_agents::*;

struct Process {
    node: Node,
    /// Agents at work, by message.
    agents: BTreeMap<String, Assignment>,
    runtime: Runtime,
}

impl Process {
    fn start(journal: &Arc<MemoryJournal>) -> Self {
        Self::with(journal, UserLimits::DEFAULT)
    }

    fn with(journal: &Arc<MemoryJournal>, limits: UserLimits) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let node = runtime.block_on(async {
            let node = Node::with(journal, limits, true);
            node.factory.recover().await.unwrap();
            node
        });
        let mut process = Self { node, agents: BTreeMap::new(), runtime };
        process.take_launched();
        process
    }

    fn take_launched(&mut self) {
        while let Ok(agent) = self.node.stage.try_recv() {
            self.agents.insert(agent.message_id.to_string(), agent);
        }
    }

    /// Lets time pass, which starts trials.
    fn pass(&mut self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
        self.take_launched();
    }

    /// The messages of the runs that have an agent, in order of their names.
    fn at_work(&self) -> Vec<&str> {
        self.agents.keys().map(String::as_str).collect()
    }

    fn send(&mut self, user: &str, message_id: &str) {
        let user = self.node.user(user);
        // A thread for each message: they run side by side.
        self.runtime.block_on(user.send(message(message_id, message_id))).unwrap();
        self.take_launched();
    }

    fn step(&mut self, message_id: &str) {
        let handle = self.agents[message_id].handle.clone();
        self.runtime.block_on(handle.take(thought(ThoughtKind::Reasoning, "x"))).unwrap();
    }

    fn finish(&mut self, message_id: &str) {
        let agent = self.agents.remove(message_id).unwrap();
        self.runtime.block_on(answer(&agent.handle, "done"));
    }

    fn log(&self, user: &str) -> Vec<RunEntry> {
        let user = self.node.user(user);
        self.runtime.block_on(log(&user))
    }

    /// As `kill -9`: no destructor reaches the hub.
    fn die(self) {
        self.runtime.shutdown_background();
    }

    /// As after a drain that did not wait for its runs.
    fn stop_in_order(self, journal: &MemoryJournal) {
        journal.release_resumes(self.node.factory.incarnation());
        self.die();
    }

    /// The error code of the run of this message, if it has ended with one.
    fn error(&self, user: &str, message_id: &str) -> Option<RunErrorCode> {
        let log = self.log(user);
        let sent = |entry: &&RunEntry| matches!(&entry.body, Body::UserMessage { message_id: id, .. } if id.as_str() == message_id);
        let run_id = log.iter().find(sent).unwrap().run_id;
        log.iter().filter(|entry| entry.run_id == run_id).find_map(|entry| match &entry.body {
            Body::Event { event: Event::Completed(end), .. } => end.error.as_ref().map(|error| error.code),
            _ => None,
        })
    }
}

/// Enough for a process to resume the runs without suspicion, not enough for a trial.
const BEFORE_TRIALS: Duration = Duration::from_millis(400);
/// Enough for the first trial to begin, not enough for it to time out.
const FIRST_TRIAL: Duration = Duration::from_millis(200);

fn journal() -> Arc<MemoryJournal> {
    Arc::new(MemoryJournal::default())
}

/// A journal on which one process accepted these messages of `ann`, launched an agent for each, and died.
fn left_open(messages: &[&str]) -> Arc<MemoryJournal> {
    let journal = journal();
    let mut process = Process::start(&journal);
    for message_id in messages {
        process.send("ann", message_id);
    }
    process.die();
    journal
}

#[test]
fn run_6_run_that_no_process_survives_fails_after_two_resumes() {
    let journal = left_open(&["poison"]);
    let first = Process::start(&journal);
    assert_eq!(first.at_work(), ["poison"], "resumed at once");
    first.die();

    let mut second = Process::start(&journal);
    assert_eq!(second.at_work(), [""; 0], "suspected: it waits for its trial");
    second.pass(BEFORE_TRIALS + FIRST_TRIAL);
    assert_eq!(second.at_work(), ["poison"]);
    second.die();

    let mut third = Process::start(&journal);
    assert_eq!(third.error("ann", "poison"), Some(RunErrorCode::ResumeLimit));
    third.pass(Duration::from_secs(600));
    assert_eq!(third.at_work(), [""; 0]);
    third.send("ann", "next");
    third.finish("next");
}

#[test]
fn run_6_runs_beside_one_that_no_process_survives_continue() {
    let journal = left_open(&["a", "b", "poison", "y", "z"]);
    let mut lives = 0;
    // Every process dies as soon as the run has an agent; the others make no step meanwhile.
    let last = loop {
        lives += 1;
        assert!(lives < 5, "no crash loop");
        let mut process = Process::start(&journal);
        let dies = |process: &Process| process.agents.contains_key("poison");
        for _moment in 0..1_000 {
            if !dies(&process) && process.agents.len() < 4 {
                process.pass(Duration::from_millis(50));
            }
        }
        if !dies(&process) {
            break process;
        }
        process.die();
    };
    assert_eq!(lives, 3);
    let mut last = last;
    assert_eq!(last.error("ann", "poison"), Some(RunErrorCode::ResumeLimit));
    for message_id in ["a", "b", "y", "z"] {
        last.finish(message_id);
        assert_eq!(last.error("ann", message_id), None);
    }
}

#[test]
fn run_6_run_that_kills_each_process_late_fails_alone_while_others_make_no_step() {
    let journal = left_open(&["a", "poison", "z"]);
    let mut lives = 0;
    let last = loop {
        lives += 1;
        assert!(lives < 5, "no crash loop");
        let mut process = Process::start(&journal);
        // The process dies three seconds after the launch.
        let mut left_ms = 3_000;
        for _moment in 0..500 {
            if left_ms > 0 && process.error("ann", "poison").is_none() {
                process.pass(Duration::from_millis(50));
                left_ms -= if process.agents.contains_key("poison") { 50 } else { 0 };
            }
        }
        if left_ms > 0 {
            break process;
        }
        process.die();
    };
    assert_eq!(lives, 3);
    let mut last = last;
    assert_eq!(last.error("ann", "poison"), Some(RunErrorCode::ResumeLimit));
    last.pass(Duration::from_secs(20));
    assert_eq!(last.at_work(), ["a", "z"]);
}

#[test]
fn run_6_suspected_run_without_a_step_delays_the_others_for_a_limited_time() {
    let journal = left_open(&["a", "b", "c"]);
    Process::start(&journal).die();
    let mut process = Process::start(&journal);
    process.pass(Duration::from_secs(15));
    assert_eq!(process.at_work().len(), 2);
    process.pass(Duration::from_secs(10));
    assert_eq!(process.at_work().len(), 3);
}

/// A process that dies in a trial counts against one run, of any user: trials of users do not overlap.
#[test]
fn run_6_one_run_of_all_users_has_a_trial_at_a_time() {
    let journal = journal();
    let mut process = Process::start(&journal);
    process.send("ann", "a");
    process.send("ben", "b");
    process.die();
    Process::start(&journal).die();
    let mut process = Process::start(&journal);
    process.pass(BEFORE_TRIALS + FIRST_TRIAL);
    assert_eq!(process.at_work().len(), 1);
    let first = process.at_work()[0].to_owned();
    process.step(&first);
    process.pass(FIRST_TRIAL);
    assert_eq!(process.at_work(), ["a", "b"], "a step ends the trial, and the next one begins");
}

#[test]
fn run_6_step_of_the_agent_resets_the_count() {
    let journal = left_open(&["m"]);
    for _life in 0..8 {
        let mut process = Process::start(&journal);
        process.pass(BEFORE_TRIALS + FIRST_TRIAL);
        process.step("m");
        process.die();
    }
    let mut process = Process::start(&journal);
    assert_eq!(process.at_work(), ["m"]);
    process.finish("m");
    assert_eq!(process.error("ann", "m"), None);
}

#[test]
fn run_6_run_that_steps_and_kills_each_process_fails_in_the_end() {
    let journal = left_open(&["m"]);
    let total = Limits::DEFAULT.run_resumes_total_max;
    for _life in 0..total {
        let mut process = Process::start(&journal);
        assert_eq!(process.at_work(), ["m"]);
        process.step("m");
        process.die();
    }
    let process = Process::start(&journal);
    assert_eq!(process.error("ann", "m"), Some(RunErrorCode::ResumeLimit));
}

#[test]
fn run_6_process_that_stops_in_order_does_not_count() {
    let journal = left_open(&["m"]);
    for _life in 0..8 {
        let process = Process::start(&journal);
        assert_eq!(process.at_work(), ["m"], "and it is not suspected");
        process.stop_in_order(&journal);
    }
    let process = Process::start(&journal);
    assert_eq!(process.error("ann", "m"), None);
}

#[test]
fn run_6_unavailable_journal_does_not_count() {
    let journal = left_open(&["m"]);
    let mut process = Process::start(&journal);
    for _outage in 0..8 {
        let agent = process.agents.remove("m").unwrap();
        process.runtime.block_on(async {
            journal.set_down(true);
            assert_eq!(
                agent.handle.take(thought(ThoughtKind::Reasoning, "x")).await,
                Err(RunEnded::Unavailable)
            );
            journal.set_down(false);
        });
        process.pass(Duration::from_secs(10));
        assert_eq!(process.at_work(), ["m"], "resumed at once, without a trial");
    }
    process.die();
    let process = Process::start(&journal);
    assert_eq!(process.error("ann", "m"), None);
    assert_eq!(process.at_work(), [""; 0], "one process died, and it counts once");
}

#[test]
fn run_6_no_agent_is_launched_before_its_resume_is_durable() {
    for fault in [AppendFault::Lost, AppendFault::Applied] {
        let journal = left_open(&["m"]);
        journal.fail_next_append(fault);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut node = Node::new(&journal);
        runtime.block_on(async {
            let began = Instant::now();
            // The outcome of the recovery is unknown; the hub reads the log back and tries again.
            let _ = node.factory.recover().await;
            assert!(node.stage.try_recv().is_err(), "{fault:?}: nothing durable is known");
            timeout(Duration::from_secs(2), node.launched()).await.expect("resumed when the journal is back");
            assert!(began.elapsed() > Duration::ZERO);
        });
        runtime.shutdown_background();
        let process = Process::start(&journal);
        assert_eq!(process.at_work(), [""; 0], "{fault:?}: it counts, once");
    }
}

#[test]
fn run_11_run_that_waits_for_its_client_outlives_any_number_of_crashes() {
    let journal = journal();
    let mut process = Process::start(&journal);
    process.send("ann", "m");
    process.step("m");
    let handle = process.agents["m"].handle.clone();
    process.runtime.block_on(handle.take(open("q", "ask", CallOwner::Client))).unwrap();
    std::mem::forget(handle);
    process.die();
    let wait = |process: &mut Process| {
        process.pass(BEFORE_TRIALS + FIRST_TRIAL);
        let handle = process.agents["m"].handle.clone();
        // The agent has reached its question, and waits.
        let waits = async { timeout(Duration::from_millis(10), handle.closed(&call("q"))).await };
        assert!(process.runtime.block_on(waits).is_err());
    };
    for _life in 0..8 {
        let mut process = Process::start(&journal);
        wait(&mut process);
        process.die();
    }
    let mut process = Process::start(&journal);
    process.pass(BEFORE_TRIALS + FIRST_TRIAL);
    let ann = process.node.user("ann");
    let run_id = process.agents["m"].run_id;
    process.runtime.block_on(ann.answer(run_id, call("q"), CallResult::ok(Json::null()))).unwrap();
    process.finish("m");
    assert_eq!(process.error("ann", "m"), None);
}

#[test]
fn run_6_client_answer_is_not_a_step_of_the_agent() {
    let journal = journal();
    let mut process = Process::start(&journal);
    process.send("ann", "m");
    process.step("m");
    let handle = process.agents["m"].handle.clone();
    for call_id in ["q1", "q2", "q3"] {
        process.runtime.block_on(handle.take(open(call_id, "ask", CallOwner::Client))).unwrap();
    }
    std::mem::forget(handle);
    process.die();
    for call_id in ["q1", "q2"] {
        let mut process = Process::start(&journal);
        process.pass(BEFORE_TRIALS + FIRST_TRIAL);
        let (ann, run_id) = (process.node.user("ann"), process.agents["m"].run_id);
        process.runtime.block_on(ann.answer(run_id, call(call_id), CallResult::ok(Json::null()))).unwrap();
        process.die();
    }
    let process = Process::start(&journal);
    assert_eq!(process.error("ann", "m"), Some(RunErrorCode::ResumeLimit));
}

#[test]
fn run_that_waits_for_its_trial_can_be_answered_and_cancelled() {
    let journal = journal();
    let mut process = Process::start(&journal);
    for message_id in ["a", "b", "c"] {
        process.send("ann", message_id);
        process.step(message_id);
        let handle = process.agents[message_id].handle.clone();
        process.runtime.block_on(handle.take(open("q", "ask", CallOwner::Client))).unwrap();
        std::mem::forget(handle);
    }
    process.die();
    let mut process = Process::start(&journal);
    let runs: Vec<_> = process.agents.values().map(|agent| agent.run_id).collect();
    process.pass(BEFORE_TRIALS);
    process.die();

    let mut process = Process::start(&journal);
    assert_eq!(process.at_work(), [""; 0]);
    let ann = process.node.user("ann");
    process.runtime.block_on(async {
        ann.answer(runs[0], call("q"), CallResult::ok(Json::parse("7").unwrap())).await.unwrap();
        ann.cancel(runs[1]).await.unwrap();
    });
    process.pass(Duration::from_secs(60));
    assert_eq!(process.at_work(), ["a", "c"]);
    let past = words(&process.agents["a"].past);
    assert_eq!(past.last().unwrap(), "completed:q:Ok", "its agent gets the entries added meanwhile");
    process.finish("a");
}

#[test]
fn iso_5_machines_go_when_the_last_suspected_run_has_ended() {
    let journal = left_open(&["a", "b"]);
    Process::start(&journal).die();
    let mut process = Process::start(&journal);
    for message_id in ["a", "b"] {
        process.pass(Duration::from_secs(2));
        process.finish(message_id);
    }
    process.pass(Duration::from_secs(1));
    assert_eq!(process.node.factory.live_users(), 0);
    assert!(process.runtime.block_on(journal.unfinished()).unwrap().is_empty());
}

#[test]
fn conn_6_no_trial_begins_in_a_drain() {
    let journal = left_open(&["a"]);
    Process::start(&journal).die();
    let mut process = Process::start(&journal);
    process.node.factory.drain();
    process.runtime.block_on(process.node.factory.quiesced());
    process.pass(Duration::from_secs(60));
    assert_eq!(process.at_work(), [""; 0], "the next process resumes it");
}
