//! HallusionBench: questions about figures, and about figures that were changed or left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ratio;
use crate::error::{EvalError, Result};
use crate::python::number::round;

/// A question by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `VD` (needs the figure) or `VS` (can be answered without it).
    pub category: String,
    /// Its subcategory.
    pub subcategory: String,
    /// Figures that are versions of one another are a set.
    pub set_id: String,
    /// The figure; 0 is the original one, or none in category `VS`.
    pub figure_id: String,
    /// The question, which a set asks about each of its figures.
    pub question_id: String,
}

impl Question {
    fn without_figure(&self) -> bool {
        self.category == "VS" && self.figure_id == "0"
    }

    fn figure(&self) -> [&str; 4] {
        [&self.category, &self.subcategory, &self.set_id, &self.figure_id]
    }

    fn group(&self) -> [&str; 4] {
        [&self.category, &self.subcategory, &self.set_id, &self.question_id]
    }
}

/// What a judge said of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It contradicts the reference answer: `0`.
    Wrong,
    /// It agrees with it: `1`.
    Right,
    /// It says nothing: `2`.
    Unclear,
}

impl Verdict {
    /// Reads the digit that the harness stores.
    pub fn read(digit: &str) -> Option<Self> {
        match digit {
            "0" => Some(Self::Wrong),
            "1" => Some(Self::Right),
            "2" => Some(Self::Unclear),
            _ => None,
        }
    }
}

/// Three accuracies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of questions.
    #[serde(rename = "aAcc")]
    pub questions: f64,
    /// Of figures all of whose questions are right.
    #[serde(rename = "fAcc")]
    pub figures: f64,
    /// Of questions that are right about all figures of their set.
    #[serde(rename = "qAcc")]
    pub groups: f64,
}

/// Whether a judged answer is right; without a figure an unclear one is, too.
pub fn is_right(question: &Question, verdict: Verdict) -> bool {
    verdict == Verdict::Right || (verdict == Verdict::Unclear && question.without_figure())
}

/// The accuracies of judged answers, 0 to 100, four decimals. Questions without a figure belong to none.
///
/// Errors: [`EvalError::RepeatedQuestion`].
/// Source: lmms-eval, `assign_correctness`, `get_eval_all`, `get_eval_fig` and `get_eval_pair_all` of
/// `tasks/hallusion_bench/utils`, reference.
pub fn aggregate(answers: &[(Question, Verdict)]) -> Result<Scores> {
    let mut seen = BTreeSet::new();
    for (question, _) in answers {
        if !seen.insert((question.figure(), question.question_id.as_str())) {
            let name = format!("{}_{}", question.figure().join("_"), question.question_id);
            return Err(EvalError::RepeatedQuestion { name });
        }
    }
    let judged = || answers.iter().map(|(question, verdict)| (question, is_right(question, *verdict)));
    let percent = |(right, total)| round(ratio(100 * right, total), 4);
    Ok(Scores {
        questions: percent((judged().filter(|(_, right)| *right).count(), answers.len())),
        figures: percent(all_right(judged().filter(|(question, _)| !question.without_figure()), Question::figure)),
        groups: percent(all_right(judged(), Question::group)),
    })
}

/// What a prediction says without a judge: whether `yes` occurs in it.
pub fn says_yes(prediction: &str) -> bool {
    prediction.to_lowercase().contains("yes")
}

/// The accuracies of answers that are right or wrong, 0 to 1, every question with a figure.
///
/// Source: lmms-eval, `hb_aggregation_result_intern` of `tasks/hallusion_bench/evaluate_hb`, reference, which its task
/// does not use.
pub fn aggregate_yes_no(answers: &[(Question, bool)]) -> Scores {
    let answered = || answers.iter().map(|(question, right)| (question, *right));
    let share = |(right, total)| ratio(right, total);
    Scores {
        questions: share((answered().filter(|(_, right)| *right).count(), answers.len())),
        figures: share(all_right(answered(), Question::figure)),
        groups: share(all_right(answered(), Question::group)),
    }
}

/// How many keys have only right answers, and how many there are.
fn all_right<'a>(
    answers: impl Iterator<Item = (&'a Question, bool)>,
    key: fn(&'a Question) -> [&'a str; 4],
) -> (usize, usize) {
    let mut keys: BTreeMap<[&str; 4], bool> = BTreeMap::new();
    for (question, right) in answers {
        *keys.entry(key(question)).or_insert(true) &= right;
    }
    (keys.values().filter(|right| **right).count(), keys.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(category: &str, figure_id: &str, question_id: &str) -> Question {
        let [category, figure_id, question_id] = [category, figure_id, question_id].map(str::to_owned);
        Question { category, subcategory: "map".to_owned(), set_id: "0".to_owned(), figure_id, question_id }
    }

    #[test]
    fn unclear_is_right_where_there_is_no_figure() {
        assert!(is_right(&question("VS", "0", "0"), Verdict::Unclear));
        assert!(!is_right(&question("VD", "0", "0"), Verdict::Unclear));
        assert!(!is_right(&question("VS", "1", "0"), Verdict::Unclear));
    }

    #[test]
    fn a_figure_or_a_group_is_right_if_all_in_it_is() {
        let answers = [
            (question("VS", "0", "0"), Verdict::Unclear),
            (question("VS", "1", "0"), Verdict::Right),
            (question("VS", "1", "1"), Verdict::Wrong),
        ];
        let scores = aggregate(&answers).unwrap();
        assert_eq!((scores.questions, scores.figures, scores.groups), (66.6667, 0.0, 50.0));
    }

    #[test]
    fn a_question_that_comes_twice_is_named() {
        let twice = [(question("VD", "1", "2"), Verdict::Right), (question("VD", "1", "2"), Verdict::Wrong)];
        let error = aggregate(&twice).unwrap_err().to_string();
        assert_eq!(error, "two rows are the question `VD_map_0_1_2`; expected each question once");
    }

    #[test]
    fn without_a_judge_every_figure_counts() {
        let answers = [(question("VS", "0", "0"), true), (question("VS", "1", "0"), false)];
        let scores = aggregate_yes_no(&answers);
        assert_eq!((scores.questions, scores.figures, scores.groups), (0.5, 0.5, 0.0));
        assert!(says_yes("Eyes are closed") && !says_yes("no"));
    }
}
