//! MM-Vet: a judge gives each answer a grade, averaged by what the question needs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::python::number::{parse_float, round};
use crate::python::text::strip;

const CAPABILITIES: [&str; 6] = ["rec", "ocr", "know", "gen", "spat", "math"];

const COMBINATIONS: [&str; 16] = [
    "rec_gen_know",
    "rec",
    "spat_ocr",
    "spat_math_ocr",
    "rec_spat",
    "ocr",
    "math_ocr",
    "rec_know",
    "rec_spat_gen_ocr",
    "rec_gen_ocr_know",
    "rec_spat_ocr",
    "rec_ocr",
    "know_spat_ocr",
    "rec_spat_know",
    "spat_gen_ocr",
    "rec_spat_math_ocr",
];

/// What a judge's reply amounts to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Grade {
    /// A number from 0 to 1.
    Score(f64),
    /// No number, or no reply: asked again with a rising temperature, then 0.
    Unreadable,
    /// A number that is no grade: the harness asks again for ever.
    OutOfRange,
}

impl Grade {
    /// The number that the harness arrives at if every retry brings the same reply.
    pub fn score(self) -> Option<f64> {
        match self {
            Self::Score(score) => Some(score),
            Self::Unreadable => Some(0.0),
            Self::OutOfRange => None,
        }
    }
}

/// Reads a reply: the text before the first space, as a number.
///
/// Source: lmms-eval, `mmvet_process_results` of `tasks/mmvet/utils`, reference.
pub fn parse_reply(reply: &str) -> Grade {
    let reply = strip(reply);
    match parse_float(reply.split(' ').next().unwrap_or(reply)) {
        Some(score) if (0.0..=1.0).contains(&score) => Grade::Score(score),
        Some(_) => Grade::OutOfRange,
        None => Grade::Unreadable,
    }
}

/// Mean grades, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of all questions.
    pub overall: f64,
    /// Of the questions that need a capability, among others; two decimals, 0 of no questions.
    pub capability: BTreeMap<&'static str, f64>,
    /// Of the questions that need exactly these capabilities; two decimals, 0 of no questions.
    pub combination: BTreeMap<&'static str, f64>,
}

/// The means over questions, each with its grade and its capabilities (`ocr,spat,math`).
///
/// Source: lmms-eval, `mmvet_aggregate_results` of `tasks/mmvet/utils`, reference.
pub fn aggregate<C: AsRef<str>>(questions: &[(f64, C)]) -> Scores {
    let capability = |name: &'static str| {
        let needing = questions.iter().filter(|(_, needs)| needs.as_ref().contains(name));
        (name, round(mean(needing.map(|(score, _)| *score)), 2))
    };
    let combination = |name: &'static str| {
        let wanted: BTreeSet<&str> = name.split('_').collect();
        let needing =
            questions.iter().filter(|(_, needs)| needs.as_ref().split(',').collect::<BTreeSet<_>>() == wanted);
        (name, round(mean(needing.map(|(score, _)| *score)), 2))
    };
    Scores {
        overall: mean(questions.iter().map(|(score, _)| *score)),
        capability: CAPABILITIES.map(capability).into(),
        combination: COMBINATIONS.map(combination).into(),
    }
}

/// The mean in percent, 0 of nothing.
fn mean(scores: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = scores.fold((0.0, 0_usize), |(sum, count), score| (sum + score, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_before_the_first_space_is_the_grade() {
        assert_eq!(parse_reply(" 0.5 because"), Grade::Score(0.5));
        assert_eq!(parse_reply("0.7\nExplanation"), Grade::Unreadable);
        assert_eq!(parse_reply(""), Grade::Unreadable);
    }

    #[test]
    fn a_number_that_is_no_grade_has_no_score() {
        assert_eq!(parse_reply("5").score(), None);
        assert_eq!(parse_reply("nan").score(), None);
        assert_eq!(parse_reply("five").score(), Some(0.0));
    }

    #[test]
    fn a_question_counts_for_each_capability_and_for_one_combination() {
        let scores = aggregate(&[(1.0, "ocr,rec"), (0.5, "rec"), (0.0, "spat,ocr")]);
        assert_eq!(scores.overall, 50.0);
        assert_eq!((scores.capability["rec"], scores.capability["ocr"], scores.capability["math"]), (75.0, 50.0, 0.0));
        assert_eq!((scores.combination["rec"], scores.combination["rec_ocr"]), (50.0, 100.0));
    }
}
