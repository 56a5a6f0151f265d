//! The rule-based reward of the reference.

use crate::answer::{AnswerTags, tagged};
use crate::boxed::boxed_content;
use crate::grade::grade_answer;
use crate::text::strip;
use crate::verify::math_verify;

/// The comparison that accepted a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// [`math_verify`] on the prediction.
    MathVerify,
    /// [`grade_answer`] on what is in its box.
    GradeAnswer,
    /// The texts are equal.
    Text,
}

/// What became of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was judged; `None` where there was nothing.
    pub prediction: Option<String>,
    /// The first stage that accepted it.
    pub accepted: Option<Stage>,
}

impl Outcome {
    /// 1 where a stage accepted it, else 0.
    pub fn reward(&self) -> f64 {
        if self.accepted.is_some() { 1.0 } else { 0.0 }
    }
}

/// Judges the replies of one conversation against a solution.
///
/// The turns are joined by one space and the prediction is taken out of them as `tags` says; an empty one is wrong. Then
/// the first success wins: [`math_verify`]; [`grade_answer`] of the boxed content (the text `None` where there is no
/// box); equality of the trimmed texts, with the content of answer tags in place of either text that has them.
///
/// Source: VisionThink, `rule_based_tool.py`, commit 42afd8c.
pub fn rule_based<T: AsRef<str>>(turns: &[T], solution: &str, tags: AnswerTags) -> Outcome {
    let reply = turns.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ");
    let Some(prediction) = tags.prediction(&reply).filter(|prediction| !prediction.is_empty()) else {
        return Outcome { prediction: None, accepted: None };
    };
    let accepted = if math_verify(solution, prediction) {
        Some(Stage::MathVerify)
    } else if grade_answer(boxed_content(prediction).unwrap_or("None"), solution) {
        Some(Stage::GradeAnswer)
    } else if untagged(prediction) == untagged(solution) {
        Some(Stage::Text)
    } else {
        None
    };
    Outcome { prediction: Some(prediction.to_owned()), accepted }
}

fn untagged(text: &str) -> &str {
    strip(tagged(text).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(reply: &str, solution: &str) -> Option<Stage> {
        rule_based(&[reply], solution, AnswerTags::Split).accepted
    }

    #[test]
    fn the_first_stage_that_accepts_is_named() {
        assert_eq!(accepted("<answer>0.5</answer>", "1/2"), Some(Stage::MathVerify));
        assert_eq!(accepted(r"<answer>\boxed{Yes}</answer>", "yes"), Some(Stage::GradeAnswer));
        assert_eq!(accepted("<answer>red</answer>", "<answer> red </answer>"), Some(Stage::Text));
        assert_eq!(accepted("<answer>red</answer>", "blue"), None);
    }

    #[test]
    fn the_last_turn_answers() {
        let turns = ["<answer>1</answer>", "<answer>2</answer>"];
        assert_eq!(rule_based(&turns, "2", AnswerTags::Split).reward(), 1.0);
        assert_eq!(rule_based(&turns, "2", AnswerTags::Strict).reward(), 0.0);
    }

    #[test]
    fn nothing_is_wrong() {
        assert_eq!(rule_based(&["<answer> </answer>"], "x", AnswerTags::Split).prediction, None);
        assert_eq!(rule_based::<&str>(&[], "x", AnswerTags::Strict).reward(), 0.0);
    }
}
