//! Arithmetic in running text: finds what can be calculated and writes it as `calculate` reads it.
//!
//! ```text
//!   "what is twelve times (3+4), and 15% of 80?"  ──▶  "12 * (3 + 4)", "15 % of 80"
//! ```
//!
//! A date, a range or a fraction of speech (`2026-11-21`, `10-12`, `24/7`) is not taken for a sum
//! unless it is all that the text says, or the text asks for a result.

use std::ops::Range;

/// The sums of a text, where each stands and its expression.
pub fn find(text: &str) -> Vec<(Range<usize>, String)> {
    let tokens = tokens(text);
    let asks = asks_for_a_result(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let length = tokens[at..].iter().take_while(|token| !matches!(token.kind, Kind::Other)).count();
        let run = trimmed(&tokens[at..at + length]);
        if let (Some(first), Some(last)) = (run.first(), run.last())
            && is_sum(run)
        {
            let span = first.span.start..last.span.end;
            let alone = text.trim().trim_end_matches(['?', '!', '.', '=', ' ']) == &text[span.clone()];
            if alone || !is_of_speech(run, asks) {
                found.push((span, expression(run)));
            }
        }
        at += length.max(1);
    }
    found
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    span: Range<usize>,
    kind: Kind,
    /// How the calculator writes it.
    written: String,
    /// A space, or the beginning of the text, stands before it.
    spaced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Number,
    Operator,
    /// `%`, which may stand after a number as well as between two.
    Percent,
    Of,
    Open,
    Close,
    Comma,
    Function,
    Other,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    let mut depth = 0usize;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let spaced = at == 0 || text[..at].ends_with(char::is_whitespace);
        let rest = &text[at..];
        let (kind, written, length) = if c.is_ascii_digit() || (c == '.' && digit_at(rest, 1)) {
            number(rest, depth > 0)
        } else if let Some((words, kind, written)) = phrase(rest) {
            (kind, written.to_owned(), words)
        } else if c.is_alphabetic() {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '\'').unwrap_or(rest.len());
            let word = rest[..length].to_lowercase();
            word_token(&word, &rest[length..], length)
        } else {
            symbol(c, rest)
        };
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Other => depth = 0,
            _ => {}
        }
        // `2nd` and `3d` are words, not numbers.
        let joined = kind == Kind::Number && text[at + length..].starts_with(char::is_alphabetic);
        let kind = if joined { Kind::Other } else { kind };
        tokens.push(Token { span: at..at + length, kind, written, spaced });
        at += length;
    }
    tokens
}

fn digit_at(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
}

fn number(text: &str, in_parentheses: bool) -> (Kind, String, usize) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut point = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !point && digit_at(text, at + 1) => point = true,
            b'_' if digit_at(text, at + 1) => {}
            b',' if !in_parentheses
                && !point
                && (1..=3).all(|n| digit_at(text, at + n))
                && !digit_at(text, at + 4) => {}
            _ => break,
        }
        at += 1;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let digits = bytes[at + 1 + signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            at += 1 + signed + digits;
        }
    }
    (Kind::Number, text[..at].replace(',', ""), at)
}

/// Operators of several words.
fn phrase(text: &str) -> Option<(usize, Kind, &'static str)> {
    let starts = |phrase: &str| {
        text.get(..phrase.len()).is_some_and(|start| start.eq_ignore_ascii_case(phrase))
            && !text[phrase.len()..].starts_with(char::is_alphanumeric)
    };
    PHRASES
        .iter()
        .find(|(phrase, _, _)| starts(phrase))
        .map(|(phrase, kind, written)| (phrase.len(), *kind, *written))
}

fn word_token(word: &str, rest: &str, length: usize) -> (Kind, String, usize) {
    if let Some((_, value)) = NUMBER_WORDS.iter().find(|(name, _)| *name == word) {
        return (Kind::Number, value.to_string(), length);
    }
    let called = rest.trim_start().starts_with('(');
    match word {
        "plus" => (Kind::Operator, "+".into(), length),
        "minus" => (Kind::Operator, "-".into(), length),
        "times" | "x" => (Kind::Operator, "*".into(), length),
        "modulo" | "mod" => (Kind::Operator, "%".into(), length),
        "percent" => (Kind::Percent, "%".into(), length),
        "squared" => (Kind::Operator, "^2".into(), length),
        "cubed" => (Kind::Operator, "^3".into(), length),
        "of" => (Kind::Of, "of".into(), length),
        "pi" | "π" => (Kind::Number, "pi".into(), length),
        "sqrt" | "cbrt" | "abs" | "floor" | "ceil" | "round" | "min" | "max" if called => {
            (Kind::Function, word.to_owned(), length)
        }
        _ => (Kind::Other, String::new(), length),
    }
}

