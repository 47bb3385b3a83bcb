//! The user machine rule by rule, in readable examples.

use quintet_kernel::{
    entry::{Body, CallOwner, CallResult, CallStatus, Entry, Event, RunEntry, RunErrorCode, RunStatus},
    ids::{Offset, RunId, Seq},
    json::Json,
    limits::Limits,
    run::{Breach, EarlyEnd, Run},
    user::{
        AgentStep, Command, InvalidEntry, NewMessage, OnBusy, PastCall, Progress, Receipt, Refusal, Reply,
        Resumes, SendCommand, TakenMessage, UserState,
    },
};

use crate::make::{
    AT, agent_name, answer, call, call_id, error, failed, message_id, run_id, succeed, thread_id,
};

#[derive(Default)]
struct Desk {
    state: UserState,
    log: Vec<RunEntry>,
}

impl Desk {
    fn take(&mut self, command: Command) -> Result<Reply, Refusal> {
        let decision = self.state.decide(command, &Limits::DEFAULT, AT)?;
        for entry in decision.entries {
            self.state.evolve(&entry, &Limits::DEFAULT).unwrap();
            self.log.push(entry.into_run().unwrap());
        }
        Ok(decision.reply)
    }

    /// Sends message `id` to thread 1; its run, if it is new, is `id` too.
    fn send(&mut self, id: u8, on_busy: OnBusy) -> Result<Reply, Refusal> {
        self.take(Command::Send(SendCommand {
            message: NewMessage {
                message_id: message_id(id),
                thread_id: thread_id(1),
                text: "hi".into(),
                agent_name: None,
                on_busy,
                parent: None,
            },
            agent_name: agent_name(),
            run_id: run_id(id.into()),
            earlier: None,
            differs: false,
            older_parent: None,
        }))
    }

    fn step(&mut self, id: u8, step: AgentStep) -> Result<Reply, Refusal> {
        self.take(Command::Step { run_id: run_id(id.into()), step })
    }

    fn think(&mut self, id: u8) {
        assert_eq!(self.step(id, AgentStep::Think(answer("x"))), Ok(Reply::Done));
    }

    fn open(&mut self, id: u8, call_number: u8, by: CallOwner) {
        assert_eq!(self.step(id, AgentStep::Open(call(call_number, by))), Ok(Reply::Done));
    }

    fn answer(&mut self, id: u8, call: u8, past: Option<PastCall>) -> Result<Reply, Refusal> {
        let result = CallResult::ok(Json::null());
        self.take(Command::Answer { run_id: run_id(id.into()), call_id: call_id(call), result, past })
    }

    fn resume(&mut self, id: u8, keep: Vec<u8>, resumes: Resumes) -> Result<Reply, Refusal> {
        let keep = keep.into_iter().map(call_id).collect();
        self.take(Command::Resume { run_id: run_id(id.into()), keep, resumes })
    }

    /// The log after its first `skip` entries, each as run and event.
    fn told(&self, skip: usize) -> Vec<(RunId, String)> {
        self.log[skip..].iter().map(|entry| (entry.run_id, label(&entry.body))).collect()
    }
}

fn label(body: &Body) -> String {
    match body {
        Body::UserMessage { .. } => "message".into(),
        Body::Event { event, .. } => match event {
            Event::Started { .. } => "started".into(),
            Event::Thinking(_) => "thinking".into(),
            Event::ToolExecuting(call) => format!("{} executing", call.call_id),
            Event::ToolCompleted { call_id, result, .. } => format!("{call_id} {:?}", result.status),
            Event::Completed(completion) => format!("{:?}", completion.status),
        },
    }
}

fn words<const N: usize>(words: [(u8, &str); N]) -> Vec<(RunId, String)> {
    words.map(|(id, word)| (run_id(id.into()), word.to_owned())).to_vec()
}

#[test]
fn run_8_enqueue_waits_and_starts_with_the_end_of_the_one_before() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.send(2, OnBusy::Enqueue).unwrap();
    assert_eq!(desk.told(0), words([(1, "message"), (1, "started"), (2, "message")]));
    desk.think(1);
    let decision = desk.state.decide(
        Command::Step { run_id: run_id(1), step: AgentStep::Complete(succeed()) },
        &Limits::DEFAULT,
        AT,
    );
    let together: Vec<_> =
        decision.unwrap().entries.iter().filter_map(Entry::run).map(|e| (e.run_id, label(&e.body))).collect();
    assert_eq!(together, words([(1, "Succeeded"), (2, "started")]), "in one decision");
}

