//! Any text as a rehearsal script, played to its end by the real agent on a user's real machines, with a
//! paused clock.
//!
//! The run of any text ends in exactly one `agent_completed`, its events in a legal order (RUN-1 … RUN-6,
//! RUN-10), and as the script requires, which is derived here from its steps alone.

use std::sync::Arc;

use quintet::{
    agent::{
        Executor,
        rehearsal::{
            Rehearsal,
            script::{CALLS_MAX, EVENTS_MAX, STEPS_MAX, Script, ScriptStep},
        },
    },
    journal::{ReadLimit, memory::MemoryJournal},
    kernel::{
        entry::{Body, CallOwner, CallResult, Completion, Event, RunErrorCode, RunStatus, ThoughtKind},
        ids::{AgentName, MessageId, Offset, ThreadId, UserId},
        json::Json,
        user::{NewMessage, OnBusy},
    },
    service::built_in,
    user::{factory::Factory, limits::UserLimits},
    wire,
};

use super::kernel::oracle::{Letter, breaches};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let script = Script::parse(text);
    match &script {
        Ok(script) => {
            let events: u64 = script.steps.iter().map(weight).sum();
            let calls: usize = script.steps.iter().map(calls).sum();
            assert!(script.steps.len() <= STEPS_MAX && events <= EVENTS_MAX && calls <= CALLS_MAX);
            if events > PLAYED_EVENTS_MAX {
                return;
            }
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
    if text.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(play(text, script.ok()));
}

/// Events of a script that is played here; longer scripts are only parsed.
const PLAYED_EVENTS_MAX: u64 = 500;

async fn play(text: &str, script: Option<Script>) {
    let journal = Arc::new(MemoryJournal::default());
    let agents = Arc::new(built_in(Executor::shared()).with(Rehearsal).unwrap());
    let factory = Factory::new(journal, agents, UserLimits::DEFAULT);
    let user = factory.attach(&UserId::parse("ada").expect("a valid id"));
    let message = NewMessage {
        message_id: MessageId::parse("m").expect("a valid id"),
        thread_id: ThreadId::parse("t").expect("a valid id"),
        text: text.to_owned(),
        agent_name: Some(AgentName::parse("rehearsal").expect("a valid id")),
        on_busy: OnBusy::Enqueue,
        parent: None,
    };
    let Ok(accepted) = user.send(message).await else {
        assert!(text.len() > UserLimits::DEFAULT.kernel.text_bytes_max);
        return;
    };
    let mut cursor = user.cursor(Offset::ZERO).await.expect("the journal is there");
    let (mut word, mut answer, mut last) = (Vec::new(), String::new(), None);
    let mut patience = tokio::time::interval(std::time::Duration::from_secs(24 * 3600));
    patience.tick().await;
    while last.is_none() {
        tokio::select! {
            biased;
            () = cursor.moved() => {}
            _ = patience.tick() => panic!("RUN-6: the run does not end: {word:?}"),
        }
        let lines = cursor.read(Offset(u64::MAX), READ).await.expect("the journal is there");
        for (_, line) in lines.iter() {
            let (_, entry) = wire::entry::decode(&line).expect("an entry");
            let Some(Body::Event { event, .. }) = entry.into_run().map(|entry| entry.body) else { continue };
            word.push(Letter::of(&event));
            match event {
                Event::Thinking(thought) if thought.kind == ThoughtKind::Answer => answer += &thought.delta,
                Event::ToolExecuting(call) if call.by == CallOwner::Client => {
                    // RUN-11: the client answers each question once; a second answer is refused.
                    let result = || CallResult::ok(Json::null());
                    let run_id = accepted.receipt.run_id;
                    user.answer(run_id, call.call_id.clone(), result()).await.expect("it is open");
                    assert!(user.answer(run_id, call.call_id, result()).await.is_err(), "RUN-11");
                }
                Event::Completed(completion) => last = Some(completion),
                _ => {}
            }
        }
    }
    assert!(breaches(&word).is_empty(), "{word:?}");
    judge(script, &last.expect("the run has ended"), &answer);
    drop((user, cursor));
    while factory.live_users() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Checks the end of a run against the steps of its script.
fn judge(script: Option<Script>, end: &Completion, answer: &str) {
    let code = end.error.as_ref().map(|error| error.code);
    let Some(script) = script else {
        assert_eq!((end.status, code), (RunStatus::Failed, Some(RunErrorCode::InvalidScript)));
        return;
    };
    for step in &script.steps {
        let expected = match step {
            ScriptStep::Fail(_) => (RunStatus::Failed, Some(RunErrorCode::AgentError)),
            ScriptStep::Panic(_) => (RunStatus::Failed, Some(RunErrorCode::AgentPanic)),
            ScriptStep::Hang => (RunStatus::TimedOut, Some(RunErrorCode::StepTimeout)),
            ScriptStep::Illegal(_) => (RunStatus::Failed, Some(RunErrorCode::Violation)),
            // Close to a limit either end may come first.
            ScriptStep::Wait { wait_ms } if *wait_ms >= STEP_MS => return,
            ScriptStep::Think { interval_ms, .. } if *interval_ms >= STEP_MS => return,
            ScriptStep::Tools(calls) if calls.iter().any(|call| call.takes_ms >= STEP_MS) => return,
            ScriptStep::Wait { .. } if script.steps.iter().map(waits).sum::<u64>() >= STEP_MS => return,
            _ => continue,
        };
        assert_eq!((end.status, code), expected, "{step:?}");
        return;
    }
    assert_eq!(end.status, RunStatus::Succeeded);
    assert_eq!(end.final_response.as_deref(), Some(answer), "the answer is its deltas");
}

fn waits(step: &ScriptStep) -> u64 {
    match step {
        ScriptStep::Wait { wait_ms } => *wait_ms,
        ScriptStep::Think { repeat, interval_ms, .. } => u64::from(*repeat) * interval_ms,
        ScriptStep::Tools(calls) => calls.iter().map(|call| call.takes_ms).sum(),
        _ => 0,
    }
}

fn weight(step: &ScriptStep) -> u64 {
    match step {
        ScriptStep::Think { repeat, .. } => u64::from(*repeat),
        ScriptStep::Tools(calls) => 2 * calls.len() as u64,
        _ => 1,
    }
}

fn calls(step: &ScriptStep) -> usize {
    match step {
        ScriptStep::Tools(calls) => calls.len(),
        ScriptStep::Ask { .. } => 1,
        _ => 0,
    }
}

const STEP_MS: u64 = UserLimits::DEFAULT.deadlines.step_timeout_ms;
const READ: ReadLimit = ReadLimit { entries_max: 1000, bytes_max: 1 << 20 };