fn symbol(c: char, rest: &str) -> (Kind, String, usize) {
    if rest.starts_with("**") {
        return (Kind::Operator, "^".into(), 2);
    }
    let (kind, written) = match c {
        '+' | '*' | '/' | '^' => (Kind::Operator, c),
        '-' | '−' => (Kind::Operator, '-'),
        '×' | '·' => (Kind::Operator, '*'),
        '÷' => (Kind::Operator, '/'),
        '%' => (Kind::Percent, '%'),
        '(' => (Kind::Open, '('),
        ')' => (Kind::Close, ')'),
        ',' => (Kind::Comma, ','),
        _ => (Kind::Other, ' '),
    };
    (kind, written.to_string(), c.len_utf8())
}

/// A run without what cannot begin or end a sum: commas, operators that have nothing on one side,
/// parentheses of the sentence around it.
fn trimmed(mut run: &[Token]) -> &[Token] {
    let count = |kind| run.iter().filter(|token| token.kind == kind).count();
    let (mut opened, mut closed) = (count(Kind::Open), count(Kind::Close));
    loop {
        let (rest, dropped) = match run {
            [first @ Token { kind: Kind::Comma | Kind::Of | Kind::Percent | Kind::Close, .. }, rest @ ..] => {
                (rest, first)
            }
            [first @ Token { kind: Kind::Operator, written, .. }, rest @ ..] if written != "-" => {
                (rest, first)
            }
            // `(see 3+4` of a sentence.
            [first @ Token { kind: Kind::Open, .. }, rest @ ..] if (opened, closed) == (1, 0) => {
                (rest, first)
            }
            [rest @ .., last @ Token { kind: Kind::Comma | Kind::Of | Kind::Open | Kind::Function, .. }] => {
                (rest, last)
            }
            [rest @ .., last @ Token { kind: Kind::Operator, written, .. }]
                if !written.starts_with("^2") && !written.starts_with("^3") =>
            {
                (rest, last)
            }
            [rest @ .., last @ Token { kind: Kind::Close, .. }] if closed > opened => (rest, last),
            _ => return run,
        };
        opened -= usize::from(dropped.kind == Kind::Open);
        closed -= usize::from(dropped.kind == Kind::Close);
        run = rest;
    }
}

/// Whether there is something to calculate.
fn is_sum(run: &[Token]) -> bool {
    let number = run.iter().any(|token| token.kind == Kind::Number);
    let operation = run.iter().enumerate().any(|(at, token)| match token.kind {
        Kind::Function => true,
        // A minus before the only number is its sign.
        Kind::Operator => at > 0 || run.iter().filter(|token| token.kind == Kind::Number).count() > 1,
        Kind::Percent => {
            run.get(at + 1).is_some_and(|next| matches!(next.kind, Kind::Of | Kind::Number | Kind::Open))
        }
        _ => false,
    });
    // Numbers side by side are a list, not a sum.
    let list = run.windows(2).any(|pair| {
        let ends = matches!(pair[0].kind, Kind::Number | Kind::Close);
        ends && matches!(pair[1].kind, Kind::Number | Kind::Open | Kind::Function)
    });
    let in_call = run.iter().any(|token| token.kind == Kind::Function);
    let enumeration = !in_call && run.iter().any(|token| token.kind == Kind::Comma);
    number && operation && !list && !enumeration
}

/// Whether it looks like a date, a range or `24/7`: whole numbers with `-` or `/` between and no space.
fn is_of_speech(run: &[Token], asks: bool) -> bool {
    let tight = run.iter().skip(1).all(|token| !token.spaced);
    let whole =
        |token: &Token| token.kind == Kind::Number && token.written.bytes().all(|byte| byte.is_ascii_digit());
    let joint = |token: &Token| token.kind == Kind::Operator && matches!(token.written.as_str(), "-" | "/");
    let numbers = run.iter().filter(|token| whole(token)).count();
    let pattern = tight
        && run.len() % 2 == 1
        && numbers == run.len() / 2 + 1
        && run.iter().skip(1).step_by(2).all(joint);
    let date =
        numbers == 3 && (run[0].written.len() == 4 || run.last().is_some_and(|year| year.written.len() == 4));
    pattern && (date || !asks)
}