#[test]
fn run_12_active_run_takes_the_messages_that_steer_and_others_run_in_their_turn() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Steer).unwrap();
    desk.think(1);
    for (id, on_busy) in [(2, OnBusy::Steer), (3, OnBusy::Enqueue), (4, OnBusy::Steer)] {
        desk.send(id, on_busy).unwrap();
    }
    let skip = desk.log.len();
    let taken = |id: u8, offset| TakenMessage { message_id: message_id(id), offset: Offset(offset) };
    let expected = Reply::Taken(vec![taken(2, 4), taken(4, 6)]);
    assert_eq!(desk.take(Command::TakeMessages { run_id: run_id(1) }), Ok(expected));
    let told = [(2, "started"), (2, "Merged"), (4, "started"), (4, "Merged")];
    assert_eq!(desk.told(skip), words(told));
    let into = |entry: &RunEntry| match &entry.body {
        Body::Event { event: Event::Completed(completion), .. } => completion.merged_into,
        _ => None,
    };
    assert_eq!(desk.log.iter().filter_map(into).collect::<Vec<_>>(), [run_id(1), run_id(1)]);
    // Once: a second take finds none, and the message is the same message as before (DEL-6).
    assert_eq!(desk.take(Command::TakeMessages { run_id: run_id(1) }), Ok(Reply::Taken(vec![])));
    assert!(matches!(desk.send(2, OnBusy::Steer), Ok(Reply::Accepted { duplicate: true, .. })));
    let skip = desk.log.len();
    desk.step(1, AgentStep::Complete(succeed())).unwrap();
    assert_eq!(desk.told(skip), words([(1, "Succeeded"), (3, "started")]));
    assert_eq!(desk.take(Command::TakeMessages { run_id: run_id(1) }), Err(Refusal::RunEnded));
}

#[test]
fn run_12_message_that_is_not_taken_runs_in_its_turn_and_ends_with_an_interrupt() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.send(2, OnBusy::Steer).unwrap();
    assert_eq!(desk.take(Command::TakeMessages { run_id: run_id(2) }), Err(Refusal::RunEnded), "it waits");
    let skip = desk.log.len();
    desk.take(Command::Cancel { run_id: run_id(1), ended: false }).unwrap();
    assert_eq!(desk.told(skip), words([(1, "Cancelled"), (2, "started")]));
    desk.send(3, OnBusy::Steer).unwrap();
    let skip = desk.log.len();
    desk.send(4, OnBusy::Interrupt).unwrap();
    let cancelled = [(2, "Cancelled"), (3, "started"), (3, "Cancelled"), (4, "message"), (4, "started")];
    assert_eq!(desk.told(skip), words(cancelled));
}

#[test]
fn run_12_log_with_a_merge_that_cannot_be_is_refused() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.send(2, OnBusy::Enqueue).unwrap();
    desk.send(3, OnBusy::Steer).unwrap();
    let limits = &Limits::DEFAULT;
    let merge = |desk: &Desk, id: u8, into: u8| {
        let mut state = desk.state.clone();
        let template = desk.log.last().unwrap();
        let event = |state: &UserState, seq, event| RunEntry {
            offset: state.head().next(),
            run_id: run_id(id.into()),
            body: Body::Event { seq: Seq(seq), event },
            ..template.clone()
        };
        let started = event(&state, 1, Event::Started { message_id: message_id(id) });
        state.evolve(&started.into(), limits).unwrap();
        let (_, merged) = Run::start(message_id(id), AT).0.merge(run_id(into.into()), AT);
        let merged = event(&state, 2, merged);
        let evolved = state.clone().evolve(&merged.into(), limits);
        evolved.map_err(|misfit| matches!(misfit, InvalidEntry::NotTaken { .. }))
    };
    assert_eq!(merge(&desk, 3, 1), Ok(()));
    assert_eq!(merge(&desk, 2, 1), Err(true), "the message does not steer");
    assert_eq!(merge(&desk, 3, 2), Err(true), "that run waits");
    assert_eq!(merge(&desk, 3, 3), Err(true), "itself");
    assert_eq!(merge(&desk, 3, 9), Err(true), "no run");
}

#[test]
fn run_8_reject_refuses_only_while_the_thread_is_busy() {
    let mut desk = Desk::default();
    assert!(desk.send(1, OnBusy::Reject).is_ok());
    assert_eq!(desk.send(2, OnBusy::Reject), Err(Refusal::ThreadBusy));
    desk.take(Command::Cancel { run_id: run_id(1), ended: false }).unwrap();
    assert!(desk.send(2, OnBusy::Reject).is_ok());
}

