//! The guarantees of the encoder, on every legal run and every position in it.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::Index};
use quintet_kernel::{
    entry::{Body, CallOwner, CallStatus, RunStatus, ThoughtKind},
    ids::ThreadId,
};
use serde_json::{Value, json};

use super::{
    oracle::{check, decoded},
    reducer::Shown,
    words::{Play, RUN, agent, legal, run},
};
use crate::{Dialect, Encoder, EncoderSetup, Event, fold::RunFold};

fn encoder(dialect: Dialect, front_end: &[&str]) -> Encoder {
    let setup = EncoderSetup {
        dialect,
        thread_id: ThreadId::parse("t").unwrap(),
        request_id: "r".into(),
        front_end_tools: front_end.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
    };
    Encoder::new(setup, RUN)
}

/// Returns the events of a stream that begins after a prefix.
fn stream(dialect: Dialect, prefix: &[Body], rest: &[Body]) -> (Encoder, Vec<Event>) {
    let mut encoder = encoder(dialect, &[]);
    for body in prefix {
        encoder.absorb(&agent(), body);
    }
    let mut events = encoder.begin(Vec::new());
    for body in rest {
        events.extend(encoder.entry(&agent(), body));
    }
    (encoder, events)
}

/// Returns the messages of a front end that has sent the message of the run.
fn sender() -> Shown {
    Shown(vec![json!({"id": "m-1", "role": "user", "content": "hello"})])
}

fn shown(mut shown: Shown, events: &[Value]) -> Shown {
    for event in events {
        shown.apply(event);
    }
    shown.plain()
}

/// Returns the messages of the log.
fn truth(bodies: &[Body]) -> Shown {
    let mut fold = RunFold::new(RUN);
    for body in bodies {
        fold.take(&agent(), body);
    }
    Shown(fold.messages().map(|message| serde_json::to_value(message).unwrap()).collect()).plain()
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::V0), Just(Dialect::V1)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// A front end that saw `seen` entries and connects after `prefix` entries shows what the log has, by legal events.
    #[test]
    fn del_2_every_prefix_and_suffix_is_legal_and_yields_the_messages_of_the_log(
        bodies in run(), dialect in dialects(), prefix in any::<Index>(), seen in any::<Index>(),
    ) {
        let prefix = prefix.index(bodies.len() + 1);
        let seen = seen.index(prefix + 1);
        let (_, first) = stream(dialect, &[], &bodies[..seen]);
        let held = shown(sender(), &decoded(&first));
        prop_assert_eq!(&held, &if seen == 0 { sender() } else { truth(&bodies[..seen]) });
        if prefix == 0 {
            prop_assert_eq!(shown(sender(), &decoded(&stream(dialect, &[], &bodies).1)), truth(&bodies));
        }
        let (encoder, events) = stream(dialect, &bodies[..prefix], &bodies[prefix..]);
        let events = decoded(&events);
        prop_assert_eq!(check(dialect, &events), Ok(()));
        prop_assert!(encoder.is_over());
        let before = if prefix == 0 { sender() } else { held };
        // Front ends append messages of a snapshot that they do not hold, so the order may differ there.
        prop_assert_eq!(shown(before, &events).by_id(), truth(&bodies).by_id());
        // A front end without any message, such as a reloaded page.
        if prefix > 0 {
            prop_assert_eq!(shown(Shown::default(), &events), truth(&bodies));
        }
    }

    /// RUN-11: a run that waits for its client ends legally at any entry, and says for which calls it waits.
    #[test]
    fn run_11_a_waiting_run_ends_with_its_open_calls(
        bodies in run(), dialect in dialects(), at in any::<Index>(), prefix in any::<Index>(),
        is_front_end in any::<bool>(),
    ) {
        let at = at.index(bodies.len());
        let prefix = prefix.index(at + 1);
        let tools: &[&str] = if is_front_end { &["look_up", "approve", "choose"] } else { &["choose"] };
        let mut encoder = encoder(dialect, tools);
        bodies[..prefix].iter().for_each(|body| encoder.absorb(&agent(), body));
        let mut events = encoder.begin(Vec::new());
        for body in &bodies[prefix..at] {
            events.extend(encoder.entry(&agent(), body));
        }
        let calls: Vec<_> = encoder.open_calls().cloned().collect();
        let waits = !calls.is_empty() && calls.iter().all(|call| call.by == CallOwner::Client);
        prop_assert_eq!(encoder.waits_for_client(), waits);
        let end = encoder.pause();
        prop_assert_eq!(end.is_empty(), !waits);
        if waits {
            events.extend(end);
            let events = decoded(&events);
            prop_assert_eq!(check(dialect, &events), Ok(()));
            prop_assert!(encoder.entry(&agent(), &bodies[at]).is_empty());
            let ids: Vec<Value> = calls.iter().map(|call| json!(format!("{RUN}:{}", call.call_id))).collect();
            let outcome = &events[events.len() - 1]["outcome"];
            let all_front_end = calls.iter().all(|call| tools.contains(&call.tool_name.as_str()));
            match (all_front_end, dialect) {
                (true, Dialect::V0) => prop_assert!(outcome.is_null()),
                (true, Dialect::V1) => prop_assert_eq!(&outcome["pendingToolCallIds"], &json!(ids)),
                (false, _) => {
                    let interrupts = outcome["interrupts"].as_array().unwrap();
                    let named: Vec<_> = interrupts.iter().map(|interrupt| interrupt["id"].clone()).collect();
                    prop_assert_eq!(named, ids);
                }
            }
        }
    }
}

