//! Every limit of one user's machines: a value at the limit is accepted; a value over it is refused, with the
//! name of the limit. A step that exceeds one ends its run.

use quintet_kernel::{
    entry::{Body, Call, CallOwner, CallResult, CallStatus, Event, Thought, ThoughtKind},
    ids::Offset,
    json::Json,
    limits::Limits,
    run::PhaseName,
    user::{AgentStep, Command, NewMessage, OnBusy, Refusal, Reply, SendCommand, UserState},
};

use crate::make::{AT, agent_name, answer, call, call_id, message_id, run_id, succeed, thread_id};

fn send(id: u8, thread: u8, text: &str) -> Command {
    Command::Send(SendCommand {
        message: NewMessage {
            message_id: message_id(id),
            thread_id: thread_id(thread),
            text: text.into(),
            agent_name: None,
            on_busy: OnBusy::Enqueue,
            parent: None,
        },
        agent_name: agent_name(),
        run_id: run_id(id.into()),
        earlier: None,
        differs: false,
        older_parent: None,
    })
}

fn take(state: &mut UserState, command: Command, limits: &Limits) -> Result<Reply, Refusal> {
    let decision = state.decide(command, limits, AT)?;
    for entry in &decision.entries {
        state.evolve(entry, limits).unwrap();
    }
    Ok(decision.reply)
}

fn think(delta: &str) -> AgentStep {
    AgentStep::Think(answer(delta))
}

fn open(id: u8, parameters: &str) -> AgentStep {
    AgentStep::Open(Call { parameters: Json::parse(parameters).unwrap(), ..call(id, CallOwner::Agent) })
}

fn close(id: u8, result: CallResult) -> AgentStep {
    AgentStep::Close { call_id: call_id(id), result }
}

fn ok(results: &str) -> CallResult {
    CallResult::ok(Json::parse(results).unwrap())
}

#[test]
fn step_may_reach_each_limit_and_not_exceed_it() {
    let base = Limits::DEFAULT;
    let anew = |delta: &str| AgentStep::Think(Thought { reset: true, ..answer(delta) });
    let reason = AgentStep::Think(Thought { kind: ThoughtKind::Reasoning, ..answer("more than that") });
    let cases: Vec<(&str, Limits, Vec<AgentStep>, AgentStep)> = vec![
        ("delta_bytes_max", Limits { delta_bytes_max: 3, ..base }, vec![think("abc")], think("abcd")),
        (
            "answer_bytes_max",
            Limits { answer_bytes_max: 3, ..base },
            vec![think("ab"), think("c")],
            think("d"),
        ),
        (
            "answer_bytes_max",
            Limits { answer_bytes_max: 3, ..base },
            vec![think("ab"), anew("abc")],
            think("d"),
        ),
        ("answer_bytes_max", Limits { answer_bytes_max: 3, ..base }, vec![think("abc"), reason], think("d")),
        (
            "parameters_bytes_max",
            Limits { parameters_bytes_max: 3, ..base },
            vec![think("x"), open(1, "{ }")],
            open(2, "{  }"),
        ),
        (
            "open_calls_max",
            Limits { open_calls_max: 2, ..base },
            vec![think("x"), open(1, "{}"), open(2, "{}"), close(1, ok("1")), open(3, "{}")],
            open(4, "{}"),
        ),
        (
            "run_calls_max",
            Limits { run_calls_max: 2, ..base },
            vec![think("x"), open(1, "{}"), close(1, ok("1")), open(2, "{}"), close(2, ok("1"))],
            open(3, "{}"),
        ),
        (
            "results_bytes_max",
            Limits { results_bytes_max: 5, ..base },
            vec![
                think("x"),
                open(1, "{}"),
                open(2, "{}"),
                open(3, "{}"),
                close(1, ok("[1,2]")),
                close(2, CallResult::error("x")),
            ],
            close(3, CallResult::error("xy")),
        ),
        (
            // Steps that end something are accepted all the same.
            "run_events_max",
            Limits { run_events_max: 3, ..base },
            vec![think("x"), open(1, "{}"), close(1, ok("1"))],
            think("y"),
        ),
    ];
    for (limit, limits, taken, exceeding) in cases {
        let mut state = UserState::default();
        take(&mut state, send(1, 1, "hi"), &limits).unwrap();
        for step in taken {
            let shown = format!("{limit}: {step:?}");
            let step = Command::Step { run_id: run_id(1), step };
            assert_eq!(take(&mut state, step, &limits), Ok(Reply::Done), "{shown}");
        }
        let over = Command::Step { run_id: run_id(1), step: exceeding };
        assert_eq!(take(&mut state, over, &limits), Ok(Reply::LimitReached(limit)));
        assert!(state.open_runs().is_empty(), "{limit}: the run is over");
    }
}

