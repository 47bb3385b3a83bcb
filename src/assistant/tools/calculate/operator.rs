//! The operators and functions of an expression.

use crate::tools::number::{Budget, NoNumber, Number};

/// An operator with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
    Power,
}

/// A value on the stack. A percentage is converted only when an operator is applied.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) number: Number,
    pub(super) percent: bool,
}

impl From<Number> for Operand {
    fn from(number: Number) -> Self {
        Self { number, percent: false }
    }
}

impl Binary {
    /// Reads an operator at the beginning of a text, with its length in bytes. The caller reads `%`.
    pub(super) fn of(text: &str) -> Option<(Binary, usize)> {
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
            ("^", Binary::Power),
        ];
        let found = operators.into_iter().find(|(sign, _)| text.starts_with(sign));
        found.map(|(sign, operator)| (operator, sign.len()))
    }

    pub(super) fn precedence(self) -> u8 {
        match self {
            Binary::Plus | Binary::Minus => 1,
            Binary::Times | Binary::Over | Binary::Modulo => 2,
            Binary::Power => 4,
        }
    }

    pub(super) fn apply(
        self,
        left: &Operand,
        right: Operand,
        budget: &mut Budget,
    ) -> Result<Operand, NoNumber> {
        let of_left = right.percent && !left.percent && matches!(self, Binary::Plus | Binary::Minus);
        let share = if of_left { left.number.times(&right.number, budget)? } else { right.number };
        let left_number = &left.number;
        let number = match self {
            Binary::Plus => left_number.plus(&share, budget),
            Binary::Minus => left_number.minus(&share, budget),
            Binary::Times => left_number.times(&share, budget),
            Binary::Over => left_number.over(&share, budget),
            Binary::Modulo => left_number.modulo(&share, budget),
            Binary::Power => left_number.power(&share, budget),
        }?;
        // 10% + 5% is a percentage.
        let percent = left.percent && right.percent && matches!(self, Binary::Plus | Binary::Minus);
        Ok(Operand { number, percent })
    }
}

/// Precedence of a unary minus: `-2^2` is -4, `2 * -3` is -6.
pub(super) const NEGATE_PRECEDENCE: u8 = 3;

/// Precedence of a function without parentheses: `sqrt 2^2` is 2.
pub(super) const PREFIX_PRECEDENCE: u8 = 5;

/// A function of one or more numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Sqrt,
    Cbrt,
    Abs,
    Floor,
    Ceil,
    Round,
    Min,
    Max,
    Sum,
    Product,
    Average,
}

impl Function {
    pub(super) fn of(name: &str) -> Option<Function> {
        Some(match name {
            "sqrt" | "√" => Function::Sqrt,
            "cbrt" | "∛" => Function::Cbrt,
            "abs" => Function::Abs,
            "floor" => Function::Floor,
            "ceil" => Function::Ceil,
            "round" => Function::Round,
            "min" => Function::Min,
            "max" => Function::Max,
            "sum" => Function::Sum,
            "product" => Function::Product,
            "avg" | "average" | "mean" => Function::Average,
            _ => return None,
        })
    }

    /// Applies the function to its arguments; there is at least one.
    pub(super) fn apply(self, arguments: Vec<Operand>, budget: &mut Budget) -> Result<Number, NoNumber> {
        let count = arguments.len();
        let mut rest = arguments.into_iter().map(|operand| operand.number);
        let first = rest.next().ok_or(NoNumber::Arguments("a function", "a number"))?;
        match (self, count) {
            (Function::Sqrt, 1) => first.root(2, budget),
            (Function::Cbrt, 1) => first.root(3, budget),
            (Function::Abs, 1) => Ok(first.abs()),
            (Function::Floor, 1) => Ok(first.floor()),
            (Function::Ceil, 1) => Ok(first.ceil()),
            (Function::Round, 1) => first.round(&Number::whole(0), budget),
            (Function::Round, 2) => {
                let places = rest.next().unwrap_or_else(|| Number::whole(0));
                first.round(&places, budget)
            }
            (Function::Min, _) => rest.try_fold(first, |least, next| least.smaller(next, budget)),
            (Function::Max, _) => rest.try_fold(first, |most, next| most.larger(next, budget)),
            (Function::Sum, _) => rest.try_fold(first, |sum, next| sum.plus(&next, budget)),
            (Function::Product, _) => rest.try_fold(first, |product, next| product.times(&next, budget)),
            (Function::Average, _) => {
                let sum = rest.try_fold(first, |sum, next| sum.plus(&next, budget))?;
                sum.over(&Number::whole(u32::try_from(count).map_err(|_| NoNumber::TooMuchWork)?), budget)
            }
            (Function::Round, _) => Err(NoNumber::Arguments("round", "one number, or a number and places")),
            _ => Err(NoNumber::Arguments("this function", "one number")),
        }
    }
}
