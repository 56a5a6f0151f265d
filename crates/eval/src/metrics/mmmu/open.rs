//! Open questions: what a response may mean, compared with what may be right.

use std::collections::HashSet;

use super::numbers;
use crate::python::number::{parse_float, round};
use crate::python::text::strip;

/// An answer follows one of these; an equals sign counts in the last line only.
const INDICATORS: [&str; 9] = ["could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ", "="];

/// Tails that say nothing.
const TRIVIAL: [&str; 7] = [":", ",", ".", "!", "?", ";", "'"];

/// One thing that a response or a truth may mean.
#[derive(Debug, Clone, PartialEq)]
pub enum OpenAnswer {
    /// A lowered text.
    Text(String),
    /// A number, rounded to two decimals.
    Number(f64),
}

/// All that a response may mean, each once: the tail after an indicator in each line, or else the whole response, and
/// every number in them.
///
/// A text that is a number is one; a single character stands for itself beside a space, so that it is not found inside
/// words.
///
/// Source: lmms-eval, `parse_open_response` of `tasks/mmmu/utils`, v0.3.2.
pub fn parse_open(response: &str) -> Vec<OpenAnswer> {
    let tails = key_tails(response);
    let found: Vec<String> = tails.iter().flat_map(|tail| numbers::extract(tail)).collect();
    let mut known = HashSet::new();
    let mut answers: Vec<OpenAnswer> = tails.iter().chain(&found).flat_map(|text| normalised(text)).collect();
    answers.retain(|answer| known.insert(identity(answer)));
    answers
}

/// Whether a response to an open question is right: one of its texts contains a text of the truth, or one of its
/// numbers equals a number of the truth.
///
/// Source: lmms-eval, `eval_open` of `tasks/mmmu/utils`, v0.3.2. At the reference every open question is wrong (issue
/// 1436): it keeps one candidate and compares it character by character.
pub fn is_right_open<A: AsRef<str>>(response: &str, truth: &[A]) -> bool {
    let truths: Vec<OpenAnswer> = truth.iter().flat_map(|answer| normalised(answer.as_ref())).collect();
    parse_open(response).iter().any(|meant| truths.iter().any(|truth| agree(meant, truth)))
}

fn agree(meant: &OpenAnswer, truth: &OpenAnswer) -> bool {
    match (meant, truth) {
        (OpenAnswer::Text(meant), OpenAnswer::Text(truth)) => meant.contains(truth.as_str()),
        (OpenAnswer::Number(meant), OpenAnswer::Number(truth)) => meant == truth,
        _ => false,
    }
}

/// What makes two answers the same; zero has no sign.
fn identity(answer: &OpenAnswer) -> (String, Option<u64>) {
    match answer {
        OpenAnswer::Text(text) => (text.clone(), None),
        OpenAnswer::Number(number) => (String::new(), Some((number + 0.0).to_bits())),
    }
}

/// The tails of the lines that say something, or the whole response.
fn key_tails(response: &str) -> Vec<String> {
    let response = strip(response).trim_matches('.').to_lowercase();
    let lines: Vec<&str> = response.split('\n').collect();
    let (words, all) = (INDICATORS.len() - 1, INDICATORS.len());
    let tail = |(index, line): (usize, &&str)| {
        shortest_tail(line, INDICATORS.iter().take(if index + 1 == lines.len() { all } else { words }))
    };
    let tails: Vec<String> = lines.iter().enumerate().filter_map(tail).collect();
    if tails.is_empty() { vec![response] } else { tails }
}

/// The shortest text after the last occurrence of an indicator. An empty one gives way to the next, however long.
fn shortest_tail<'a>(line: &str, indicators: impl Iterator<Item = &'a &'a str>) -> Option<String> {
    let mut shortest = "";
    for indicator in indicators {
        let Some((_, tail)) = line.rsplit_once(indicator) else { continue };
        let tail = strip(tail);
        if shortest.is_empty() || tail.chars().count() < shortest.chars().count() {
            shortest = tail;
        }
    }
    (!shortest.is_empty() && !TRIVIAL.contains(&shortest)).then(|| shortest.to_owned())
}

fn normalised(text: &str) -> Vec<OpenAnswer> {
    let text = strip(text);
    if let Some(number) = parse_float(&text.replace(',', "")) {
        return vec![OpenAnswer::Number(round(number, 2))];
    }
    let lowered = text.to_lowercase();
    if lowered.chars().count() == 1 {
        return vec![OpenAnswer::Text(format!(" {lowered}")), OpenAnswer::Text(format!("{lowered} "))];
    }
    vec![OpenAnswer::Text(lowered)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> OpenAnswer {
        OpenAnswer::Text(text.to_owned())
    }

    #[test]
    fn the_tail_after_the_last_indicator_is_the_answer() {
        assert_eq!(parse_open("The voltage is 5 V. So the power is 10 W."), [text("10 w"), OpenAnswer::Number(10.0)]);
        assert_eq!(parse_open("a=b\nx = 7"), [OpenAnswer::Number(7.0)]);
    }

    #[test]
    fn an_empty_tail_gives_way_to_a_longer_one() {
        assert_eq!(parse_open("the answer is ."), [text("is")]);
        assert_eq!(parse_open("the answer is :"), [text("the answer is :")]);
    }

    #[test]
    fn numbers_are_rounded_and_counted_once() {
        assert_eq!(parse_open("1.005 or 1"), [text("1.005 or 1"), OpenAnswer::Number(1.0)]);
        assert_eq!(parse_open("0 and -0.001"), [text("0 and -0.001"), OpenAnswer::Number(0.0)]);
    }

    #[test]
    fn a_single_character_is_not_found_inside_a_word() {
        assert!(is_right_open("approximately x units", &["x"]));
        assert!(!is_right_open("axe", &["x"]));
    }

    #[test]
    fn texts_contain_and_numbers_equal() {
        assert!(is_right_open("resistor1", &["Resistor"]) && is_right_open("$1,000", &["1000"]));
        assert!(!is_right_open("4901", &["490"]) && !is_right_open("nan", &["nan"]));
        assert!(is_right_open("24/7", &["x", "24/7"]) && is_right_open("", &[""]));
        assert!(!is_right_open("anything", &[] as &[&str]));
    }
}
