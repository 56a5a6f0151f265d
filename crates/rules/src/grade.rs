//! Equality of two bare answers, by the rules of mathruler.

mod competition;
mod normal;
mod plain_text;

use crate::equivalence::{Decimals, equivalent};
use crate::plain::parse_algebra;

use competition::canonical;
pub(crate) use competition::fraction_of_integers;
use normal::{is_whole, normal, without_separators};

/// Whether an answer is the true one.
///
/// They are equal when they are written alike once spacing, units, percent and dollar signs are gone, or when, element by
/// element of a tuple, they have one value. Then a whole number has to be given as a whole number, a fraction of
/// integers as the same fraction, and only expressions of at most two letters without nested or long exponents are
/// evaluated. Decimals are binary: `0.1+0.2` is not `0.3`.
///
/// Source: `grade_answer` of mathruler 0.1.0, after the graders of MATH and PRM800K.
pub fn grade_answer(given: &str, truth: &str) -> bool {
    if canonical(truth) == canonical(given) {
        return true;
    }
    let (given, truth) = (normal(given), normal(truth));
    if given == truth {
        return true;
    }
    if given.is_empty() {
        return false;
    }
    let (given_elements, truth_elements) = (elements(&given), elements(&truth));
    let same_ends = given.chars().next() == truth.chars().next() && given.chars().last() == truth.chars().last();
    if truth_elements.len() != given_elements.len() || truth_elements.len() > 1 && !same_ends {
        return false;
    }
    let pairs = truth_elements.iter().zip(&given_elements);
    !truth_elements.is_empty() && pairs.into_iter().all(|(truth, given)| same_element(truth, given))
}

const BRACKETS: [char; 4] = ['(', ')', '[', ']'];

/// The elements of a tuple or interval; anything else is one element.
fn elements(text: &str) -> Vec<String> {
    let text = without_separators(text);
    if text.is_empty() {
        return Vec::new();
    }
    let inner = text.strip_prefix(BRACKETS).and_then(|rest| rest.strip_suffix(BRACKETS));
    match inner {
        Some(inner) if !inner.is_empty() && !inner.contains(BRACKETS) => {
            inner.split(',').map(|element| element.trim().to_owned()).collect()
        }
        _ => vec![text],
    }
}

fn same_element(truth: &str, given: &str) -> bool {
    if is_fraction(truth) && is_fraction(given) {
        return truth == given;
    }
    is_whole(truth) == is_whole(given) && same_value(truth, given)
}

/// `3/4`, with at most one sign behind either number.
fn is_fraction(text: &str) -> bool {
    let Some((above, below)) = text.strip_prefix('-').unwrap_or(text).split_once('/') else { return false };
    let number = |text: &str| {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < text.len() && rest.chars().count() <= 1
    };
    number(above) && number(below) && below.trim_start_matches('0').starts_with(|c: char| matches!(c, '1'..='9'))
}

fn same_value(truth: &str, given: &str) -> bool {
    if !may_evaluate(&format!("({truth})-({given})")) {
        return false;
    }
    match (parse_algebra(truth), parse_algebra(given)) {
        (Some(truth), Some(given)) => equivalent(&truth, &given, Decimals::Binary),
        _ => false,
    }
}

/// At most two letters, no exponent in parentheses, of two digits, or with an exponent of its own.
fn may_evaluate(text: &str) -> bool {
    let mut letters: Vec<char> =
        text.replace("sqrt", "").replace("frac", "").chars().filter(|c| c.is_alphabetic()).collect();
    letters.sort_unstable();
    letters.dedup();
    let exponents: Vec<&str> = text.split('^').skip(1).collect();
    let heavy = exponents.iter().enumerate().any(|(index, exponent)| {
        let digits = exponent.len() - exponent.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let tower = digits == exponent.len() && digits > 0 && index + 1 < exponents.len();
        exponent.starts_with(['{', '(']) || digits > 1 || tower
    });
    letters.len() <= 2 && !heavy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_in_two_notations_is_accepted() {
        for (given, truth) in [
            ("0.5", "1/2"),
            ("1,000", "1000"),
            ("1 1/2", "1.5"),
            (r"1\frac{1}{2}", "3/2"),
            ("50%", "50"),
            ("7", "7 cm"),
            ("x^2+2x+1", "(x+1)^2"),
            (r"\frac{a}{b}", "a/b"),
            ("10^{-3}", "0.001"),
            ("(1, 2)", "(1,2)"),
            ("Yes", "yes"),
            (r"2\sqrt{2}", r"\sqrt{8}"),
        ] {
            assert!(grade_answer(given, truth), "{given} and {truth}");
        }
    }

    #[test]
    fn a_whole_number_and_a_fraction_are_wanted_as_they_are() {
        for (given, truth) in [
            ("2^3", "8"),
            ("2/4", "1/2"),
            ("0.1+0.2", "0.3"),
            ("(2,1)", "(1,2)"),
            ("[0,1)", "[0,1]"),
            ("1/0", "1"),
            ("", "x"),
            (r"\pi", "3.14159"),
            ("x^12", "x^6*x^6"),
        ] {
            assert!(!grade_answer(given, truth), "{given} and {truth}");
        }
    }
}
