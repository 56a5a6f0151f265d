//! Numbers as answers write them: exact, and knowing whether they were written with a decimal point.

use std::ops::Neg;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, ToPrimitive, Zero};

/// Longer numerals are refused: nobody's answer has them, and exact arithmetic on them is slow.
const MAX_DIGITS: usize = 400;
/// Bound of a decimal exponent, the range of f64 and a little more.
const MAX_EXPONENT: i32 = 400;

/// A rational number, and whether it was written as a decimal fraction.
///
/// `0.5` and `1/2` have one value, but a decimal is compared after rounding to six places, a fraction exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    value: BigRational,
    decimal: bool,
}

impl Number {
    /// An integer.
    pub fn integer(value: i64) -> Self {
        Self::exact(BigRational::from_integer(value.into()))
    }

    /// An exact value.
    pub(crate) fn exact(value: BigRational) -> Self {
        Self { value, decimal: false }
    }

    /// Reads `12`, `12.5`, `.5`, `5.`, with a sign and a power of ten (`1e-3`) if they are there.
    ///
    /// `None` for anything else, for more than 400 digits, and for exponents beyond ±400.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let plain = !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain || exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let mut value = BigRational::from_integer(digits.parse().ok()?);
        value *= BigRational::from_integer(10.into()).pow(exponent - fraction.len() as i32);
        let value = if negative { -value } else { value };
        Some(Self {
            value,
            decimal: mantissa.len() < text.trim_start_matches(['+', '-']).len() || mantissa.contains('.'),
        })
    }

    /// The value.
    pub fn value(&self) -> &BigRational {
        &self.value
    }

    /// Whether it was written with a decimal point or a power of ten.
    pub fn is_decimal(&self) -> bool {
        self.decimal
    }

    /// Whether it is a whole number that was not written as a decimal.
    pub fn is_integer(&self) -> bool {
        !self.decimal && self.value.is_integer()
    }

    /// `None` when the divisor is zero.
    pub(crate) fn divide(&self, by: &Self) -> Option<Self> {
        (!by.value.is_zero()).then(|| Self { value: &self.value / &by.value, decimal: self.decimal || by.decimal })
    }

    /// `1 1/2`: a fraction behind a whole number, added with the sign of the whole number.
    pub(crate) fn mixed(&self, fraction: &Self) -> Self {
        let zero = BigRational::zero();
        let value = if self.value < zero { &self.value - &fraction.value } else { &self.value + &fraction.value };
        Self::exact(value)
    }

    /// The nearest f64.
    pub(crate) fn to_f64(&self) -> f64 {
        to_f64(&self.value)
    }
}

impl Neg for Number {
    type Output = Self;

    fn neg(self) -> Self {
        Self { value: -self.value, decimal: self.decimal }
    }
}

/// The nearest f64, infinite beyond its range.
pub(crate) fn to_f64(value: &BigRational) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

/// Rounds to six decimal places, ties to even, and counts in millionths.
pub(crate) fn millionths(value: &BigRational) -> BigInt {
    let scaled = value * BigRational::from_integer(1_000_000.into());
    let floor = scaled.floor().to_integer();
    let rest = scaled - BigRational::from_integer(floor.clone());
    let half = BigRational::new(BigInt::one(), 2.into());
    let odd = (&floor % BigInt::from(2)) != BigInt::zero();
    if rest > half || (rest == half && odd) { floor + 1 } else { floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rational(numerator: i64, denominator: i64) -> BigRational {
        BigRational::new(numerator.into(), denominator.into())
    }

    #[test]
    fn numerals_are_read_exactly() {
        for (text, value, decimal) in [
            ("007", rational(7, 1), false),
            ("-2.50", rational(-5, 2), true),
            (".5", rational(1, 2), true),
            ("5.", rational(5, 1), true),
            ("1e3", rational(1000, 1), true),
            ("1.5E-1", rational(3, 20), true),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!((number.value(), number.is_decimal()), (&value, decimal), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_numeral_of_sane_size_is_refused() {
        for text in ["", ".", "-", "1.2.3", "1e", "e3", "0x1", "1e999999999", "１"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(Number::parse(&"9".repeat(500)), None);
    }

    #[test]
    fn six_places_are_kept_with_ties_to_even() {
        assert_eq!(millionths(&rational(1, 3)), BigInt::from(333_333));
        assert_eq!(millionths(&rational(1, 2_000_000)), BigInt::zero());
        assert_eq!(millionths(&rational(3, 2_000_000)), BigInt::from(2));
        assert_eq!(millionths(&rational(-1, 3)), BigInt::from(-333_333));
    }
}
