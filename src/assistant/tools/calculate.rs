//! `calculate`: exact arithmetic, nested to any depth.
//!
//! ```text
//!   + - * / % mod   ^ (to the right)   ² ³ !   unary -   ( )   12.5   6.02e23   1_000   1,000   2k   ½   15%
//!   sqrt cbrt abs floor ceil round(x, places) min max sum product avg(…) pi e      also × ÷ · − ** √
//! ```
//!
//! - `mod` is the remainder, with the sign of the divisor. `%` is percent, and the remainder where an
//!   operand follows it; where both readings are possible (`5%-3`) it is an error.
//! - `200 + 15%` is 230 and `200 - 15%` is 170: a percentage that is added or subtracted is of the left
//!   side. `15% of 80` is a product, and a percentage in parentheses is a plain number.
//! - `2(3+4)` is `2*(3+4)`, with the precedence of `*`. `sqrt 2` takes the one operand after it.
//! - A comma between groups of three digits is part of the number, but not inside the parentheses of a
//!   function.
//!
//! Guarantee: the depth of an expression costs memory in proportion and no stack; size and work are
//! bounded before they are spent ([`super::number`]).

mod evaluation;
mod literal;
mod operator;

use async_trait::async_trait;
use quintet_agent::{Tool, ToolContext, ToolError};
use quintet_kernel::json::Json;
use serde_json::json;

use self::evaluation::Evaluation;
use super::number::{NoNumber, Number};

/// The tool `calculate`.
pub struct Calculate;

#[async_trait]
impl Tool for Calculate {
    fn name(&self) -> &str {
        "calculate"
    }

    fn description(&self) -> &str {
        "Evaluates an arithmetic expression exactly: + - * / mod ^ !, parentheses, decimals, percent, sqrt, \
         cbrt, abs, floor, ceil, round, min, max, sum, product, avg, pi, e."
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

    async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        let parameters = parameters.to_value();
        let expression = parameters["expression"].as_str();
        let expression = expression.ok_or_else(|| ToolError::user_facing("expression has to be a text"))?;
        let number = evaluate(expression).map_err(|error| ToolError::user_facing(error.to_string()))?;
        let (result, exact) = number.decimal();
        let mut results = json!({"expression": expression, "result": result, "exact": exact});
        if let (false, Some(fraction)) = (exact, number.fraction()) {
            results["fraction"] = fraction.into();
        }
        Ok(Json::from(&results))
    }
}

/// The reason for which an expression has no value. Positions count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// The expression is longer than [`EXPRESSION_BYTES_MAX`].
    #[error("the expression is longer than {EXPRESSION_BYTES_MAX} bytes")]
    TooLong,
    /// The expression has no tokens.
    #[error("the expression is empty")]
    Empty,
    /// The expression ends where an operand has to follow.
    #[error("a number is missing at the end")]
    EndsEarly,
    /// A token stands where an operand has to be.
    #[error("a number is missing before {found:?} at character {at}")]
    NumberMissing {
        /// The token.
        found: String,
        /// Its position.
        at: usize,
    },
    /// A token stands where an operator has to be.
    #[error("an operator is missing before {found:?} at character {at}")]
    OperatorMissing {
        /// The token.
        found: String,
        /// Its position.
        at: usize,
    },
    /// A token is not part of the syntax, or not at this place.
    #[error("{found:?} at character {at} means nothing here")]
    Unknown {
        /// The token.
        found: String,
        /// Its position.
        at: usize,
    },
    /// An opening parenthesis has no closing one.
    #[error("the parenthesis at character {at} is not closed")]
    NotClosed {
        /// The position of the opening parenthesis.
        at: usize,
    },
    /// A closing parenthesis has no opening one.
    #[error("the parenthesis at character {at} was not opened")]
    NotOpened {
        /// The position of the closing parenthesis.
        at: usize,
    },
    /// A `%` can be read as percent and as remainder.
    #[error("the % at character {at} can be percent or remainder; write percent, or mod")]
    Ambiguous {
        /// The position of the `%`.
        at: usize,
    },
    /// A comma is not between groups of three digits.
    #[error("the comma at character {at} does not separate thousands; write decimals with a point")]
    DecimalComma {
        /// The position of the comma.
        at: usize,
    },
    /// The expression is well formed, but a number in it does not exist or is out of range.
    #[error(transparent)]
    NoNumber(#[from] NoNumber),
}

/// Evaluates an expression.
///
/// # Errors
///
/// Returns [`NoValue`] if the expression is malformed, too long, or has no value within the limits.
pub fn evaluate(expression: &str) -> Result<Number, NoValue> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(NoValue::TooLong);
    }
    Evaluation::of(expression)
}

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod limits;
#[cfg(test)]
mod tests;
