//! The patterns of clauses with a calculation, each of which covers a whole clause.

use super::{
    Sum, Whole,
    expression::{self, Expression},
};
use crate::lexer::Token;

/// Parses a whole clause; `None` if no pattern covers it.
pub(super) fn read(core: &[Token], previous: Option<&Sum>) -> Option<Whole> {
    let worded = core.iter().any(|token| !token.word().is_empty());
    let single = worded.then(|| two_sided(core).or_else(|| listed(core)).or_else(|| split(core))).flatten();
    match single {
        Some(expression) => Some(Whole { expressions: vec![expression], continues: None }),
        None => continued(core, previous).or_else(|| sequence(core)),
    }
}

/// Reads an expression at the beginning of tokens, and returns the rest.
fn leading(tokens: &[Token]) -> Option<(Expression, &[Token])> {
    let expression = expression::read(tokens, 0)?;
    let rest = &tokens[expression.taken..];
    Some((expression, rest))
}

/// Reads a number at the beginning of tokens, with its number of tokens.
pub(crate) fn quantity(tokens: &[Token]) -> Option<(String, usize)> {
    let expression = expression::read(tokens, 0)?;
    let plain = expression.numbers == 1 && !expression.decimal_comma && expression.money.is_empty();
    plain.then_some((expression.written, expression.taken))
}

fn words<'a>(tokens: &'a [Token], choices: &[&str]) -> Option<&'a [Token]> {
    choices.iter().find_map(|phrase| phrase_at(tokens, phrase))
}

fn phrase_at<'a>(tokens: &'a [Token], phrase: &str) -> Option<&'a [Token]> {
    let count = phrase.split(' ').count();
    let here = tokens.get(..count)?;
    here.iter().zip(phrase.split(' ')).all(|(token, word)| token.word() == word).then_some(&tokens[count..])
}

/// Skips words that name a percentage.
fn of_percent<'a>(left: &Expression, rest: &'a [Token]) -> &'a [Token] {
    if !left.ends_with_percent {
        return rest;
    }
    ["sales tax", "tax", "vat", "tip", "gratuity", "interest", "discount", "gst"]
        .into_iter()
        .find_map(|phrase| phrase_at(rest, phrase))
        .unwrap_or(rest)
}

/// `add 8% tax to 45.50`, `20% off 80`, `subtract 3 from 10`, `a 15% tip on 60` …
fn two_sided(core: &[Token]) -> Option<Expression> {
    let core = words(core, &["a", "an", "the"])
        .filter(|rest| rest.first().is_some_and(Token::is_number))
        .unwrap_or(core);
    let bare = leading(core);
    for (verb, joint, form) in TWO_SIDED {
        let Some(rest) = (if verb.is_empty() { Some(core) } else { phrase_at(core, verb) }) else { continue };
        let rest =
            phrase_at(rest, "a").filter(|rest| rest.first().is_some_and(Token::is_number)).unwrap_or(rest);
        let read = if verb.is_empty() { bare.clone() } else { leading(rest) };
        let Some((left, rest)) = read else { continue };
        let named = of_percent(&left, rest);
        let tip = named.len() < rest.len();
        let Some(rest) = words(named, &[joint]) else { continue };
        if *form == Relation::Share && !(tip && left.ends_with_percent) {
            continue;
        }
        if *form == Relation::Less && verb.is_empty() && !left.ends_with_percent && left.money.is_empty() {
            continue;
        }
        let Some((right, rest)) = leading(rest) else { continue };
        if rest.is_empty() {
            return Some(joined(*form, left, right));
        }
    }
    // `45.50 plus 8% tax`
    let (expression, rest) = bare?;
    let after = of_percent(&expression, rest);
    (after.is_empty() && after.len() < rest.len() && expression.operations > 0).then_some(expression)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// right + left
    More,
    /// right - left
    Less,
    /// left + right
    Raised,
    /// left - right
    Lowered,
    Times,
    Over,
    /// left of right
    Share,
}

