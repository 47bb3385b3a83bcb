//! An operator-precedence parser with two explicit stacks instead of recursion.

use super::{
    NoValue, literal,
    operator::{Binary, Function, NEGATE_PRECEDENCE, Operand, PREFIX_PRECEDENCE},
};
use crate::tools::number::{Budget, Number};

/// The evaluation of an expression, in one pass from left to right.
#[derive(Default)]
pub(super) struct Evaluation<'a> {
    text: &'a str,
    /// In bytes.
    position: usize,
    operands: Vec<Operand>,
    waiting: Vec<Waiting>,
    /// For each open parenthesis, true if it belongs to a function.
    calls: Vec<bool>,
    /// True after an operand or a closing parenthesis.
    after_operand: bool,
    budget: Budget,
}

/// An operator or parenthesis that waits for its right side.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Binary(Binary),
    Negate,
    /// A function without parentheses.
    Prefix(Function),
    /// An open parenthesis, its position in bytes, and the number of complete arguments if it belongs to a
    /// function.
    Open {
        position: usize,
        call: Option<(Function, usize)>,
    },
}

impl<'a> Evaluation<'a> {
    /// Evaluates a whole text.
    pub(super) fn of(text: &'a str) -> Result<Number, NoValue> {
        let mut evaluation = Self { text, ..Self::default() };
        while evaluation.advance()? {}
        evaluation.finish()
    }

