//! Rational numbers of bounded size.
//!
//! Guarantee: a result is a fraction of integers of at most [`VALUE_BITS_MAX`] bits that records whether it is
//! exact, or an error that is returned before the work is done. All operations of one budget together cost at
//! most [`WORK_MAX`].

mod fraction;

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use self::fraction::Fraction;

/// A number, and whether it is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    value: Fraction,
    exact: bool,
}

/// The reason for which a number does not exist or is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoNumber {
    /// The divisor is zero, or zero is raised to a negative power.
    #[error("division by zero")]
    DivisionByZero,
    /// The result is longer than [`VALUE_BITS_MAX`].
    #[error("the numbers grow beyond {} digits", VALUE_BITS_MAX * 3 / 10)]
    TooLarge,
    /// The [`Budget`] is spent.
    #[error("the calculation takes too much work")]
    TooMuchWork,
    /// The root has an even degree and its operand is negative.
    #[error("an even root of a negative number is not a real number")]
    RootOfNegative,
    /// The operand of a factorial is negative or not an integer.
    #[error("a factorial is of a whole number from 0 on")]
    Factorial,
    /// The exponent is a fraction whose denominator exceeds [`ROOT_MAX`].
    #[error("an exponent has to be a whole number, or a fraction with a denominator of at most {ROOT_MAX}")]
    Exponent,
    /// The arguments do not fit the function. Contains its name, and the arguments that it takes.
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
}

/// The remaining work of a calculation, [`WORK_MAX`] at its start.
#[derive(Debug)]
pub struct Budget {
    work: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { work: WORK_MAX }
    }
}

impl Budget {
    /// Charges an operation on numbers of these sizes, before it is executed.
    fn pay(&mut self, a: &Fraction, b: &Fraction) -> Result<(), NoNumber> {
        let words = |value: &Fraction| value.bits() / 64 + 1;
        // Reducing the fraction costs more than the operation: the square of the longer one.
        self.spend(words(a).max(words(b)).pow(2))
    }

    fn spend(&mut self, work: u64) -> Result<(), NoNumber> {
        self.work = self.work.checked_sub(work).ok_or(NoNumber::TooMuchWork)?;
        Ok(())
    }
}

