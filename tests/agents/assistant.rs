//! The assistant: each of its tools, several at once, and its answer to a message that it cannot handle.

use quintet::kernel::entry::{CallStatus, Event, RunStatus, ThoughtKind};

use crate::stage::{Stage, completion};

fn tools(events: &[Event]) -> Vec<(&str, CallStatus, serde_json::Value)> {
    let results = events.iter().filter_map(|event| match event {
        Event::ToolCompleted { tool_name, result, .. } => {
            Some((tool_name.as_str(), result.status, result.results.to_value()))
        }
        _ => None,
    });
    results.collect()
}

fn said(events: &[Event]) -> &str {
    assert_eq!(completion(events).status, RunStatus::Succeeded);
    completion(events).final_response.as_deref().unwrap()
}

#[tokio::test]
async fn assistant_calculates_with_all_five_events() {
    let events = Stage::new().ann().play("assistant", "what is 12*(3+4)?").await;
    assert_eq!(said(&events), "12 * (3 + 4) = 84.");
    let tools = tools(&events);
    assert_eq!((tools[0].0, tools[0].1, &tools[0].2["result"]), ("calculate", CallStatus::Ok, &"84".into()));
    assert!(matches!(&events[..2], [Event::Started { .. }, Event::Thinking(thought)]
        if thought.kind == ThoughtKind::Reasoning));
}

#[tokio::test]
async fn tool_error_is_part_of_the_answer() {
    let events = Stage::new().ann().play("assistant", "calculate 1/0").await;
    assert_eq!(tools(&events)[0].1, CallStatus::Error);
    assert_eq!(said(&events), "I could not calculate 1 / 0: division by zero.");
}

#[tokio::test]
async fn assistant_answers_the_time_of_a_place() {
    let events = Stage::new().ann().play("assistant", "What time is it in Tokyo and in Hogwrts?").await;
    let tools = tools(&events);
    assert_eq!((tools[0].0, tools[0].2["zone"].as_str()), ("current_time", Some("Asia/Tokyo")));
    assert_eq!(tools[0].2["offset"], "UTC+09:00");
    assert!(said(&events).starts_with("In Tokyo it is "), "{}", said(&events));
    let events = Stage::new().ann().play("assistant", "what time is it in Berln?").await;
    assert!(said(&events).contains("did you mean Europe/Berlin"), "{}", said(&events));
}

#[tokio::test]
async fn search_finds_earlier_messages_of_its_own_user_only() {
    let stage = Stage::new();
    let (mut ann, mut bob) = (stage.user("ann"), stage.user("bob"));
    bob.play("assistant", "My SECRET bike is blue.").await;
    ann.play("assistant", "I like my Red Bike very much.").await;
    let events = ann.play("assistant", "What did I say about bike?").await;
    let found = &tools(&events)[0].2["matches"];
    assert_eq!(found.as_array().map(Vec::len), Some(1), "ISO-1: {found}");
    assert_eq!(found[0]["excerpt"], "I like my Red Bike very much.");
    assert!(said(&events).contains("you said “I like my Red Bike very much.”"), "{}", said(&events));
    let events = ann.play("assistant", "search for secret").await;
    assert!(said(&events).starts_with("I found nothing about “secret”"), "{}", said(&events));
}

#[tokio::test]
async fn search_reads_many_pages_and_stops_at_its_limit() {
    let mut ann = Stage::new().ann();
    ann.play("assistant", "the oldest needle of all").await;
    let filler = r#"{"steps":[{"think":"x","repeat":1000}]}"#;
    ann.play("rehearsal", filler).await;
    for n in 0..6 {
        ann.play("rehearsal", &format!(r#"{{"steps":[{{"answer":"needle {n}"}}]}}"#)).await;
    }
    let events = ann.play("assistant", "what did I say about needle oldest?").await;
    let results = &tools(&events)[0].2;
    assert_eq!(results["matches"][0]["offset"], 1);
    assert_eq!(results["complete"], true);
    let events = ann.play("assistant", "search needle").await;
    let found = tools(&events)[0].2["matches"].clone();
    let excerpts: Vec<_> = found.as_array().unwrap().iter().filter(|found| found["who"] == "agent").collect();
    assert_eq!(found.as_array().unwrap().len(), 5);
    assert!(
        excerpts.windows(2).all(|pair| pair[0]["offset"].as_u64() > pair[1]["offset"].as_u64()),
        "{found}"
    );
}

#[tokio::test]
async fn several_requests_of_a_message_run_in_parallel() {
    let events = Stage::new()
        .ann()
        .play("assistant", "What is 2^10, what time is it in Europe/Paris, and what did I say about cats?")
        .await;
    let opened: Vec<_> = events.iter().filter(|event| matches!(event, Event::ToolExecuting(_))).collect();
    assert_eq!(opened.len(), 3);
    let first_close = events.iter().position(|event| matches!(event, Event::ToolCompleted { .. })).unwrap();
    let last_open = events.iter().rposition(|event| matches!(event, Event::ToolExecuting(_))).unwrap();
    assert!(last_open < first_close, "all calls open before the first one closes");
    assert!(said(&events).starts_with("2 ^ 10 = 1024. In Europe/Paris it is "), "{}", said(&events));
    let answers = events
        .iter()
        .filter(|event| matches!(event, Event::Thinking(thought) if thought.kind == ThoughtKind::Answer));
    assert!(answers.count() > 3, "the answer is streamed");
}

#[tokio::test]
async fn every_message_is_answered_in_sentences() {
    for text in [
        "hello",
        "thanks!",
        "What can you do?",
        "I live in a yellow submarine",
        "?!",
        "2",
        &"x ".repeat(30_000),
    ] {
        let events = Stage::new().ann().play("assistant", text).await;
        let said = said(&events);
        assert!(said.starts_with(char::is_uppercase) && said.ends_with('.'), "{text}: {said}");
    }
}

#[tokio::test]
async fn deep_nesting_within_a_message_is_calculated() {
    let text = format!("{}1+1{}", "(".repeat(32_000), ")".repeat(32_000));
    let events = Stage::new().ann().play("assistant", &text).await;
    assert_eq!(tools(&events)[0].2["result"], "2");
}
