//! Reduced fractions of big integers, compared without recursion.
//!
//! `Ratio` of num-rational compares (`cmp`, `==`, and with them `min`, `floor` and `round`) by continued
//! fractions, with one stack frame per term, of which a fraction of 16,384 bits has up to 11,780. This type
//! hides those operations of `Ratio` and exposes its arithmetic only.
//!
//! Guarantee: no operation recurses over the terms or the digits of a value.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::Ratio;
use num_traits::{One, Signed, Zero};

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Debug)]
pub(super) struct Fraction(Ratio<BigInt>);

impl Fraction {
    /// Reduces `numer / denom`; the denominator is not zero.
    pub(super) fn new(numer: BigInt, denom: BigInt) -> Self {
        Self(Ratio::new(numer, denom))
    }

    /// Creates a fraction from a numerator and a positive denominator without a common factor.
    pub(super) fn reduced(numer: BigInt, denom: BigInt) -> Self {
        Self(Ratio::new_raw(numer, denom))
    }

    pub(super) fn whole(value: BigInt) -> Self {
        Self(Ratio::from_integer(value))
    }

    pub(super) fn one() -> Self {
        Self::whole(BigInt::one())
    }

    pub(super) fn numer(&self) -> &BigInt {
        self.0.numer()
    }

    pub(super) fn denom(&self) -> &BigInt {
        self.0.denom()
    }

    /// Returns the bits of numerator and denominator together.
    pub(super) fn bits(&self) -> u64 {
        self.numer().bits() + self.denom().bits()
    }

    /// Returns the bits of the longer one of numerator and denominator.
    pub(super) fn longest(&self) -> u64 {
        self.numer().bits().max(self.denom().bits())
    }

    pub(super) fn is_zero(&self) -> bool {
        self.numer().is_zero()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.denom().is_one()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.numer().is_negative()
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self(&self.0 + &other.0)
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        Self(&self.0 * &other.0)
    }

    /// Divides by a fraction that is not zero.
    pub(super) fn over(&self, other: &Self) -> Self {
        Self(&self.0 / &other.0)
    }

    pub(super) fn negated(&self) -> Self {
        Self::reduced(-self.numer(), self.denom().clone())
    }

    pub(super) fn abs(&self) -> Self {
        Self::reduced(self.numer().abs(), self.denom().clone())
    }

    /// Returns the greatest integer that is not greater.
    pub(super) fn floor(&self) -> BigInt {
        let (numer, denom) = (self.numer(), self.denom());
        let quotient = numer / denom;
        // Integer division truncates towards zero.
        if numer.is_negative() && &quotient * denom != *numer { quotient - 1 } else { quotient }
    }

    /// Returns the least integer that is not less.
    pub(super) fn ceil(&self) -> BigInt {
        -self.negated().floor()
    }

    /// Returns the nearest integer, halves away from zero.
    pub(super) fn round(&self) -> BigInt {
        let twice: BigInt = self.numer().abs() * 2 + self.denom();
        let nearest: BigInt = twice / (self.denom() * 2);
        if self.is_negative() { -nearest } else { nearest }
    }

    /// Compares by cross-multiplication, since both denominators are positive.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.numer() * other.denom()).cmp(&(other.numer() * self.denom()))
    }

    /// Returns the work of [`Fraction::compare`], in products of 64-bit words.
    pub(super) fn compare_cost(&self, other: &Self) -> u64 {
        let words = |value: &BigInt| value.bits() / 64 + 1;
        words(self.numer()) * words(other.denom()) + words(other.numer()) * words(self.denom())
    }
}

impl PartialEq for Fraction {
    /// Compares the terms: equal fractions have equal terms, since both are in lowest terms.
    fn eq(&self, other: &Self) -> bool {
        self.numer() == other.numer() && self.denom() == other.denom()
    }
}

impl Eq for Fraction {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fraction(numer: i64, denom: i64) -> Fraction {
        Fraction::new(numer.into(), denom.into())
    }

    proptest! {
        /// The operations agree with machine integers, on any signs and any divisibility.
        #[test]
        fn small_fractions_agree_with_machine_integers(
            (a, b) in (-40i64..40, 1i64..12), (c, d) in (-40i64..40, 1i64..12),
        ) {
            let (left, right) = (fraction(a, b), fraction(c, d));
            prop_assert_eq!(left.compare(&right), (a * d).cmp(&(c * b)));
            prop_assert_eq!(left == right, a * d == c * b);
            prop_assert_eq!(left.floor(), BigInt::from(a.div_euclid(b)));
            prop_assert_eq!(left.ceil(), BigInt::from(-(-a).div_euclid(b)));
            let nearest = (a.abs() * 2 + b) / (2 * b) * a.signum();
            prop_assert_eq!(left.round(), BigInt::from(nearest));
            prop_assert_eq!(left.plus(&right), fraction(a * d + c * b, b * d));
            prop_assert_eq!(left.minus(&right), fraction(a * d - c * b, b * d));
            prop_assert_eq!(left.times(&right), fraction(a * c, b * d));
            prop_assert_eq!(left.is_whole(), a % b == 0);
            prop_assert_eq!(left.abs(), fraction(a.abs(), b));
        }
    }
}
