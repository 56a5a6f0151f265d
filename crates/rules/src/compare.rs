//! When a predicted expression is the true one, by the rules of math-verify.

use crate::equivalence::{Decimals, equivalent};
use crate::evaluate::{Point, exact, real};
use crate::expression::{Comparison, Constant, Expression, Interval, Relation};
use crate::number::{Number, millionths};
use crate::sets::{as_interval, same_on_the_line};

/// Sets with more elements that are not numbers are compared in the order they were written in.
const MAX_UNORDERED: usize = 32;

/// Whether `predicted` is what `truth` says.
///
/// - An equation is its last right-hand side when the other side is none: `x = 5` and `5`. Only a true equation that
///   assigns (`x = 5`, not `2x + 1 = 5`) is opened for a prediction that is none.
/// - Relations are equal when their sides differ by the same, flipped or multiplied by a constant. An inequality as the
///   truth may be predicted as an interval.
/// - Sets are compared without order, tuples with it; an open interval may be a pair, a set of one its element.
/// - A variable is compared by name: a word by its letters.
/// - Decimals are compared after rounding to six places, `9%` with `9` and with `0.09`; everything else by value.
///
/// Source: `sympy_expr_eq` of math-verify 0.9.0, strict, without set-relation comparison. It is not symmetric.
pub(crate) fn matches(truth: &Expression, predicted: &Expression) -> bool {
    let (truth, predicted) = opened(shortened(truth), shortened(predicted));
    let truth = match &truth {
        Expression::Relation(relation) if predicted.is_set() => as_interval(relation).unwrap_or(truth),
        _ => truth,
    };
    if truth == Expression::Constant(Constant::Undefined) {
        return false;
    }
    if truth == predicted {
        return true;
    }
    match (&truth, &predicted) {
        (Expression::Relation(truth), Expression::Relation(predicted)) => same_relation(truth, predicted),
        _ if truth.is_collection() || predicted.is_collection() => same_collection(&truth, &predicted),
        (Expression::Symbol(_), _) | (_, Expression::Symbol(_)) => same_word(&truth, &predicted),
        _ => same_scalar(&truth, &predicted),
    }
}

fn is_equation(expression: &Expression) -> bool {
    let equal = |(comparison, _): &(Comparison, Expression)| *comparison == Comparison::Equal;
    matches!(expression, Expression::Relation(relation) if relation.rest.iter().all(equal))
}

fn is_assignment(expression: &Expression) -> bool {
    let Expression::Relation(relation) = expression else { return false };
    is_equation(expression) && relation.first.is_only_symbols()
}

/// `x = y = 5` is `x = 5`.
fn shortened(expression: &Expression) -> Expression {
    match expression {
        Expression::Relation(relation) if is_assignment(expression) => {
            let rest = relation.rest.last().cloned().into_iter().collect();
            Expression::Relation(Box::new(Relation { first: relation.first.clone(), rest }))
        }
        other => other.clone(),
    }
}

/// The last right-hand side.
fn value(expression: Expression) -> Expression {
    match expression {
        Expression::Relation(mut relation) => relation.rest.pop().map_or(relation.first, |(_, side)| side),
        other => other,
    }
}

fn opened(truth: Expression, predicted: Expression) -> (Expression, Expression) {
    if is_equation(&predicted) && !is_equation(&truth) {
        return (truth, value(predicted));
    }
    if is_assignment(&truth) && !is_equation(&predicted) {
        return (value(truth), predicted);
    }
    (truth, predicted)
}

fn same_relation(truth: &Relation, predicted: &Relation) -> bool {
    let steps = |relation: &Relation| {
        let sides = std::iter::once(&relation.first).chain(relation.rest.iter().map(|(_, side)| side));
        let steps = relation
            .rest
            .iter()
            .zip(sides)
            .map(|((comparison, right), left)| (left.clone(), *comparison, right.clone()));
        steps.collect::<Vec<_>>()
    };
    let (truth, predicted) = (steps(truth), steps(predicted));
    truth.len() == predicted.len() && truth.iter().zip(&predicted).all(|(truth, predicted)| same_step(truth, predicted))
}

type Step = (Expression, Comparison, Expression);

fn same_step((left, comparison, right): &Step, (left2, comparison2, right2): &Step) -> bool {
    if comparison == comparison2 && left == left2 && matches(right, right2) {
        return true;
    }
    if ![left, right, left2, right2].iter().all(|side| side.is_scalar()) {
        return false;
    }
    let truth = Expression::difference(left, right);
    let predicted = Expression::difference(left2, right2);
    if comparison == comparison2 && same_scalar(&truth, &predicted) {
        return true;
    }
    if comparison.flipped() == *comparison2 && same_scalar(&truth, &predicted.clone().negated()) {
        return true;
    }
    proportional(&truth, &predicted).is_some_and(|positive| {
        comparison == comparison2 && (positive || comparison.flipped() == *comparison)
            || comparison.flipped() == *comparison2 && !positive
    })
}