/// A verb, the word between its two sides, and its form.
const TWO_SIDED: &[(&str, &str, Relation)] = &[
    ("add", "to", Relation::More),
    ("add", "and", Relation::Raised),
    ("subtract", "from", Relation::Less),
    ("take", "from", Relation::Less),
    ("take", "off", Relation::Less),
    ("deduct", "from", Relation::Less),
    ("take away", "from", Relation::Less),
    ("multiply", "by", Relation::Times),
    ("multiply", "with", Relation::Times),
    ("multiply", "and", Relation::Times),
    ("divide", "by", Relation::Over),
    ("increase", "by", Relation::Raised),
    ("raise", "by", Relation::Raised),
    ("decrease", "by", Relation::Lowered),
    ("reduce", "by", Relation::Lowered),
    ("the difference between", "and", Relation::Lowered),
    ("difference between", "and", Relation::Lowered),
    ("difference of", "and", Relation::Lowered),
    ("the remainder of", "divided by", Relation::Over),
    ("", "off", Relation::Less),
    ("", "off of", Relation::Less),
    ("", "on", Relation::Share),
    ("", "for", Relation::Share),
];

fn joined(form: Relation, left: Expression, right: Expression) -> Expression {
    let both = |sign: &str, left: &Expression, right: &Expression| {
        format!("{} {sign} {}", grouped(left), grouped(right))
    };
    let written = match form {
        Relation::More => both("+", &right, &left),
        Relation::Less => both("-", &right, &left),
        Relation::Raised => both("+", &left, &right),
        Relation::Lowered => both("-", &left, &right),
        Relation::Times => both("*", &left, &right),
        Relation::Over => both("/", &left, &right),
        Relation::Share => both("of", &left, &right),
    };
    let scaled =
        left.scaled || right.scaled || matches!(form, Relation::Times | Relation::Over | Relation::Share);
    combined(written, vec![left, right], scaled)
}

/// Writes an operand, in parentheses unless it is a bare number or percentage.
fn grouped(expression: &Expression) -> String {
    if expression.operations == 0 { expression.written.clone() } else { format!("({})", expression.written) }
}

fn combined(written: String, parts: Vec<Expression>, scaled: bool) -> Expression {
    let mut whole = Expression { written, operations: 1, scaled, ..Expression::default() };
    for part in parts {
        whole.operations += part.operations;
        whole.numbers += part.numbers;
        whole.money.extend(part.money);
        whole.decimal_comma |= part.decimal_comma;
        whole.ambiguous_percent |= part.ambiguous_percent;
        whole.ends_with_exclamation = part.ends_with_exclamation;
    }
    whole
}

/// `the average of 1, 2 and 3`, `sum of 3 and 4`, `add 1, 2 and 3`
fn listed(core: &[Token]) -> Option<Expression> {
    let (function, rest) = LISTS.iter().find_map(|(phrase, function)| {
        let core = phrase_at(core, "the").unwrap_or(core);
        Some((*function, phrase_at(core, phrase)?))
    })?;
    let (parts, rest) = list(rest)?;
    (rest.is_empty() && parts.len() > 1).then(|| {
        let arguments: Vec<_> = parts.iter().map(|part| part.written.as_str()).collect();
        combined(
            format!("{function}({})", arguments.join(", ")),
            parts,
            !matches!(function, "sum" | "min" | "max" | "avg"),
        )
    })
}

const LISTS: &[(&str, &str)] = &[
    ("average of", "avg"),
    ("avg of", "avg"),
    ("mean of", "avg"),
    ("average", "avg"),
    ("sum of", "sum"),
    ("total of", "sum"),
    ("sum", "sum"),
    ("add up", "sum"),
    ("add", "sum"),
    ("product of", "product"),
    ("minimum of", "min"),
    ("min of", "min"),
    ("smallest of", "min"),
    ("maximum of", "max"),
    ("max of", "max"),
    ("largest of", "max"),
    ("biggest of", "max"),
];

/// Reads expressions separated by commas, `and` or both.
fn list(tokens: &[Token]) -> Option<(Vec<Expression>, &[Token])> {
    let (first, mut rest) = leading(tokens)?;
    let mut parts = vec![first];
    loop {
        let after = separator(rest);
        if after.len() == rest.len() {
            return Some((parts, rest));
        }
        let Some((next, more)) = leading(after) else { return Some((parts, rest)) };
        parts.push(next);
        rest = more;
    }
}

fn separator(tokens: &[Token]) -> &[Token] {
    let tokens = tokens.strip_prefix_where(|token| token.is(',') || token.is('&'));
    let tokens = tokens.strip_prefix_where(|token| token.word() == "and");
    tokens.strip_prefix_where(|token| token.word() == "also")
}