fn asks_for_a_result(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "what is",
        "what's",
        "whats",
        "how much",
        "calculate",
        "compute",
        "evaluate",
        "result",
        "=",
        "work out",
        "solve",
    ]
    .iter()
    .any(|cue| text.contains(cue))
}

fn expression(run: &[Token]) -> String {
    let mut written = String::new();
    let mut pending_root = false;
    for (at, token) in run.iter().enumerate() {
        let tight = at == 0
            || matches!(token.kind, Kind::Close | Kind::Comma | Kind::Percent)
            || token.written.starts_with("^2")
            || token.written.starts_with("^3")
            || matches!(run[at - 1].kind, Kind::Open | Kind::Function);
        if !tight {
            written.push(' ');
        }
        if token.kind == Kind::Function && token.written.ends_with(" of") {
            // "square root of 9": the calculator wants parentheses.
            written.push_str(token.written.trim_end_matches(" of"));
            pending_root = run.get(at + 1).is_some_and(|next| next.kind == Kind::Number);
            if pending_root {
                written.push('(');
            }
            continue;
        }
        written.push_str(&token.written);
        if std::mem::take(&mut pending_root) {
            written.push(')');
        }
    }
    written
}

const PHRASES: &[(&str, Kind, &str)] = &[
    ("divided by", Kind::Operator, "/"),
    ("multiplied by", Kind::Operator, "*"),
    ("to the power of", Kind::Operator, "^"),
    ("raised to", Kind::Operator, "^"),
    ("the square root of", Kind::Function, "sqrt of"),
    ("square root of", Kind::Function, "sqrt of"),
    ("sqrt of", Kind::Function, "sqrt of"),
    ("the cube root of", Kind::Function, "cbrt of"),
    ("cube root of", Kind::Function, "cbrt of"),
];

const NUMBER_WORDS: &[(&str, u32)] = &[
    ("zero", 0),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
    ("hundred", 100),
    ("thousand", 1000),
    ("million", 1_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tools::calculate::evaluate;

    fn sums(text: &str) -> Vec<String> {
        find(text).into_iter().map(|(_, expression)| expression).collect()
    }

    #[test]
    fn sums_are_found_in_sentences() {
        let cases: &[(&str, &[&str])] = &[
            ("what is 12*(3+4)?", &["12 * (3 + 4)"]),
            ("12*(3+4)", &["12 * (3 + 4)"]),
            ("What's 2 + 2, and 3 times 4?", &["2 + 2", "3 * 4"]),
            ("twelve times (3 plus four)", &["12 * (3 + 4)"]),
            ("I need 15% of 80 please", &["15% of 80"]),
            ("ten percent of 1,000", &["10% of 1000"]),
            ("3 x 4 = ?", &["3 * 4"]),
            ("the square root of 16 plus 1", &["sqrt(16) + 1"]),
            ("sqrt(16) and max(1, 2, 3)", &["sqrt(16)", "max(1, 2, 3)"]),
            ("five squared", &["5^2"]),
            ("2**10 is what?", &["2 ^ 10"]),
            ("add it up (1+2).", &["(1 + 2)"]),
            ("what is 2*(3+4", &["2 * (3 + 4"]),
            ("1/0", &["1 / 0"]),
            ("compute 10-4", &["10 - 4"]),
            ("-3 + 5", &["- 3 + 5"]),
            ("2 to the power of 99999999", &["2 ^ 99999999"]),
            ("7 mod 3; 1.5e3/2", &["7 % 3", "1.5e3 / 2"]),
        ];
        for (text, expected) in cases {
            assert_eq!(sums(text), *expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_sum_is_left_alone() {
        for text in [
            "",
            "hello",
            "I have 3 cats",
            "see you on 2026-11-21",
            "what is on 2026-11-21?",
            "pages 10-12",
            "open 24/7",
            "it costs 5%",
            "call -5",
            "1, 2, 3",
            "the 2nd of May",
            "one of them",
            "a + b",
            "C++",
            "x",
            "(see below)",
            "100% sure",
            "at 10:30",
            "version 1.2.3",
        ] {
            assert_eq!(sums(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn found_sums_are_sums_to_the_calculator() {
        for text in
            ["what is 12*(3+4)?", "15% of 80", "the square root of 16 plus 1", "five squared", "-3 + 5"]
        {
            for expression in sums(text) {
                assert!(evaluate(&expression).is_ok(), "{expression}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much_for_it(text in "\\PC{0,80}") {
            for (span, _) in find(&text) {
                assert!(text.get(span).is_some());
            }
        }
    }
}
