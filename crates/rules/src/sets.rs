//! Sets of numbers on the line: when two ways of writing one are the same.

use crate::evaluate::{Point, real};
use crate::expression::{Comparison, Constant, Expression, Interval, Relation};

/// A stretch of the line, with whether its ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    start: f64,
    end: f64,
    left_open: bool,
    right_open: bool,
}

/// Whether two sets are made of the same stretches and points; `false` where an end is not a number.
///
/// Ends are compared in f64, which is enough: what is compared are answers, not measurements.
pub(crate) fn same_on_the_line(left: &Expression, right: &Expression) -> bool {
    let merged = |set: &Expression| stretches(set).map(merged);
    match (merged(left), merged(right)) {
        (Some(left), Some(right)) => {
            let same = |(a, b): (&Stretch, &Stretch)| {
                close(a.start, b.start)
                    && close(a.end, b.end)
                    && a.left_open == b.left_open
                    && a.right_open == b.right_open
            };
            left.len() == right.len() && left.iter().zip(&right).all(same)
        }
        _ => false,
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-10 * a.abs().max(b.abs())
}

fn stretches(set: &Expression) -> Option<Vec<Stretch>> {
    let number = |end: &Expression| Some(real(end, &Point::new())).filter(|value| !value.is_nan());
    match set {
        Expression::Interval(interval) => Some(vec![Stretch {
            start: number(&interval.start)?,
            end: number(&interval.end)?,
            left_open: interval.left_open,
            right_open: interval.right_open,
        }]),
        Expression::Set(elements) => elements
            .iter()
            .map(|element| {
                let value = number(element).filter(|value| value.is_finite())?;
                Some(Stretch { start: value, end: value, left_open: false, right_open: false })
            })
            .collect(),
        Expression::Union(parts) => {
            let all: Option<Vec<_>> = parts.iter().map(stretches).collect();
            Some(all?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// In order, with those that touch made one.
fn merged(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.left_open.cmp(&b.left_open)));
    let mut merged: Vec<Stretch> = Vec::new();
    for next in stretches {
        match merged.last_mut() {
            Some(last) if next.start < last.end || next.start == last.end && !(last.right_open && next.left_open) => {
                if next.end > last.end {
                    (last.end, last.right_open) = (next.end, next.right_open);
                } else if next.end == last.end {
                    last.right_open &= next.right_open;
                }
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// The interval that a relation in one variable describes: `x > 3`, `1 < x <= 2`.
pub(crate) fn as_interval(relation: &Relation) -> Option<Expression> {
    let infinity = Expression::Constant(Constant::Infinity);
    let (first, rest) = (&relation.first, relation.rest.as_slice());
    let bounds = match rest {
        [(comparison, side)] if matches!(first, Expression::Symbol(_)) => vec![(*comparison, side)],
        [(comparison, Expression::Symbol(_))] => vec![(comparison.flipped(), first)],
        [(left, Expression::Symbol(_)), (right, side)] => vec![(left.flipped(), first), (*right, side)],
        _ => return None,
    };
    let mut interval = Interval { start: infinity.clone().negated(), end: infinity, left_open: true, right_open: true };
    for (comparison, side) in bounds {
        match comparison {
            Comparison::Greater | Comparison::GreaterOrEqual => {
                interval.start = side.clone();
                interval.left_open = comparison == Comparison::Greater;
            }
            Comparison::Less | Comparison::LessOrEqual => {
                interval.end = side.clone();
                interval.right_open = comparison == Comparison::Less;
            }
            Comparison::Equal | Comparison::NotEqual => return None,
        }
    }
    Some(Expression::Interval(Box::new(interval)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_latex;

    fn same(left: &str, right: &str) -> bool {
        same_on_the_line(&parse_latex(left).unwrap(), &parse_latex(right).unwrap())
    }

    #[test]
    fn unions_are_compared_by_what_they_cover() {
        assert!(same(r"[1,2]\cup[2,3]", "[1,3]"));
        assert!(same(r"(3,4)\cup(1,2)", r"(1,2)\cup(3,4)"));
        assert!(same(r"(1,2)\cup\{2\}", "(1,2]"));
        assert!(!same(r"(1,2)\cup(2,3)", "(1,3)"));
        assert!(same(r"\mathbb{R}", r"(-\infty,\infty)"));
    }

    #[test]
    fn an_inequality_is_an_interval() {
        let interval = |text: &str| match parse_latex(text).unwrap() {
            Expression::Relation(relation) => as_interval(&relation),
            other => panic!("{other:?}"),
        };
        assert_eq!(interval("1<x\\leq 3"), parse_latex("(1,3]"));
        assert_eq!(interval("3 \\leq x"), parse_latex(r"[3,\infty)"));
        assert_eq!(interval("x=3"), None);
    }
}