/// Whether one is a constant times the other, and that constant is positive.
fn proportional(left: &Expression, right: &Expression) -> Option<bool> {
    let symbols = left.symbols();
    if symbols.is_empty() || symbols != right.symbols() {
        return None;
    }
    let at: Point<'_> = symbols.iter().enumerate().map(|(i, &name)| (name, ratio(3 + 2 * i as i64, 7))).collect();
    let (a, b) = (exact(left, &at)?, exact(right, &at)?);
    if a == ratio(0, 1) || b == ratio(0, 1) {
        return None;
    }
    let factor = a / b;
    let scaled = Expression::product(Expression::Number(Number::exact(factor.clone())), right.clone());
    equivalent(left, &scaled, Decimals::Exact).then(|| factor > ratio(0, 1))
}

fn ratio(numerator: i64, denominator: i64) -> num_rational::BigRational {
    num_rational::BigRational::new(numerator.into(), denominator.into())
}

fn same_collection(truth: &Expression, predicted: &Expression) -> bool {
    match (truth, predicted) {
        (Expression::Interval(truth), Expression::Interval(predicted)) => same_interval(truth, predicted),
        (Expression::Interval(interval), other) if is_open(interval) && other.is_list() => {
            same_list(&pair(interval), other)
        }
        (other, Expression::Interval(interval)) if is_open(interval) && other.is_list() => {
            same_list(other, &pair(interval))
        }
        _ if truth.is_list() && predicted.is_list() => same_list(truth, predicted),
        _ if truth.is_set() && predicted.is_set() => same_on_the_line(truth, predicted),
        (Expression::Tuple(_) | Expression::Interval(_) | Expression::Union(_), _)
        | (_, Expression::Tuple(_) | Expression::Interval(_) | Expression::Union(_)) => false,
        (Expression::Set(elements), other) => matches!(distinct(elements)[..], [only] if matches(only, other)),
        (other, Expression::Set(elements)) => matches!(distinct(elements)[..], [only] if matches(other, only)),
        _ => false,
    }
}

impl Expression {
    fn is_list(&self) -> bool {
        matches!(self, Self::Tuple(_) | Self::Set(_))
    }
}

fn is_open(interval: &Interval) -> bool {
    interval.left_open && interval.right_open
}

fn pair(interval: &Interval) -> Expression {
    Expression::Tuple(vec![interval.start.clone(), interval.end.clone()])
}

fn same_interval(truth: &Interval, predicted: &Interval) -> bool {
    truth.left_open == predicted.left_open
        && truth.right_open == predicted.right_open
        && matches(&truth.start, &predicted.start)
        && matches(&truth.end, &predicted.end)
}

fn distinct(elements: &[Expression]) -> Vec<&Expression> {
    let mut distinct: Vec<&Expression> = Vec::new();
    for element in elements {
        if !distinct.contains(&element) {
            distinct.push(element);
        }
    }
    distinct
}

/// The order of a true set does not count, nor that of a predicted set; a true tuple and the elements of the prediction
/// have to come in one order, as they were written.
fn same_list(truth: &Expression, predicted: &Expression) -> bool {
    let all =
        |pairs: Vec<(&Expression, &Expression)>| pairs.into_iter().all(|(truth, predicted)| matches(truth, predicted));
    match (truth, predicted) {
        (Expression::Set(truth), Expression::Set(predicted) | Expression::Tuple(predicted)) => {
            let (truth, predicted) = (distinct(truth), distinct(predicted));
            truth.len() == predicted.len() && same_unordered(truth, predicted)
        }
        (Expression::Tuple(truth), Expression::Set(predicted) | Expression::Tuple(predicted)) => {
            truth.len() == predicted.len() && all(truth.iter().zip(predicted).collect())
        }
        _ => false,
    }
}

fn same_unordered(mut truth: Vec<&Expression>, mut predicted: Vec<&Expression>) -> bool {
    let key = |element: &Expression| real(&value(element.clone()), &Point::new());
    if truth.iter().chain(&predicted).all(|element| key(element).is_finite()) {
        truth.sort_by(|a, b| key(a).total_cmp(&key(b)));
        predicted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    } else if truth.len() <= MAX_UNORDERED {
        return truth.iter().all(|element| {
            let found = predicted.iter().position(|candidate| matches(element, candidate));
            found.map(|index| predicted.swap_remove(index)).is_some()
        });
    }
    truth.iter().zip(&predicted).all(|(truth, predicted)| matches(truth, predicted))
}

