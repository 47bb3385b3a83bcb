//! Any text as a message to the assistant, on a small stack: its sums and its questions about time.
//!
//! Any text is read without deep recursion (RUN-6) and the same way each time. A sum has a value or an error,
//! a question about time is answered or refused, and a shifted or converted time is not the current time.

use quintet::assistant::{
    intent::{Intent, Understood, WISHES_MAX, understand},
    times::Time,
    tools::{calculate::evaluate, current_time},
};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.to_owned();
    let read = text.clone();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || understood(&read));
    for time in thread.expect("a thread").join().expect("no panic") {
        answered(&text, &time);
    }
}

/// Reads and calculates; returns the questions about time. The clock has the stack of the caller: jiff
/// parses a zone's file into an array on the stack, whose size is fixed.
fn understood(text: &str) -> Vec<Time> {
    let understood = understand(text);
    assert_eq!(understood, understand(text));
    let Understood::Requests { intents, declined, .. } = understood else { return Vec::new() };
    assert!(!intents.is_empty() || !declined.is_empty());
    assert!(intents.len() <= WISHES_MAX && declined.iter().all(|why| !why.is_empty()));
    let mut times = Vec::new();
    for intent in intents {
        match intent {
            Intent::Calculate(sum) => match evaluate(&sum.expression) {
                Ok(number) => assert!(!number.decimal().0.is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            },
            Intent::Time(time) => times.push(time),
            Intent::Search { query, .. } => assert!(!query.is_empty()),
        }
    }
    times
}

fn answered(text: &str, time: &Time) {
    for now_ms in [0, 1_795_222_800_000, 253_402_200_000_000] {
        let Ok(results) = current_time::answer(&time.parameters(), now_ms) else { continue };
        assert!(results["zone"].is_string() && results["day"].is_string(), "{results}");
        let zero = time.shift.as_ref().is_none_or(|shift| shift.duration.ends_with("T0S"));
        if time.at.is_none() && time.date.is_none() && !zero {
            assert_ne!(results["unix_ms"], now_ms, "{text}");
        }
    }
}

const STACK_BYTES: usize = 256 * 1024;
