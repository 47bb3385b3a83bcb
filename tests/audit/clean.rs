//! The audit accepts every log that the kernel writes.

use proptest::prelude::*;
use quintet::{
    audit::{AuditOptions, Report, audit},
    journal::{
        Journal, Retention,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::{
        entry::{
            Call, CallOwner, CallResult, CallStatus, RunError, RunErrorCode, RunStatus, Thought, ThoughtKind,
        },
        ids::{AgentName, CallId, Offset, Timestamp, ToolName},
        json::Json,
        limits::Limits,
        run::{EarlyEnd, Ending},
        user::{AgentStep, Command, NewMessage, OnBusy, Resumes, SendCommand, UserState},
    },
};
use tempfile::TempDir;

use crate::{
    cases::cases,
    support::{LogWriter, message, run, thread},
};

/// One move of an environment that does not know the rules.
#[derive(Clone, Debug)]
struct Move {
    user: usize,
    kind: u8,
    pick: u64,
    passed_ms: u64,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0..2usize, 0..14u8, any::<u64>(), 0..1000u64);
    prop::collection::vec(
        one.prop_map(|(user, kind, pick, passed_ms)| Move { user, kind, pick, passed_ms }),
        1..300,
    )
}

/// Turns a move into a command for this state.
fn command(state: &UserState, of: &Move, next: u64) -> Command {
    let runs: Vec<_> = state.open_runs().keys().copied().collect();
    let run_id = if runs.is_empty() { run(1) } else { runs[of.pick as usize % runs.len()] };
    let call_id = CallId::parse(&format!("c{}", of.pick / 7 % 3)).unwrap();
    let error = |code| RunError { code, message: "so".into() };
    let think = |kind, reset| {
        let thought = Thought { kind, delta: format!("d{}", of.pick % 10), reset };
        Command::Step { run_id, step: AgentStep::Think(thought) }
    };
    let open = |by| {
        let tool_name = ToolName::parse("tool").unwrap();
        let call = Call { call_id: call_id.clone(), tool_name, parameters: Json::empty_object(), by };
        Command::Step { run_id, step: AgentStep::Open(call) }
    };
    match of.kind {
        0..=2 => Command::Send(SendCommand {
            message: NewMessage {
                message_id: message(&format!("m{}", if of.pick.is_multiple_of(5) { next / 2 } else { next })),
                thread_id: thread(&format!("t{}", of.pick / 3 % 3)),
                text: "hello".into(),
                agent_name: None,
                on_busy: [OnBusy::Enqueue, OnBusy::Enqueue, OnBusy::Interrupt, OnBusy::Reject]
                    [of.pick as usize % 4],
                parent: of.pick.is_multiple_of(7).then_some(Offset::ZERO),
            },
            agent_name: AgentName::parse("assistant").unwrap(),
            run_id: run(1000 + next),
            earlier: None,
            differs: false,
            older_parent: None,
        }),
        3 => think(ThoughtKind::Reasoning, false),
        4 => think(ThoughtKind::Answer, of.pick.is_multiple_of(4)),
        5 => open(CallOwner::Agent),
        6 => open(CallOwner::Client),
        7 => {
            Command::Step { run_id, step: AgentStep::Close { call_id, result: CallResult::ok(Json::null()) } }
        }
        8 => Command::Answer { run_id, call_id, result: CallResult::error("no"), past: None },
        9 => Command::Step { run_id, step: AgentStep::Complete(Ending::Succeeded { usage: None }) },
        10 => Command::Cancel { run_id, ended: false },
        11 => Command::Cut { run_id, cut: EarlyEnd::TimedOut(error(RunErrorCode::RunTimeout)) },
        12 => Command::CloseCall { run_id, call_id, status: CallStatus::TimedOut },
        _ => {
            let resumes = Resumes { without_step: (of.pick % 3) as u32, total: 2 };
            Command::Resume { run_id, keep: vec![], resumes }
        }
    }
}

