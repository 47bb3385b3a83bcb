//! `calculate`: arithmetic of any nesting, exact.
//!
//! ```text
//!   + - * / %      ^ (to the right)   unary -   ( )   12.5   6.02e23   1_000   1,000   15%
//!   sqrt cbrt abs floor ceil round(x, places) min(…) max(…) pi e      also × ÷ · − **
//! ```
//!
//! `%` before an operand is the remainder, which has the sign of the divisor; elsewhere it is percent,
//! and `15% of 80` is a product. A comma between groups of three digits is part of the number, but not
//! inside the parentheses of a function.
//!
//! Guarantee: the depth of an expression costs memory in proportion and no stack; size and work are
//! bounded before they are spent ([`super::number`]).

use async_trait::async_trait;
use serde_json::json;

use super::number::{Budget, NoNumber, Number};
use crate::{
    agent::roles::{Tool, ToolContext},
    kernel::{ids::ToolName, json::Json},
};

/// The calculator.
pub struct Calculate;

#[async_trait]
impl Tool for Calculate {
    fn name(&self) -> ToolName {
        ToolName::parse("calculate").expect("a valid name")
    }

    fn description(&self) -> &str {
        "Evaluates an arithmetic expression exactly: + - * / % ^, parentheses, decimals, percent, sqrt, cbrt, \
         abs, floor, ceil, round, min, max, pi, e."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        json!({
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "such as 2 * (3 + 4)^2"}},
            "required": ["expression"],
        })
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, String> {
        let parameters = parameters.to_value();
        let expression = parameters["expression"].as_str().ok_or("expression has to be a text")?;
        let number = evaluate(expression).map_err(|error| error.to_string())?;
        let (result, exact) = number.decimal();
        let mut results = json!({"expression": expression, "result": result, "exact": exact});
        if let (false, Some(fraction)) = (exact, number.fraction()) {
            results["fraction"] = fraction.into();
        }
        Ok(Json::from(&results))
    }
}

/// Why an expression has no value. Places count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    #[error("the expression is longer than {EXPRESSION_BYTES_MAX} bytes")]
    TooLong,
    #[error("the expression is empty")]
    Empty,
    #[error("a number is missing at the end")]
    EndsEarly,
    #[error("a number is missing before {found:?} at character {at}")]
    NumberMissing { found: String, at: usize },
    #[error("an operator is missing before {found:?} at character {at}")]
    OperatorMissing { found: String, at: usize },
    #[error("{found:?} at character {at} means nothing here")]
    Unknown { found: String, at: usize },
    #[error("the parenthesis at character {at} is not closed")]
    NotClosed { at: usize },
    #[error("the parenthesis at character {at} was not opened")]
    NotOpened { at: usize },
    #[error(transparent)]
    NoNumber(#[from] NoNumber),
}

/// The value of an expression.
pub fn evaluate(expression: &str) -> Result<Number, NoValue> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(NoValue::TooLong);
    }
    let mut evaluation = Evaluation { text: expression, ..Evaluation::default() };
    while evaluation.advance()? {}
    evaluation.finish()
}

/// Operator precedence with two stacks instead of recursion.
#[derive(Default)]
struct Evaluation<'a> {
    text: &'a str,
    /// In bytes.
    position: usize,
    numbers: Vec<Number>,
    waiting: Vec<Waiting>,
    /// For each open parenthesis, whether it is a function's.
    calls: Vec<bool>,
    /// The last thing read was a number, or something closed.
    after_number: bool,
    budget: Budget,
}

/// What waits for its right side.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Binary(Binary),
    Negate,
    /// An open parenthesis, its place in bytes, and how many arguments are complete if it is a function's.
    Open {
        position: usize,
        call: Option<(Function, usize)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Sqrt,
    Cbrt,
    Abs,
    Floor,
    Ceil,
    Round,
    Min,
    Max,
}

impl Binary {
    fn of(text: &str) -> Option<(Binary, usize)> {
        let operators = [
            ("**", Binary::Power),
            ("+", Binary::Plus),
            ("-", Binary::Minus),
            ("−", Binary::Minus),
            ("*", Binary::Times),
            ("×", Binary::Times),
            ("·", Binary::Times),
            ("/", Binary::Over),
            ("÷", Binary::Over),
            ("%", Binary::Modulo),
            ("^", Binary::Power),
        ];
        let found = operators.into_iter().find(|(sign, _)| text.starts_with(sign));
        found.map(|(sign, operator)| (operator, sign.len()))
    }

