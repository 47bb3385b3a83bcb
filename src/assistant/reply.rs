//! The assistant's texts: pure functions of the parsed message and the results of the tools.

use quintet_kernel::entry::{CallResult, CallStatus};
use serde_json::Value;

use super::{
    arithmetic::Sum,
    intent::{Intent, Understood, WISHES_MAX},
    shown,
    times::Time,
};

/// Returns the `reasoning` about the message.
pub(super) fn reading(understood: &Understood) -> String {
    match understood {
        Understood::Requests { intents, declined, .. } => {
            let done = match intents.len() {
                0 => String::new(),
                1 => "The message asks for one thing. ".into(),
                many => format!("The message asks for {many} things. "),
            };
            if declined.is_empty() { done } else { done + "I did not understand all of it. " }
        }
        Understood::Foreign => "The message is not in English. ".into(),
        Understood::Greeting => "The message is a greeting. ".into(),
        Understood::Thanks => "The message says thanks. ".into(),
        Understood::Help => "The message asks what I can do. ".into(),
        Understood::Other { .. } => {
            "The message asks for nothing that I can calculate, tell the time of, or search for. ".into()
        }
    }
}

/// Returns the announcements of the tool calls.
pub(super) fn intents(intents: &[Intent]) -> Vec<String> {
    let mut intents: Vec<_> = intents
        .iter()
        .map(|intent| match intent {
            Intent::Calculate(sum) => format!("I will calculate {}. ", shown(&sum.expression)),
            Intent::Time(time) if time.date.is_some() => "I will look at the calendar. ".into(),
            Intent::Time(time) => {
                format!("I will look at the clock in {}. ", shown(time.place.as_deref().unwrap_or("UTC")))
            }
            Intent::Search { query, .. } => format!("I will search the history for “{}”. ", shown(query)),
        })
        .collect();
    if intents.len() > 1 {
        intents.push("These do not depend on each other, so I do them side by side. ".into());
    }
    intents
}

/// Returns the summary of the tool results.
pub(super) fn found(results: &[CallResult]) -> String {
    let failed = results.iter().filter(|result| result.status != CallStatus::Ok).count();
    match (results.len(), failed) {
        (1, 0) => "The tool has answered. ".into(),
        (_, 0) => "All tools have answered. ".into(),
        (1, _) => "The tool could not do it. ".into(),
        (all, failed) => format!("{failed} of {all} tool calls could not be done. "),
    }
}

/// Returns the answer, in pieces.
pub(super) fn answer(understood: &Understood, intents: &[Intent], results: &[CallResult]) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    match understood {
        Understood::Requests { declined, more, .. } => {
            sentences.extend(intents.iter().zip(results).map(|(intent, result)| sentence(intent, result)));
            sentences.extend(declined.iter().map(|why| format!("{why}.")));
            if intents.is_empty() {
                sentences.push(ABILITIES.into());
            }
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
            sentences.extend([NATURE.into(), ABILITIES.into(), LIMITS.into(), MODEL.into(), EXAMPLES.into()]);
        }
        Understood::Foreign => {
            sentences.extend(["I understand English only.".into(), ABILITIES.into(), MODEL.into()])
        }
        Understood::Other { .. } => {
            sentences.push(
                "I have read your message, but there is no question in it that I can answer by myself."
                    .into(),
            );
            sentences.extend(intents.iter().zip(results).map(|(intent, result)| sentence(intent, result)));
            sentences.extend([ABILITIES.into(), LIMITS.into(), MODEL.into()]);
        }
    }
    let last = sentences.len().saturating_sub(1);
    let spaced = sentences
        .into_iter()
        .enumerate()
        .map(|(at, sentence)| if at < last { sentence + " " } else { sentence });
    spaced.flat_map(|sentence| pieces(&sentence)).collect()
}

fn sentence(intent: &Intent, result: &CallResult) -> String {
    let results = result.results.to_value();
    match (result.status, intent) {
        (CallStatus::Ok, Intent::Calculate(sum)) => calculated(sum, &results),
        (CallStatus::Ok, Intent::Time(time)) => timed(time, &results),
        (CallStatus::Ok, Intent::Search { query, own_words_only }) => {
            searched(query, *own_words_only, &results)
        }
        (CallStatus::Unknown, intent) => {
            format!(
                "The service was interrupted while I tried to {}, and what came of it is not known.",
                task(intent)
            )
        }
        (_, intent) => {
            let why = result.error.as_deref().unwrap_or("no reason was given");
            format!("I could not {}: {why}.", task(intent))
        }
    }
}

fn task(intent: &Intent) -> String {
    match intent {
        Intent::Calculate(sum) => format!("calculate {}", shown(&sum.expression)),
        Intent::Time(Time { date: Some(day), .. }) => format!("look up the date {}", day.date),
        Intent::Time(time) => format!("tell the time in {}", shown(time.place.as_deref().unwrap_or("UTC"))),
        Intent::Search { query, .. } => format!("search for “{}”", shown(query)),
    }
}