/// Lets the kernel decide, and appends what it decides.
async fn write(journal: &SqliteJournal, moves: &[Move]) -> u64 {
    // The reply to a message must be found again, at any age.
    let limits = Limits { recent_messages_max: 10_000, ..Limits::DEFAULT };
    let mut users = ["ann", "bob"].map(|name| (LogWriter::new(name), UserState::default()));
    let mut unfinished = 0;
    for (next, of) in moves.iter().enumerate() {
        let (log_writer, state) = &mut users[of.user];
        log_writer.now += of.passed_ms;
        let command = command(state, of, next as u64);
        let Ok(decision) = state.decide(command, &limits, Timestamp(log_writer.now)) else { continue };
        for entry in decision.entries {
            state.evolve(&entry, &limits).unwrap();
            log_writer.write(entry);
        }
        log_writer.append_to(journal).await;
    }
    for (_, state) in &users {
        unfinished += state.open_runs().len() as u64;
    }
    unfinished
}

fn clean(folder: &TempDir) -> Report {
    let report = audit(folder.path(), &AuditOptions::default()).unwrap();
    assert!(report.is_clean(), "{report}");
    report
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn audit_accepts_all_decisions_of_the_kernel_before_and_after_trimming(moves in moves(), keep in 0..200u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
            let unfinished = write(&journal, &moves).await;
            drop(journal);
            prop_assert_eq!(clean(&folder).unfinished_total, unfinished);

            let options = SqliteOptions { run_records_max: 5, ..SqliteOptions::default() };
            let journal = SqliteJournal::open(folder.path(), options).unwrap();
            let retention = Retention { age_ms_max: None, user_entries_max: Some(keep), ..Retention::default() };
            let trimmed = journal.trim(retention, Timestamp(0)).await.unwrap();
            drop(journal);
            let report = clean(&folder);
            prop_assert_eq!(report.trimmed, trimmed.entries);
            prop_assert_eq!(report.unfinished_total, unfinished, "no entry of an open run is trimmed (RUN-6)");
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn audit_of_a_killed_process_reads_its_write_ahead_log() {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    for number in 1..=10 {
        log_writer.whole_run(number, "t").append(&log).await;
    }
    // The files that a kill would leave: as they are now, with the write-ahead log beside the database.
    let left = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    let report = clean(&left);
    assert_eq!((report.users, report.entries, report.runs), (1, 50, 10));
}

/// A run that is cancelled while it waits starts and ends at once, before others that wait in front of it.
#[tokio::test]
async fn run_8_cancelled_waiting_run_is_clean_beside_a_run_with_a_trimmed_beginning() {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    log_writer.message(1, "t", "m1").started(1, "m1").think(1, "a").append(&log).await;
    log_writer.message(2, "t", "m2").message(3, "t", "m3").append(&log).await;
    log_writer.started(3, "m3").completed(3, RunStatus::Cancelled).append(&log).await;
    log_writer.think(1, "b").succeeded(1, "ab").append(&log).await;
    log_writer.started(2, "m2").completed(2, RunStatus::Cancelled).append(&log).await;
    let retention = Retention { age_ms_max: None, user_entries_max: Some(8), ..Retention::default() };
    assert_eq!(journal.trim(retention, Timestamp(0)).await.unwrap().entries, 3);
    drop((log, journal));
    assert_eq!(clean(&folder).entries, 8);
}

#[tokio::test]
async fn report_lists_unfinished_runs_and_is_valid_json() {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    log_writer.whole_run(1, "t").message(2, "t", "m2").started(2, "m2").think(2, "x");
    log_writer
        .open(2, "a", CallOwner::Agent)
        .open(2, "b", CallOwner::Client)
        .message(3, "t", "m3")
        .append(&log)
        .await;
    drop((log, journal));
    let report = clean(&folder);
    let found: Vec<_> = report
        .unfinished
        .iter()
        .map(|run| (run.accepted, run.started, run.open_calls, run.open_client_calls))
        .collect();
    assert_eq!(found, [(6, Some(7), 2, 1), (11, None, 0, 0)]);
    let text = report.to_string();
    assert!(text.contains("unfinished runs: 2") && text.contains("waiting for its turn"), "{text}");
    assert!(text.contains("violations: 0"), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
