//! Any text as a message to the assistant, on a small stack: its sums and its questions about time.
//!
//! Whatever the text, it is read without deep recursion (RUN-6) and the same way each time. What is read
//! as a sum has a value or an error, what is read as a question about time is answered or refused, and a
//! shifted or converted time is not the time now.

use quintet::agent::{
    assistant::wish::{Understood, WISHES_MAX, Wish, understand},
    tools::{calculate::evaluate, current_time},
};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || check(&text));
    thread.expect("a thread").join().expect("no panic");
}

fn check(text: &str) {
    let understood = understand(text);
    assert_eq!(understood, understand(text));
    let Understood::Requests { wishes, declined, .. } = understood else { return };
    assert!(!wishes.is_empty() || !declined.is_empty());
    assert!(wishes.len() <= WISHES_MAX && declined.iter().all(|why| !why.is_empty()));
    for wish in wishes {
        match wish {
            Wish::Calculate(sum) => match evaluate(&sum.expression) {
                Ok(number) => assert!(!number.decimal().0.is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            },
            Wish::Time(time) => {
                for now_ms in [0, 1_795_222_800_000, 253_402_200_000_000] {
                    let Ok(results) = current_time::answer(&time.parameters(), now_ms) else { continue };
                    assert!(results["zone"].is_string() && results["day"].is_string(), "{results}");
                    let zero = time.shift.as_ref().is_none_or(|shift| shift.duration.ends_with("T0S"));
                    if time.at.is_none() && time.date.is_none() && !zero {
                        assert_ne!(results["unix_ms"], now_ms, "{text}");
                    }
                }
            }
            Wish::Search { query, .. } => assert!(!query.is_empty()),
        }
    }
}

const STACK_BYTES: usize = 256 * 1024;