fn think(kind: ThoughtKind, delta: &'static str, reset: bool) -> Play {
    Play::Think { kind, delta, reset }
}

#[test]
fn a_run_with_everything_has_these_events() {
    let plays = vec![
        think(ThoughtKind::Reasoning, "hm", false),
        think(ThoughtKind::Answer, "one ", false),
        think(ThoughtKind::Answer, "two", false),
        Play::Open { by: CallOwner::Agent, tool: "look_up" },
        Play::Close { which: 0, status: CallStatus::Ok },
        think(ThoughtKind::Answer, "three", false),
    ];
    let (_, events) = stream(Dialect::V1, &[], &legal(plays, RunStatus::Succeeded));
    let kinds: Vec<_> =
        decoded(&events).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        kinds,
        [
            "RUN_STARTED",
            "CUSTOM",
            "REASONING_START",
            "REASONING_MESSAGE_START",
            "REASONING_MESSAGE_CONTENT",
            "REASONING_MESSAGE_END",
            "REASONING_END",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "TOOL_CALL_START",
            "TOOL_CALL_ARGS",
            "TOOL_CALL_END",
            "TOOL_CALL_RESULT",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_FINISHED",
        ]
    );
}

#[test]
fn run_6_each_status_has_its_end() {
    for (status, v0, v1) in [
        (RunStatus::Succeeded, "RUN_FINISHED", "RUN_FINISHED"),
        (RunStatus::Merged, "RUN_FINISHED", "RUN_FINISHED"),
        (RunStatus::Cancelled, "RUN_FINISHED", r#"RUN_FINISHED {"type":"cancelled"}"#),
        (RunStatus::Failed, "RUN_ERROR agent_error", "RUN_ERROR agent_error"),
        (RunStatus::TimedOut, "RUN_ERROR agent_error", "RUN_ERROR agent_error"),
        (RunStatus::Interrupted, "RUN_ERROR interrupted", "RUN_ERROR interrupted"),
    ] {
        for (dialect, expected) in [(Dialect::V0, v0), (Dialect::V1, v1)] {
            let (_, events) = stream(dialect, &[], &legal(Vec::new(), status));
            let end = decoded(&events).pop().unwrap();
            let detail = match (end.get("outcome"), end.get("code")) {
                (Some(outcome), _) => format!(" {outcome}"),
                (None, Some(code)) => format!(" {}", code.as_str().unwrap()),
                (None, None) => String::new(),
            };
            assert_eq!(format!("{}{detail}", end["type"].as_str().unwrap()), expected, "{status:?}");
        }
    }
}

#[test]
fn withdrawn_text_disappears_from_the_front_end() {
    let plays = vec![
        think(ThoughtKind::Answer, "wrong", false),
        think(ThoughtKind::Reasoning, "wrong too", false),
        think(ThoughtKind::Reasoning, "", true),
        think(ThoughtKind::Answer, "right", true),
    ];
    let bodies = legal(plays, RunStatus::Succeeded);
    let (_, events) = stream(Dialect::V1, &[], &bodies);
    let Shown(messages) = shown(sender(), &decoded(&events));
    let texts: Vec<_> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["hello", "", "right"]);
}
