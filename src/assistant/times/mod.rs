//! Questions about the current time, a shifted or converted time, or a date.
//!
//! Guarantee: the answer is the current time only if no part of the question asks for another time. Every
//! word of a clause is parsed; if one is not understood, the clause is declined.

mod calendar;
mod shift;

use std::ops::Range;

use serde_json::json;

use self::shift::{anchor, shift};
use super::{arithmetic::number_words, lexer::Token, shown};
use crate::tools::zones::Zone;

pub use self::shift::Shift;

/// A call of `current_time`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// The name of the place or zone as in the message; `None` for UTC.
    pub place: Option<String>,
    /// The duration that is added to the current time.
    pub shift: Option<Shift>,
    /// The time of day to be converted to `place`.
    pub at: Option<PlacedTime>,
    /// The date whose weekday or distance from today is asked for.
    pub date: Option<Day>,
    /// True if the question is about morning, afternoon, evening or night.
    pub part_of_day: bool,
}

impl Time {
    /// Returns the parameters of the call.
    pub fn parameters(&self) -> serde_json::Value {
        let mut parameters = json!({"zone": self.place.as_deref().unwrap_or("UTC")});
        if let Some(shift) = &self.shift {
            parameters["shift"] = shift.duration.as_str().into();
        }
        if let Some(at) = &self.at {
            parameters["at"] = at.clock.as_str().into();
            parameters["from"] = at.place.as_str().into();
        }
        if let Some(day) = &self.date {
            parameters["date"] = day.date.as_str().into();
        }
        parameters
    }
}

/// A time of day in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedTime {
    /// Hours and minutes, such as `15:00`.
    pub clock: String,
    /// The name of the place or zone, resolved by [`Zone::named`].
    pub place: String,
}

/// A question about a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// `2026-12-25`, or `12-25` for the next one.
    pub date: String,
    /// True if the question is about the number of days, false for the weekday.
    pub counted: bool,
}

/// The result of parsing a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeReading {
    /// The clause is not about time.
    Nothing,
    /// The clause consists of these questions.
    Times(Vec<Time>),
    /// The clause is about time but is declined for this reason.
    Declined(String),
}

/// Parses a clause.
pub(super) fn read(text: &str, clause: &[Token]) -> TimeReading {
    if let Some(day) = calendar::read(clause) {
        return TimeReading::Times(vec![Time { date: Some(day), ..Time::default() }]);
    }
    let strong = asks(clause) && STRONG.iter().any(|phrase| contains(clause, phrase));
    let part_of_day = contains(clause, "is it") && clause.iter().any(|token| PARTS.contains(&token.word()));
    let weak = clause.iter().any(|token| WEAK.contains(&token.word()) || shift::names_a_time(token.word()));
    if !strong && !part_of_day && !weak {
        return TimeReading::Nothing;
    }
    let found = ClauseParts::of(text, clause, strong);
    let certain = strong || part_of_day;
    if !found.unknown.is_empty() {
        return if certain { found.not_understood(text, clause) } else { TimeReading::Nothing };
    }
    if !certain && found.places.is_empty() {
        return TimeReading::Nothing;
    }
    found.reading(part_of_day)
}

/// The parts of a clause.
#[derive(Default)]
struct ClauseParts {
    /// The places, with their positions.
    places: Vec<(usize, String)>,
    shift: Option<Shift>,
    /// A time of day, its position, and the index of its place in `places`.
    at: Option<(usize, String, Option<usize>)>,
    /// The positions of unknown tokens.
    unknown: Vec<usize>,
}

impl ClauseParts {
    fn of(text: &str, clause: &[Token], strong: bool) -> Self {
        let mut found = Self::default();
        let mut at = 0;
        while at < clause.len() {
            let rest = &clause[at..];
            if let Some((shift, taken)) = shift(rest).filter(|_| found.shift.is_none()) {
                found.shift = Some(shift);
                at += taken;
            } else if let Some((clock, taken)) = anchor(rest).filter(|_| found.at.is_none()) {
                found.at = Some((at, clock, None));
                at += taken;
                let skip = clause[at..]
                    .iter()
                    .take_while(|token| matches!(token.word(), "in" | "at" | "on"))
                    .count();
                if let Some((name, taken)) = place(text, clause, at + skip) {
                    found.at = found.at.map(|(start, clock, _)| (start, clock, Some(found.places.len())));
                    found.places.push((at + skip, name));
                    at += skip + taken;
                }
            } else if let Some((name, taken)) = place(text, clause, at) {
                found.places.push((at, name));
                at += taken;
            } else if let Some(taken) = FILLERS.iter().filter_map(|phrase| phrase_at(rest, phrase)).max() {
                at += taken;
            } else if strong
                && names_a_place(rest)
                && at > 0
                && matches!(clause[at - 1].word(), "in" | "at" | "on" | "for")
            {
                let taken = unknown_place(clause, at);
                found
                    .places
                    .push((at, text[clause[at].span.start..clause[at + taken - 1].span.end].to_owned()));
                at += taken;
            } else {
                found.unknown.push(at);
                at += 1;
            }
        }
        found
    }

