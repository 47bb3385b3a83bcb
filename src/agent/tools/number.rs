//! Numbers that are exact as long as that is possible, and never larger than is good for us.
//!
//! Guarantee: a result is a fraction of whole numbers of at most [`VALUE_BITS_MAX`] bits, or an error
//! that comes before the work; it says of itself whether it is exact. All results of one budget
//! together cost at most [`WORK_MAX`].

use num_bigint::{BigInt, Sign};
use num_rational::Ratio;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// A number, and whether it is exactly what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    value: Ratio<BigInt>,
    exact: bool,
}

/// Why there is no such number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoNumber {
    #[error("division by zero")]
    DivisionByZero,
    #[error("the numbers grow beyond {} digits", VALUE_BITS_MAX * 3 / 10)]
    TooLarge,
    #[error("the calculation takes too much work")]
    TooMuchWork,
    #[error("an even root of a negative number is not a real number")]
    RootOfNegative,
    #[error("an exponent has to be a whole number, or a fraction with a denominator of at most {ROOT_MAX}")]
    Exponent,
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
}

/// What a calculation may still cost.
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
    /// Pays for an operation on numbers of these sizes before it is done.
    fn pay(&mut self, a: &Ratio<BigInt>, b: &Ratio<BigInt>) -> Result<(), NoNumber> {
        let words = |value: &Ratio<BigInt>| bits(value) / 64 + 1;
        // Reducing the fraction costs more than the operation: the square of the longer one.
        self.spend(words(a).max(words(b)).pow(2))
    }

    fn spend(&mut self, work: u64) -> Result<(), NoNumber> {
        self.work = self.work.checked_sub(work).ok_or(NoNumber::TooMuchWork)?;
        Ok(())
    }
}

