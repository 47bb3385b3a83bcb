//! Tokens of a message, and its clauses, which are the units of parsing.

use std::ops::Range;

use super::words::REQUEST_WORDS;

/// A number, word or sign, with its position in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) span: Range<usize>,
    pub(super) lexeme: Lexeme,
    /// True if the token is preceded by a space or begins the text.
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lexeme {
    /// Digits as written, with their points, commas, exponent and vulgar fraction.
    Number(String),
    /// A word, in lower case.
    Word(String),
    Sign(char),
}

impl Token {
    /// Returns the word in lower case; empty for numbers and signs.
    pub(super) fn word(&self) -> &str {
        match &self.lexeme {
            Lexeme::Word(word) => word,
            _ => "",
        }
    }

    pub(super) fn is(&self, sign: char) -> bool {
        self.lexeme == Lexeme::Sign(sign)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.lexeme, Lexeme::Number(_))
    }
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() && c != '\n' {
            at += c.len_utf8();
            continue;
        }
        let spaced = at == 0 || text[..at].ends_with(char::is_whitespace);
        let rest = &text[at..];
        let (lexeme, length) = if c.is_ascii_digit() || is_vulgar(c) || (c == '.' && digit_at(rest, 1)) {
            let listed = text[..at]
                .strip_suffix(',')
                .is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()));
            let length = number(rest, depth > 0 || listed);
            (Lexeme::Number(rest[..length].to_owned()), length)
        } else if let Some((dotted, word)) = DOTTED.iter().find(|(dotted, _)| {
            rest.get(..dotted.len()).is_some_and(|start| start.eq_ignore_ascii_case(dotted))
        }) {
            (Lexeme::Word((*word).to_owned()), dotted.len())
        } else if c.is_alphabetic() {
            let part = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’' | '_');
            let length = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
            (Lexeme::Word(rest[..length].to_lowercase().replace('’', "'")), length)
        } else if rest.starts_with("**") {
            (Lexeme::Sign('^'), 2)
        } else {
            (Lexeme::Sign(c), c.len_utf8())
        };
        match lexeme {
            Lexeme::Sign('(') => depth += 1,
            Lexeme::Sign(')') => depth = depth.saturating_sub(1),
            Lexeme::Sign('?' | '\n') => depth = 0,
            _ => {}
        }
        tokens.push(Token { span: at..at + length, lexeme, spaced });
        at += length;
    }
    tokens
}

/// Splits a message into clauses: its sentences, divided where a new request begins.
pub(super) fn clauses(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for at in 0..tokens.len() {
        if ends_sentence(text, tokens, at) {
            clauses.push(start..at);
            start = at + 1;
        } else if at > start && begins_request(tokens, start, at) {
            clauses.push(start..at);
            start = at;
        }
    }
    clauses.push(start..tokens.len());
    clauses.retain(|clause| !clause.is_empty());
    clauses
}

fn ends_sentence(text: &str, tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    let digits_around = || {
        at > 0
            && tokens[at - 1].is_number()
            && !token.spaced
            && tokens.get(at + 1).is_some_and(Token::is_number)
    };
    match token.lexeme {
        Lexeme::Sign('?' | ';' | '\n' | '…' | '。' | '？') => true,
        Lexeme::Sign('.') => !text[token.span.end..].starts_with(|c: char| !c.is_whitespace()),
        Lexeme::Sign(':') => !digits_around(),
        // After a number `!` may be a factorial.
        Lexeme::Sign('!') => {
            at == 0
                || token.spaced
                || !(tokens[at - 1].is_number() || tokens[at - 1].is(')') || tokens[at - 1].is('!'))
        }
        _ => false,
    }
}

/// Returns true if a request begins after this comma or conjunction. A condition (`if it is noon in Berlin, …`)
/// is not separated from the question that depends on it.
fn begins_request(tokens: &[Token], start: usize, at: usize) -> bool {
    let before = &tokens[at - 1];
    let joint = before.is(',') || JOINTS.contains(&before.word());
    let word = tokens[at].word();
    let requests = REQUEST_WORDS.contains(&word) || MORE_REQUEST_WORDS.contains(&word);
    joint && requests && !CONDITIONS.contains(&tokens[start].word())
}

fn number(text: &str, listed: bool) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut point) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !point && digit_at(text, at + 1) => point = true,
            b'_' if at > 0 && digit_at(text, at + 1) => {}
            b',' if !listed && digit_at(text, at + 1) && !begins_list(text, at) => {}
            _ => break,
        }
        at += 1;
    }
    if at > 0 && matches!(bytes.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let digits = bytes[at + 1 + signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            at += 1 + signed + digits;
        }
    }
    at + text[at..].chars().next().filter(|c| is_vulgar(*c)).map_or(0, char::len_utf8)
}

/// Returns true if the comma is followed by digits that are no group of three, and another comma: `1,2,3`.
fn begins_list(text: &str, comma: usize) -> bool {
    let digits = text.as_bytes()[comma + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = comma + 1 + digits;
    digits != 3 && text.as_bytes().get(end) == Some(&b',') && digit_at(text, end + 1)
}

fn digit_at(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
}

fn is_vulgar(c: char) -> bool {
    matches!(c, '¼'..='¾' | '⅓'..='⅞')
}

/// Abbreviations that are written with points.
const DOTTED: &[(&str, &str)] = &[("a.m.", "am"), ("p.m.", "pm")];

/// Words and signs after which a request can begin.
const JOINTS: &[&str] = &["and", "then", "also", "plus"];

/// Further words that begin a request after a comma or a conjunction.
const MORE_REQUEST_WORDS: &[&str] = &["whats", "convert", "is", "which"];

/// Words that begin a condition.
const CONDITIONS: &[&str] = &["if", "when", "at", "suppose", "given"];
