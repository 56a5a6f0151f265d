//! POPE: whether an object is in the picture, yes or no and nothing else.

use serde::Serialize;

use super::answer_tag::{TagOrder, answer};
use super::{YesNo, ratio};
use crate::python::text::strip;

/// What a prediction says: lowered, stripped, then cut to its answer tag if one is looked for. As it is lowered first,
/// tags may be in capitals.
///
/// Source: lmms-eval, `tasks/pope/utils`, reference (no tag); VisionThink, `utils_pope`, commit 42afd8c
/// ([`TagOrder::CloseFirst`]).
pub fn parse(prediction: &str, tag: Option<TagOrder>) -> String {
    let lowered = prediction.to_lowercase();
    let text = strip(&lowered);
    tag.map_or(text, |order| answer(text, order)).to_owned()
}

/// Reads the truth; `None` if it is neither yes nor no.
pub fn truth(answer: &str) -> Option<YesNo> {
    YesNo::exactly(strip(&answer.to_lowercase()))
}

/// Whether a parsed prediction is the truth; `yes.` is not.
pub fn is_right(parsed: &str, truth: YesNo) -> bool {
    YesNo::exactly(parsed) == Some(truth)
}

/// Scores over all questions, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Share of right answers.
    pub accuracy: f64,
    /// Of the predictions that are `yes`, the share that is right.
    pub precision: f64,
    /// Of the questions whose truth is yes and whose prediction is readable, the share answered with `yes`.
    pub recall: f64,
    /// `2 * precision * recall / (precision + recall)`.
    pub f1: f64,
    /// Share of questions whose **truth** is yes: a constant of the data, not a trait of the model.
    pub yes_ratio: f64,
}

/// The scores over parsed predictions and their truth; a score whose denominator is 0 is 0.
///
/// A prediction that is neither `yes` nor `no` lowers the accuracy and nothing else.
///
/// Source: lmms-eval, `pope_aggregate_*` of `tasks/pope/utils`, reference.
pub fn aggregate<P: AsRef<str>>(answers: &[(P, YesNo)]) -> Scores {
    let count = |said: YesNo, is: YesNo| {
        answers.iter().filter(|(parsed, truth)| *truth == is && is_right(parsed.as_ref(), said)).count()
    };
    let true_positives = count(YesNo::Yes, YesNo::Yes);
    let false_positives = count(YesNo::Yes, YesNo::No);
    let false_negatives = count(YesNo::No, YesNo::Yes);
    let right = true_positives + count(YesNo::No, YesNo::No);
    let precision = ratio(true_positives, true_positives + false_positives);
    let recall = ratio(true_positives, true_positives + false_negatives);
    let both = precision + recall;
    Scores {
        accuracy: ratio(right, answers.len()),
        precision,
        recall,
        f1: if both > 0.0 { 2.0 * precision * recall / both } else { 0.0 },
        yes_ratio: ratio(answers.iter().filter(|(_, truth)| *truth == YesNo::Yes).count(), answers.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_word_is_an_answer() {
        assert!(is_right(&parse(" YES\n", None), YesNo::Yes));
        assert!(!is_right(&parse("yes.", None), YesNo::Yes));
        assert_eq!(truth("No\n"), Some(YesNo::No));
        assert_eq!(truth("maybe"), None);
    }

    #[test]
    fn a_tag_in_capitals_is_found() {
        assert_eq!(parse("<ANSWER> Yes </ANSWER>", Some(TagOrder::CloseFirst)), "yes");
    }

    #[test]
    fn an_unreadable_answer_only_lowers_the_accuracy() {
        let scores = aggregate(&[("yes", YesNo::Yes), ("maybe", YesNo::Yes), ("no", YesNo::No), ("yes", YesNo::No)]);
        assert_eq!((scores.accuracy, scores.precision, scores.recall), (0.5, 0.5, 1.0));
        assert_eq!((scores.f1, scores.yes_ratio), (2.0 / 3.0, 0.5));
        assert_eq!(aggregate::<&str>(&[]).f1, 0.0);
    }
}
