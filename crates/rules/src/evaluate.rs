//! The value of a scalar at a point: exact where that is possible and small, else in f64.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use crate::expression::{Constant, Expression, Function};
use crate::number::to_f64;

/// Exact values above this size are refused: they come from towers of powers, not from answers.
const MAX_BITS: u64 = 8192;
/// Factorials above this are left to f64.
const MAX_FACTORIAL: u32 = 200;

/// A value for each variable.
pub(crate) type Point<'a> = BTreeMap<&'a str, BigRational>;

/// The exact value; `None` where it is not rational, not defined, or too large.
pub(crate) fn exact(expression: &Expression, at: &Point<'_>) -> Option<BigRational> {
    let value = match expression {
        Expression::Number(number) => number.value().clone(),
        Expression::Symbol(name) => at.get(name.as_str())?.clone(),
        Expression::Sum(terms) => {
            let add = |sum: BigRational, term| small(sum + exact(term, at)?);
            terms.iter().try_fold(BigRational::zero(), add)?
        }
        Expression::Product(factors) => {
            let multiply = |product: BigRational, factor| small(product * exact(factor, at)?);
            factors.iter().try_fold(BigRational::one(), multiply)?
        }
        Expression::Power(base, exponent) => exact_power(&exact(base, at)?, &exact(exponent, at)?)?,
        Expression::Percent(of) => exact(of, at)? / BigRational::from_integer(100.into()),
        Expression::Call(function, arguments) => {
            let values: Option<Vec<_>> = arguments.iter().map(|argument| exact(argument, at)).collect();
            exact_call(function, &values?)?
        }
        _ => return None,
    };
    small(value)
}

fn bits(value: &BigRational) -> u64 {
    value.numer().bits().max(value.denom().bits())
}

fn small(value: BigRational) -> Option<BigRational> {
    (bits(&value) <= MAX_BITS).then_some(value)
}

fn exact_power(base: &BigRational, exponent: &BigRational) -> Option<BigRational> {
    let degree = exponent.denom().to_u32().filter(|&degree| degree <= 64)?;
    let base = if degree == 1 { base.clone() } else { exact_root(base, degree)? };
    let exponent = exponent.numer().to_i32()?;
    if base.is_zero() {
        return (exponent >= 0).then(|| if exponent == 0 { BigRational::one() } else { BigRational::zero() });
    }
    let fits = bits(&base) <= 1 || bits(&base).saturating_mul(exponent.unsigned_abs().into()) <= MAX_BITS;
    fits.then(|| base.pow(exponent))
}

/// The root of a perfect power that is not negative.
fn exact_root(value: &BigRational, degree: u32) -> Option<BigRational> {
    if value.is_negative() {
        return None;
    }
    let root = BigRational::new(value.numer().nth_root(degree), value.denom().nth_root(degree));
    (&Pow::pow(&root, degree as i32) == value).then_some(root)
}

fn exact_call(function: &Function, values: &[BigRational]) -> Option<BigRational> {
    match (function, values) {
        (Function::Abs, [value]) => Some(value.abs()),
        (Function::Floor, [value]) => Some(value.floor()),
        (Function::Ceiling, [value]) => Some(value.ceil()),
        (Function::Factorial, [value]) => {
            let n = natural(value)?;
            Some(BigRational::from_integer((1..=n).map(BigInt::from).product()))
        }
        (Function::Binomial, [n, k]) => Some(binomial(natural(n)?, natural(k)?)),
        (Function::Maximum, values) => values.iter().max().cloned(),
        (Function::Minimum, values) => values.iter().min().cloned(),
        _ => None,
    }
}

fn natural(value: &BigRational) -> Option<u32> {
    value.is_integer().then(|| value.to_integer().to_u32()).flatten().filter(|&n| n <= MAX_FACTORIAL)
}

fn binomial(n: u32, k: u32) -> BigRational {
    let factors = (0..k).map(|i| BigRational::new((i64::from(n) - i64::from(i)).into(), (i64::from(i) + 1).into()));
    factors.product()
}

/// The value in f64; not finite where it is not real or not defined.
pub(crate) fn real(expression: &Expression, at: &Point<'_>) -> f64 {
    match expression {
        Expression::Number(number) => number.to_f64(),
        Expression::Symbol(name) => at.get(name.as_str()).map_or(f64::NAN, to_f64),
        Expression::Constant(Constant::Pi) => std::f64::consts::PI,
        Expression::Constant(Constant::E) => std::f64::consts::E,
        Expression::Constant(Constant::Infinity) => f64::INFINITY,
        Expression::Sum(terms) => terms.iter().map(|term| real(term, at)).sum(),
        Expression::Product(factors) => factors.iter().map(|factor| real(factor, at)).product(),
        Expression::Power(base, exponent) => real_power(base, exponent, at),
        Expression::Percent(of) => real(of, at) / 100.0,
        Expression::Call(function, arguments) => {
            let values: Vec<f64> = arguments.iter().map(|argument| real(argument, at)).collect();
            real_call(function, &values)
        }
        _ => f64::NAN,
    }
}

