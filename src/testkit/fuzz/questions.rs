//! Any text as a message to the assistant, on a small stack: its sums and its questions about time.
//!
//! Whatever the text, it is read without deep recursion (RUN-6) and the same way each time. What is read
//! as a sum has a value or an error, what is read as a question about time is answered or refused, and a
//! shifted or converted time is not the time now.

use quintet::assistant::{
    times::Time,
    tools::{calculate::evaluate, current_time},
    wish::{Understood, WISHES_MAX, Wish, understand},
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
    let Understood::Requests { wishes, declined, .. } = understood else { return Vec::new() };
    assert!(!wishes.is_empty() || !declined.is_empty());
    assert!(wishes.len() <= WISHES_MAX && declined.iter().all(|why| !why.is_empty()));
    let mut times = Vec::new();
    for wish in wishes {
        match wish {
            Wish::Calculate(sum) => match evaluate(&sum.expression) {
                Ok(number) => assert!(!number.decimal().0.is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            },
            Wish::Time(time) => times.push(time),
            Wish::Search { query, .. } => assert!(!query.is_empty()),
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
