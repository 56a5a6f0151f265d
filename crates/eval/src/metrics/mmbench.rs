//! MMBench: a letter or the text of an option, and rotations of one question that all have to be right.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{mcq, ratio};
use crate::python::text::{strip, words};

const LETTERS: [char; 5] = ['A', 'B', 'C', 'D', 'E'];

/// What may stand before and behind a letter that is a piece of its own, in the order in which they are tried.
const AFFIXES: [(&str, &str); 12] = [
    ("", "."),
    ("", ","),
    ("", ":"),
    ("", ")"),
    ("", ")."),
    ("(", ")"),
    ("(", ")."),
    (":", ""),
    (":", ","),
    (":", "."),
    (":", ")"),
    (":", ")."),
];

/// What the harness writes in place of an answer that no server gave.
const FAILED: &str = "Failed to obtain answer via API";

/// Rows whose indices agree modulo this are rotations of one question.
const ROTATION: u64 = 1_000_000;

/// The texts of A to D.
pub type Choices<'a> = [Option<&'a str>; 4];

/// What a missing choice counts as. It is a text like any other, and occurs in `banana`.
const MISSING: &str = "nan";

/// The letter (A to E) that a prediction chooses, or `None` where a judge has to decide.
///
/// By letter: exactly one of A to E stands alone between white space (except where `A` stands in more than three pieces
/// and may be an article), else with one of twelve affixes. By text: exactly one choice's text occurs, lowered.
///
/// Source: lmms-eval, `MMBench_Evaluator.can_infer` of `tasks/mmbench/mmbench_evals`, reference.
pub fn infer(prediction: &str, choices: &Choices<'_>) -> Option<char> {
    let prediction = strip(prediction);
    by_letter(prediction).or_else(|| by_text(prediction, choices))
}

/// The letter without a judge: what [`infer`] says, else what [`mcq::extract`] finds of A to D.
///
/// Source: lmms-eval, task `mmbench_en_dev_static`, reference.
pub fn choose(prediction: &str, choices: &Choices<'_>) -> Option<char> {
    infer(prediction, choices).or_else(|| mcq::extract(prediction, &['A', 'B', 'C', 'D']))
}

fn by_letter(prediction: &str) -> Option<char> {
    if prediction.contains(FAILED) {
        return None;
    }
    let pieces: Vec<&str> = words(prediction).collect();
    let maybe_article = pieces.contains(&"A") && pieces.len() > 3;
    let alone = only_letter(&pieces, "", "").filter(|_| !maybe_article);
    alone.or_else(|| AFFIXES.iter().find_map(|(before, after)| only_letter(&pieces, before, after)))
}

/// The letter that is a piece with these affixes, if it is only one.
fn only_letter(pieces: &[&str], before: &str, after: &str) -> Option<char> {
    only(LETTERS.into_iter().filter(|letter| pieces.contains(&format!("{before}{letter}{after}").as_str())))
}

fn by_text(prediction: &str, choices: &Choices<'_>) -> Option<char> {
    let prediction = prediction.to_lowercase();
    let texts = choices.iter().map(|text| text.unwrap_or(MISSING).to_lowercase());
    only(LETTERS.into_iter().zip(texts).filter(|(_, text)| prediction.contains(text)).map(|(letter, _)| letter))
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

/// An answered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its index; the first rotation of a question has one below 1000000.
    pub index: u64,
    /// Whether the letter was right.
    pub right: bool,
    /// Its category.
    pub category: String,
    /// Its category one level up, if it has one.
    pub l2_category: Option<String>,
}

/// Shares of questions whose rotations are all right, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of all questions.
    pub overall: f64,
    /// Of each category.
    pub category: BTreeMap<String, f64>,
    /// Of each category one level up.
    pub l2_category: BTreeMap<String, f64>,
}

/// The shares over rows in any order. A rotation whose first row is missing counts for nothing.
///
/// Source: lmms-eval, `MMBench_Evaluator.eval_result(…, "static")` of `tasks/mmbench/mmbench_evals`, reference.
pub fn aggregate(rows: &[Answered]) -> Scores {
    let mut all_right: BTreeMap<u64, bool> = BTreeMap::new();
    for row in rows {
        *all_right.entry(row.index % ROTATION).or_insert(true) &= row.right;
    }
    let questions: Vec<(&Answered, bool)> = rows
        .iter()
        .filter(|row| row.index < ROTATION)
        .map(|row| (row, all_right.get(&row.index).copied().unwrap_or(false)))
        .collect();
    Scores {
        overall: ratio(questions.iter().filter(|(_, right)| *right).count(), questions.len()),
        category: shares(questions.iter().map(|(row, right)| (&row.category, *right))),
        l2_category: shares(questions.iter().filter_map(|(row, right)| Some((row.l2_category.as_ref()?, *right)))),
    }
}

fn shares<'a>(questions: impl Iterator<Item = (&'a String, bool)>) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<&String, (usize, usize)> = BTreeMap::new();
    for (name, right) in questions {
        let (hits, total) = counts.entry(name).or_default();
        *hits += usize::from(right);
        *total += 1;
    }
    counts.into_iter().map(|(name, (hits, total))| (name.clone(), ratio(hits, total))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: Choices<'_> = [Some("banana"), Some("Apple"), Some("nan"), None];

    #[test]
    fn one_letter_alone_is_the_answer_unless_it_may_be_an_article() {
        assert_eq!(infer("The answer is B", &CHOICES), Some('B'));
        assert_eq!(infer("A cat", &CHOICES), Some('A'));
        assert_eq!(infer("A is the first", &CHOICES), None);
        assert_eq!(infer("A or B", &CHOICES), None);
    }

    #[test]
    fn affixes_are_tried_in_order() {
        assert_eq!(infer("A, (B)", &CHOICES), Some('A'));
        assert_eq!(infer("so the answer is C).", &CHOICES), Some('C'));
    }

    #[test]
    fn a_missing_choice_occurs_in_some_words() {
        assert_eq!(infer("an apple", &CHOICES), Some('B'));
        assert_eq!(infer("banana", &CHOICES), None);
    }

    #[test]
    fn without_a_judge_any_letter_will_do() {
        assert_eq!(choose("A or B", &CHOICES), Some('A'));
        assert_eq!(choose("E.", &CHOICES), Some('E'));
        assert_eq!(choose("spider", &CHOICES), None);
    }

    fn row(index: u64, right: bool) -> Answered {
        Answered { index, right, category: "ocr".to_owned(), l2_category: None }
    }

    #[test]
    fn a_question_is_right_if_all_its_rotations_are() {
        let scores = aggregate(&[
            row(7, true),
            row(1_000_007, false),
            row(8, true),
            row(2_000_008, true),
            row(1_000_009, false),
        ]);
        assert_eq!(scores.overall, 0.5);
        assert_eq!(scores.category, BTreeMap::from([("ocr".to_owned(), 0.5)]));
        assert!(scores.l2_category.is_empty());
    }
}
