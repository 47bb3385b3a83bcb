//! Parses an arithmetic expression in a message into the syntax of `calculate`.
//!
//! One pass from left to right with a stack of open parentheses, without recursion and backtracking.

use super::number_words;
use crate::lexer::{Lexeme, Token};

/// A parsed expression and its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) written: String,
    /// Number of its tokens.
    pub(super) taken: usize,
    /// Number of its operations; 0 for a bare number.
    pub(super) operations: usize,
    /// Set if its only operations are `-` and `/` between integers without spaces, as in dates and ranges.
    pub(super) tight_parts: Option<Vec<usize>>,
    pub(super) ends_with_percent: bool,
    /// True if the last token is `!`, which may be an exclamation mark.
    pub(super) ends_with_exclamation: bool,
    /// Currency signs and names, one per amount.
    pub(super) money: Vec<&'static str>,
    /// Number of its numbers.
    pub(super) numbers: usize,
    /// True if it has an operator other than `+` and `-`.
    pub(super) scaled: bool,
    /// True if it has a `%` that may be percent or remainder.
    pub(super) ambiguous_percent: bool,
    /// True if it has a number with a decimal comma.
    pub(super) decimal_comma: bool,
}

/// The meaning of a token where an operand is expected.
enum OperandStep {
    /// An operand: its text and number of tokens.
    Operand(String, usize),
    /// A prefix of an operand: its text and number of tokens.
    Before(&'static str, usize),
    Stop,
}

/// Parses the longest expression that begins at `at`; `None` if there is no operand.
pub(super) fn read(tokens: &[Token], at: usize) -> Option<Expression> {
    read_or_skip(tokens, at).ok()
}

/// As [`read`]; the error is the number of tokens that can be skipped.
pub(super) fn read_or_skip(tokens: &[Token], at: usize) -> Result<Expression, usize> {
    let mut reader = ExpressionReader { tokens, at, start: at, ..ExpressionReader::default() };
    while reader.operand() {
        reader.after_operand();
        if !reader.operator() {
            break;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct ExpressionReader<'a> {
    tokens: &'a [Token],
    start: usize,
    at: usize,
    written: String,
    /// For each open parenthesis, true if it belongs to a function.
    open: Vec<bool>,
    /// The state after the last complete operand.
    complete: Option<Complete>,
    expression: Expression,
    /// True after a sign of the next operand.
    glued: bool,
    /// Signs that are written after the next operand, as in `the square of 3`.
    pending: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct Complete {
    at: usize,
    written: usize,
    operations: usize,
    scaled: bool,
}

impl ExpressionReader<'_> {
    fn word(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", Token::word)
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn has(&self, phrase: &str) -> Option<usize> {
        let mut count = 0;
        for word in phrase.split(' ') {
            if self.word(count) != word {
                return None;
            }
            count += 1;
        }
        Some(count)
    }

    fn put(&mut self, text: &str) {
        let tight = self.written.is_empty() || self.written.ends_with(['(', '√', '∛']);
        if !tight && !std::mem::take(&mut self.glued) && !text.starts_with([')', ',', '%', '²', '³', '!']) {
            self.written.push(' ');
        }
        self.written.push_str(text);
    }

    /// Reads an operand with its prefixes. Returns false if there is none.
    fn operand(&mut self) -> bool {
        loop {
            match self.step() {
                OperandStep::Operand(text, taken) => {
                    self.put(&text);
                    if let Some(sign) = self.pending.take() {
                        self.written.push_str(sign);
                    }
                    self.at += taken;
                    self.expression.numbers += 1;
                    return true;
                }
                OperandStep::Before(text, taken) => {
                    match text {
                        "²" | "³" => self.pending = Some(text),
                        "" => {}
                        text => self.put(text),
                    }
                    self.glued = text == "-";
                    if text.ends_with('(') {
                        self.open.push(text.len() > 1);
                    }
                    if !matches!(text, "-" | "(" | "") {
                        self.expression.operations += 1;
                        self.expression.scaled = true;
                    }
                    self.at += taken;
                }
                OperandStep::Stop => return false,
            }
        }
    }

    fn step(&mut self) -> OperandStep {
        let tokens = self.tokens;
        let Some(token) = tokens.get(self.at) else { return OperandStep::Stop };
        let word = token.word();
        let called = !word.is_empty() && self.token(1).is_some_and(|next| next.is('('));
        if called && let Some((_, text)) = FUNCTIONS.iter().find(|(name, _)| *name == word) {
            return OperandStep::Before(text, 2);
        }
        if !word.is_empty() {
            for (phrase, text) in BEFORE {
                if let Some(taken) = self.has(phrase) {
                    return OperandStep::Before(text, taken);
                }
            }
        }
        match &token.lexeme {
            Lexeme::Number(digits) => {
                let digits = digits.clone();
                self.number(digits, 0)
            }
            Lexeme::Sign('(') => OperandStep::Before("(", 1),
            Lexeme::Sign('-' | '−') => OperandStep::Before("-", 1),
            Lexeme::Sign('+') if self.expression.numbers > 0 => OperandStep::Before("", 1),
            Lexeme::Sign('√') => OperandStep::Before("√", 1),
            Lexeme::Sign('∛') => OperandStep::Before("∛", 1),
            Lexeme::Sign(sign) => match (currency(*sign), self.token(1).map(|next| next.lexeme.clone())) {
                (Some(currency), Some(Lexeme::Number(digits))) => {
                    self.expression.money.push(currency);
                    self.number(digits, 1)
                }
                _ => OperandStep::Stop,
            },
            Lexeme::Word(word) => {
                if matches!(word.as_str(), "pi" | "π") {
                    self.expression.operations += 1;
                    return OperandStep::Operand("pi".into(), 1);
                }
                if word == "e" && self.expression.operations > 0 {
                    return OperandStep::Operand("e".into(), 1);
                }
                match number_words::read(&tokens[self.at..]) {
                    Some((digits, taken)) => {
                        let more = self.money_after(taken);
                        OperandStep::Operand(digits, taken + more)
                    }
                    None => OperandStep::Stop,
                }
            }
        }
    }

    /// Reads a number `skip` tokens ahead, with its suffix: `2k`, `3 million`, `5 euros`.
    fn number(&mut self, digits: String, skip: usize) -> OperandStep {
        let next = self.token(skip + 1);
        let tight_word = next.filter(|next| !next.spaced).map_or("", Token::word).to_owned();
        let mut written = digits;
        let mut taken = skip + 1;
        if written.contains(',') {
            if is_grouped(&written) {
                written = written.replace(',', "");
            } else {
                self.expression.decimal_comma = true;
            }
        }
        if matches!(tight_word.as_str(), "k" | "m") {
            written.push_str(if tight_word == "k" { "k" } else { "M" });
            taken += 1;
        } else if let Some(power) = number_words::power_of_ten(self.word(taken)) {
            written = if written.contains(['e', 'E']) { written } else { format!("{written}e{power}") };
            taken += 1;
        } else if !tight_word.is_empty()
            && !TIGHT_WORDS.contains(&tight_word.as_str())
            && currency_word(&tight_word).is_none()
        {
            // `2nd` and `3d` are words, not numbers.
            return OperandStep::Stop;
        }
        let more = if skip == 0 { self.money_after(taken) } else { 0 };
        OperandStep::Operand(written, taken + more)
    }

    /// Reads a currency after an amount and returns its number of tokens.
    fn money_after(&mut self, ahead: usize) -> usize {
        let found = self.token(ahead).and_then(|next| match &next.lexeme {
            Lexeme::Sign(sign) => currency(*sign),
            Lexeme::Word(word) => currency_word(word),
            Lexeme::Number(_) => None,
        });
        self.expression.money.extend(found);
        usize::from(found.is_some())
    }

    /// Reads the suffixes of an operand: `%`, `!`, `squared`, `)`.
    fn after_operand(&mut self) {
        loop {
            self.mark();
            let tokens = self.tokens;
            let Some(token) = tokens.get(self.at) else { return };
            match &token.lexeme {
                Lexeme::Sign(')') if !self.open.is_empty() => {
                    self.open.pop();
                    self.put(")");
                }
                Lexeme::Sign('!') if !token.spaced => {
                    self.put("!");
                    self.expression.operations += 1;
                }
                Lexeme::Sign('²') => self.raise("²"),
                Lexeme::Sign('³') => self.raise("³"),
                Lexeme::Word(word) if word == "squared" => self.raise("²"),
                Lexeme::Word(word) if word == "cubed" => self.raise("³"),
                Lexeme::Word(word) if matches!(word.as_str(), "percent" | "pct") => self.put("%"),
                Lexeme::Word(word) if word == "per" && self.word(1) == "cent" => {
                    self.put("%");
                    self.at += 1;
                }
                Lexeme::Sign('%') if !self.at_remainder() => self.put("%"),
                _ => return,
            }
            self.at += 1;
        }
    }

    fn raise(&mut self, sign: &str) {
        self.put(sign);
        self.expression.operations += 1;
        self.expression.scaled = true;
    }

    /// Returns true if `%` is a remainder, and marks the expression if it may be either.
    fn at_remainder(&mut self) -> bool {
        let (Some(sign), Some(next)) = (self.token(0), self.token(1)) else { return false };
        let (tight, spaced) = (!sign.spaced, next.spaced);
        let begins = |token: &Token| {
            token.is_number() || token.is('(') || number_words::read(std::slice::from_ref(token)).is_some()
        };
        if begins(next) {
            self.expression.ambiguous_percent |= tight && spaced;
            return true;
        }
        if !next.is('-') && !next.is('+') && !next.is('−') {
            return false;
        }
        let operand_tight = self.token(2).is_some_and(|after| begins(after) && !after.spaced);
        match (tight, spaced, operand_tight) {
            (true, true, _) => false,
            (false, true, true) => true,
            _ => {
                self.expression.ambiguous_percent = true;
                false
            }
        }
    }

    /// Reads an operator between two operands. Returns false if there is none.
    fn operator(&mut self) -> bool {
        let ends_with_share = self.written.ends_with(|c| c == '%' || matches!(c, '¼'..='¾' | '⅓'..='⅞'));
        let Some(token) = self.token(0) else { return false };
        let (text, taken) = match &token.lexeme {
            Lexeme::Sign('+') => ("+", 1),
            Lexeme::Sign('-' | '−') => ("-", 1),
            Lexeme::Sign('*' | '×' | '·') => ("*", 1),
            Lexeme::Sign('/' | '÷') => ("/", 1),
            Lexeme::Sign('^') => ("^", 1),
            Lexeme::Sign('%') => ("mod", 1),
            Lexeme::Sign(',') if self.open.last() == Some(&true) => (",", 1),
            Lexeme::Sign('(') => ("*", 0),
            Lexeme::Word(word) if word == "of" && ends_with_share => ("of", 1),
            Lexeme::Word(word) if matches!(word.as_str(), "pi" | "sqrt") && self.complete.is_some() => {
                ("*", 0)
            }
            Lexeme::Word(_) => {
                match OPERATORS.iter().find_map(|(phrase, text)| Some((*text, self.has(phrase)?))) {
                    Some(found) => found,
                    None => return false,
                }
            }
            _ => return false,
        };
        self.put(text);
        self.at += taken;
        self.expression.operations += usize::from(text != ",");
        self.expression.scaled |= !matches!(text, "+" | "-" | ",");
        true
    }

    fn mark(&mut self) {
        self.complete = Some(Complete {
            at: self.at,
            written: self.written.len(),
            operations: self.expression.operations,
            scaled: self.expression.scaled,
        });
    }

    fn finish(mut self) -> Result<Expression, usize> {
        let complete = self.complete.ok_or((self.at - self.start).max(1))?;
        // An operator without a right side is left to the caller, which reports it as not understood.
        self.written.truncate(complete.written);
        let taken = complete.at - self.start;
        let mut expression = self.expression;
        let tokens = &self.tokens[self.start..complete.at];
        (expression.operations, expression.scaled) = (complete.operations, complete.scaled);
        expression.ends_with_percent = self.written.ends_with('%');
        expression.ends_with_exclamation = tokens.last().is_some_and(|last| last.is('!'));
        expression.tight_parts = tight_parts(tokens);
        Ok(Expression { written: self.written, taken, ..expression })
    }
}

/// Returns the lengths of integers that are separated by `-` or `/` without spaces.
fn tight_parts(tokens: &[Token]) -> Option<Vec<usize>> {
    if tokens.len() < 3
        || tokens.len() > 7
        || tokens.len().is_multiple_of(2)
        || tokens[1..].iter().any(|token| token.spaced)
    {
        return None;
    }
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match &token.lexeme {
            Lexeme::Number(digits) if at % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                parts.push(digits.len());
            }
            Lexeme::Sign('-' | '/') if at % 2 == 1 => {}
            _ => return None,
        }
    }
    Some(parts)
}

/// Returns true if the commas of a number separate groups of three digits.
fn is_grouped(digits: &str) -> bool {
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or(digits);
    let mut groups = whole.split(',');
    groups.next().is_some_and(|first| (1..=3).contains(&first.len())) && groups.all(|group| group.len() == 3)
}

fn currency(sign: char) -> Option<&'static str> {
    ["€", "$", "£", "¥", "₹"].into_iter().find(|known| known.starts_with(sign))
}

fn currency_word(word: &str) -> Option<&'static str> {
    CURRENCY_WORDS.iter().find(|(name, _)| *name == word).map(|(_, sign)| *sign)
}