impl Number {
    /// A number as written: digits with at most one point, and a power of ten.
    pub fn parse(digits: &str, exponent: i64) -> Result<Self, NoNumber> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let written = (whole.len() + fraction.len()) as u64;
        if written * 3 > VALUE_BITS_MAX || exponent.unsigned_abs().saturating_mul(3) > VALUE_BITS_MAX {
            return Err(NoNumber::TooLarge);
        }
        let all: BigInt = format!("0{whole}{fraction}").parse().map_err(|_| NoNumber::TooLarge)?;
        let exponent = exponent - fraction.len() as i64;
        let scale = BigInt::from(10u32).pow(exponent.unsigned_abs());
        let value = if exponent < 0 { Ratio::new(all, scale) } else { Ratio::from(all * scale) };
        Self::of(value, true)
    }

    pub fn pi() -> Self {
        Self::rounded("3.14159265358979323846264338327950288419716939937510582097494459")
    }

    pub fn e() -> Self {
        Self::rounded("2.71828182845904523536028747135266249775724709369995957496696763")
    }

    fn rounded(digits: &str) -> Self {
        Self { exact: false, ..Self::parse(digits, 0).expect("a short number") }
    }

    fn of(value: Ratio<BigInt>, exact: bool) -> Result<Self, NoNumber> {
        if bits(&value) > VALUE_BITS_MAX { Err(NoNumber::TooLarge) } else { Ok(Self { value, exact }) }
    }

    fn with(
        &self,
        other: &Self,
        budget: &mut Budget,
        operation: impl FnOnce(&Ratio<BigInt>, &Ratio<BigInt>) -> Ratio<BigInt>,
    ) -> Result<Self, NoNumber> {
        budget.pay(&self.value, &other.value)?;
        Self::of(operation(&self.value, &other.value), self.exact && other.exact)
    }

    pub fn plus(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, |a, b| a + b)
    }

    pub fn minus(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, |a, b| a - b)
    }

    pub fn times(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.with(other, budget, |a, b| a * b)
    }

    pub fn over(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        if other.value.is_zero() {
            return Err(NoNumber::DivisionByZero);
        }
        self.with(other, budget, |a, b| a / b)
    }

    /// What is left over a whole multiple of `other`; it has the sign of `other`.
    pub fn modulo(&self, other: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        if other.value.is_zero() {
            return Err(NoNumber::DivisionByZero);
        }
        self.with(other, budget, |a, b| a - b * (a / b).floor())
    }

    pub fn negated(self) -> Self {
        Self { value: -self.value, ..self }
    }

    pub fn percent(self, budget: &mut Budget) -> Result<Self, NoNumber> {
        self.over(&Self { value: Ratio::from(BigInt::from(100u32)), exact: true }, budget)
    }

    /// `0 ^ 0` is 1. A fractional exponent takes a root.
    pub fn power(&self, exponent: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        let root =
            exponent.value.denom().to_u32().filter(|root| *root <= ROOT_MAX).ok_or(NoNumber::Exponent)?;
        let power = exponent.value.numer();
        if self.value.is_zero() && power.is_negative() {
            return Err(NoNumber::DivisionByZero);
        }
        let exact = self.exact && exponent.exact;
        let value = match power.magnitude().to_u64() {
            _ if self.value.is_one() || (self.value.is_zero() && !power.is_zero()) => self.value.clone(),
            _ if (-&self.value).is_one() => {
                if power.magnitude().bit(0) {
                    self.value.clone()
                } else {
                    Ratio::one()
                }
            }
            // The least that the power can have, before a bit of it is computed.
            Some(times) if (largest(&self.value) - 1).saturating_mul(times) <= VALUE_BITS_MAX => {
                let times = u32::try_from(times).map_err(|_| NoNumber::TooLarge)?;
                let cost = (VALUE_BITS_MAX / 64).min(largest(&self.value) * u64::from(times) / 64 + 1);
                budget.spend(cost * cost)?;
                let (numer, denom) = (self.value.numer().pow(times), self.value.denom().pow(times));
                if power.is_negative() { Ratio::new(denom, numer) } else { Ratio::new_raw(numer, denom) }
            }
            _ => return Err(NoNumber::TooLarge),
        };
        Self::of(value, exact)?.root(root, budget)
    }

    /// Exact if the number is a power of that degree; else rounded to [`ROOT_DIGITS`] digits.
    pub fn root(&self, degree: u32, budget: &mut Budget) -> Result<Self, NoNumber> {
        if degree == 1 || self.value.is_zero() {
            return Ok(self.clone());
        }
        if self.value.is_negative() && degree.is_multiple_of(2) {
            return Err(NoNumber::RootOfNegative);
        }
        let words = bits(&self.value) / 64 + 1;
        budget.spend(words * words * u64::from(degree))?;
        let (numer, denom) = (self.value.numer(), self.value.denom());
        let candidate = Ratio::new(numer.nth_root(degree), denom.nth_root(degree));
        if candidate.numer().pow(degree) == *numer && candidate.denom().pow(degree) == *denom {
            return Self::of(candidate, self.exact);
        }
        // Enough places that the root has its digits, however small it is.
        let zeros = (denom.bits().saturating_sub(numer.bits()) * 3 / 10) / u64::from(degree);
        let scale = BigInt::from(10u32).pow(zeros + ROOT_DIGITS);
        let scaled = numer * Pow::pow(&scale, degree) / denom;
        Self::of(Ratio::new(scaled.nth_root(degree), scale), false)
    }

    pub fn abs(self) -> Self {
        Self { value: self.value.abs(), ..self }
    }

    pub fn floor(self) -> Self {
        Self { value: self.value.floor(), ..self }
    }

    pub fn ceil(self) -> Self {
        Self { value: self.value.ceil(), ..self }
    }

    /// Rounds to `places` decimal places, halves away from zero.
    pub fn round(&self, places: &Self, budget: &mut Budget) -> Result<Self, NoNumber> {
        let range = -PLACES_MAX..=PLACES_MAX;
        let places = Some(&places.value).filter(|places| places.is_integer());
        let places =
            places.and_then(|places| places.numer().to_i64()).filter(|places| range.contains(places));
        let places = places.ok_or(NoNumber::Arguments("round", "a number, and places from -1000 to 1000"))?;
        let scale = Ratio::from(BigInt::from(10u32).pow(places.unsigned_abs()));
        let scale = if places < 0 { scale.recip() } else { scale };
        budget.pay(&self.value, &scale)?;
        Self::of((&self.value * &scale).round() / scale, self.exact)
    }

    pub fn smaller(self, other: Self) -> Self {
        let exact = self.exact && other.exact;
        Self { value: self.value.min(other.value), exact }
    }

    pub fn larger(self, other: Self) -> Self {
        let exact = self.exact && other.exact;
        Self { value: self.value.max(other.value), exact }
    }

    /// The number in decimal digits, and whether they are all of it; else it is rounded to
    /// [`SHOWN_DIGITS`] digits, halves to even.
    pub fn decimal(&self) -> (String, bool) {
        if let (true, Some(places)) = (self.exact, places(self.value.denom())) {
            let digits = self.value.numer() * BigInt::from(10u32).pow(places) / self.value.denom();
            return (point(&digits, places), true);
        }
        let whole = self.value.to_integer();
        let places = if whole.is_zero() {
            SHOWN_DIGITS + (self.value.denom().bits().saturating_sub(self.value.numer().bits())) * 3 / 10
        } else {
            SHOWN_DIGITS.saturating_sub(whole.magnitude().to_string().len() as u64)
        };
        let scale = Ratio::from(BigInt::from(10u32).pow(places));
        let scaled = &self.value * scale;
        let down = scaled.floor();
        let half = Ratio::new(BigInt::one(), BigInt::from(2u32));
        let rest = &scaled - &down;
        let up = rest > half || (rest == half && down.numer().magnitude().bit(0));
        let digits = down.to_integer() + u32::from(up);
        let text = point(&digits, places);
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        };
        (text, false)
    }

    /// The number as a fraction, if it is exact, not whole, and short enough to be read.
    pub fn fraction(&self) -> Option<String> {
        let short = self.exact && !self.value.is_integer() && bits(&self.value) <= FRACTION_BITS_MAX;
        short.then(|| format!("{}/{}", self.value.numer(), self.value.denom()))
    }
}

fn bits(value: &Ratio<BigInt>) -> u64 {
    value.numer().bits() + value.denom().bits()
}

fn largest(value: &Ratio<BigInt>) -> u64 {
    value.numer().bits().max(value.denom().bits())
}

/// How many decimal places a fraction with this denominator has; none if it goes on for ever.
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

/// Whole digits with a point `places` from their end.
fn point(digits: &BigInt, places: u64) -> String {
    let sign = if digits.sign() == Sign::Minus { "-" } else { "" };
    let places = usize::try_from(places).expect("places are bounded by the bits of a value");
    let digits = format!("{:0>width$}", digits.magnitude().to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Bits of a value, numerator and denominator together.
pub const VALUE_BITS_MAX: u64 = 16_384;

/// Work of one calculation, in squares of the 64-bit words of its numbers: some tenths of a second.
pub const WORK_MAX: u64 = 1_000_000;

/// The highest root that is taken.
pub const ROOT_MAX: u32 = 16;

/// Decimal places of a root that is not exact, leading zeros not counted.
const ROOT_DIGITS: u64 = 45;

/// Digits of a result that is rounded.
const SHOWN_DIGITS: u64 = 30;

/// Places that a number can be rounded to, either way.
const PLACES_MAX: i64 = 1000;

/// Bits of a fraction that is shown as one.
const FRACTION_BITS_MAX: u64 = 128;
