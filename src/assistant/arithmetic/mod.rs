//! Parses arithmetic in prose into the syntax of `calculate`.
//!
//! ```text
//!   "what is one hundred and five times (3+4)?"  ──▶  105 * (3 + 4)
//!   "add 8% tax to 45.50"                        ──▶  45.50 + 8%
//!   "what is 2 + 2 without the rest"             ──▶  declined: "without the rest" is not understood
//! ```
//!
//! Guarantee: a clause is parsed completely or not at all. If a word beside an expression is not understood,
//! the result is declined with that word. A date, a range or a figure of speech (`2026-11-21`,
//! `pages 10-12`, `24/7`) is not a sum.

mod expression;
mod number_words;
mod patterns;

use super::{fillers, lexer::Token};

pub(super) use self::{number_words::read as number_words, patterns::quantity};

/// A calculation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The expression, in the syntax of `calculate`.
    pub expression: String,
    /// The left side of the answer, if it is not the expression: `5 miles`.
    pub shown: Option<String>,
    /// The unit or currency of the result.
    pub unit: Option<String>,
}

/// The result of parsing a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SumReading {
    /// The clause has no calculation.
    Nothing,
    /// The clause consists of these calculations.
    Sums(Vec<Sum>),
    /// The clause has a calculation that is declined for this reason.
    Declined(String),
}

/// Parses a clause. `previous` is the calculation that a clause such as `then times 3` continues.
pub(super) fn read(text: &str, clause: &[Token], previous: Option<&Sum>) -> SumReading {
    let core = fillers::trimmed(clause);
    if core.is_empty() {
        return SumReading::Nothing;
    }
    if let Some(reading) = patterns::read(core, previous) {
        return judged(reading);
    }
    match incidental(core) {
        Some(span) => not_understood(text, core, span),
        None => SumReading::Nothing,
    }
}

/// The result of a pattern for a whole clause.
struct Whole {
    expressions: Vec<expression::Expression>,
    /// The sum that the first expression continues.
    continues: Option<Sum>,
}

fn judged(whole: Whole) -> SumReading {
    let mut sums = Vec::new();
    for found in whole.expressions {
        if found.decimal_comma {
            return SumReading::Declined(DECIMAL_COMMA.into());
        }
        if found.ambiguous_percent {
            return SumReading::Declined(AMBIGUOUS_PERCENT.into());
        }
        if found.tight_parts.as_deref().is_some_and(is_date) {
            let text = found.written.replace(' ', "");
            return SumReading::Declined(format!(
                "I read {text} as a date, not as a calculation; to calculate it, write spaces around its signs"
            ));
        }
        if found.ends_with_exclamation && found.operations > 1 {
            return SumReading::Declined(EXCLAMATION.into());
        }
        let unit = match money(&found) {
            Ok(unit) => unit,
            Err(why) => return SumReading::Declined(why.into()),
        };
        sums.push(Sum { expression: found.written, shown: None, unit });
    }
    if let (Some(before), Some(first)) = (whole.continues, sums.first_mut()) {
        first.expression = format!("({}) {}", before.expression, first.expression);
        first.unit = first.unit.take().or(before.unit);
    }
    SumReading::Sums(sums)
}

/// Returns the currency of a result, if it is unambiguous.
fn money(found: &expression::Expression) -> Result<Option<String>, &'static str> {
    let Some(first) = found.money.first() else { return Ok(None) };
    if found.money.iter().any(|sign| sign != first) {
        return Err("I know no exchange rates, so I do not calculate with two currencies");
    }
    let additive = !found.scaled && (found.money.len() == found.numbers || found.written.contains('%'));
    if additive || found.money.len() == 1 && (found.scaled || found.written.contains('%')) {
        return Ok(Some((*first).to_owned()));
    }
    Err("I cannot tell which currency the result has; write the numbers without their currency")
}

/// Returns true if integers separated by `-` or `/` look like a date: three of them, with the lengths of the
/// parts of a date.
fn is_date(parts: &[usize]) -> bool {
    parts.len() == 3
        && parts.iter().all(|digits| matches!(digits, 1 | 2 | 4))
        && parts.iter().filter(|digits| **digits == 4).count() <= 1
        && parts[1] != 4
}

/// Returns the first expression among unknown words, if it is certainly meant as one.
fn incidental(core: &[Token]) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    while at < core.len() {
        match expression::read_or_skip(core, at) {
            Ok(found) => {
                let of_speech = found.tight_parts.is_some();
                // A single percentage, root or exclamation is prose.
                let weak = found.operations == 0 || (found.numbers == 1 && found.ends_with_exclamation);
                if !of_speech && !weak && found.operations > 0 {
                    return Some(at..at + found.taken);
                }
                at += found.taken.max(1);
            }
            Err(read) => at += read,
        }
    }
    None
}

fn not_understood(text: &str, core: &[Token], sum: std::ops::Range<usize>) -> SumReading {
    let words = |tokens: &[Token]| -> Option<String> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        Some(text[first.span.start..last.span.end].to_owned())
    };
    let quoted: Vec<String> = [words(&core[..sum.start]), words(&core[sum.end..])]
        .into_iter()
        .flatten()
        .map(|words| format!("“{}”", super::shown(&words)))
        .collect();
    let shown = words(&core[sum]).unwrap_or_default();
    SumReading::Declined(format!(
        "I did not understand {} beside {}, so I calculated nothing",
        quoted.join(" and "),
        super::shown(&shown)
    ))
}

const DECIMAL_COMMA: &str =
    "I read a comma only between groups of three digits; write decimals with a point, such as 1.5";

const AMBIGUOUS_PERCENT: &str =
    "The % can be percent or remainder there; write percent, or mod for the remainder";

const EXCLAMATION: &str = "I cannot tell whether the ! at the end is a factorial; leave it out, or write the factorial in parentheses";

#[cfg(test)]
mod tests;