    fn reading(self, part_of_day: bool) -> TimeReading {
        let Some((start, clock, source)) = self.at else {
            let intent = |place| Time { place, shift: self.shift.clone(), part_of_day, ..Time::default() };
            if self.places.is_empty() {
                return TimeReading::Times(vec![intent(None)]);
            }
            return TimeReading::Times(
                self.places.into_iter().map(|(_, place)| intent(Some(place))).collect(),
            );
        };
        // `in Berlin it is 3pm`
        let source = source
            .or_else(|| self.places.iter().position(|(at, _)| *at < start).filter(|_| self.places.len() > 1));
        let Some(source) = source else {
            return TimeReading::Declined(format!(
                "I can convert {clock} from one place to another, but not without the place where it is {clock}; \
                 ask for example “if it is 3pm in Berlin, what time is it in Sydney?”"
            ));
        };
        if self.shift.as_ref().is_some_and(|shift| !shift.in_days) {
            return TimeReading::Declined(
                "I can convert a time of day or shift the time now, not both at once".into(),
            );
        }
        let at = PlacedTime { clock, place: self.places[source].1.clone() };
        let intent =
            |place| Time { place, shift: self.shift.clone(), at: Some(at.clone()), ..Time::default() };
        let targets: Vec<_> = self
            .places
            .iter()
            .enumerate()
            .filter(|(nth, _)| *nth != source)
            .map(|(_, (_, place))| intent(Some(place.clone())))
            .collect();
        TimeReading::Times(if targets.is_empty() { vec![intent(None)] } else { targets })
    }

    fn not_understood(&self, text: &str, clause: &[Token]) -> TimeReading {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for at in &self.unknown {
            match runs.last_mut() {
                Some(run) if run.end == *at => run.end = at + 1,
                _ => runs.push(*at..at + 1),
            }
        }
        let quoted: Vec<_> = runs
            .into_iter()
            .take(RUNS_SHOWN)
            .map(|run| {
                let words = &text[clause[run.start].span.start..clause[run.end - 1].span.end];
                format!("“{}”", shown(words))
            })
            .collect();
        TimeReading::Declined(format!(
            "I did not understand {} in the question about the time, so I looked at no clock",
            quoted.join(" and ")
        ))
    }
}

/// Reads a known place at a token, longest name first, with its number of tokens.
fn place(text: &str, clause: &[Token], at: usize) -> Option<(String, usize)> {
    let first = clause.get(at)?;
    (1..=PLACE_TOKENS_MAX.min(clause.len() - at)).rev().find_map(|count| {
        let written = &text[first.span.start..clause[at + count - 1].span.end];
        let spelled: Vec<String> =
            written.to_lowercase().replace('_', " ").split_whitespace().map(str::to_owned).collect();
        let spelled = spelled.join(" ");
        if !Zone::is_place(&spelled) {
            return None;
        }
        let introduced = at == 0 || INTRODUCING.contains(&clause[at - 1].word()) || clause[at - 1].is(',');
        let capital = written.starts_with(char::is_uppercase);
        let certain = capital || introduced || spelled.contains(['/', '+']) || spelled.ends_with(" time");
        // Short names may be words: accept them as written, or after a preposition.
        let word =
            spelled.chars().count() <= 3 && !capital && (at == 0 || AMBIGUOUS.contains(&spelled.as_str()));
        (certain && !word).then(|| (written.to_owned(), count))
    })
}

/// Returns true if tokens after a preposition may be an unknown place; `in a while` and `in 3 fortnights` are
/// times.
fn names_a_place(rest: &[Token]) -> bool {
    let word = rest.first().map_or("", Token::word);
    !word.is_empty() && !NO_PLACE.contains(&word) && number_words(rest).is_none()
}

/// Returns the number of tokens of an unknown place: up to a comma, a conjunction or a known word.
fn unknown_place(clause: &[Token], at: usize) -> usize {
    let ends = |token: &Token| {
        token.is(',')
            || FILLERS.contains(&token.word())
            || matches!(token.word(), "and" | "or" | "tomorrow" | "yesterday")
    };
    let rest = &clause[at + 1..];
    1 + rest.iter().take(UNKNOWN_TOKENS_MAX - 1).take_while(|token| !ends(token)).count()
}

