//! LaTeX mathematics into an [`Expression`].

mod commands;
mod functions;
mod lexer;
mod lists;
mod parser;

use crate::expression::Expression;

/// Longer texts are refused.
const MAX_CHARS: usize = 2000;

/// Reads an answer in LaTeX: numbers, fractions, powers, roots, functions, percent, tuples, intervals, sets, relations.
///
/// - `1,000` is a number, other commas separate elements; `1,2` and `1;2` are sets, `(1,2)` an interval, `(2,1)` and
///   `(1,2,3)` tuples; `±` is two elements.
/// - Letters are variables, each by itself and without case, `e` is the constant; `\text{…}` is one variable.
/// - Factors beside each other multiply and bind tighter than `/`; an integer before a positive rational adds: `1\frac12`.
/// - A degree sign and the subscript of a number say nothing.
///
/// `None` for what is not mathematics, for matrices, integrals, sums and limits, for texts of more than 2000 characters
/// and for nesting deeper than 48. Source: the readings of latex2sympy2_extended 1.11.0.
pub fn parse_latex(text: &str) -> Option<Expression> {
    if text.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    if let Some(number) = lists::grouped_number(text) {
        return Some(Expression::Number(number));
    }
    lists::parse(lexer::tokens(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> &'static str {
        match parse_latex(text) {
            None => "nothing",
            Some(Expression::Number(_)) => "number",
            Some(Expression::Tuple(_)) => "tuple",
            Some(Expression::Set(_)) => "set",
            Some(Expression::Interval(_)) => "interval",
            Some(Expression::Union(_)) => "union",
            Some(Expression::Relation(_)) => "relation",
            Some(_) => "scalar",
        }
    }

    #[test]
    fn the_shape_of_an_answer_follows_its_brackets_and_commas() {
        for (text, expected) in [
            ("1,000", "number"),
            ("1,2", "set"),
            ("(1,2)", "interval"),
            ("(2,1)", "tuple"),
            ("(1,2,3)", "tuple"),
            (r"\{1,2\}", "set"),
            ("1;2", "set"),
            (r"\pm 2", "set"),
            (r"(0,1)\cup[2,3]", "union"),
            ("1<x<3", "relation"),
            (r"x\in[0,1]", "relation"),
            ("f(x,y)", "scalar"),
            ("[x+1]", "scalar"),
            (r"\mathbb{R}", "interval"),
            (r"\emptyset", "set"),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn a_fraction_behind_an_integer_is_added() {
        let three_halves = parse_latex(r"\frac{3}{2}");
        assert_eq!(parse_latex(r"1\frac12"), three_halves);
        assert_eq!(parse_latex("3 4"), parse_latex("7"));
        assert_eq!(parse_latex(r"-1\frac12"), parse_latex(r"-\frac32"));
    }

    #[test]
    fn what_is_not_finished_is_not_read() {
        for text in ["42.", "1+", "x=", "=3", "(1", "[1,2,3)", r"\frac{1}", r"\foo", r"\int_0^1 x dx", "", "A. cat"] {
            assert_eq!(shape(text), "nothing", "{text}");
        }
    }
}
