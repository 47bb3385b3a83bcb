//! Numeric literals of expressions.

use super::NoValue;
use crate::tools::number::{Budget, Number};

/// Reads a number at the beginning of a text. Returns it with its length in bytes. Positions in errors are
/// bytes from the beginning.
pub(super) fn read(text: &str, in_call: bool, budget: &mut Budget) -> Result<(Number, usize), NoValue> {
    if let Some((number, length)) = vulgar(text, budget)? {
        return Ok((number, length));
    }
    let (digits, exponent, mut length) = decimal(text, in_call);
    if !digits.contains(|c: char| c.is_ascii_digit()) {
        return Err(NoValue::Unknown { found: ".".into(), at: 0 });
    }
    if text[length..].starts_with(',')
        && !in_call
        && text[length + 1..].starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(NoValue::DecimalComma { at: length });
    }
    let mut exponent = exponent;
    let rest = &text[length..];
    let suffix = [("k", 3), ("K", 3), ("M", 6)].into_iter().find(|(suffix, _)| rest.starts_with(suffix));
    if let Some((suffix, power)) = suffix
        && !rest[suffix.len()..].starts_with(|c: char| c.is_alphabetic() || c.is_ascii_digit() || c == '_')
    {
        exponent = exponent.saturating_add(power);
        length += suffix.len();
    }
    let number = Number::parse(&digits, exponent, budget)?;
    // 2½ is a mixed number.
    match vulgar(&text[length..], budget)? {
        Some((fraction, more)) => Ok((number.plus(&fraction, budget)?, length + more)),
        None => Ok((number, length)),
    }
}

/// Returns true if a character begins a number.
pub(super) fn begins(c: char) -> bool {
    c.is_ascii_digit() || c == '.' || VULGAR.iter().any(|(sign, _, _)| *sign == c)
}

/// Reads an integer in superscript digits at the beginning of a text, with its length in bytes.
pub(super) fn superscript(text: &str) -> Option<(String, usize)> {
    let value = |c: char| SUPERSCRIPTS.chars().position(|digit| digit == c);
    let digits =
        text.chars().map_while(value).filter_map(|digit| char::from_digit(u32::try_from(digit).ok()?, 10));
    let digits: String = digits.collect();
    let length = text.chars().take(digits.len()).map(char::len_utf8).sum();
    (!digits.is_empty()).then_some((digits, length))
}

fn vulgar(text: &str, budget: &mut Budget) -> Result<Option<(Number, usize)>, NoValue> {
    let first = text.chars().next();
    let Some((sign, numer, denom)) = VULGAR.iter().find(|(sign, _, _)| Some(*sign) == first) else {
        return Ok(None);
    };
    let number = Number::whole(*numer).over(&Number::whole(*denom), budget)?;
    Ok(Some((number, sign.len_utf8())))
}

/// Reads the digits of a number, its power of ten, and its length in bytes.
fn decimal(text: &str, in_call: bool) -> (String, i64, usize) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut digits, mut at, mut point, mut whole) = (String::new(), 0, false, 0);
    let mut grouped = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                whole += usize::from(!point);
                digits.push(char::from(*byte));
            }
            b'.' if !point && digit(at + 1) => {
                point = true;
                digits.push('.');
            }
            b'_' if at > 0 && digit(at - 1) && digit(at + 1) => {}
            // 1,000 and 12,000,000, not 1234,567.
            b',' if !in_call
                && !point
                && (grouped || (1..=3).contains(&whole))
                && at > 0
                && (1..=3).all(|ahead| digit(at + ahead))
                && !digit(at + 4) =>
            {
                grouped = true;
            }
            _ => break,
        }
        at += 1;
    }
    let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
    if !matches!(bytes.get(at), Some(b'e' | b'E')) || !digit(at + 1 + signed) {
        return (digits, 0, at);
    }
    let start = at + 1 + signed;
    let end = (start..bytes.len()).find(|at| !digit(*at)).unwrap_or(bytes.len());
    // An exponent too long for its type exceeds every limit.
    let exponent = text[start..end].parse::<i64>().unwrap_or(i64::MAX);
    (digits, if bytes[at + 1] == b'-' { -exponent } else { exponent }, end)
}

const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const VULGAR: &[(char, u32, u32)] = &[
    ('½', 1, 2),
    ('⅓', 1, 3),
    ('⅔', 2, 3),
    ('¼', 1, 4),
    ('¾', 3, 4),
    ('⅕', 1, 5),
    ('⅖', 2, 5),
    ('⅗', 3, 5),
    ('⅘', 4, 5),
    ('⅙', 1, 6),
    ('⅚', 5, 6),
    ('⅛', 1, 8),
    ('⅜', 3, 8),
    ('⅝', 5, 8),
    ('⅞', 7, 8),
];
