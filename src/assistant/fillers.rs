//! Words around a question that do not change its meaning.

use super::lexer::{Lexeme, Token};

/// Strips polite and asking words from both ends of a clause.
pub(super) fn trimmed(clause: &[Token]) -> &[Token] {
    let mut core = clause;
    loop {
        let lead = LEAD.iter().filter_map(|phrase| starts(core, phrase)).max().unwrap_or(0);
        if lead == 0 {
            break;
        }
        core = &core[lead..];
    }
    loop {
        let trail = TRAIL.iter().filter_map(|phrase| ends(core, phrase)).max().unwrap_or(0);
        if trail == 0 {
            break;
        }
        core = &core[..core.len() - trail];
    }
    core
}

fn starts(tokens: &[Token], phrase: &str) -> Option<usize> {
    let count = phrase.split(' ').count();
    matches(tokens.get(..count)?, phrase).then_some(count)
}

fn ends(tokens: &[Token], phrase: &str) -> Option<usize> {
    let count = phrase.split(' ').count();
    matches(&tokens[tokens.len().checked_sub(count)?..], phrase).then_some(count)
}

fn matches(tokens: &[Token], phrase: &str) -> bool {
    tokens.iter().zip(phrase.split(' ')).all(|(token, part)| match &token.lexeme {
        Lexeme::Word(word) => word == part,
        Lexeme::Sign(sign) => part.chars().eq([*sign]),
        Lexeme::Number(_) => false,
    })
}

const LEAD: &[&str] = &[
    "please",
    "hey",
    "hi",
    "hello",
    "ok",
    "okay",
    "so",
    "and",
    "also",
    "well",
    "now",
    "thanks",
    "thank you",
    ",",
    "=",
    "can you",
    "could you",
    "would you",
    "will you",
    "can i",
    "i need",
    "i need to know",
    "i want to know",
    "i want",
    "i'd like to know",
    "do you know",
    "let's",
    "let me know",
    "tell me",
    "give me",
    "show me",
    "what",
    "what's",
    "whats",
    "what is",
    "what are",
    "what does",
    "what do i get if i",
    "is",
    "how much is",
    "how much are",
    "how many is",
    "how much does",
    "how much",
    "calculate",
    "compute",
    "evaluate",
    "solve",
    "work out",
    "figure out",
    "find out",
    "find",
    "do",
    "the result of",
    "the answer to",
    "the value of",
    "result of",
    "value of",
    "add it up",
    "me",
    "compute for me",
    "help me with",
    "quick question",
    "question",
    ">",
    "\"",
    "“",
    "'",
    "`",
];

const TRAIL: &[&str] = &[
    "please",
    "thanks",
    "thank you",
    "for me",
    "?",
    "=",
    ".",
    ",",
    "now",
    "equal",
    "equals",
    "equal to",
    "is what",
    "equals what",
    "make",
    "makes",
    "is",
    "the answer",
    "then",
    "what",
    "what is that",
    "\"",
    "”",
    "'",
    "`",
    "ok",
    "how much",
    "how much is it",
    "how much is that",
    "in total",
    "altogether",
    "too",
    "and",
];
