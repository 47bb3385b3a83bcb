//! Durations from now, and times of day.

use crate::{
    arithmetic::number_words,
    lexer::{Lexeme, Token},
};

/// A duration that is added to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// ISO 8601, with a sign if it is in the past.
    pub duration: String,
    /// True if the unit is a day or longer, so that the answer is a date.
    pub in_days: bool,
}

impl Shift {
    fn new(amounts: &[(u32, char)], past: bool) -> Self {
        let in_days = amounts.iter().all(|(_, unit)| matches!(unit, 'Y' | 'O' | 'W' | 'D'));
        let mut duration = String::from(if past { "-P" } else { "P" });
        let mut clock = false;
        for unit in ['Y', 'O', 'W', 'D', 'H', 'M', 'S'] {
            let amount: u32 = amounts.iter().filter(|(_, of)| *of == unit).map(|(amount, _)| *amount).sum();
            if amount == 0 {
                continue;
            }
            if matches!(unit, 'H' | 'M' | 'S') && !clock {
                duration.push('T');
                clock = true;
            }
            duration += &format!("{amount}{}", if unit == 'O' { 'M' } else { unit });
        }
        if duration.ends_with('P') {
            duration.push_str("T0S");
        }
        Self { duration, in_days }
    }

    /// Formats the duration as `in 3 hours`, `2 days ago`.
    pub fn in_words(&self) -> String {
        let (mut amounts, mut digits, mut clock) = (Vec::new(), String::new(), false);
        for c in self.duration.chars() {
            let unit = match c {
                '0'..='9' => {
                    digits.push(c);
                    continue;
                }
                'T' => {
                    clock = true;
                    continue;
                }
                'Y' => "year",
                'M' if clock => "minute",
                'M' => "month",
                'W' => "week",
                'D' => "day",
                'H' => "hour",
                'S' => "second",
                _ => continue,
            };
            let plural = if digits == "1" { "" } else { "s" };
            amounts.push(format!("{} {unit}{plural}", std::mem::take(&mut digits)));
        }
        let amounts = amounts.join(" and ");
        if self.is_past() { format!("{amounts} ago") } else { format!("in {amounts}") }
    }

    /// Returns true if the shifted time is before now.
    pub fn is_past(&self) -> bool {
        self.duration.starts_with('-')
    }
}

/// Reads `in 3 hours`, `two days ago`, `tomorrow`, `next week` …, with its number of tokens.
pub(super) fn shift(tokens: &[Token]) -> Option<(Shift, usize)> {
    for (phrase, amount, unit) in NAMED {
        if let Some(taken) = super::phrase_at(tokens, phrase) {
            return Some((Shift::new(&[(amount.unsigned_abs(), *unit)], *amount < 0), taken));
        }
    }
    let before = tokens.first().filter(|token| matches!(token.word(), "in" | "after")).map_or(0, |_| 1);
    let (amounts, taken) = duration(&tokens[before..])?;
    let end = before + taken;
    let after = &tokens[end..];
    for (phrase, past) in [
        ("from now on", false),
        ("from now", false),
        ("from today", false),
        ("later", false),
        ("ahead", false),
        ("ago", true),
        ("earlier", true),
        ("before now", true),
    ] {
        if let Some(more) = super::phrase_at(after, phrase) {
            return Some((Shift::new(&amounts, past), end + more));
        }
    }
    (before == 1).then(|| (Shift::new(&amounts, false), end))
}

/// Reads amounts of units: `2 hours and 30 minutes`, `half an hour`, `an hour and a half`.
fn duration(tokens: &[Token]) -> Option<(Vec<(u32, char)>, usize)> {
    if let Some(taken) = super::phrase_at(tokens, "half an hour") {
        return Some((vec![(30, 'M')], taken));
    }
    let mut amounts = Vec::new();
    let mut at = 0;
    loop {
        let joint = usize::from(
            !amounts.is_empty() && tokens.get(at).is_some_and(|token| token.word() == "and" || token.is(',')),
        );
        let rest = tokens.get(at + joint..)?;
        if amounts == [(1, 'H')]
            && let Some(taken) = super::phrase_at(rest, "a half")
        {
            return Some((vec![(1, 'H'), (30, 'M')], at + joint + taken));
        }
        let Some((amount, unit, taken)) = amount(rest) else { break };
        amounts.push((amount, unit));
        at += joint + taken;
    }
    (!amounts.is_empty()).then_some((amounts, at))
}