const CURRENCY_WORDS: &[(&str, &str)] = &[
    ("dollar", "$"),
    ("dollars", "$"),
    ("bucks", "$"),
    ("usd", "$"),
    ("euro", "€"),
    ("euros", "€"),
    ("eur", "€"),
    ("gbp", "£"),
    ("yen", "¥"),
];

/// Phrases before an operand.
const BEFORE: &[(&str, &str)] = &[
    ("the square root of", "sqrt"),
    ("square root of", "sqrt"),
    ("sqrt of", "sqrt"),
    ("sqrt", "sqrt"),
    ("cbrt", "cbrt"),
    ("the cube root of", "cbrt"),
    ("cube root of", "cbrt"),
    ("the square of", "²"),
    ("square of", "²"),
    ("the cube of", "³"),
    ("cube of", "³"),
    ("half of", "½ *"),
    ("half", "½ *"),
    ("one half of", "½ *"),
    ("a half of", "½ *"),
    ("a third of", "⅓ *"),
    ("one third of", "⅓ *"),
    ("two thirds of", "⅔ *"),
    ("a quarter of", "¼ *"),
    ("one quarter of", "¼ *"),
    ("three quarters of", "¾ *"),
    ("a fifth of", "⅕ *"),
    ("a tenth of", "0.1 *"),
    ("double", "2 *"),
    ("twice", "2 *"),
    ("triple", "3 *"),
    ("negative", "-"),
    ("minus", "-"),
];

/// Functions with parentheses.
const FUNCTIONS: &[(&str, &str)] = &[
    ("sqrt", "sqrt("),
    ("cbrt", "cbrt("),
    ("abs", "abs("),
    ("floor", "floor("),
    ("ceil", "ceil("),
    ("round", "round("),
    ("min", "min("),
    ("max", "max("),
    ("sum", "sum("),
    ("product", "product("),
    ("avg", "avg("),
    ("average", "avg("),
    ("mean", "avg("),
];

/// Operators in words, the longest of those with the same beginning first.
const OPERATORS: &[(&str, &str)] = &[
    ("plus", "+"),
    ("minus", "-"),
    ("times", "*"),
    ("x", "*"),
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("over", "/"),
    ("to the power of", "^"),
    ("raised to the power of", "^"),
    ("raised to", "^"),
    ("modulo", "mod"),
    ("mod", "mod"),
];

/// Words that may stand after digits without a space.
const TIGHT_WORDS: &[&str] = &["x", "pi", "sqrt", "π"];