fn calculated(sum: &Sum, results: &Value) -> String {
    let result = text(&results["result"]);
    let equals = if results["exact"] == true { "=" } else { "≈" };
    let left = shown(sum.shown.as_deref().unwrap_or(&sum.expression));
    let digits = result.chars().count();
    if digits > DIGITS_SHOWN {
        let start: String = result.chars().take(DIGITS_SHOWN).collect();
        return format!("{left} {equals} {start}… ({digits} characters in all, in the result of the call).");
    }
    let unit = match (&sum.unit, &sum.shown) {
        (Some(unit), Some(_)) => format!(" {unit}"),
        (Some(currency), None) => format!(" ({currency})"),
        _ => String::new(),
    };
    let fraction = results["fraction"].as_str().filter(|_| sum.shown.is_none());
    let fraction = fraction.map(|fraction| format!(" (exactly {fraction})")).unwrap_or_default();
    format!("{left} {equals} {result}{unit}{fraction}.")
}

fn timed(time: &Time, results: &Value) -> String {
    let zone = text(&results["zone"]);
    let (clock, day, offset) = (text(&results["clock"]), text(&results["day"]), text(&results["offset"]));
    if let Some(asked) = &time.date {
        return dated(asked.counted, results);
    }
    // The date without its weekday.
    let date = day.split_once(", ").map_or(day, |(_, date)| date);
    let (place, zone) = match &time.place {
        Some(place) if place != zone => (shown(place), format!(" ({zone}, {offset})")),
        Some(_) => (zone.to_owned(), format!(" ({offset})")),
        None => ("UTC".to_owned(), String::new()),
    };
    if let Some(at) = &time.at {
        let (from, there) = (shown(&at.place), text(&results["from"]["clock"]));
        return format!("When it is {there} in {from}, it is {clock} on {date} in {place}{zone}.");
    }
    if let Some(shift) = &time.shift {
        let verb = if shift.is_past() { "was" } else { "will be" };
        let then = shift.in_words();
        return if shift.in_days {
            format!("It {verb} {day} {then} in {place}{zone}, at {clock}.")
        } else {
            format!("It {verb} {clock} on {date} {then} in {place}{zone}.")
        };
    }
    let part = if time.part_of_day { format!(", {}", part_of_day(clock)) } else { String::new() };
    match &time.place {
        Some(_) => format!("In {place} it is {clock} on {day}{zone}{part}."),
        None => format!("It is {clock} on {day}, in UTC{part}; name a place and I tell the time there."),
    }
}

fn dated(counted: bool, results: &Value) -> String {
    let (day, days) = (text(&results["day"]), results["days"].as_i64().unwrap_or(0));
    let unit = if days.abs() == 1 { "day" } else { "days" };
    let (weekday, date) = day.split_once(", ").unwrap_or(("", day));
    let distance = match days {
        0 => "today".to_owned(),
        1.. => format!("in {days} {unit}"),
        _ => format!("{} {unit} ago", days.unsigned_abs()),
    };
    if !counted {
        return format!("{date} is a {weekday} ({distance}, in UTC).");
    }
    match days {
        0 => format!("{day} is today, in UTC."),
        1.. => format!("There are {days} {unit} until {day}, from today in UTC."),
        _ => format!("{day} was {distance}, from today in UTC."),
    }
}

fn part_of_day(clock: &str) -> &'static str {
    match clock.get(..2).and_then(|hours| hours.parse().ok()).unwrap_or(0u8) {
        5..=11 => "in the morning",
        12..=17 => "in the afternoon",
        18..=21 => "in the evening",
        _ => "at night",
    }
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

/// Splits a sentence into pieces, at spaces where possible.
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

const NATURE: &str = "I am an assistant that works without a language model, by plain rules.";

const ABILITIES: &str = "I can calculate exactly, convert units, tell the time anywhere in the world and the days to a date, and \
     search what was said here before.";

const LIMITS: &str = "I understand plain questions in English, and I cannot talk about other subjects or look anything up \
     outside this service.";

const MODEL: &str = "For any other subject, the operator of this service can connect a language model: start it with --llm-url \
     and --llm-model.";

const EXAMPLES: &str = "Try “what is 12*(3+4)?”, “20% off 80”, “5 miles in km”, “what time is it in Tokyo and Berlin?”, “days until \
     christmas” or “what did I say about travel?”.";

/// Digits of a result in a sentence.
const DIGITS_SHOWN: usize = 120;

/// Characters of one piece of an answer.
const PIECE_CHARS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_kernel::json::Json;

    fn calculation(expression: &str) -> Intent {
        Intent::Calculate(Sum { expression: expression.into(), ..Sum::default() })
    }

    #[test]
    fn pieces_add_up_to_the_answer() {
        let understood = Understood::Help;
        let pieces = answer(&understood, &[], &[]);
        assert!(pieces.len() > 5 && pieces.iter().all(|piece| !piece.is_empty()));
        assert_eq!(pieces.concat(), format!("{NATURE} {ABILITIES} {LIMITS} {MODEL} {EXAMPLES}"));
        assert_eq!(super::pieces(&"x".repeat(100)), ["x".repeat(100)]);
    }

    #[test]
    fn failed_tool_is_part_of_the_answer() {
        let intent = calculation("1 / 0");
        assert_eq!(
            sentence(&intent, &CallResult::error("division by zero")),
            "I could not calculate 1 / 0: division by zero."
        );
        let unknown = CallResult::cut_short(CallStatus::Unknown, "crash");
        assert!(sentence(&intent, &unknown).contains("is not known"));
    }

    #[test]
    fn rounded_result_is_marked_as_approximate() {
        let results = Json::parse(r#"{"result":"0.333","exact":false,"fraction":"1/3"}"#).unwrap();
        let intent = calculation("1 / 3");
        assert_eq!(sentence(&intent, &CallResult::ok(results)), "1 / 3 ≈ 0.333 (exactly 1/3).");
    }
}