trait StripPrefixWhere {
    fn strip_prefix_where(&self, is: impl Fn(&Token) -> bool) -> &Self;
}

impl StripPrefixWhere for [Token] {
    fn strip_prefix_where(&self, is: impl Fn(&Token) -> bool) -> &Self {
        if self.first().is_some_and(is) { &self[1..] } else { self }
    }
}

/// `split 96.40 between 4 people`, `96.40 split 4 ways`
fn split(core: &[Token]) -> Option<Expression> {
    let (after_verb, verb) = match words(core, &["split", "share", "divide"]) {
        Some(rest) => (rest, true),
        None => (core, false),
    };
    let after_verb = words(after_verb, &["a bill of", "the bill of", "a", "the"]).unwrap_or(after_verb);
    let (left, rest) = leading(after_verb)?;
    let rest = if verb { rest } else { words(rest, &["split", "shared", "divided"])? };
    let rest = words(rest, &["evenly", "equally"]).unwrap_or(rest);
    let rest = words(rest, &["between", "among", "amongst", "by", "across", "into", "in"]).unwrap_or(rest);
    let (right, rest) = leading(rest)?;
    let rest =
        words(rest, &["people", "persons", "friends", "ways", "of us", "parts", "equal parts", "guests"])
            .unwrap_or(rest);
    let rest = words(rest, &["evenly", "equally"]).unwrap_or(rest);
    rest.is_empty().then(|| joined(Relation::Over, left, right))
}

/// Reads several expressions (`2 + 2 and 3 times 4`), and ones that continue the preceding one
/// (`2 + 2 and then times 3`).
fn sequence(core: &[Token]) -> Option<Whole> {
    let (first, mut rest) = leading(core)?;
    let mut expressions = vec![first];
    while !rest.is_empty() {
        let after = separator(rest);
        let after_then = after.strip_prefix_where(|token| token.word() == "then");
        let joint = after_then.len() < rest.len();
        if let Some((operator, operand, more)) = continuation(after_then).filter(|_| joint) {
            let before = expressions.pop()?;
            let written = format!("({}) {operator} {}", before.written, grouped(&operand));
            let scaled = before.scaled || operand.scaled || !matches!(operator, "+" | "-");
            expressions.push(combined(written, vec![before, operand], scaled));
            rest = more;
            continue;
        }
        if after.len() == rest.len() {
            return None;
        }
        let after = words(after, &["what is", "what's"]).unwrap_or(after);
        let (next, more) = leading(after)?;
        expressions.push(next);
        rest = more;
    }
    // A bare number in a list is not a calculation.
    let all = expressions.iter().all(|expression| expression.operations > 0);
    all.then_some(Whole { expressions, continues: None })
}

/// Reads a clause that continues the sum of the preceding clause: `then times 3`.
fn continued(core: &[Token], previous: Option<&Sum>) -> Option<Whole> {
    let previous = previous?;
    let core = core.strip_prefix_where(|token| token.word() == "and");
    let core = words(core, &["then", "now"]).unwrap_or(core);
    let (operator, operand, rest) = continuation(core)?;
    rest.is_empty().then(|| {
        let written = format!("{operator} {}", grouped(&operand));
        let scaled = operand.scaled || !matches!(operator, "+" | "-");
        Whole {
            expressions: vec![combined(written, vec![operand], scaled)],
            continues: Some(previous.clone()),
        }
    })
}

/// Reads an operator and its right side: `times 3`, `multiply it by 3`, `add 4`.
fn continuation(tokens: &[Token]) -> Option<(&'static str, Expression, &[Token])> {
    let (operator, rest) =
        CONTINUATIONS.iter().find_map(|(phrase, operator)| Some((*operator, phrase_at(tokens, phrase)?)))?;
    let (operand, rest) = leading(rest)?;
    let rest = words(rest, &["to it", "to that", "from it", "from that"]).unwrap_or(rest);
    Some((operator, operand, rest))
}

const CONTINUATIONS: &[(&str, &str)] = &[
    ("times", "*"),
    ("plus", "+"),
    ("minus", "-"),
    ("add", "+"),
    ("subtract", "-"),
    ("multiply by", "*"),
    ("multiply it by", "*"),
    ("multiply that by", "*"),
    ("multiplied by", "*"),
    ("divide by", "/"),
    ("divide it by", "/"),
    ("divide that by", "/"),
    ("divided by", "/"),
];