#[test]
fn run_8_interrupt_ends_active_and_queued_runs_then_starts() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 7, CallOwner::Agent);
    desk.send(2, OnBusy::Enqueue).unwrap();
    let skip = desk.log.len();
    desk.send(3, OnBusy::Interrupt).unwrap();
    let told = [
        (1, "c7 Cancelled"),
        (1, "Cancelled"),
        (2, "started"),
        (2, "Cancelled"),
        (3, "message"),
        (3, "started"),
    ];
    assert_eq!(desk.told(skip), words(told), "RUN-7: open calls first");
}

#[test]
fn run_8_cancelled_queued_run_is_never_active() {
    let mut desk = Desk::default();
    for id in [1, 2, 3] {
        desk.send(id, OnBusy::Enqueue).unwrap();
    }
    let skip = desk.log.len();
    desk.take(Command::Cancel { run_id: run_id(2), ended: false }).unwrap();
    assert_eq!(desk.told(skip), words([(2, "started"), (2, "Cancelled")]));
    let skip = desk.log.len();
    desk.take(Command::Cancel { run_id: run_id(1), ended: false }).unwrap();
    assert_eq!(desk.told(skip), words([(1, "Cancelled"), (3, "started")]), "the ended run is skipped");
}

#[test]
fn del_6_same_message_gets_the_same_reply() {
    let mut desk = Desk::default();
    let Ok(Reply::Accepted { receipt, duplicate: false }) = desk.send(1, OnBusy::Enqueue) else { panic!() };
    let again = Reply::Accepted { receipt, duplicate: true };
    assert_eq!(desk.send(1, OnBusy::Reject), Ok(again.clone()), "busy or not");
    desk.take(Command::Cancel { run_id: run_id(1), ended: false }).unwrap();
    assert_eq!(desk.send(1, OnBusy::Interrupt), Ok(again), "open or over");
    assert_eq!(desk.log.len(), 3);
}

/// A message to thread `thread` under `parent`; `older`: the journal's answer.
fn under(id: u8, thread: u8, parent: Option<u64>, older: Option<u64>) -> Command {
    Command::Send(SendCommand {
        message: NewMessage {
            message_id: message_id(id),
            thread_id: thread_id(thread),
            text: "hi".into(),
            agent_name: None,
            on_busy: OnBusy::Enqueue,
            parent: parent.map(Offset),
        },
        agent_name: agent_name(),
        run_id: run_id(id.into()),
        earlier: None,
        differs: false,
        older_parent: older.map(Offset),
    })
}

fn parents(log: &[RunEntry]) -> Vec<(u64, Option<u64>)> {
    let parent = |entry: &RunEntry| match &entry.body {
        Body::UserMessage { parent, .. } => Some((entry.offset.0, parent.map(|parent| parent.0))),
        Body::Event { .. } => None,
    };
    log.iter().filter_map(parent).collect()
}

#[test]
fn message_follows_the_latest_of_its_thread_or_the_named_one() {
    let mut desk = Desk::default();
    desk.take(under(1, 1, None, None)).unwrap();
    desk.take(under(2, 2, None, None)).unwrap();
    desk.take(under(3, 1, None, None)).unwrap();
    desk.take(under(4, 1, Some(1), None)).unwrap();
    desk.take(under(5, 1, None, None)).unwrap();
    desk.take(under(6, 1, Some(0), None)).unwrap();
    let expected = [(1, 0), (3, 0), (5, 1), (6, 1), (7, 6), (8, 0)];
    assert_eq!(parents(&desk.log), expected.map(|(offset, parent)| (offset, Some(parent))));
}

#[test]
fn iso_3_parent_that_is_no_message_of_the_thread_is_not_found_and_changes_nothing() {
    let mut desk = Desk::default();
    desk.take(under(1, 1, None, None)).unwrap();
    desk.take(under(2, 2, None, None)).unwrap();
    let before = desk.state.clone();
    for parent in [2, 3, 4, 5, 99] {
        assert_eq!(desk.take(under(9, 1, Some(parent), None)), Err(Refusal::NotFound), "{parent}");
    }
    assert_eq!(desk.state, before);
}

#[test]
fn parent_dropped_from_memory_is_found_in_the_journal() {
    let decide = |command| {
        let decision = UserState::default().decide(command, &Limits::DEFAULT, AT)?;
        let entries: Vec<_> = decision.entries.into_iter().filter_map(Entry::into_run).collect();
        Ok(parents(&entries)[0].1)
    };
    assert_eq!(decide(under(1, 1, None, Some(7))), Ok(Some(7)), "the latest of the thread");
    assert_eq!(decide(under(1, 1, None, None)), Ok(Some(0)), "the first of the thread");
    assert_eq!(decide(under(1, 1, Some(7), Some(7))), Ok(Some(7)));
    assert_eq!(decide(under(1, 1, Some(7), None)), Err(Refusal::NotFound));
    assert_eq!(decide(under(1, 1, Some(7), Some(8))), Err(Refusal::NotFound));
}

