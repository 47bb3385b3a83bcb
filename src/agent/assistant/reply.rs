//! What the assistant says: pure functions from what it understood and what its tools found.

use serde_json::Value;

use super::wish::{Understood, WISHES_MAX, Wish};
use crate::kernel::entry::{CallResult, CallStatus};

/// What it makes of the message.
pub fn reading(understood: &Understood) -> String {
    match understood {
        Understood::Wishes { wishes, .. } if wishes.len() == 1 => "The message asks for one thing. ".into(),
        Understood::Wishes { wishes, .. } => format!("The message asks for {} things. ", wishes.len()),
        Understood::Greeting => "The message is a greeting. ".into(),
        Understood::Thanks => "The message says thanks. ".into(),
        Understood::Help => "The message asks what I can do. ".into(),
        Understood::Other { .. } => {
            "The message asks for nothing that I can calculate, tell the time of, or search for. ".into()
        }
    }
}

/// What it is about to do.
pub fn intents(wishes: &[Wish]) -> Vec<String> {
    let mut intents: Vec<_> = wishes
        .iter()
        .map(|wish| match wish {
            Wish::Calculate { expression } => format!("I will calculate {}. ", shown(expression)),
            Wish::Time { place } => {
                format!("I will look at the clock in {}. ", place.as_deref().unwrap_or("UTC"))
            }
            Wish::Search { query, .. } => format!("I will search the history for “{}”. ", shown(query)),
        })
        .collect();
    if wishes.len() > 1 {
        intents.push("These do not depend on each other, so I do them side by side. ".into());
    }
    intents
}

/// What came of it.
pub fn found(results: &[CallResult]) -> String {
    let failed = results.iter().filter(|result| result.status != CallStatus::Ok).count();
    match (results.len(), failed) {
        (1, 0) => "The tool has answered. ".into(),
        (_, 0) => "All tools have answered. ".into(),
        (1, _) => "The tool could not do it. ".into(),
        (all, failed) => format!("{failed} of {all} tool calls could not be done. "),
    }
}

/// The answer, in the pieces in which it is said.
pub fn answer(understood: &Understood, wishes: &[Wish], results: &[CallResult]) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    match understood {
        Understood::Wishes { more, .. } => {
            sentences.extend(wishes.iter().zip(results).map(|(wish, result)| sentence(wish, result)));
            if *more {
                sentences.push(format!("The message asked for more; I do {WISHES_MAX} things at once."));
            }
        }
        Understood::Greeting => {
            let time = results
                .first()
                .filter(|result| result.status == CallStatus::Ok)
                .map(|result| result.results.to_value());
            sentences.push(match time {
                Some(time) => {
                    format!("Hello! It is {}, {} in UTC.", text(&time["day"]), text(&time["clock"]))
                }
                None => "Hello!".into(),
            });
            sentences.push(ABILITIES.into());
        }
        Understood::Thanks => sentences.push("You are welcome.".into()),
        Understood::Help => {
            sentences.push("I am an assistant that works without a language model, by plain rules.".into());
            sentences.push(ABILITIES.into());
            sentences.push(EXAMPLES.into());
        }
        Understood::Other { .. } => {
            sentences.push(
                "I have read your message, but there is no question in it that I can answer by myself."
                    .into(),
            );
            sentences.extend(wishes.iter().zip(results).map(|(wish, result)| sentence(wish, result)));
            sentences.push(ABILITIES.into());
        }
    }
    let last = sentences.len().saturating_sub(1);
    let spaced = sentences
        .into_iter()
        .enumerate()
        .map(|(at, sentence)| if at < last { sentence + " " } else { sentence });
    spaced.flat_map(|sentence| pieces(&sentence)).collect()
}

fn sentence(wish: &Wish, result: &CallResult) -> String {
    let results = result.results.to_value();
    match (result.status, wish) {
        (CallStatus::Ok, Wish::Calculate { expression }) => calculated(expression, &results),
        (CallStatus::Ok, Wish::Time { place }) => {
            let zone = text(&results["zone"]);
            let (clock, day, offset) =
                (text(&results["clock"]), text(&results["day"]), text(&results["offset"]));
            match place {
                Some(place) if place != zone => {
                    format!("In {place} it is {clock} on {day} ({zone}, {offset}).")
                }
                Some(_) => format!("In {zone} it is {clock} on {day} ({offset})."),
                None => format!("It is {clock} on {day}, in UTC; name a place and I tell the time there."),
            }
        }
        (CallStatus::Ok, Wish::Search { query, own_words_only }) => {
            searched(query, *own_words_only, &results)
        }
        (CallStatus::Unknown, wish) => {
            format!(
                "The service was interrupted while I tried to {}, and what came of it is not known.",
                task(wish)
            )
        }
        (_, wish) => {
            let why = result.error.as_deref().unwrap_or("no reason was given");
            format!("I could not {}: {why}.", task(wish))
        }
    }
}

