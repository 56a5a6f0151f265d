//! ChartQA: numbers within five percent, or the same text.

use serde::{Deserialize, Serialize};

use super::ratio;
use crate::python::number::parse_float;
use crate::python::text::strip;

/// How far a number may be from the truth, relative to the truth.
const TOLERANCE: f64 = 0.05;

/// Whether a prediction is right.
///
/// If both are numbers and the truth is not 0: `|p - t| / |t| <= 0.05`; else the lowered texts have to be equal. A text
/// that ends in `%` is a hundredth of its number. Years have the tolerance too, and `0` is only matched by `0`.
///
/// Source: lmms-eval, `tasks/chartqa/utils`, reference.
pub fn relaxed_match(prediction: &str, target: &str) -> bool {
    let prediction = strip(prediction);
    match (number(prediction), number(target)) {
        (Some(found), Some(truth)) if truth != 0.0 => (found - truth).abs() / truth.abs() <= TOLERANCE,
        _ => prediction.to_lowercase() == target.to_lowercase(),
    }
}

fn number(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches('%');
    let number = parse_float(digits)?;
    Some(if digits.len() < text.len() { number / 100.0 } else { number })
}

/// The half of the data a question is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Written by people.
    HumanTest,
    /// Made from captions by a machine.
    AugmentedTest,
}

/// Shares of right answers, 0 to 1; a split without questions has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of all questions.
    pub relaxed_overall: f64,
    /// Of [`Split::HumanTest`].
    pub relaxed_human_split: Option<f64>,
    /// Of [`Split::AugmentedTest`].
    pub relaxed_augmented_split: Option<f64>,
}

/// The means over questions, each with its split, if known, and whether it was right.
pub fn aggregate(questions: &[(Option<Split>, bool)]) -> Scores {
    let share = |wanted: Option<Split>| {
        let chosen = questions.iter().filter(|(split, _)| wanted.is_none() || *split == wanted);
        let right = chosen.clone().filter(|(_, right)| *right).count();
        (right, chosen.count())
    };
    let of = |split| Some(share(Some(split))).filter(|(_, total)| *total > 0).map(|(right, total)| ratio(right, total));
    let (right, total) = share(None);
    Scores {
        relaxed_overall: ratio(right, total),
        relaxed_human_split: of(Split::HumanTest),
        relaxed_augmented_split: of(Split::AugmentedTest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_five_percent_off() {
        assert!(relaxed_match("46", "47") && relaxed_match("12.5%", "0.125") && relaxed_match("12 %", "12%"));
        assert!(!relaxed_match("49.35", "47") && !relaxed_match("47%", "47") && !relaxed_match("1,000", "1000"));
    }

    #[test]
    fn a_truth_of_nothing_is_compared_as_text() {
        assert!(relaxed_match("0", "0"));
        assert!(!relaxed_match("0.0", "0") && !relaxed_match("1e-9", "0"));
    }

    #[test]
    fn infinity_is_not_near_itself_and_texts_ignore_case() {
        assert!(!relaxed_match("1e400", "1e400"));
        assert!(relaxed_match("Côte d'Ivoire", "côte d'ivoire"));
    }

    #[test]
    fn each_split_has_its_share() {
        let human = Some(Split::HumanTest);
        let scores = aggregate(&[(human, true), (human, false), (None, true), (None, true)]);
        assert_eq!(scores.relaxed_overall, 0.75);
        assert_eq!((scores.relaxed_human_split, scores.relaxed_augmented_split), (Some(0.5), None));
    }
}
