//! Whether two scalars have the same value whatever their variables are.

use num_bigint::BigInt;
use num_rational::BigRational;

use crate::evaluate::{Point, exact, real};
use crate::expression::{Constant, Expression};

/// Points tried when there are variables, and how many of them have to be usable.
const POINTS: u64 = 10;
const USABLE: usize = 3;
/// Of f64: evaluation loses a few digits of 16, and a wrong answer agrees by chance in ten once in 1e10.
const RELATIVE: f64 = 1e-10;
/// Below this a difference is zero: computer algebra chops there too.
const ABSOLUTE: f64 = 1e-14;

/// What a decimal numeral stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimals {
    /// The decimal fraction: 0.1 + 0.2 is 0.3.
    Exact,
    /// The nearest double, so that sums of decimals keep its rounding errors: 0.1 + 0.2 is not 0.3.
    Binary,
}

/// Whether `left` and `right` are scalars of one value for all values of their variables.
///
/// Without variables: equality of the exact values, or of f64 values to 1e-10 where a value is irrational. With variables:
/// the same at ten pseudo-random rational points of both signs, at least three of which have to be in the domain of both
/// (an identity that fails at one point fails; one that holds at all is taken to be true). Variables are real. An
/// undefined value equals nothing.
pub fn equivalent(left: &Expression, right: &Expression, decimals: Decimals) -> bool {
    let scalar =
        |side: &Expression| side.is_scalar() && !side.any(&|part| *part == Expression::Constant(Constant::Undefined));
    if !scalar(left) || !scalar(right) {
        return false;
    }
    if left == right {
        return true;
    }
    let symbols: Vec<&str> = left.symbols().union(&right.symbols()).copied().collect();
    let points = if symbols.is_empty() { 1 } else { POINTS };
    let mut agreed = 0;
    for index in 0..points {
        match agree(left, right, &point(&symbols, index), decimals) {
            Some(true) => agreed += 1,
            Some(false) => return false,
            None => {}
        }
    }
    agreed >= if symbols.is_empty() { 1 } else { USABLE }
}

/// Whether the values at one point agree; `None` when one of them is not defined there.
fn agree(left: &Expression, right: &Expression, at: &Point<'_>, decimals: Decimals) -> Option<bool> {
    let binary = decimals == Decimals::Binary && (has_decimal(left) || has_decimal(right));
    if !binary && let (Some(left), Some(right)) = (exact(left, at), exact(right, at)) {
        return Some(left == right);
    }
    let rational = binary && exact(left, at).is_some() && exact(right, at).is_some();
    let (left, right) = (real(left, at), real(right, at));
    if !left.is_finite() || !right.is_finite() {
        return None;
    }
    if rational {
        return Some(left == right);
    }
    Some((left - right).abs() <= ABSOLUTE.max(RELATIVE * left.abs().max(right.abs())))
}

fn has_decimal(expression: &Expression) -> bool {
    expression.any(&|part| matches!(part, Expression::Number(number) if number.is_decimal()))
}

/// Values between 1/60 and 4 in size, of either sign, different for each variable and each point.
fn point<'a>(symbols: &[&'a str], index: u64) -> Point<'a> {
    let value = |position: usize| {
        let random = scramble(index * 1_000_003 + position as u64);
        let (numerator, denominator) = (1 + (random >> 8) % 241, 61);
        // The first four are positive, so that what is only defined there has points enough.
        let negative = index > 3 && random & 1 == 1;
        let numerator = BigInt::from(numerator) * if negative { -1 } else { 1 };
        BigRational::new(numerator, denominator.into())
    };
    symbols.iter().enumerate().map(|(position, &symbol)| (symbol, value(position))).collect()
}

/// The output function of splitmix64.
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_latex;

    fn same(left: &str, right: &str) -> bool {
        equivalent(&parse_latex(left).unwrap(), &parse_latex(right).unwrap(), Decimals::Exact)
    }

    #[test]
    fn identities_are_recognised() {
        for (left, right) in [
            ("(x+1)^2", "x^2+2x+1"),
            (r"\frac{x^2-1}{x-1}", "x+1"),
            (r"\sqrt{8}", r"2\sqrt{2}"),
            (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
            (r"\sin^2 x + \cos^2 x", "1"),
            (r"\log_2 8", "3"),
            (r"e^{x} e^{y}", "e^{x+y}"),
            (r"0.1+0.2", "0.3"),
            (r"\sqrt{x}\sqrt{x}", "x"),
        ] {
            assert!(same(left, right), "{left} = {right}");
        }
    }

    #[test]
    fn what_differs_somewhere_is_different() {
        for (left, right) in [
            ("x", "y"),
            ("x^2", "x^3"),
            (r"\sqrt{x^2}", "x"),
            (r"\sqrt{2}", "1.41421356"),
            (r"\frac{1}{0}", r"\frac{1}{0}"),
            (r"\infty", r"-\infty"),
            ("9^{9^{9^9}}", "8^{8^{8^8}}"),
        ] {
            assert!(!same(left, right), "{left} = {right}");
        }
    }

    #[test]
    fn binary_decimals_keep_their_rounding_errors() {
        let (sum, value) = (parse_latex("0.1+0.2").unwrap(), parse_latex("0.3").unwrap());
        assert!(!equivalent(&sum, &value, Decimals::Binary));
        let (power, value) = (parse_latex("10^{-3}").unwrap(), parse_latex("0.001").unwrap());
        assert!(equivalent(&power, &value, Decimals::Binary));
    }
}
