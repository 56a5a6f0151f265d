//! MME: yes or no, two questions for each picture.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{YesNo, ratio};
use crate::error::{EvalError, Result};
use crate::python::text::strip;

/// The categories of perception; every other one is cognition.
const PERCEPTION: [&str; 10] =
    ["existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"];

/// What a prediction says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// `yes`
    Yes,
    /// `no`
    No,
    /// Neither.
    Other,
}

impl Reply {
    /// The word of the harness for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Other => "other",
        }
    }
}

/// Reads a prediction: lowered, stripped, without dots. `y` and `n` stand alone; of a longer text the first four
/// characters count, so `know` is a no, `eyes` is a yes and `cannot` neither.
///
/// Source: lmms-eval, `parse_pred_ans` of `tasks/mme/utils`, reference.
pub fn parse(prediction: &str) -> Reply {
    let text = plain(prediction);
    let start: String = text.chars().take(4).collect();
    match text.as_str() {
        "y" => Reply::Yes,
        "n" => Reply::No,
        _ if start.contains("yes") => Reply::Yes,
        _ if start.contains("no") => Reply::No,
        _ => Reply::Other,
    }
}

/// Reads the truth; `None` if it is neither yes nor no.
pub fn truth(answer: &str) -> Option<YesNo> {
    YesNo::exactly(&plain(answer))
}

fn plain(text: &str) -> String {
    strip(&text.to_lowercase()).replace('.', "")
}

/// Whether a reply is the truth.
pub fn is_right(reply: Reply, truth: YesNo) -> bool {
    matches!((reply, truth), (Reply::Yes, YesNo::Yes) | (Reply::No, YesNo::No))
}

/// A question that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The picture, which two questions name.
    pub question_id: String,
    /// Its category.
    pub category: String,
    /// Whether the answer was right.
    pub right: bool,
}

/// Sums of category scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of the ten categories of perception, 0 to 2000.
    pub perception: f64,
    /// Of the four categories of cognition, 0 to 800.
    pub cognition: f64,
    /// Of each category that has questions, 0 to 200.
    pub categories: BTreeMap<String, f64>,
}

/// The scores over questions in any order.
///
/// A picture scores `100 * right / 2`, and 100 more if both answers are right; a category is the mean of its pictures.
///
/// Errors: [`EvalError::UnpairedQuestion`] where a picture has not exactly two questions.
/// Source: lmms-eval, `mme_aggregate_results` of `tasks/mme/utils`, reference.
pub fn aggregate(questions: &[Question]) -> Result<Scores> {
    let mut pictures: BTreeMap<&str, BTreeMap<&str, Vec<bool>>> = BTreeMap::new();
    for question in questions {
        let category = pictures.entry(&question.category).or_default();
        category.entry(&question.question_id).or_default().push(question.right);
    }
    let mut scores = Scores { perception: 0.0, cognition: 0.0, categories: BTreeMap::new() };
    for (category, pictures) in pictures {
        let score = category_score(category, &pictures)?;
        let part = if PERCEPTION.contains(&category) { &mut scores.perception } else { &mut scores.cognition };
        *part += score;
        scores.categories.insert(category.to_owned(), score);
    }
    Ok(scores)
}

fn category_score(category: &str, pictures: &BTreeMap<&str, Vec<bool>>) -> Result<f64> {
    let mut points = 0;
    for (question_id, answers) in pictures {
        let [first, second] = answers[..] else {
            let (category, question_id) = (category.to_owned(), (*question_id).to_owned());
            return Err(EvalError::UnpairedQuestion { category, question_id, found: answers.len() });
        };
        points += 50 * (usize::from(first) + usize::from(second)) + 100 * usize::from(first && second);
    }
    Ok(ratio(points, pictures.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_four_characters_of_a_longer_text_count() {
        for (prediction, reply) in [
            ("Y.E.S.", Reply::Yes),
            ("n", Reply::No),
            ("know", Reply::No),
            ("eyes", Reply::Yes),
            ("cannot", Reply::Other),
            ("ye", Reply::Other),
            ("", Reply::Other),
            ("<answer>Yes</answer>", Reply::Other),
        ] {
            assert_eq!(parse(prediction), reply, "{prediction}");
        }
    }

    fn question(question_id: &str, category: &str, right: bool) -> Question {
        Question { question_id: question_id.to_owned(), category: category.to_owned(), right }
    }

    #[test]
    fn both_right_is_worth_more_than_two_single_ones() {
        let questions = [
            question("1", "OCR", true),
            question("2", "OCR", true),
            question("1", "OCR", true),
            question("2", "OCR", false),
            question("1", "code_reasoning", false),
            question("1", "code_reasoning", false),
        ];
        let scores = aggregate(&questions).unwrap();
        assert_eq!((scores.perception, scores.cognition), (125.0, 0.0));
        assert_eq!(scores.categories.len(), 2);
    }

    #[test]
    fn a_picture_without_its_second_question_is_named() {
        let error = aggregate(&[question("7.png", "OCR", true)]).unwrap_err().to_string();
        assert_eq!(error, "`question_id` `7.png` of category `OCR` has 1 rows, expected 2");
    }
}