fn real_power(base: &Expression, exponent: &Expression, at: &Point<'_>) -> f64 {
    if let Some(value) = exact(base, at).zip(exact(exponent, at)).and_then(|(base, power)| exact_power(&base, &power)) {
        return to_f64(&value);
    }
    let (base, power) = (real(base, at), real(exponent, at));
    // 0 to a power that is not positive, and infinity to the power 0, are undefined or a convention.
    if base == 0.0 && power <= 0.0 || !base.is_finite() { f64::NAN } else { base.powf(power) }
}

fn real_call(function: &Function, values: &[f64]) -> f64 {
    match (function, values) {
        (Function::Sin, [x]) => x.sin(),
        (Function::Cos, [x]) => x.cos(),
        (Function::Tan, [x]) => x.tan(),
        (Function::Cot, [x]) => x.tan().recip(),
        (Function::Sec, [x]) => x.cos().recip(),
        (Function::Csc, [x]) => x.sin().recip(),
        (Function::ArcSin, [x]) => x.asin(),
        (Function::ArcCos, [x]) => x.acos(),
        (Function::ArcTan, [x]) => x.atan(),
        (Function::Sinh, [x]) => x.sinh(),
        (Function::Cosh, [x]) => x.cosh(),
        (Function::Tanh, [x]) => x.tanh(),
        (Function::Log, [x, base]) => x.ln() / base.ln(),
        (Function::Abs, [x]) => x.abs(),
        (Function::Floor, [x]) => x.floor(),
        (Function::Ceiling, [x]) => x.ceil(),
        (Function::Factorial, [n]) if *n >= 0.0 && *n == n.floor() && *n <= 170.0 => {
            (1..=*n as u32).map(f64::from).product()
        }
        (Function::Maximum, values) => values.iter().copied().fold(f64::NAN, f64::max),
        (Function::Minimum, values) => values.iter().copied().fold(f64::NAN, f64::min),
        (Function::Named(name), values) => unknown_function(name, values),
        _ => f64::NAN,
    }
}

/// Any smooth function that depends on the name and on every argument will do: equal arguments must give equal values,
/// and other arguments almost surely others.
fn unknown_function(name: &str, values: &[f64]) -> f64 {
    let seed = name.chars().fold(0.5, |seed: f64, c| (seed * 31.0 + f64::from(u32::from(c))) % 97.0);
    let mix = |mixed: f64, value: &f64| (mixed + value * 1.618 + 0.3).sin() + value * 0.577;
    values.iter().fold(seed, mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn number(text: &str) -> Expression {
        Expression::Number(Number::parse(text).unwrap())
    }

    #[test]
    fn rational_powers_are_exact_where_the_root_is() {
        let at = Point::new();
        let root = Expression::root(number("8"), number("3"));
        assert_eq!(exact(&root, &at), Some(BigRational::from_integer(2.into())));
        assert_eq!(exact(&Expression::root(number("2"), number("2")), &at), None);
        assert_eq!(exact(&Expression::root(number("-4"), number("2")), &at), None);
        assert_eq!(exact(&Expression::power(number("0"), number("-1")), &at), None);
    }

    #[test]
    fn a_tower_of_powers_is_refused_exactly_and_infinite_in_f64() {
        let tower = (0..3).fold(number("9"), |top, _| Expression::power(number("9"), top));
        assert_eq!(exact(&tower, &Point::new()), None);
        assert!(!real(&tower, &Point::new()).is_finite());
        let ones = Expression::power(number("1"), number("2000000000"));
        assert_eq!(exact(&ones, &Point::new()), Some(BigRational::one()));
    }

    #[test]
    fn counting_functions_are_exact() {
        let call = |function, values: &[&str]| {
            let arguments = values.iter().map(|value| number(value)).collect();
            exact(&Expression::Call(function, arguments), &Point::new()).and_then(|value| value.to_f64())
        };
        assert_eq!(call(Function::Factorial, &["5"]), Some(120.0));
        assert_eq!(call(Function::Factorial, &["100000"]), None);
        assert_eq!(call(Function::Binomial, &["5", "2"]), Some(10.0));
        assert_eq!(call(Function::Binomial, &["2", "5"]), Some(0.0));
        assert_eq!(call(Function::Maximum, &["1", "2.5"]), Some(2.5));
    }
}