#[test]
fn del_6_message_dropped_from_memory_is_found_in_the_journal() {
    let limits = Limits { recent_messages_max: 1, ..Limits::DEFAULT };
    let receipt = Receipt { run_id: run_id(50), offset: quintet_kernel::ids::Offset(3) };
    let send = Command::Send(SendCommand {
        message: NewMessage {
            message_id: message_id(1),
            thread_id: thread_id(1),
            text: "hi".into(),
            agent_name: None,
            on_busy: OnBusy::Enqueue,
            parent: None,
        },
        agent_name: agent_name(),
        run_id: run_id(51),
        earlier: Some(receipt),
        differs: false,
        older_parent: None,
    });
    let decision = UserState::default().decide(send, &limits, AT).unwrap();
    assert_eq!((decision.entries, decision.reply), (vec![], Reply::Accepted { receipt, duplicate: true }));
}

#[test]
fn del_6_used_id_with_other_content_is_refused_and_changes_nothing() {
    let mut desk = Desk::default();
    let fresh = |id: u8, earlier| SendCommand {
        message: NewMessage {
            message_id: message_id(id),
            thread_id: thread_id(1),
            text: "other".into(),
            agent_name: None,
            on_busy: OnBusy::Interrupt,
            parent: None,
        },
        agent_name: agent_name(),
        run_id: run_id(9),
        earlier,
        differs: true,
        older_parent: None,
    };
    desk.send(1, OnBusy::Enqueue).unwrap();
    let before = desk.state.clone();
    assert_eq!(desk.take(Command::Send(fresh(1, None))), Err(Refusal::MessageIdReused), "recent");
    let receipt = Receipt { run_id: run_id(50), offset: quintet_kernel::ids::Offset(3) };
    assert_eq!(
        desk.take(Command::Send(fresh(2, Some(receipt)))),
        Err(Refusal::MessageIdReused),
        "in the journal"
    );
    assert_eq!(desk.state, before);
    let new = desk.take(Command::Send(fresh(3, None)));
    assert!(
        matches!(new, Ok(Reply::Accepted { duplicate: false, .. })),
        "without an earlier message: {new:?}"
    );
}

#[test]
fn run_10_illegal_step_fails_its_run_and_names_the_violation() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    assert_eq!(
        desk.step(1, AgentStep::Open(call(1, CallOwner::Agent))),
        Ok(Reply::Violated(Breach::NothingThought))
    );
    let Some(RunEntry { body: Body::Event { event: Event::Completed(completion), .. }, .. }) =
        desk.log.last()
    else {
        panic!("the run has not ended")
    };
    assert_eq!(completion.status, RunStatus::Failed);
    assert_eq!(completion.error.as_ref().unwrap().code, RunErrorCode::Violation);
    assert!(!desk.told(0).iter().any(|(_, word)| word.contains("executing")), "the step reached no reader");
    assert_eq!(desk.step(1, AgentStep::Think(answer("x"))), Err(Refusal::RunEnded));
}

#[test]
fn run_11_only_the_first_answer_of_the_owner_counts() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    assert_eq!(desk.answer(1, 1, None), Err(Refusal::NotFound), "not opened yet");
    desk.think(1);
    desk.open(1, 1, CallOwner::Client);
    desk.open(1, 2, CallOwner::Agent);
    assert_eq!(desk.answer(1, 2, None), Err(Refusal::NotFound), "the agent's call is not the client's");
    assert_eq!(desk.answer(2, 1, None), Err(Refusal::NotFound), "no such run");
    assert_eq!(desk.answer(1, 1, None), Ok(Reply::Done));
    let head = desk.log.len();
    assert_eq!(desk.answer(1, 1, Some(PastCall::OfClient)), Err(Refusal::CallClosed), "a second answer");
    assert_eq!(desk.answer(1, 9, Some(PastCall::NotOfClient)), Err(Refusal::NotFound));
    assert_eq!(desk.log.len(), head);
}

#[test]
fn run_11_agent_cannot_close_a_question() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 1, CallOwner::Client);
    let close = AgentStep::Close { call_id: call_id(1), result: CallResult::ok(Json::null()) };
    assert_eq!(desk.step(1, close), Ok(Reply::Violated(Breach::CallOfAnother)));
}