/// Returns true if the clause begins as a question or a request.
fn asks(clause: &[Token]) -> bool {
    let first = clause.iter().find(|token| !POLITE.contains(&token.word()) && !token.is(','));
    first.is_some_and(|token| ASKING.contains(&token.word()))
}

fn contains(clause: &[Token], phrase: &str) -> bool {
    (0..clause.len()).any(|at| phrase_at(&clause[at..], phrase).is_some())
}

/// Returns the number of tokens of a phrase, if the tokens begin with it.
fn phrase_at(tokens: &[Token], phrase: &str) -> Option<usize> {
    let mut count = 0;
    for part in phrase.split(' ') {
        let token = tokens.get(count)?;
        let same = token.word() == part || (part.len() == 1 && part.chars().all(|sign| token.is(sign)));
        if !same {
            return None;
        }
        count += 1;
    }
    Some(count)
}

const POLITE: &[&str] = &[
    "hey", "hi", "hello", "ok", "okay", "so", "and", "also", "please", "well", "now", "can", "could",
    "would", "will", "you", "do", "know", "me", "the", "then", "kindly", "i", "need", "to", "want", "just",
    "thanks",
];

const ASKING: &[&str] = &[
    "what", "what's", "whats", "how", "is", "tell", "give", "show", "which", "current", "time", "date",
    "today's", "if", "when", "at", "convert", "local", "exact", "suppose", "in",
];

/// Phrases of a question about the time.
const STRONG: &[&str] = &[
    "what time",
    "the time",
    "time is it",
    "time now",
    "current time",
    "local time",
    "how late",
    "the date",
    "what date",
    "today's date",
    "current date",
    "what day",
    "which day",
    "what year",
    "which year",
    "what month",
    "which month",
    "date today",
    "time in",
    "time at",
    "time will",
    "time was",
    "what's today",
    "what is today",
    "the day",
    "what weekday",
    "the year",
    "the month",
];

/// Words that can ask for the time together with a place.
const WEAK: &[&str] = &["time", "clock", "o'clock", "am", "pm", "noon", "midnight"];

/// Parts of a day.
const PARTS: &[&str] = &["morning", "afternoon", "evening", "night"];

/// Words before a place.
const INTRODUCING: &[&str] = &["in", "at", "for", "and", "or", "from", "to", "on", "time", "between"];

/// Abbreviations and names that are English words in lower case.
const AMBIGUOUS: &[&str] = &["us", "la", "et", "ct", "mt", "pt", "art", "cat", "eat"];

/// Words of a question about the time that do not change its meaning.
const FILLERS: &[&str] = &[
    "what",
    "what's",
    "whats",
    "is",
    "the",
    "time",
    "it",
    "it's",
    "its",
    "now",
    "right",
    "currently",
    "current",
    "at the moment",
    "tell",
    "me",
    "please",
    "can",
    "you",
    "could",
    "would",
    "do",
    "know",
    "hey",
    "hi",
    "hello",
    "ok",
    "okay",
    "so",
    "clock",
    "date",
    "day",
    "today",
    "today's",
    "of the week",
    "weekday",
    "year",
    "month",
    "how",
    "late",
    "will",
    "be",
    "was",
    "local",
    "exact",
    "in",
    "on",
    "at",
    "for",
    "and",
    "or",
    "then",
    "to",
    "there",
    "here",
    "if",
    "when",
    "show",
    "give",
    "convert",
    "thanks",
    "thank you",
    "which",
    "morning",
    "afternoon",
    "evening",
    "night",
    "still",
    "already",
    "also",
    "well",
    ",",
    ".",
    "\"",
    "'",
    "(",
    ")",
    "-",
    "world",
    "suppose",
    "i",
    "need",
    "want",
    "just",
    "as of",
    "!",
];

/// Tokens of a place's name: `America/Argentina/Buenos_Aires`, `Port-au-Prince`.
const PLACE_TOKENS_MAX: usize = 7;

/// Words after a preposition that do not begin a place.
const NO_PLACE: &[&str] =
    &["a", "an", "some", "few", "several", "next", "last", "this", "my", "about", "around"];

const UNKNOWN_TOKENS_MAX: usize = 3;

/// Parts of a clause that are quoted as not understood.
const RUNS_SHOWN: usize = 3;

#[cfg(test)]
mod tests;