/// Variables by name; a word is equal to the product of its letters in their order.
fn same_word(truth: &Expression, predicted: &Expression) -> bool {
    match (letters(truth), letters(predicted)) {
        (Some(truth), Some(predicted)) => truth == predicted,
        _ => false,
    }
}

fn letters(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Symbol(name) => Some(name.clone()),
        Expression::Constant(Constant::E) => Some("e".to_owned()),
        Expression::Product(factors) => {
            let single = |factor: &Expression| !matches!(factor, Expression::Product(_));
            factors.iter().map(|factor| single(factor).then(|| letters(factor)).flatten()).collect()
        }
        _ => None,
    }
}

fn same_scalar(truth: &Expression, predicted: &Expression) -> bool {
    let numeral = |side: &Expression| match side {
        Expression::Number(number) => Some(number.clone()),
        Expression::Percent(of) => match of.as_ref() {
            Expression::Number(number) => Some(number.clone()),
            _ => None,
        },
        _ => None,
    };
    let (left, right) = (numeral(truth), numeral(predicted));
    let decimal = |number: &Option<Number>| number.as_ref().is_some_and(Number::is_decimal);
    if (decimal(&left) || decimal(&right)) && rounded_alike(truth, predicted) {
        return true;
    }
    if let (Some(left), Some(right)) = (left, right)
        && left.is_integer()
        && right.is_integer()
    {
        // 9% and 9 are taken for one answer.
        return left == right || equivalent(truth, predicted, Decimals::Exact);
    }
    equivalent(truth, predicted, Decimals::Exact)
}

fn rounded_alike(left: &Expression, right: &Expression) -> bool {
    let at = Point::new();
    if let (Some(left), Some(right)) = (exact(left, &at), exact(right, &at)) {
        return millionths(&left) == millionths(&right);
    }
    let round = |side: &Expression| (real(side, &at) * 1e6).round_ties_even();
    let (left, right) = (round(left), round(right));
    left.is_finite() && left == right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_latex;

    fn same(truth: &str, predicted: &str) -> bool {
        matches(&parse_latex(truth).unwrap(), &parse_latex(predicted).unwrap())
    }

    #[test]
    fn numbers_are_compared_by_value_and_decimals_to_six_places() {
        assert!(same(r"\frac{1}{3}", "0.333333"));
        assert!(!same(r"\frac{1}{3}", "0.33"));
        assert!(same(r"50\%", "0.5"));
        assert!(same(r"50\%", "50"));
        assert!(!same(r"9.5\%", "9.5"));
        assert!(same(r"\pi", "3.141593"));
    }

    #[test]
    fn equations_are_opened_for_a_bare_value() {
        assert!(same("5", "x=5"));
        assert!(same("x=5", "5"));
        assert!(same("5", "x=y=5"));
        assert!(!same("2x+1=5", "5"));
        assert!(!same("x=5", "y=5"));
        assert!(same("2x=4", "x=2"));
    }

    #[test]
    fn inequalities_may_be_flipped_or_given_as_intervals() {
        assert!(same("x>3", "3<x"));
        assert!(same("-x<-3", "x>3"));
        assert!(!same("x>3", "x<3"));
        assert!(same("1<x<3", "(1,3)"));
        assert!(!same("(1,3)", "1<x<3"));
    }

    #[test]
    fn order_counts_in_tuples_and_not_in_sets() {
        assert!(same("1,2", "2,1"));
        assert!(!same("(1,2)", "(2,1)"));
        assert!(same("(1,2)", "1,2"));
        assert!(same(r"\{1,2\}", "2,1"));
        assert!(!same("10", "10,20"));
        assert!(same("5", r"\{5\}"));
        assert!(same("[0,1)", "[0, 1)"));
        assert!(!same("[0,1)", "[0,1]"));
        assert!(same("x=1,y=2", "y=2,x=1"));
    }

    #[test]
    fn words_are_compared_by_their_letters() {
        assert!(same(r"\text{yes}", "yes"));
        assert!(same("A", "a"));
        assert!(!same("A", "B"));
        assert!(!same("x", "x+0"));
    }

    #[test]
    fn nothing_equals_a_quotient_by_zero() {
        assert!(!same(r"\frac{1}{0}", r"\frac{1}{0}"));
    }
}
