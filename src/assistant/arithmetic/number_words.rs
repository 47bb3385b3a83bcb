//! Parses English number words.
//!
//! ```text
//!   number  = group { scale group } [ "point" digit { digit } ]
//!   group   = [ 1 … 99 | "a" ] "hundred" [ [ "and" ] 1 … 99 ]  |  1 … 99
//!   scale   = "thousand" | "million" | "billion" | "trillion"     each smaller than the one before
//! ```
//!
//! Guarantee: words that are not one number are not parsed as one: `five two` ends after `five`.

use crate::lexer::Token;

/// Reads a number at the beginning of tokens. Returns its digits and its number of tokens.
pub(crate) fn read(tokens: &[Token]) -> Option<(String, usize)> {
    let mut reading = NumberReading::default();
    let mut at = 0;
    while let Some(taken) = reading.step(&tokens[at..]) {
        at += taken;
    }
    if reading.last == Last::Nothing {
        return None;
    }
    let mut digits = reading.total.checked_add(reading.group)?.to_string();
    if tokens.get(at).is_some_and(|token| token.word() == "point") {
        let decimals: String = tokens[at + 1..]
            .iter()
            .map_while(|token| unit(token.word()).filter(|value| *value < 10))
            .map(|value| value.to_string())
            .collect();
        if !decimals.is_empty() {
            at += 1 + decimals.len();
            digits = format!("{digits}.{decimals}");
        }
    }
    Some((digits, at))
}

/// Returns the power of ten of `hundred`, `thousand` …
pub(super) fn power_of_ten(word: &str) -> Option<u32> {
    if word == "hundred" {
        Some(2)
    } else {
        SCALES.iter().find(|(name, _)| *name == word).map(|(_, power)| *power)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    /// 0 to 19: no unit follows.
    Unit,
    /// 20, 30 …: a unit may follow.
    Tens,
    /// Anything below a hundred may follow, also after `and`.
    Hundred,
    /// A group may follow, also after `and`.
    Scale,
}

#[derive(Default)]
struct NumberReading {
    total: u128,
    group: u128,
    last: Last,
    /// The power of ten of the last scale.
    scale: Option<u32>,
}

impl NumberReading {
    /// Reads the next word if it continues the number. Returns its number of tokens.
    fn step(&mut self, tokens: &[Token]) -> Option<usize> {
        let word = tokens.first()?.word();
        if matches!(word, "a" | "an") && self.last == Last::Nothing {
            power_of_ten(tokens.get(1)?.word())?;
            return self.step(&tokens[1..]).map(|taken| taken + 1);
        }
        if word == "and" && matches!(self.last, Last::Hundred | Last::Scale) {
            let next = tokens.get(1)?.word();
            if unit(next).is_none() && tens(next).is_none() {
                return None;
            }
            return self.below_hundred(next).map(|()| 2);
        }
        if tokens[0].is('-') && self.last == Last::Tens && !tokens[0].spaced {
            let next = tokens.get(1).filter(|next| !next.spaced)?.word();
            unit(next).filter(|value| (1..10).contains(value))?;
            return self.below_hundred(next).map(|()| 2);
        }
        if word == "hundred" {
            let times = match self.last {
                Last::Nothing | Last::Scale => 1,
                Last::Unit | Last::Tens if (1..100).contains(&self.group) => self.group,
                _ => return None,
            };
            self.group = times * 100;
            self.last = Last::Hundred;
            return Some(1);
        }
        if let Some(power) = SCALES.iter().find(|(name, _)| *name == word).map(|(_, power)| *power) {
            if self.last == Last::Scale || self.scale.is_some_and(|scale| power >= scale) {
                return None;
            }
            let times = if self.last == Last::Nothing { 1 } else { self.group };
            self.total += times * 10u128.pow(power);
            (self.group, self.scale, self.last) = (0, Some(power), Last::Scale);
            return Some(1);
        }
        self.below_hundred(word).map(|()| 1)
    }

    fn below_hundred(&mut self, word: &str) -> Option<()> {
        if let Some(value) = unit(word) {
            let fits = match self.last {
                Last::Nothing | Last::Hundred | Last::Scale => true,
                Last::Tens => (1..10).contains(&value),
                Last::Unit => false,
            };
            fits.then(|| {
                self.group += u128::from(value);
                self.last = Last::Unit;
            })
        } else {
            let value = tens(word)?;
            matches!(self.last, Last::Nothing | Last::Hundred | Last::Scale).then(|| {
                self.group += u128::from(value);
                self.last = Last::Tens;
            })
        }
    }
}

fn unit(word: &str) -> Option<u32> {
    UNITS.iter().position(|name| *name == word).and_then(|value| u32::try_from(value).ok())
}

fn tens(word: &str) -> Option<u32> {
    let at = TENS.iter().position(|name| *name == word).or_else(|| (word == "fourty").then_some(2))?;
    u32::try_from(at).ok().map(|at| (at + 2) * 10)
}

const UNITS: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: &[&str] = &["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

const SCALES: &[(&str, u32)] = &[("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;

    #[test]
    fn number_words_are_one_number_or_end() {
        let cases = [
            ("five", "5", 1),
            ("twenty one", "21", 2),
            ("thirty-five", "35", 3),
            ("a hundred and one", "101", 4),
            ("one hundred and five", "105", 4),
            ("two hundred fifty", "250", 3),
            ("nineteen hundred and four", "1904", 4),
            ("a thousand", "1000", 2),
            ("two million three hundred thousand and seven", "2300007", 7),
            ("one thousand two hundred thirty four", "1234", 6),
            ("three point one four", "3.14", 4),
            ("hundred", "100", 1),
            ("five two", "5", 1),
            ("twenty eleven", "20", 1),
            ("five and six", "5", 1),
            ("a hundred and times", "100", 2),
            ("two thousand five thousand", "2005", 3),
            ("ninety - nine", "90", 1),
        ];
        for (text, digits, taken) in cases {
            assert_eq!(read(&tokens(text)), Some((digits.to_owned(), taken)), "{text}");
        }
        for text in ["", "a", "and five", "an apple", "point five", "3"] {
            assert_eq!(read(&tokens(text)), None, "{text}");
        }
    }
}