impl Number {
    /// Parses digits with at most one point, times a power of ten.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the text is not a number, the number is too large, or the budget is spent.
    pub fn parse(digits: &str, exponent: i64, budget: &mut Budget) -> Result<Self, NoNumber> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let written = (whole.len() + fraction.len()) as u64;
        if written * 3 > VALUE_BITS_MAX || exponent.unsigned_abs().saturating_mul(3) > VALUE_BITS_MAX {
            return Err(NoNumber::TooLarge);
        }
        // Nineteen digits fill a word; a fraction is reduced.
        budget.spend(((written + exponent.unsigned_abs()) / 19 + 1).pow(2))?;
        let all: BigInt = format!("0{whole}{fraction}").parse().map_err(|_| NoNumber::TooLarge)?;
        let exponent = exponent - fraction.len() as i64;
        let scale = BigInt::from(10u32).pow(exponent.unsigned_abs());
        let value = if exponent < 0 { Fraction::new(all, scale) } else { Fraction::whole(all * scale) };
        Self::of(value, true)
    }

    /// Returns an integer, exact.
    pub fn whole(value: u32) -> Self {
        Self { value: Fraction::whole(value.into()), exact: true }
    }

    /// Returns π, rounded to 62 decimal places.
    pub fn pi() -> Self {
        Self::rounded("3.14159265358979323846264338327950288419716939937510582097494459")
    }

    /// Returns e, the base of the natural logarithm, rounded to 62 decimal places.
    pub fn e() -> Self {
        Self::rounded("2.71828182845904523536028747135266249775724709369995957496696763")
    }

    fn rounded(digits: &str) -> Self {
        Self { exact: false, ..Self::parse(digits, 0, &mut Budget::default()).expect("a short number") }
    }

    fn of(value: Fraction, exact: bool) -> Result<Self, NoNumber> {
        if value.bits() > VALUE_BITS_MAX { Err(NoNumber::TooLarge) } else { Ok(Self { value, exact }) }
    }

    fn with(
        &self,
        other: &Self,
        budget: &mut Budget,
        operation: impl FnOnce(&Fraction, &Fraction) -> Fraction,
    ) -> Result<Self, NoNumber> {
        budget.pay(&self.value, &other.value)?;
        Self::of(operation(&self.value, &other.value), self.exact && other.exact)
    }

    /// Returns the sum.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the result is too large or the budget is spent.
    pub fn plus(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, Fraction::plus)
    }

    /// Returns the difference.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the result is too large or the budget is spent.
    pub fn minus(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, Fraction::minus)
    }

    /// Returns the product.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the result is too large or the budget is spent.
    pub fn times(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, Fraction::times)
    }

    /// Returns the quotient.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if `other` is zero, the result is too large, or the budget is spent.
    pub fn over(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        if other.value.is_zero() {
            return Err(NoNumber::DivisionByZero);
        }
        self.with(other, budget, Fraction::over)
    }

    /// Returns the remainder, with the sign of `other`.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if `other` is zero, the result is too large, or the budget is spent.
    pub fn modulo(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        if other.value.is_zero() {
            return Err(NoNumber::DivisionByZero);
        }
        self.with(other, budget, |a, b| a.minus(&b.times(&Fraction::whole(a.over(b).floor()))))
    }

    /// Returns the number with the opposite sign.
    pub fn negated(self) -> Self {
        Self { value: self.value.negated(), ..self }
    }

    /// Returns a hundredth of the number.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the result is too large or the budget is spent.
    pub fn percent(self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.over(&Self::whole(100), budget)
    }

    /// Returns the factorial, of an integer from 0 to 10,000.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the number is not such an integer, the result is too large, or the budget is spent.
    pub fn factorial(&self, budget: &mut Budget) -> Result<Self, NoNumber> {
        if !self.value.is_whole() || self.value.is_negative() {
            return Err(NoNumber::Factorial);
        }
        let last = self.value.numer().to_u32().filter(|last| *last <= FACTORIAL_MAX);
        let last = last.ok_or(NoNumber::TooLarge)?;
        let mut product = BigInt::one();
        for factor in 2..=last {
            budget.spend(product.bits() / 64 + 1)?;
            product *= factor;
            if product.bits() > VALUE_BITS_MAX {
                return Err(NoNumber::TooLarge);
            }
        }
        Self::of(Fraction::whole(product), self.exact)
    }

    /// Raises to a power. `0 ^ 0` is 1; a fractional exponent takes a root.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the power does not exist, the degree of the root exceeds [`ROOT_MAX`], the result is
    /// too large, or the budget is spent.
    pub fn power(&self, exponent: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        let root =
            exponent.value.denom().to_u32().filter(|root| *root <= ROOT_MAX).ok_or(NoNumber::Exponent)?;
        let power = exponent.value.numer();
        if self.value.is_zero() && power.is_negative() {
            return Err(NoNumber::DivisionByZero);
        }
        let exact = self.exact && exponent.exact;
        let value = match power.magnitude().to_u64() {
            _ if self.value == Fraction::one() || (self.value.is_zero() && !power.is_zero()) => {
                self.value.clone()
            }
            _ if self.value.abs() == Fraction::one() => {
                if power.magnitude().bit(0) {
                    self.value.clone()
                } else {
                    Fraction::one()
                }
            }
            // A lower bound of the bits of the power, before any of it is computed.
            Some(times) if (self.value.longest() - 1).saturating_mul(times) <= VALUE_BITS_MAX => {
                let times = u32::try_from(times).map_err(|_| NoNumber::TooLarge)?;
                let cost = (VALUE_BITS_MAX / 64).min(self.value.longest() * u64::from(times) / 64 + 1);
                budget.spend(cost * cost)?;
                let (numer, denom) = (self.value.numer().pow(times), self.value.denom().pow(times));
                match (power.is_negative(), numer.is_negative()) {
                    (false, _) => Fraction::reduced(numer, denom),
                    (true, false) => Fraction::reduced(denom, numer),
                    (true, true) => Fraction::reduced(-denom, -numer),
                }
            }
            _ => return Err(NoNumber::TooLarge),
        };
        Self::of(value, exact)?.root(root, budget)
    }

    /// Returns the root: exact if the number is a power of that degree, else rounded to at least 45
    /// decimal places. `degree` is at least 1.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the root is even and the number negative, the result is too large, or the budget is
    /// spent.
    pub fn root(&self, degree: u32, budget: &mut Budget) -> Result<Self, NoNumber> {
        if degree == 1 || self.value.is_zero() {
            return Ok(self.clone());
        }
        if self.value.is_negative() && degree.is_multiple_of(2) {
            return Err(NoNumber::RootOfNegative);
        }
        let words = self.value.bits() / 64 + 1;
        budget.spend(words * words * u64::from(degree))?;
        let (numer, denom) = (self.value.numer(), self.value.denom());
        let candidate = Fraction::reduced(numer.nth_root(degree), denom.nth_root(degree));
        if candidate.numer().pow(degree) == *numer && candidate.denom().pow(degree) == *denom {
            return Self::of(candidate, self.exact);
        }
        // Enough decimal places for the digits of the root, even if it is very small.
        let zeros = (denom.bits().saturating_sub(numer.bits()) * 3 / 10) / u64::from(degree);
        let scale = BigInt::from(10u32).pow(zeros + ROOT_DIGITS);
        let scaled = numer * Pow::pow(&scale, degree) / denom;
        Self::of(Fraction::new(scaled.nth_root(degree), scale), false)
    }

    /// Returns the absolute value.
    pub fn abs(self) -> Self {
        Self { value: self.value.abs(), ..self }
    }

    /// Rounds down to an integer.
    pub fn floor(self) -> Self {
        Self { value: Fraction::whole(self.value.floor()), ..self }
    }

    /// Rounds up to an integer.
    pub fn ceil(self) -> Self {
        Self { value: Fraction::whole(self.value.ceil()), ..self }
    }

    /// Rounds to `places` decimal places, halves away from zero; negative places round to tens, hundreds and so on.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if `places` is not an integer from -1000 to 1000, the result is too large, or the
    /// budget is spent.
    pub fn round(&self, places: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        let range = -PLACES_MAX..=PLACES_MAX;
        let places = Some(&places.value).filter(|places| places.is_whole());
        let places =
            places.and_then(|places| places.numer().to_i64()).filter(|places| range.contains(places));
        let places = places.ok_or(NoNumber::Arguments("round", "a number, and places from -1000 to 1000"))?;
        let scale = Fraction::whole(BigInt::from(10u32).pow(places.unsigned_abs()));
        let scale = if places < 0 { Fraction::one().over(&scale) } else { scale };
        budget.pay(&self.value, &scale)?;
        Self::of(Fraction::whole(self.value.times(&scale).round()).over(&scale), self.exact)
    }

    /// Returns the smaller of two numbers; exact if both are.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the budget is spent.
    pub fn smaller(self, other: Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.chosen(other, Ordering::Less, budget)
    }

    /// Returns the larger of two numbers; exact if both are.
    ///
    /// # Errors
    ///
    /// Returns [`NoNumber`] if the budget is spent.
    pub fn larger(self, other: Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.chosen(other, Ordering::Greater, budget)
    }

    /// Returns this number if it compares to `other` as `wanted`, else `other`.
    fn chosen(self, other: Self, wanted: Ordering, budget: &mut Budget) -> Result<Self, NoNumber> {
        budget.spend(self.value.compare_cost(&other.value))?;
        let exact = self.exact && other.exact;
        let this = self.value.compare(&other.value) == wanted;
        Ok(Self { value: if this { self.value } else { other.value }, exact })
    }

    /// Returns the number in decimal digits, and whether they are complete. If not, it is rounded to
    /// 30 digits, halves to even.
    pub fn decimal(&self) -> (String, bool) {
        if let (true, Some(places)) = (self.exact, places(self.value.denom())) {
            let digits = self.value.numer() * BigInt::from(10u32).pow(places) / self.value.denom();
            return (point(&digits, places), true);
        }
        let (numer, denom) = (self.value.numer(), self.value.denom());
        let whole: BigInt = numer / denom;
        let places = if whole.is_zero() {
            SHOWN_DIGITS + (denom.bits().saturating_sub(numer.bits())) * 3 / 10
        } else {
            SHOWN_DIGITS.saturating_sub(whole.magnitude().to_string().len() as u64)
        };
        let scaled = Fraction::new(numer * BigInt::from(10u32).pow(places), denom.clone());
        let down = scaled.floor();
        let twice_rest: BigInt = (scaled.numer() - &down * scaled.denom()) * 2;
        let up = match twice_rest.cmp(scaled.denom()) {
            Ordering::Less => false,
            Ordering::Equal => down.magnitude().bit(0),
            Ordering::Greater => true,
        };
        let digits = down + u32::from(up);
        let text = point(&digits, places);
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        };
        (text, false)
    }

    /// Returns the number as a fraction, if it is exact, not an integer, and short.
    pub fn fraction(&self) -> Option<String> {
        let short = self.exact && !self.value.is_whole() && self.value.bits() <= FRACTION_BITS_MAX;
        short.then(|| format!("{}/{}", self.value.numer(), self.value.denom()))
    }
}