#[test]
fn run_9_resumed_run_closes_open_calls_except_questions_and_idempotent_ones() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 1, CallOwner::Agent);
    desk.open(1, 2, CallOwner::Client);
    desk.open(1, 3, CallOwner::Agent);
    let skip = desk.log.len();
    desk.resume(1, vec![3], Resumes::default()).unwrap();
    assert_eq!(desk.told(skip), words([(1, "c1 Unknown")]));
    assert_eq!(desk.answer(1, 2, None), Ok(Reply::Done), "the question is still answerable");
}

#[test]
fn run_6_run_resumed_too_often_fails_with_its_calls_closed_and_the_next_in_line_starts() {
    let below = Resumes { without_step: 1, total: 31 };
    let cases = [
        (Resumes { without_step: 2, ..below }, "run_resumes_max"),
        (Resumes { without_step: 0, total: 32 }, "run_resumes_total_max"),
        (Resumes { without_step: u32::MAX, total: u32::MAX }, "run_resumes_max"),
    ];
    for (resumes, limit) in cases {
        let mut desk = Desk::default();
        desk.send(1, OnBusy::Enqueue).unwrap();
        desk.send(2, OnBusy::Enqueue).unwrap();
        desk.think(1);
        desk.open(1, 1, CallOwner::Client);
        desk.open(1, 2, CallOwner::Agent);
        desk.open(1, 3, CallOwner::Agent);
        let skip = desk.log.len();
        assert_eq!(desk.resume(1, vec![3], below), Ok(Reply::Done));
        assert_eq!(desk.told(skip), words([(1, "c2 Unknown")]));
        let skip = desk.log.len();
        assert_eq!(desk.resume(1, vec![3], resumes), Ok(Reply::ResumeLimit(limit)));
        // RUN-7, RUN-9: the effect of the agent's call is unknown; the question is cancelled.
        let expected = [(1, "c3 Unknown"), (1, "c1 Cancelled"), (1, "Failed"), (2, "started")];
        assert_eq!(desk.told(skip), words(expected), "{limit}");
        let Body::Event { event: Event::Completed(end), .. } = &desk.log[skip + 2].body else { panic!() };
        let error = end.error.as_ref().unwrap();
        assert_eq!(error.code, RunErrorCode::ResumeLimit);
        assert!(error.message.contains(limit), "{}", error.message);
        assert_eq!(desk.resume(1, vec![], Resumes::default()), Err(Refusal::RunEnded));
    }
}

#[test]
fn run_7_deadline_closes_open_calls_before_it_ends_the_run() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 1, CallOwner::Agent);
    desk.open(1, 2, CallOwner::Client);
    let skip = desk.log.len();
    let cut = EarlyEnd::TimedOut(error(RunErrorCode::RunTimeout));
    desk.take(Command::Cut { run_id: run_id(1), cut: cut.clone() }).unwrap();
    assert_eq!(desk.told(skip), words([(1, "c1 TimedOut"), (1, "c2 TimedOut"), (1, "TimedOut")]));
    assert_eq!(desk.take(Command::Cut { run_id: run_id(1), cut }), Err(Refusal::RunEnded));
}

#[test]
fn one_call_may_time_out_alone() {
    let mut desk = Desk::default();
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 1, CallOwner::Client);
    let close =
        || Command::CloseCall { run_id: run_id(1), call_id: call_id(1), status: CallStatus::TimedOut };
    assert_eq!(desk.take(close()), Ok(Reply::Done));
    assert_eq!(desk.take(close()), Err(Refusal::CallClosed));
    assert!(matches!(desk.state.open_runs()[&run_id(1)].progress, Progress::Begun(_)), "the run goes on");
}

#[test]
fn step_over_a_limit_ends_its_run_and_no_other() {
    let mut desk = Desk::default();
    let limits = Limits { open_calls_max: 1, ..Limits::DEFAULT };
    desk.send(1, OnBusy::Enqueue).unwrap();
    desk.think(1);
    desk.open(1, 1, CallOwner::Agent);
    let step = AgentStep::Open(call(2, CallOwner::Agent));
    let decision = desk.state.decide(Command::Step { run_id: run_id(1), step }, &limits, AT).unwrap();
    assert_eq!(decision.reply, Reply::LimitReached("open_calls_max"));
    let told: Vec<_> = decision.entries.iter().filter_map(Entry::body).map(label).collect();
    assert_eq!(told, ["c1 Cancelled", "Failed"]);
    assert_eq!(desk.take(Command::Cut { run_id: run_id(2), cut: failed() }), Err(Refusal::RunEnded));
}
