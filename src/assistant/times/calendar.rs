//! Questions about a date: its weekday, or the number of days to it.

use super::{Day, phrase_at};
use crate::{
    fillers,
    lexer::{Lexeme, Token},
};

/// Parses a question about a date; `None` for any other clause.
pub(super) fn read(clause: &[Token]) -> Option<Day> {
    let core = fillers::trimmed(clause);
    let (rest, counted) = BEFORE
        .iter()
        .find_map(|(phrase, counted)| phrase_at(core, phrase).map(|taken| (&core[taken..], *counted)))?;
    let (date, taken) = date(rest)?;
    let rest = &rest[taken..];
    let end =
        ["fall on", "on", "be", "a"].into_iter().find_map(|phrase| phrase_at(rest, phrase)).unwrap_or(0);
    (rest.len() == end).then_some(Day { date, counted })
}

/// Reads a date as `YYYY-MM-DD`, or `MM-DD` without a year, with its number of tokens.
fn date(tokens: &[Token]) -> Option<(String, usize)> {
    if let Some((date, taken)) =
        HOLIDAYS.iter().find_map(|(phrase, date)| Some((*date, phrase_at(tokens, phrase)?)))
    {
        return Some((date.to_owned(), taken));
    }
    numeric(tokens).or_else(|| day_first(tokens)).or_else(|| month_first(tokens))
}

/// Reads `2026-12-25`, `12/25/2026`, `25-12-2026`, but not the ambiguous `5/6/2026`.
fn numeric(tokens: &[Token]) -> Option<(String, usize)> {
    let [a, first, b, second, c, ..] = tokens else { return None };
    let joint = |token: &Token| !token.spaced && (token.is('-') || token.is('/'));
    if !joint(first) || !joint(second) {
        return None;
    }
    let (a, b, c) = (digits(a)?, digits(b)?, digits(c)?);
    let (year, month, day) = match (a, b, c) {
        (year, month, day) if year >= 1000 => (year, month, day),
        (month, day, year) if year >= 1000 && month <= 12 && (day > 12 || day == month) => (year, month, day),
        (day, month, year) if year >= 1000 && month <= 12 && day > 12 => (year, month, day),
        _ => return None,
    };
    Some((written(Some(year), month, day)?, 5))
}

/// `25 December 2026`, `the 25th of December`
fn day_first(tokens: &[Token]) -> Option<(String, usize)> {
    let start = phrase_at(tokens, "the").unwrap_or(0);
    let day = digits(tokens.get(start)?)?;
    let mut at = start + 1 + ordinal(tokens.get(start + 1));
    at += usize::from(tokens.get(at).is_some_and(|token| token.word() == "of"));
    let month = month(tokens.get(at)?.word())?;
    let (year, at) = year(tokens, at + 1);
    Some((written(year, month, day)?, at))
}

/// `December 25, 2026`, `Dec 25th`
fn month_first(tokens: &[Token]) -> Option<(String, usize)> {
    let month = month(tokens.first()?.word())?;
    let day = digits(tokens.get(1)?)?;
    let (year, at) = year(tokens, 2 + ordinal(tokens.get(2)));
    Some((written(year, month, day)?, at))
}

fn ordinal(token: Option<&Token>) -> usize {
    usize::from(token.is_some_and(|token| !token.spaced && matches!(token.word(), "st" | "nd" | "rd" | "th")))
}

fn year(tokens: &[Token], at: usize) -> (Option<u32>, usize) {
    let comma = usize::from(tokens.get(at).is_some_and(|token| token.is(',')));
    match tokens.get(at + comma).and_then(digits).filter(|year| (1000..=9999).contains(year)) {
        Some(year) => (Some(year), at + comma + 1),
        None => (None, at),
    }
}

fn digits(token: &Token) -> Option<u32> {
    match &token.lexeme {
        Lexeme::Number(digits) if digits.len() <= 4 => digits.parse().ok(),
        _ => None,
    }
}

fn month(word: &str) -> Option<u32> {
    let at = MONTHS
        .iter()
        .position(|name| *name == word || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word)))?;
    u32::try_from(at + 1).ok()
}

fn written(year: Option<u32>, month: u32, day: u32) -> Option<String> {
    let possible = (1..=12).contains(&month) && (1..=31).contains(&day);
    possible.then(|| match year {
        Some(year) => format!("{year:04}-{month:02}-{day:02}"),
        None => format!("{month:02}-{day:02}"),
    })
}

/// Phrases before a date, longest first, and whether they ask for the number of days.
const BEFORE: &[(&str, bool)] = &[
    ("how many days are there until", true),
    ("how many days are left until", true),
    ("how many days are it until", true),
    ("how many days is it until", true),
    ("how many days left until", true),
    ("how many days until", true),
    ("how many days till", true),
    ("how many days to", true),
    ("how many days before", true),
    ("how many days since", true),
    ("how many days ago was", true),
    ("how long until", true),
    ("how long is it until", true),
    ("number of days until", true),
    ("many days until", true),
    ("days until", true),
    ("days till", true),
    ("days to", true),
    ("days since", true),
    ("what day of the week is", false),
    ("what day of the week was", false),
    ("what day of the week will", false),
    ("day of the week is", false),
    ("day of the week was", false),
    ("day of the week of", false),
    ("the day of the week of", false),
    ("what weekday is", false),
    ("what weekday was", false),
    ("weekday is", false),
    ("weekday was", false),
    ("weekday of", false),
    ("the weekday of", false),
    ("which weekday is", false),
    ("which weekday was", false),
    ("which day is", false),
    ("what day is", false),
    ("what day was", false),
    ("what day does", false),
    ("what day will", false),
    ("day is", false),
    ("day was", false),
    ("day does", false),
    ("day will", false),
    ("when is", false),
];

const HOLIDAYS: &[(&str, &str)] = &[
    ("christmas eve", "12-24"),
    ("christmas day", "12-25"),
    ("christmas", "12-25"),
    ("xmas", "12-25"),
    ("new year's eve", "12-31"),
    ("new years eve", "12-31"),
    ("new year's day", "01-01"),
    ("new year's", "01-01"),
    ("new year", "01-01"),
    ("the new year", "01-01"),
    ("halloween", "10-31"),
    ("valentine's day", "02-14"),
];

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