fn amount(tokens: &[Token]) -> Option<(u32, char, usize)> {
    let (count, taken) = match &tokens.first()?.lexeme {
        Lexeme::Number(digits) if digits.len() <= DIGITS_MAX => (digits.parse().ok()?, 1),
        Lexeme::Word(word) if matches!(word.as_str(), "a" | "an") => (1, 1),
        Lexeme::Word(_) => {
            number_words(tokens).and_then(|(digits, taken)| Some((digits.parse().ok()?, taken)))?
        }
        _ => return None,
    };
    let word = tokens.get(taken)?.word();
    let unit = UNITS.iter().find(|(names, _)| names.contains(&word)).map(|(_, unit)| *unit)?;
    (count <= COUNT_MAX).then_some((count, unit, taken + 1))
}

/// Reads a time of day, `3pm`, `15:30`, `noon`, as `HH:MM`.
pub(super) fn anchor(tokens: &[Token]) -> Option<(String, usize)> {
    let first = tokens.first()?;
    match first.word() {
        "noon" | "midday" => return Some(("12:00".into(), 1)),
        "midnight" => return Some(("00:00".into(), 1)),
        _ => {}
    }
    let part = |token: &Token| match &token.lexeme {
        Lexeme::Number(digits) if digits.len() <= 2 => digits.parse::<u32>().ok(),
        _ => None,
    };
    let hours = part(first)?;
    let with_minutes = tokens.get(1).is_some_and(|token| token.is(':') && !token.spaced);
    let (minutes, mut taken) = if with_minutes { (part(tokens.get(2)?)?, 3) } else { (0, 1) };
    let hours = match tokens.get(taken).map_or("", Token::word) {
        "am" if (1..=12).contains(&hours) => {
            taken += 1;
            hours % 12
        }
        "pm" if (1..=12).contains(&hours) => {
            taken += 1;
            hours % 12 + 12
        }
        "o'clock" => {
            taken += 1;
            hours
        }
        _ if with_minutes => hours,
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| (format!("{hours:02}:{minutes:02}"), taken))
}

/// Returns true if a word alone indicates a time of day.
pub(super) fn names_a_time(word: &str) -> bool {
    matches!(word, "am" | "pm" | "noon" | "midday" | "midnight" | "o'clock")
}

const NAMED: &[(&str, i32, char)] = &[
    ("the day after tomorrow", 2, 'D'),
    ("day after tomorrow", 2, 'D'),
    ("the day before yesterday", -2, 'D'),
    ("day before yesterday", -2, 'D'),
    ("tomorrow", 1, 'D'),
    ("yesterday", -1, 'D'),
    ("next week", 1, 'W'),
    ("last week", -1, 'W'),
    ("next month", 1, 'O'),
    ("last month", -1, 'O'),
    ("next year", 1, 'Y'),
    ("last year", -1, 'Y'),
];

/// Units of a duration; `O` is a month, since `M` is a minute.
const UNITS: &[(&[&str], char)] = &[
    (&["second", "seconds", "sec", "secs"], 'S'),
    (&["minute", "minutes", "min", "mins"], 'M'),
    (&["hour", "hours", "hr", "hrs", "h"], 'H'),
    (&["day", "days"], 'D'),
    (&["week", "weeks"], 'W'),
    (&["month", "months"], 'O'),
    (&["year", "years"], 'Y'),
];

const DIGITS_MAX: usize = 6;

const COUNT_MAX: u32 = 1_000_000;