#[test]
fn run_at_its_last_event_may_still_succeed() {
    let limits = Limits { run_events_max: 2, ..Limits::DEFAULT };
    let mut state = UserState::default();
    take(&mut state, send(1, 1, "hi"), &limits).unwrap();
    for step in [think("x"), AgentStep::Complete(succeed())] {
        let step = Command::Step { run_id: run_id(1), step };
        assert_eq!(take(&mut state, step, &limits), Ok(Reply::Done));
    }
}

#[test]
fn message_may_reach_each_limit_and_not_exceed_it() {
    let limits = Limits { text_bytes_max: 3, queued_messages_max: 1, open_runs_max: 3, ..Limits::DEFAULT };
    let mut state = UserState::default();
    let too_large = Err(Refusal::TooLarge { what: "text", bytes_max: 3 });
    assert_eq!(take(&mut state, send(1, 1, "abcd"), &limits), too_large);
    let mut accepted = |id, thread| {
        let reply = take(&mut state, send(id, thread, "abc"), &limits);
        reply.map(|reply| matches!(reply, Reply::Accepted { duplicate: false, .. }))
    };
    // One runs, one waits in the same thread; one runs in another.
    assert_eq!([accepted(1, 1), accepted(2, 1)], [Ok(true), Ok(true)]);
    assert_eq!(accepted(3, 1), Err(Refusal::LimitReached("queued_messages_max")));
    assert_eq!(accepted(4, 2), Ok(true));
    assert_eq!(accepted(5, 3), Err(Refusal::LimitReached("open_runs_max")));
}

#[test]
fn latest_messages_are_remembered_up_to_their_limit() {
    let limits = Limits { recent_messages_max: 2, ..Limits::DEFAULT };
    let mut state = UserState::default();
    for id in 1..=3 {
        take(&mut state, send(id, id, "hi"), &limits).unwrap();
    }
    assert_eq!([1, 2, 3].map(|id| state.recent(&message_id(id)).is_some()), [false, true, true]);
    // Each is a message and the start of its run.
    assert_eq!(state.head(), Offset(6));
}

#[test]
fn answer_of_a_client_may_reach_its_limit_and_not_exceed_it() {
    let limits = Limits { results_bytes_max: 5, ..Limits::DEFAULT };
    let mut state = UserState::default();
    take(&mut state, send(1, 1, "hi"), &limits).unwrap();
    for step in [think("x"), AgentStep::Open(call(1, CallOwner::Client))] {
        take(&mut state, Command::Step { run_id: run_id(1), step }, &limits).unwrap();
    }
    let answer = |result| Command::Answer { run_id: run_id(1), call_id: call_id(1), result, past: None };
    let too_large = Err::<Reply, _>(Refusal::TooLarge { what: "results", bytes_max: 5 });
    assert_eq!(take(&mut state, answer(ok("[1, 2]")), &limits), too_large);
    assert_eq!(take(&mut state, answer(CallResult::error("xy")), &limits), too_large);
    assert_eq!(take(&mut state, answer(CallResult::error("x")), &limits), Ok(Reply::Done));
}

#[test]
fn violation_names_the_step_and_its_phase() {
    let mut state = UserState::default();
    take(&mut state, send(1, 1, "hi"), &Limits::DEFAULT).unwrap();
    let step = Command::Step { run_id: run_id(1), step: open(1, "{}") };
    let decision = state.decide(step, &Limits::DEFAULT, AT).unwrap();
    let said = decision.entries.iter().find_map(|entry| match entry.body() {
        Some(Body::Event { event: Event::Completed(completed), .. }) => completed.error.as_ref(),
        _ => None,
    });
    assert!(said.unwrap().message.starts_with("Open in phase Started: "), "{said:?}");
    assert_eq!(PhaseName::ExecutingTools.to_string(), "ExecutingTools");
}

#[test]
fn call_that_is_cut_off_has_a_reason() {
    let because = |status| {
        let mut state = UserState::default();
        let limits = Limits::DEFAULT;
        take(&mut state, send(1, 1, "hi"), &limits).unwrap();
        for step in [think("x"), open(1, "{}")] {
            take(&mut state, Command::Step { run_id: run_id(1), step }, &limits).unwrap();
        }
        let close = Command::CloseCall { run_id: run_id(1), call_id: call_id(1), status };
        let decision = state.decide(close, &limits, AT).unwrap();
        decision.entries.into_iter().find_map(|entry| match entry.into_run()?.body {
            Body::Event { event: Event::ToolCompleted { result, .. }, .. } => result.error,
            _ => None,
        })
    };
    let [late, cancelled, lost] =
        [CallStatus::TimedOut, CallStatus::Cancelled, CallStatus::Unknown].map(because);
    assert!(late != cancelled && cancelled != lost && lost != late, "{late:?} {cancelled:?} {lost:?}");
    assert!(late.is_some_and(|text| text.contains("time")));
}