    fn precedence(self) -> u8 {
        match self {
            Binary::Plus | Binary::Minus => 1,
            Binary::Times | Binary::Over | Binary::Modulo => 2,
            Binary::Power => 4,
        }
    }
}

/// Of a unary minus: `-2^2` is -4, `2 * -3` is -6.
const NEGATE_PRECEDENCE: u8 = 3;

impl Function {
    fn of(name: &str) -> Option<Function> {
        Some(match name {
            "sqrt" | "√" => Function::Sqrt,
            "cbrt" => Function::Cbrt,
            "abs" => Function::Abs,
            "floor" => Function::Floor,
            "ceil" => Function::Ceil,
            "round" => Function::Round,
            "min" => Function::Min,
            "max" => Function::Max,
            _ => return None,
        })
    }
}

impl Evaluation<'_> {
    /// Reads one thing; false at the end.
    fn advance(&mut self) -> Result<bool, NoValue> {
        self.skip_spaces();
        let Some(next) = self.rest().chars().next() else { return Ok(false) };
        match next {
            '(' => self.open(None)?,
            ')' => self.close()?,
            ',' | ';' => self.separate()?,
            '0'..='9' | '.' => self.number()?,
            _ if self.rest().starts_with("of ") && self.after_number => self.operator(Binary::Times, 2)?,
            '√' => self.name(next.len_utf8())?,
            _ if next.is_alphabetic() => {
                let length = self.rest().find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest().len());
                self.name(length)?;
            }
            _ => match Binary::of(self.rest()) {
                Some((operator, length)) => self.operator(operator, length)?,
                None => return Err(NoValue::Unknown { found: next.to_string(), at: self.at() }),
            },
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<Number, NoValue> {
        if !self.after_number {
            return Err(if self.numbers.is_empty() && self.waiting.is_empty() {
                NoValue::Empty
            } else {
                NoValue::EndsEarly
            });
        }
        self.apply_down_to(0)?;
        match self.waiting.last() {
            Some(Waiting::Open { position, .. }) => Err(NoValue::NotClosed { at: self.place(*position) }),
            _ => Ok(self.numbers.pop().expect("an expression that ends after a number has a value")),
        }
    }

    fn number(&mut self) -> Result<(), NoValue> {
        self.expect_number_next()?;
        let in_call = self.calls.last().is_some_and(|call| *call);
        let (digits, exponent, length) = literal(self.rest(), in_call);
        if !digits.contains(|c: char| c.is_ascii_digit()) {
            return Err(NoValue::Unknown { found: ".".into(), at: self.at() });
        }
        self.numbers.push(Number::parse(&digits, exponent, &mut self.budget)?);
        self.position += length;
        self.after_number = true;
        Ok(())
    }

    fn name(&mut self, length: usize) -> Result<(), NoValue> {
        let name = self.rest()[..length].to_lowercase();
        self.expect_number_next()?;
        let constant = match name.as_str() {
            "pi" | "π" => Some(Number::pi()),
            "e" => Some(Number::e()),
            _ => None,
        };
        if let Some(number) = constant {
            self.numbers.push(number);
            self.position += length;
            self.after_number = true;
            return Ok(());
        }
        let unknown = NoValue::Unknown {
            found: self.rest()[..length].chars().take(NAME_CHARS_SHOWN).collect(),
            at: self.at(),
        };
        let function = Function::of(&name).ok_or(unknown.clone())?;
        self.position += length;
        self.skip_spaces();
        if self.rest().starts_with('(') { self.open(Some(function)) } else { Err(unknown) }
    }

    fn open(&mut self, function: Option<Function>) -> Result<(), NoValue> {
        self.expect_number_next()?;
        let call = function.map(|function| (function, 0));
        self.waiting.push(Waiting::Open { position: self.position, call });
        self.calls.push(call.is_some());
        self.after_number = false;
        self.position += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), NoValue> {
        if !self.after_number {
            return Err(NoValue::NumberMissing { found: ")".into(), at: self.at() });
        }
        self.apply_down_to(0)?;
        match self.waiting.pop() {
            Some(Waiting::Open { call, .. }) => {
                self.calls.pop();
                if let Some((function, complete)) = call {
                    let arguments = self.numbers.split_off(self.numbers.len() - complete - 1);
                    let number = apply(function, arguments, &mut self.budget)?;
                    self.numbers.push(number);
                }
                self.position += 1;
                Ok(())
            }
            _ => Err(NoValue::NotOpened { at: self.at() }),
        }
    }

    fn separate(&mut self) -> Result<(), NoValue> {
        let (at, found) = (self.at(), self.rest()[..1].to_owned());
        if !self.after_number {
            return Err(NoValue::NumberMissing { found, at });
        }
        self.apply_down_to(0)?;
        match self.waiting.last_mut() {
            Some(Waiting::Open { call: Some((_, complete)), .. }) => *complete += 1,
            _ => return Err(NoValue::Unknown { found, at }),
        }
        self.position += 1;
        self.after_number = false;
        Ok(())
    }

    fn operator(&mut self, operator: Binary, length: usize) -> Result<(), NoValue> {
        let found = &self.rest()[..length];
        if !self.after_number {
            match operator {
                Binary::Minus => self.waiting.push(Waiting::Negate),
                Binary::Plus => {}
                _ => return Err(NoValue::NumberMissing { found: found.to_owned(), at: self.at() }),
            }
            self.position += length;
            return Ok(());
        }
        self.position += length;
        self.skip_spaces();
        if operator == Binary::Modulo && !self.at_operand() {
            let number = self.numbers.pop().expect("there is one after a number");
            self.numbers.push(number.percent(&mut self.budget)?);
            return Ok(());
        }
        // A power waits for the powers to its right.
        let bound = operator.precedence() + u8::from(operator == Binary::Power);
        self.apply_down_to(bound)?;
        self.waiting.push(Waiting::Binary(operator));
        self.after_number = false;
        Ok(())
    }

    /// Whether what comes next can only be an operand.
    fn at_operand(&self) -> bool {
        let rest = self.rest();
        let operand = |c: char| c.is_ascii_digit() || c == '.' || c == '(' || c.is_alphabetic() || c == '√';
        rest.starts_with(operand) && !rest.starts_with("of ")
    }

    /// Applies what waits and binds at least as tightly as `bound`, back to the innermost parenthesis.
    fn apply_down_to(&mut self, bound: u8) -> Result<(), NoValue> {
        loop {
            match self.waiting.last() {
                Some(Waiting::Negate) if NEGATE_PRECEDENCE >= bound => {
                    let number = self.numbers.pop().expect("a minus has its operand");
                    self.numbers.push(number.negated());
                }
                Some(Waiting::Binary(operator)) if operator.precedence() >= bound => {
                    let operator = *operator;
                    let right = self.numbers.pop().expect("an operator has its right side");
                    let left = self.numbers.pop().expect("an operator has its left side");
                    let budget = &mut self.budget;
                    self.numbers.push(match operator {
                        Binary::Plus => left.plus(&right, budget),
                        Binary::Minus => left.minus(&right, budget),
                        Binary::Times => left.times(&right, budget),
                        Binary::Over => left.over(&right, budget),
                        Binary::Modulo => left.modulo(&right, budget),
                        Binary::Power => left.power(&right, budget),
                    }?);
                }
                _ => return Ok(()),
            }
            self.waiting.pop();
        }
    }

    fn expect_number_next(&self) -> Result<(), NoValue> {
        if self.after_number {
            let found = self.rest().chars().take(1).collect();
            return Err(NoValue::OperatorMissing { found, at: self.at() });
        }
        Ok(())
    }

    fn skip_spaces(&mut self) {
        self.position += self.rest().len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    /// Where we are, in characters from 1.
    fn at(&self) -> usize {
        self.place(self.position)
    }

    fn place(&self, position: usize) -> usize {
        self.text[..position].chars().count() + 1
    }
}

fn apply(function: Function, arguments: Vec<Number>, budget: &mut Budget) -> Result<Number, NoNumber> {
    let count = arguments.len();
    let mut rest = arguments.into_iter();
    let first = rest.next().expect("a parenthesis that closes after a number holds one");
    match (function, count) {
        (Function::Sqrt, 1) => first.root(2, budget),
        (Function::Cbrt, 1) => first.root(3, budget),
        (Function::Abs, 1) => Ok(first.abs()),
        (Function::Floor, 1) => Ok(first.floor()),
        (Function::Ceil, 1) => Ok(first.ceil()),
        (Function::Round, 1) => first.round(&Number::whole(0), budget),
        (Function::Round, 2) => first.round(&rest.next().expect("there are two"), budget),
        (Function::Min, _) => rest.try_fold(first, |least, next| least.smaller(next, budget)),
        (Function::Max, _) => rest.try_fold(first, |most, next| most.larger(next, budget)),
        (Function::Round, _) => Err(NoNumber::Arguments("round", "one number, or a number and places")),
        _ => Err(NoNumber::Arguments("this function", "one number")),
    }
}

/// The number at the beginning of a text: its digits, its power of ten, its length in bytes.
fn literal(text: &str, in_call: bool) -> (String, i64, usize) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut digits, mut at, mut point) = (String::new(), 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => digits.push(char::from(*byte)),
            b'.' if !point && digit(at + 1) => {
                point = true;
                digits.push('.');
            }
            b'_' if at > 0 && digit(at - 1) && digit(at + 1) => {}
            b',' if !in_call
                && !point
                && at > 0
                && (1..=3).all(|ahead| digit(at + ahead))
                && !digit(at + 4) => {}
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
    // An exponent too long for its type is far beyond what a number may have.
    let exponent = text[start..end].parse::<i64>().unwrap_or(i64::MAX);
    (digits, if bytes[at + 1] == b'-' { -exponent } else { exponent }, end)
}

/// Bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 256 * 1024;

/// Characters of an unknown name that an error repeats.
const NAME_CHARS_SHOWN: usize = 32;

#[cfg(test)]
mod limits;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(expression: &str) -> (String, bool) {
        evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).decimal()
    }

    fn error(expression: &str) -> String {
        evaluate(expression).unwrap_err().to_string()
    }

    #[test]
    fn arithmetic_is_exact() {
        let cases = [
            ("12*(3+4)", "84"),
            ("1 + 2 * 3 - 4 / 8", "6.5"),
            ("0.1 + 0.2", "0.3"),
            ("1/3 + 2/3", "1"),
            ("-2^2", "-4"),
            ("(-2)^2", "4"),
            ("2^3^2", "512"),
            ("2^-1*3", "1.5"),
            ("2^-3^2", "0.001953125"),
            ("2 * -3 + 1", "-5"),
            ("--5 - +2", "3"),
            ("7 % 3", "1"),
            ("(-7) % 3", "2"),
            ("7 % (-3)", "-2"),
            ("7.5 % 2", "1.5"),
            ("15% of 80", "12"),
            ("200 + 10%", "200.1"),
            ("50% * 4", "2"),
            ("1_000 + 1,000,000", "1001000"),
            ("6.02e23 / 1E20", "6020"),
            ("1e-3", "0.001"),
            (".5 × 4 ÷ 2 − 1", "0"),
            ("2 ** 10", "1024"),
            ("min(3, 1, 2) + max(1,000)", "2"),
            ("round(2.5) + round(-2.5) + round(3.14159, 2)", "3.14"),
            ("round(1234, -2)", "1200"),
            ("abs(-3) + floor(-1.5) + ceil(1.2)", "3"),
            ("sqrt(16/9) * 3", "4"),
            ("cbrt(-27)", "-3"),
            ("4^(1/2) + 8^(2/3) + 4^(-1/2)", "6.5"),
            ("2^0.5^2", "1.189207115002721066717499970560475915"),
            ("0^0", "1"),
            ("1^99999999999999999999", "1"),
            ("(-1)^99999999999999999999", "-1"),
            ("0^99999999999999999999", "0"),
            ("((((1))))", "1"),
        ];
        for (expression, expected) in cases {
            let (found, exact) = value(expression);
            if exact {
                assert_eq!(found, expected, "{expression}");
            } else {
                assert!(expected.starts_with(&found[..20]), "{expression}: {found}");
            }
        }
    }

    #[test]
    fn what_is_rounded_says_so() {
        assert_eq!(value("1/3"), ("0.333333333333333333333333333333".into(), false));
        assert_eq!(value("-2/3"), ("-0.666666666666666666666666666667".into(), false));
        assert_eq!(value("200/3"), ("66.6666666666666666666666666667".into(), false));
        assert_eq!(value("sqrt(2)"), ("1.41421356237309504880168872421".into(), false));
        assert_eq!(value("sqrt(2)^2"), ("2".into(), false));
        assert_eq!(
            value("sqrt(1e-100*2)"),
            (format!("0.{}141421356237309504880168872421", "0".repeat(49)), false)
        );
        assert_eq!(value("2*pi"), ("6.28318530717958647692528676656".into(), false));
        assert_eq!(evaluate("1/3").unwrap().fraction().unwrap(), "1/3");
        assert_eq!(evaluate("1/2 + sqrt(2)").unwrap().fraction(), None);
    }

    #[test]
    fn errors_say_what_and_where() {
        let cases = [
            ("", "the expression is empty"),
            ("  ", "the expression is empty"),
            ("1/0", "division by zero"),
            ("5 % (2-2)", "division by zero"),
            ("0^-1", "division by zero"),
            ("1 +", "a number is missing at the end"),
            ("(", "a number is missing at the end"),
            ("* 2", r#"a number is missing before "*" at character 1"#),
            ("2 * / 3", r#"a number is missing before "/" at character 5"#),
            ("()", r#"a number is missing before ")" at character 2"#),
            ("(1 + 2", "the parenthesis at character 1 is not closed"),
            ("1 + 2)", "the parenthesis at character 6 was not opened"),
            ("2 3", r#"an operator is missing before "3" at character 3"#),
            ("2(3)", r#"an operator is missing before "(" at character 2"#),
            ("1 + é", r#""é" at character 5 means nothing here"#),
            ("1 $ 2", r#""$" at character 3 means nothing here"#),
            ("sqrt 4", r#""sqrt" at character 1 means nothing here"#),
            ("(1, 2)", r#""," at character 3 means nothing here"#),
            ("min(1, )", r#"a number is missing before ")" at character 8"#),
            ("sqrt(1, 2)", "this function takes one number"),
            ("sqrt(-1)", "an even root of a negative number is not a real number"),
            (
                "2^(1/17)",
                "an exponent has to be a whole number, or a fraction with a denominator of at most 16",
            ),
            ("2^99999999", "the numbers grow beyond 4915 digits"),
            ("9^9^9^9", "the numbers grow beyond 4915 digits"),
            ("1e999999999999999999999", "the numbers grow beyond 4915 digits"),
        ];
        for (expression, expected) in cases {
            assert_eq!(error(expression), expected, "{expression}");
        }
        assert_eq!(error(&"9".repeat(6000)), "the numbers grow beyond 4915 digits");
        assert!(error(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).contains("longer than"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(value(&deep).0, "1");
        assert_eq!(value(&format!("{}1", "-".repeat(200_000))).0, "1");
        assert_eq!(value(&format!("{}2", "1^".repeat(100_000))).0, "1");
        assert!(error(&"(".repeat(200_000)).contains("missing"));
    }

    #[test]
    fn work_is_bounded() {
        let fractions: Vec<_> = (1..20_000).map(|n| format!("1/{n}")).collect();
        let refused = error(&fractions.join("+"));
        assert!(refused.contains("grow beyond") || refused.contains("too much work"), "{refused}");
        let long = "7".repeat(2000);
        let refused = error(&vec![format!("({long}/3%{long})"); 60].join("+"));
        assert!(refused.contains("grow beyond") || refused.contains("too much work"), "{refused}");
    }

    fn nested() -> impl Strategy<Value = (String, i128)> {
        let leaf = (0i64..100).prop_map(|n| (n.to_string(), i128::from(n)));
        leaf.prop_recursive(6, 40, 2, |inner| {
            (inner.clone(), prop::sample::select(vec!["+", "-", "*"]), inner, any::<bool>()).prop_map(
                |((a, x), operator, (b, y), spaced)| {
                    let value = match operator {
                        "+" => x.saturating_add(y),
                        "-" => x.saturating_sub(y),
                        _ => x.saturating_mul(y),
                    };
                    let space = if spaced { " " } else { "" };
                    (format!("({a}{space}{operator}{space}{b})"), value)
                },
            )
        })
    }

    proptest! {
        #[test]
        fn whole_numbers_agree_with_the_machine((expression, expected) in nested()) {
            prop_assume!(expected.unsigned_abs() < 1 << 100);
            prop_assert_eq!(value(&expression), (expected.to_string(), true));
        }

        #[test]
        fn no_text_is_too_much_for_it(text in "[-0-9.,()+*/%^ esqrtminax√π]{0,60}") {
            let _ = evaluate(&text).map(|number| number.decimal());
        }

        #[test]
        fn a_decimal_reads_back_as_the_same_number(whole in any::<i64>(), places in 0u32..30) {
            let expression = format!("({whole})/10^{places}");
            let (text, exact) = value(&expression);
            prop_assert!(exact);
            prop_assert_eq!(evaluate(&text).unwrap(), evaluate(&expression).unwrap());
        }
    }
}
