//! The numbers in a text, found three times over.
//!
//! The patterns look ahead and go by Python's word characters, so they are written out. At one place only one length of
//! a run of digits can match: every shorter one is followed by a digit, which no pattern allows.

use crate::python::character::{digit_value, is_word};

/// The texts of numbers with grouped digits (`-?\b\d{1,3}(?:,\d{3})+\b`), then of those with an exponent
/// (`-?\d+(?:\.\d+)?[eE][+-]?\d+`), then of simple ones
/// (`-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])`), each kind from left to right.
pub(super) fn extract(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    [grouped_end, scientific_end, simple_end].into_iter().flat_map(|end| find_all(&text, end)).collect()
}

/// All matches of a pattern, which is a function from a place behind an optional minus to the end of the match.
fn find_all(text: &[char], end: fn(&[char], usize) -> Option<usize>) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let unsigned = at + usize::from(text.get(at) == Some(&'-'));
        match end(text, unsigned) {
            Some(end) => {
                found.extend(text.get(at..end).map(|number| number.iter().collect::<String>()));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

fn grouped_end(text: &[char], start: usize) -> Option<usize> {
    let mut at = digits_end(text, start);
    let before = start.checked_sub(1).and_then(|before| text.get(before));
    if !(1..=3).contains(&(at - start)) || before.is_some_and(|c| is_word(*c)) {
        return None;
    }
    let mut end = None;
    while text.get(at) == Some(&',') && (1..=3).all(|ahead| is_digit(text, at + ahead)) {
        at += 4;
        if !text.get(at).is_some_and(|c| is_word(*c)) {
            end = Some(at);
        }
    }
    end
}

fn scientific_end(text: &[char], start: usize) -> Option<usize> {
    let whole = non_empty(start, digits_end(text, start))?;
    exponent_end(text, fraction_end(text, whole).unwrap_or(whole))
}

fn simple_end(text: &[char], start: usize) -> Option<usize> {
    let whole = digits_end(text, start);
    let decimal = fraction_end(text, whole).filter(|end| exponent_end(text, *end).is_none() && !comma(text, *end));
    let bare = || {
        let end = non_empty(start, whole)?;
        let in_word = text.get(end).is_some_and(|c| is_word(*c));
        (!in_word && !comma(text, end)).then_some(end)
    };
    decimal.or_else(bare)
}

fn is_digit(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(|c| digit_value(*c).is_some())
}

fn comma(text: &[char], at: usize) -> bool {
    text.get(at) == Some(&',')
}

fn non_empty(start: usize, end: usize) -> Option<usize> {
    (end > start).then_some(end)
}

/// The end of the run of digits that begins here.
fn digits_end(text: &[char], start: usize) -> usize {
    (start..text.len()).find(|at| !is_digit(text, *at)).unwrap_or(text.len().max(start))
}

/// The end of `\.\d+`.
fn fraction_end(text: &[char], start: usize) -> Option<usize> {
    let digits = start + 1;
    if text.get(start) == Some(&'.') { non_empty(digits, digits_end(text, digits)) } else { None }
}

/// The end of `[eE][+-]?\d+`.
fn exponent_end(text: &[char], start: usize) -> Option<usize> {
    matches!(text.get(start)?, 'e' | 'E').then_some(())?;
    let digits = start + 1 + usize::from(matches!(text.get(start + 1), Some('+' | '-')));
    non_empty(digits, digits_end(text, digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grouped_numbers_end_at_a_boundary() {
        assert_eq!(extract("1,234,567"), ["1,234,567", "567"]);
        assert_eq!(extract("-1,234,5678"), ["-1,234", "5678"]);
        assert_eq!(extract("x1,234"), ["234"]);
        assert_eq!(extract("1234,567"), ["567"]);
    }

    #[test]
    fn exponents_are_taken_whole_and_in_parts() {
        assert_eq!(extract("1.5e3"), ["1.5e3", "1", "3"]);
        assert_eq!(extract("-2.5e+10"), ["-2.5e+10", "-2", "10"]);
        assert_eq!(extract("1e400x"), ["1e400"]);
    }

    #[test]
    fn a_simple_number_may_end_a_word_and_does_not_stand_before_a_comma_or_a_letter() {
        assert_eq!(extract("4, 5.5 and .6"), ["5.5", ".6"]);
        assert_eq!(extract("5.5,"), ["5"]);
        assert_eq!(extract("co2 h2o 3x --5 v1.2.3"), ["2", "-5", "1.2", ".3"]);
    }

    #[test]
    fn a_mark_on_a_digit_does_not_make_it_a_word() {
        assert_eq!(extract("5\u{fe0f}\u{20e3}"), ["5"]);
        assert_eq!(extract("٣.٥"), ["٣.٥"]);
    }

    proptest! {
        #[test]
        fn every_number_is_a_part_of_the_text(text in "[-+.,eE0-9x ]{0,16}") {
            for number in extract(&text) {
                prop_assert!(text.contains(&number));
            }
        }
    }
}