fn task(wish: &Wish) -> String {
    match wish {
        Wish::Calculate { expression } => format!("calculate {}", shown(expression)),
        Wish::Time { place } => format!("tell the time in {}", place.as_deref().unwrap_or("UTC")),
        Wish::Search { query, .. } => format!("search for “{}”", shown(query)),
    }
}

fn calculated(expression: &str, results: &Value) -> String {
    let result = text(&results["result"]);
    let equals = if results["exact"] == true { "=" } else { "≈" };
    let fraction =
        results["fraction"].as_str().map(|fraction| format!(" (exactly {fraction})")).unwrap_or_default();
    let digits = result.chars().count();
    if digits > DIGITS_SHOWN {
        let start: String = result.chars().take(DIGITS_SHOWN).collect();
        return format!(
            "{} {equals} {start}… ({digits} characters in all, in the result of the call).",
            shown(expression)
        );
    }
    format!("{} {equals} {result}{fraction}.", shown(expression))
}

fn searched(query: &str, own_words_only: bool, results: &Value) -> String {
    let matches = results["matches"].as_array().map_or(&[][..], Vec::as_slice);
    let whose = if own_words_only { "your messages" } else { "our conversations" };
    let query = shown(query);
    let searched_all = results["complete"] == true;
    if matches.is_empty() {
        let where_ = if searched_all { whose.to_owned() } else { format!("the latest of {whose}") };
        return format!("I found nothing about “{query}” in {where_}.");
    }
    let quotes: Vec<_> = matches
        .iter()
        .map(|found| {
            let who = if found["who"] == "user" { "you" } else { "I" };
            format!("{who} said “{}”", text(&found["excerpt"]))
        })
        .collect();
    let times = match matches.len() {
        1 => "one place".to_owned(),
        n => format!("{n} places"),
    };
    format!("I found “{query}” in {times} in {whose}, the latest first: {}.", quotes.join("; "))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A user's words as they are repeated: not endlessly.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(REPEATED_CHARS_MAX).collect();
    if start.len() < text.len() { start + "…" } else { start }
}

/// A sentence in a few pieces, each ending at a space where there is one.
fn pieces(sentence: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in sentence.split_inclusive(' ') {
        let last = pieces.last_mut().expect("there is one");
        if !last.is_empty() && last.chars().count() + word.chars().count() > PIECE_CHARS {
            pieces.push(word.to_owned());
        } else {
            last.push_str(word);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

const ABILITIES: &str =
    "I can calculate exactly, tell the time anywhere in the world, and search what was said here before.";

const EXAMPLES: &str =
    "Try “what is 12*(3+4)?”, “what time is it in Tokyo and Berlin?” or “what did I say about travel?”.";

/// Digits of a result in a sentence.
const DIGITS_SHOWN: usize = 120;

/// Characters of the user's words that are repeated in a sentence.
const REPEATED_CHARS_MAX: usize = 120;

/// Characters of one piece of an answer.
const PIECE_CHARS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::json::Json;

    #[test]
    fn pieces_add_up_to_the_answer() {
        let understood = Understood::Help;
        let pieces = answer(&understood, &[], &[]);
        assert!(pieces.len() > 5 && pieces.iter().all(|piece| !piece.is_empty()));
        assert_eq!(
            pieces.concat(),
            format!(
                "I am an assistant that works without a language model, by plain rules. {ABILITIES} {EXAMPLES}"
            )
        );
        assert_eq!(super::pieces(&"x".repeat(100)), ["x".repeat(100)]);
    }

    #[test]
    fn a_failed_tool_is_said_as_it_is() {
        let wish = Wish::Calculate { expression: "1 / 0".into() };
        assert_eq!(
            sentence(&wish, &CallResult::error("division by zero")),
            "I could not calculate 1 / 0: division by zero."
        );
        let unknown = CallResult::cut_short(CallStatus::Unknown, "crash");
        assert!(sentence(&wish, &unknown).contains("is not known"));
    }

    #[test]
    fn a_result_that_is_rounded_is_not_said_to_be_equal() {
        let results = Json::parse(r#"{"result":"0.333","exact":false,"fraction":"1/3"}"#).unwrap();
        let wish = Wish::Calculate { expression: "1 / 3".into() };
        assert_eq!(sentence(&wish, &CallResult::ok(results)), "1 / 3 ≈ 0.333 (exactly 1/3).");
    }
}
