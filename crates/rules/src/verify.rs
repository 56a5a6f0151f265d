//! Mathematical answers in running text, and whether two of them agree.

use crate::boxed::{Boxes, unboxed};
use crate::compare::matches;
use crate::expression::Expression;
use crate::extract::{BoxesCome, Found, Piece, groups};
use crate::latex::parse_latex;
use crate::normalize::normalized;
use crate::number::Number;
use crate::plain::parse_arithmetic;
use crate::text::strip;

/// Whose text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The ground truth: an announced final answer comes before a box.
    Truth,
    /// The prediction: a box comes first.
    Prediction,
}

/// What was read from a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The first place that could be read.
    pub(crate) expression: Option<Expression>,
    /// The text of the first place that was tried.
    pub(crate) text: Option<String>,
}

/// Whether the mathematics of a prediction is that of the truth.
///
/// Both are looked for in the texts (in a box, behind *answer*, between LaTeX delimiters, a last number) and compared
/// by value; where both texts are the same, that is enough. Words without delimiters are no mathematics.
///
/// Source: `verify(parse(truth), parse(prediction))` of math-verify 0.9.0 as the reference calls it, LaTeX and plain
/// expressions, boxes first in the prediction. It is not symmetric: what is a value, an equation or an interval is the
/// truth's to say.
pub fn math_verify(truth: &str, prediction: &str) -> bool {
    let truth = reading(truth, Side::Truth);
    let prediction = reading(prediction, Side::Prediction);
    let same_text = || match (&truth.text, &prediction.text) {
        (Some(truth), Some(prediction)) => strip(truth) == strip(prediction) && !strip(truth).is_empty(),
        _ => false,
    };
    match (&truth.expression, &prediction.expression) {
        (Some(truth), Some(prediction)) if matches(truth, prediction) => true,
        _ => same_text(),
    }
}

/// The mathematics in a text; `None` where none can be read.
pub fn read(text: &str, side: Side) -> Option<Expression> {
    reading(text, side).expression
}

pub(crate) fn reading(text: &str, side: Side) -> Reading {
    let boxes = match side {
        Side::Truth => BoxesCome::Second,
        Side::Prediction => BoxesCome::First,
    };
    let mut first = None;
    for place in groups(text, boxes).flatten() {
        let (expression, text) = understood(&place.found);
        first = first.or(Some(text).filter(|text| !text.is_empty()));
        if expression.is_some() {
            return Reading { expression, text: first };
        }
    }
    Reading { expression: None, text: first }
}

fn understood(found: &Found) -> (Option<Expression>, String) {
    match found {
        Found::Number { digits, percent } => {
            let number = Number::parse(digits).map(Expression::Number);
            (number.map(|number| hundredths(number, *percent)), digits.clone())
        }
        Found::Arithmetic(text) => (parse_arithmetic(text), text.clone()),
        Found::Box(text) => latex(text, Boxes::Last),
        Found::Pieces(pieces) => connected(pieces),
    }
}

fn hundredths(expression: Expression, percent: bool) -> Expression {
    if percent { Expression::Percent(Box::new(expression)) } else { expression }
}

fn latex(text: &str, boxes: Boxes) -> (Option<Expression>, String) {
    let text = normalized(&unboxed(text, boxes));
    (parse_latex(&text).or_else(|| parse_latex(last_side(&text)?)), text)
}

/// The end of a chain of equations.
fn last_side(text: &str) -> Option<&str> {
    let sides: Vec<&str> = text.split('=').collect();
    let chain = sides.len() > 2 && !text.contains([',', ';']);
    sides.last().filter(|_| chain).copied()
}

/// Several pieces are a set if each can be read, else the first of them counts.
fn connected(pieces: &[Piece]) -> (Option<Expression>, String) {
    let mut expressions = Vec::new();
    let mut texts = Vec::new();
    for piece in pieces {
        let (expression, text) = latex(&piece.latex, Boxes::All);
        expressions.push(expression.map(|expression| hundredths(expression, piece.percent)));
        texts.push(text);
    }
    if pieces.len() > 1
        && let Some(all) = expressions.iter().cloned().collect::<Option<Vec<_>>>()
    {
        let elements = all.into_iter().flat_map(|expression| match expression {
            Expression::Set(elements) => elements,
            other => vec![other],
        });
        return (Some(Expression::Set(elements.collect())), texts.join(" and "));
    }
    (expressions.into_iter().next().flatten(), texts.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_counts_not_the_notation() {
        for (truth, prediction) in [
            ("0.5", r"\boxed{\frac{1}{2}}"),
            ("$3/2$", r"\boxed{1\frac{1}{2}}"),
            ("7", "7 cm"),
            ("0.3", "0.1+0.2"),
            ("50%", "50"),
            ("0.5", "50%"),
            ("x=5", "5"),
            ("$8$", r"\boxed{2^3}"),
            ("1000", "1,000"),
            (r"\boxed{7}", "007"),
            ("3", "Between 2 and 3"),
        ] {
            assert!(math_verify(truth, prediction), "{truth} and {prediction}");
        }
    }

    #[test]
    fn what_is_not_equal_or_not_mathematics_is_refused() {
        for (truth, prediction) in
            [("3", "-3"), ("1.5", "1 1/2"), ("red", "red"), ("2", r"\boxed{1} then \boxed{2"), ("", ""), ("x", "x")]
        {
            assert!(!math_verify(truth, prediction), "{truth} and {prediction}");
        }
    }

    #[test]
    fn a_quotient_by_zero_equals_only_its_own_text() {
        assert!(!math_verify("1", "1/0"));
        assert!(math_verify("1/0", "1/0"));
    }
}
