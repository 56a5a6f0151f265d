//! What an answer says, once it is read.

use std::collections::BTreeSet;

use crate::number::Number;

/// A mathematical answer: a scalar, or a tuple, set, interval or relation of scalars.
///
/// The shape keeps what was written (`2+3` is a sum, not 5), apart from signs of numbers and quotients of integers.
/// Equality (`==`) is equality of shape; [`crate::equivalent`] is equality of value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A numeral, a negated numeral, or a quotient of integers.
    Number(Number),
    /// A number with a name.
    Constant(Constant),
    /// A variable, or a word.
    Symbol(String),
    /// Terms.
    Sum(Vec<Expression>),
    /// Factors.
    Product(Vec<Expression>),
    /// Base and exponent.
    Power(Box<Expression>, Box<Expression>),
    /// A function of its arguments.
    Call(Function, Vec<Expression>),
    /// Hundredths of something.
    Percent(Box<Expression>),
    /// In order.
    Tuple(Vec<Expression>),
    /// In any order; kept as written, repetitions too.
    Set(Vec<Expression>),
    /// From here to there.
    Interval(Box<Interval>),
    /// Of intervals and sets.
    Union(Vec<Expression>),
    /// An equation or inequality, or a chain of them.
    Relation(Box<Relation>),
}

/// Numbers with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constant {
    /// π.
    Pi,
    /// The base of natural logarithms.
    E,
    /// Positive infinity.
    Infinity,
    /// A quotient by zero: equal to nothing.
    Undefined,
}

/// An interval of real numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Lower end.
    pub start: Expression,
    /// Upper end.
    pub end: Expression,
    /// Whether the lower end is left out.
    pub left_open: bool,
    /// Whether the upper end is left out.
    pub right_open: bool,
}

/// A chain such as `1 < x <= 3`: at least one comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The leftmost side.
    pub first: Expression,
    /// Each comparison with the side to its right.
    pub rest: Vec<(Comparison, Expression)>,
}

/// How two sides compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// The comparison read from right to left.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            symmetric => symmetric,
        }
    }
}

/// Functions with a meaning, and those that only have a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are their meaning")]
pub enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    ArcSin,
    ArcCos,
    ArcTan,
    Sinh,
    Cosh,
    Tanh,
    /// Argument and base.
    Log,
    Abs,
    Floor,
    Ceiling,
    Factorial,
    Binomial,
    Maximum,
    Minimum,
    /// An unknown function: equal arguments give equal values.
    Named(String),
}

impl Expression {
    /// An integer.
    pub fn integer(value: i64) -> Self {
        Self::Number(Number::integer(value))
    }

    /// A variable.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol(name.into())
    }

    /// Whether it is one value, not a tuple, set, interval or relation.
    pub fn is_scalar(&self) -> bool {
        !self.is_collection() && !matches!(self, Self::Relation(_))
    }

    /// Whether it is a tuple, set, interval or union.
    pub fn is_collection(&self) -> bool {
        matches!(self, Self::Tuple(_) | Self::Set(_) | Self::Interval(_) | Self::Union(_))
    }

    /// Whether it is a set of any kind, tuples left out.
    pub(crate) fn is_set(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Interval(_) | Self::Union(_))
    }

    /// With the other sign; a numeral stays a numeral.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(-number),
            other => Self::product(Self::integer(-1), other),
        }
    }

    /// A product, flattened.
    pub(crate) fn product(left: Self, right: Self) -> Self {
        let mut factors = match left {
            Self::Product(factors) => factors,
            other => vec![other],
        };
        match right {
            Self::Product(more) => factors.extend(more),
            other => factors.push(other),
        }
        Self::Product(factors)
    }

    /// A quotient: of integers a number, of anything by zero undefined.
    pub(crate) fn quotient(above: Self, below: Self) -> Self {
        if let (Self::Number(above), Self::Number(below)) = (&above, &below)
            && above.is_integer()
            && below.is_integer()
        {
            return above.divide(below).map_or(Self::Constant(Constant::Undefined), Self::Number);
        }
        Self::product(above, Self::Power(Box::new(below), Box::new(Self::integer(-1))))
    }

    /// Base and exponent.
    pub(crate) fn power(base: Self, exponent: Self) -> Self {
        Self::Power(Box::new(base), Box::new(exponent))
    }

    /// The difference of two scalars.
    pub(crate) fn difference(left: &Self, right: &Self) -> Self {
        Self::Sum(vec![left.clone(), right.clone().negated()])
    }

    /// The square or other root.
    pub(crate) fn root(of: Self, degree: Self) -> Self {
        Self::power(of, Self::quotient(Self::integer(1), degree))
    }

    /// The parts it is made of.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Constant(_) | Self::Symbol(_) => Vec::new(),
            Self::Sum(parts)
            | Self::Product(parts)
            | Self::Call(_, parts)
            | Self::Tuple(parts)
            | Self::Set(parts)
            | Self::Union(parts) => parts.iter().collect(),
            Self::Power(base, exponent) => vec![base, exponent],
            Self::Percent(of) => vec![of],
            Self::Interval(interval) => vec![&interval.start, &interval.end],
            Self::Relation(relation) => {
                std::iter::once(&relation.first).chain(relation.rest.iter().map(|(_, side)| side)).collect()
            }
        }
    }

    /// The names of its variables.
    pub fn symbols(&self) -> BTreeSet<&str> {
        match self {
            Self::Symbol(name) => BTreeSet::from([name.as_str()]),
            other => other.parts().into_iter().flat_map(Self::symbols).collect(),
        }
    }

    /// Whether `test` holds for it or anything in it.
    pub(crate) fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self) || self.parts().into_iter().any(|part| part.any(test))
    }

    /// Whether it is made of variables alone: `x`, `xy`, `f(x)`, `(x, y)`, `A/S`.
    pub(crate) fn is_only_symbols(&self) -> bool {
        match self {
            Self::Symbol(_) => true,
            Self::Power(base, exponent) => base.is_only_symbols() && **exponent == Self::integer(-1),
            other => {
                let parts = other.parts();
                !parts.is_empty() && parts.into_iter().all(Self::is_only_symbols)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_of_integers_is_a_number_and_by_zero_undefined() {
        let half = Expression::quotient(Expression::integer(1), Expression::integer(2));
        assert!(matches!(half, Expression::Number(_)));
        let undefined = Expression::quotient(Expression::integer(1), Expression::integer(0));
        assert_eq!(undefined, Expression::Constant(Constant::Undefined));
    }

    #[test]
    fn symbols_are_found_in_every_corner() {
        let relation = Relation {
            first: Expression::symbol("x"),
            rest: vec![(Comparison::Less, Expression::Percent(Box::new(Expression::symbol("y"))))],
        };
        assert_eq!(Expression::Relation(Box::new(relation)).symbols(), BTreeSet::from(["x", "y"]));
    }
}