/// Returns the decimal places of a fraction with this denominator; `None` if they do not end.
fn places(denom: &BigInt) -> Option<u64> {
    let twos = denom.trailing_zeros().unwrap_or(0);
    let mut rest = denom >> twos;
    let five = BigInt::from(5u32);
    let mut fives = 0;
    while (&rest % &five).is_zero() {
        rest /= &five;
        fives += 1;
    }
    rest.is_one().then_some(twos.max(fives))
}

/// Formats an integer with a decimal point `places` digits from its end.
fn point(digits: &BigInt, places: u64) -> String {
    let sign = if digits.sign() == Sign::Minus { "-" } else { "" };
    let places = usize::try_from(places).expect("places are bounded by the bits of a value");
    let digits = format!("{:0>width$}", digits.magnitude().to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Greatest size of a value, in bits of numerator and denominator together.
pub const VALUE_BITS_MAX: u64 = 16_384;

/// Work limit of one calculation, in products of 64-bit words: some tenths of a second.
pub const WORK_MAX: u64 = 1_000_000;

/// Greatest number whose factorial is computed.
const FACTORIAL_MAX: u32 = 10_000;

/// Greatest degree of a root.
pub const ROOT_MAX: u32 = 16;

/// Significant decimal places of a root that is not exact.
const ROOT_DIGITS: u64 = 45;

/// Digits of a rounded result.
const SHOWN_DIGITS: u64 = 30;

/// Greatest number of places of rounding, in either direction.
const PLACES_MAX: i64 = 1000;

/// Greatest size of a fraction that is shown as such, in bits.
const FRACTION_BITS_MAX: u64 = 128;