    /// Reads one token. Returns false at the end.
    fn advance(&mut self) -> Result<bool, NoValue> {
        self.skip_spaces();
        let Some(next) = self.rest().chars().next() else { return Ok(false) };
        match next {
            '(' => self.open(None)?,
            ')' => self.close()?,
            ',' | ';' => self.separate()?,
            '%' => self.percent()?,
            '!' => self.factorial()?,
            _ if literal::begins(next) => self.number()?,
            _ if self.after_operand && literal::superscript(self.rest()).is_some() => self.raised()?,
            _ if self.after_operand && self.at_word("of") => self.operator(Binary::Times, 2)?,
            _ if self.at_word("mod") => self.operator(Binary::Modulo, 3)?,
            '√' | '∛' => self.name(next.len_utf8())?,
            _ if next.is_alphabetic() => {
                let length = self
                    .rest()
                    .find(|c: char| !c.is_alphabetic() && !c.is_ascii_digit())
                    .unwrap_or(self.rest().len());
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
        if !self.after_operand {
            return Err(if self.operands.is_empty() && self.waiting.is_empty() {
                NoValue::Empty
            } else {
                NoValue::EndsEarly
            });
        }
        self.apply_down_to(0)?;
        match self.waiting.last() {
            Some(Waiting::Open { position, .. }) => Err(NoValue::NotClosed { at: self.place(*position) }),
            _ => Ok(self.pop().number),
        }
    }

    fn number(&mut self) -> Result<(), NoValue> {
        self.expect_operand_next()?;
        let in_call = self.calls.last().is_some_and(|call| *call);
        let start = self.position;
        let read = literal::read(&self.text[start..], in_call, &mut self.budget);
        let (number, length) = read.map_err(|error| match error {
            NoValue::Unknown { found, at } => NoValue::Unknown { found, at: self.place(start + at) },
            NoValue::DecimalComma { at } => NoValue::DecimalComma { at: self.place(start + at) },
            error => error,
        })?;
        self.push(number);
        self.position += length;
        Ok(())
    }

    fn name(&mut self, length: usize) -> Result<(), NoValue> {
        let name = self.rest()[..length].to_lowercase();
        let constant = match name.as_str() {
            "pi" | "π" => Some(Number::pi()),
            "e" => Some(Number::e()),
            _ => None,
        };
        let function = Function::of(&name);
        if constant.is_none() && function.is_none() {
            let found = self.rest()[..length].chars().take(NAME_CHARS_SHOWN).collect();
            return Err(NoValue::Unknown { found, at: self.at() });
        }
        self.multiply_if_after_operand()?;
        self.position += length;
        if let Some(number) = constant {
            self.push(number);
        } else if let Some(function) = function {
            self.skip_spaces();
            if self.rest().starts_with('(') {
                return self.open(Some(function));
            }
            self.waiting.push(Waiting::Prefix(function));
        }
        Ok(())
    }

    fn open(&mut self, function: Option<Function>) -> Result<(), NoValue> {
        self.multiply_if_after_operand()?;
        let call = function.map(|function| (function, 0));
        self.waiting.push(Waiting::Open { position: self.position, call });
        self.calls.push(call.is_some());
        self.after_operand = false;
        self.position += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), NoValue> {
        if !self.after_operand {
            return Err(NoValue::NumberMissing { found: ")".into(), at: self.at() });
        }
        self.apply_down_to(0)?;
        let Some(Waiting::Open { call, .. }) = self.waiting.pop() else {
            return Err(NoValue::NotOpened { at: self.at() });
        };
        self.calls.pop();
        let number = match call {
            Some((function, complete)) => {
                let arguments = self.operands.split_off(self.operands.len() - complete - 1);
                function.apply(arguments, &mut self.budget)?
            }
            None => self.pop().number,
        };
        self.push(number);
        self.position += 1;
        Ok(())
    }

    fn separate(&mut self) -> Result<(), NoValue> {
        if !self.after_operand {
            return Err(self.number_missing(1));
        }
        self.apply_down_to(0)?;
        match self.waiting.last_mut() {
            Some(Waiting::Open { call: Some((_, complete)), .. }) => *complete += 1,
            _ => return Err(NoValue::Unknown { found: self.rest()[..1].to_owned(), at: self.at() }),
        }
        self.position += 1;
        self.after_operand = false;
        Ok(())
    }

    fn operator(&mut self, operator: Binary, length: usize) -> Result<(), NoValue> {
        if !self.after_operand {
            match operator {
                Binary::Minus => self.waiting.push(Waiting::Negate),
                Binary::Plus => {}
                _ => return Err(self.number_missing(length)),
            }
            self.position += length;
            return Ok(());
        }
        self.position += length;
        self.binary(operator)
    }

    /// Pushes an operator that has its left side.
    fn binary(&mut self, operator: Binary) -> Result<(), NoValue> {
        // Powers are right-associative.
        let bound = operator.precedence() + u8::from(operator == Binary::Power);
        self.apply_down_to(bound)?;
        self.waiting.push(Waiting::Binary(operator));
        self.after_operand = false;
        Ok(())
    }

    /// Reads `%` as percent or remainder by its context, or returns an error if both are possible.
    fn percent(&mut self) -> Result<(), NoValue> {
        if !self.after_operand {
            return Err(self.number_missing(1));
        }
        let sign = self.position;
        let tight = !self.text[..sign].ends_with(char::is_whitespace);
        self.position += 1;
        let spaced = self.rest().starts_with(char::is_whitespace);
        self.skip_spaces();
        let after_sign = self.rest().strip_prefix(['-', '+', '−']);
        let remainder = match after_sign {
            _ if self.at_operand(self.rest()) => {
                // `50% 4`
                if tight && spaced {
                    return Err(NoValue::Ambiguous { at: self.place(sign) });
                }
                true
            }
            Some(_) if tight && spaced => false,
            // `5 % -3`, but neither `5%-3` nor `5 % - 3`
            Some(after) if !tight && spaced && self.at_operand(after) => true,
            Some(_) => return Err(NoValue::Ambiguous { at: self.place(sign) }),
            None => false,
        };
        if remainder {
            return self.binary(Binary::Modulo);
        }
        let number = self.pop().number.percent(&mut self.budget)?;
        self.operands.push(Operand { number, percent: true });
        Ok(())
    }

    fn factorial(&mut self) -> Result<(), NoValue> {
        if !self.after_operand {
            return Err(self.number_missing(1));
        }
        let number = self.pop().number.factorial(&mut self.budget)?;
        self.push(number);
        self.position += 1;
        Ok(())
    }

    /// Reads a superscript exponent, as in `2²`.
    fn raised(&mut self) -> Result<(), NoValue> {
        let Some((digits, length)) = literal::superscript(self.rest()) else { return Ok(()) };
        let exponent = Number::parse(&digits, 0, &mut self.budget)?;
        let number = self.pop().number.power(&exponent, &mut self.budget)?;
        self.push(number);
        self.position += length;
        Ok(())
    }

    /// Inserts a multiplication, as in `2(3)` and `2 pi`.
    fn multiply_if_after_operand(&mut self) -> Result<(), NoValue> {
        if self.after_operand { self.binary(Binary::Times) } else { Ok(()) }
    }

    /// Returns true if `rest` can only begin with an operand.
    fn at_operand(&self, rest: &str) -> bool {
        let operand = |c: char| literal::begins(c) || c == '(' || c.is_alphabetic() || c == '√' || c == '∛';
        rest.starts_with(operand) && !word_at(rest, "of") && !word_at(rest, "mod")
    }

    fn at_word(&self, word: &str) -> bool {
        word_at(self.rest(), word)
    }

    /// Applies waiting operators that bind at least as tightly as `bound`, back to the innermost parenthesis.
    fn apply_down_to(&mut self, bound: u8) -> Result<(), NoValue> {
        loop {
            match self.waiting.last() {
                Some(Waiting::Negate) if NEGATE_PRECEDENCE >= bound => {
                    let Operand { number, percent } = self.pop();
                    self.operands.push(Operand { number: number.negated(), percent });
                }
                Some(Waiting::Prefix(function)) if PREFIX_PRECEDENCE >= bound => {
                    let function = *function;
                    let argument = self.pop();
                    let number = function.apply(vec![argument], &mut self.budget)?;
                    self.operands.push(number.into());
                }
                Some(Waiting::Binary(operator)) if operator.precedence() >= bound => {
                    let operator = *operator;
                    let (right, left) = (self.pop(), self.pop());
                    self.operands.push(operator.apply(&left, right, &mut self.budget)?);
                }
                _ => return Ok(()),
            }
            self.waiting.pop();
        }
    }

    fn push(&mut self, number: Number) {
        self.operands.push(number.into());
        self.after_operand = true;
    }

    fn pop(&mut self) -> Operand {
        self.operands.pop().expect("an operator waits only where its operands are on the stack")
    }

    fn number_missing(&self, length: usize) -> NoValue {
        NoValue::NumberMissing { found: self.rest()[..length].to_owned(), at: self.at() }
    }

    fn expect_operand_next(&self) -> Result<(), NoValue> {
        if self.after_operand {
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

    /// Returns the current position, in characters from 1.
    fn at(&self) -> usize {
        self.place(self.position)
    }

    fn place(&self, position: usize) -> usize {
        self.text[..position].chars().count() + 1
    }
}

fn word_at(text: &str, word: &str) -> bool {
    text.strip_prefix(word)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphabetic() || c.is_ascii_digit()))
}

/// Characters of an unknown name that an error repeats.
const NAME_CHARS_SHOWN: usize = 32;
