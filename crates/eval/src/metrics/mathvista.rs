//! MathVista: extract an answer, bring it into the form of the truth, compare.

use serde::{Deserialize, Serialize};

use super::edit_distance::edit_distance;
use super::ratio;
use crate::python::number::{float_text, parse_float, parse_integer, round, whole_text};
use crate::python::text::strip;

/// Whether there are choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionType {
    /// One of several texts.
    MultiChoice,
    /// Anything of the answer's type.
    FreeForm,
}

/// What kind of answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerType {
    /// A text, with multiple choices.
    Text,
    /// A whole number.
    Integer,
    /// A number with decimals.
    Float,
    /// A Python list.
    List,
}

/// What the rules need to know of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether there are choices.
    pub question_type: QuestionType,
    /// What kind of answer is asked for.
    pub answer_type: AnswerType,
    /// The texts to choose from, the first of which is A.
    pub choices: Vec<String>,
    /// Decimals of a number; without them it is rounded to a whole one.
    pub precision: Option<u32>,
}

/// The answer in a response as far as rules can say, or `None` where a judge has to extract it.
///
/// In this order: an empty response; the text of a choice; a whole number where one is asked for; a number where one is
/// asked for, as Python prints it; with `quick`, what stands in `The answer is "…".`.
///
/// Source: lmms-eval, `MathVistaEvaluator.extract_answer` of `tasks/mathvista/mathvista_evals`, reference.
pub fn extract(response: &str, problem: &Problem, quick: bool) -> Option<String> {
    let response = strip(response);
    let chosen = problem.question_type == QuestionType::MultiChoice && problem.choices.iter().any(|c| c == response);
    if response.is_empty() || chosen {
        return Some(response.to_owned());
    }
    let number = match problem.answer_type {
        AnswerType::Integer => parse_integer(response),
        AnswerType::Float => parse_float(response).map(float_text),
        AnswerType::Text | AnswerType::List => None,
    };
    number.or_else(|| quick.then(|| quoted_answer(response)).flatten())
}

/// `The answer is "(.*)"\.` within one line.
fn quoted_answer(response: &str) -> Option<String> {
    let starts = response.match_indices("The answer is \"").map(|(at, start)| at + start.len());
    let mut lines = starts.filter_map(|at| response.get(at..)?.split('\n').next());
    lines.find_map(|line| line.rsplit_once("\".")).map(|(answer, _)| answer.to_owned())
}

/// An extraction (raw) in the form of the truth; `None` if it has no such form.
///
/// A choice: the first single letter in parentheses, or the whole text if it is the letter of a choice, else the choice
/// with the smallest edit distance, so that an empty text picks the shortest. A whole number: cut towards zero. A
/// number: rounded to the precision, as Python prints it (`1.5`, never `1.50`). Anything else stays as it is.
///
/// Source: lmms-eval, `MathVistaEvaluator.normalize_extracted_answer` of `tasks/mathvista/mathvista_evals`, reference.
pub fn normalise(extraction: &str, problem: &Problem) -> Option<String> {
    if problem.question_type == QuestionType::MultiChoice {
        return choice(strip(extraction), &problem.choices).cloned();
    }
    match problem.answer_type {
        AnswerType::Integer => whole_text(parse_float(extraction)?.trunc()),
        AnswerType::Float => {
            let number = parse_float(extraction)?;
            match problem.precision {
                Some(decimals) => Some(float_text(round(number, decimals))),
                None => whole_text(number.round_ties_even()),
            }
        }
        AnswerType::Text | AnswerType::List => Some(extraction.to_owned()),
    }
}

fn choice<'a>(extraction: &str, choices: &'a [String]) -> Option<&'a String> {
    let in_parentheses = bracketed_letter(extraction).map(|letter| letter.to_ascii_uppercase().to_string());
    let text = in_parentheses.as_deref().unwrap_or(extraction);
    let by_letter = ('A'..).zip(choices).find(|(letter, _)| text.chars().eq([*letter])).map(|(_, choice)| choice);
    by_letter.or_else(|| choices.iter().min_by_key(|choice| edit_distance(text, choice)))
}

/// The letter of the first `(x)`.
fn bracketed_letter(text: &str) -> Option<char> {
    text.split('(').skip(1).find_map(|tail| {
        let mut characters = tail.chars();
        let letter = characters.next().filter(char::is_ascii_alphabetic)?;
        (characters.next() == Some(')')).then_some(letter)
    })
}

/// Whether a normalised answer is the truth, both stripped. One without form is the text `None`, as Python prints it.
///
/// Source: lmms-eval, `MathVistaEvaluator.safe_equal` of `tasks/mathvista/mathvista_evals`, reference.
pub fn is_right(normalised: Option<&str>, truth: &str) -> bool {
    strip(normalised.unwrap_or("None")) == strip(truth)
}

/// Counts and their share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// `100 * correct / total`, two decimals.
    pub accuracy: f64,
    /// Right answers.
    pub correct: usize,
    /// All questions.
    pub total: usize,
    /// Questions that wait for a judge; they count as wrong.
    pub undecided: usize,
}

/// The counts over questions: right or wrong, or `None` where a judge has not extracted the answer.
///
/// Source: lmms-eval, `mathvista_aggregate_results` of `tasks/mathvista/utils`, reference; a score of 0 is 0 here, not
/// missing.
pub fn aggregate(answers: &[Option<bool>]) -> Scores {
    let correct = answers.iter().filter(|answer| **answer == Some(true)).count();
    let undecided = answers.iter().filter(|answer| answer.is_none()).count();
    let accuracy = round(ratio(correct, answers.len()) * 100.0, 2);
    Scores { accuracy, correct, total: answers.len(), undecided }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(answer_type: AnswerType, precision: Option<u32>) -> Problem {
        Problem { question_type: QuestionType::FreeForm, answer_type, choices: Vec::new(), precision }
    }

    fn choices(choices: &[&str]) -> Problem {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Problem { question_type: QuestionType::MultiChoice, answer_type: AnswerType::Text, choices, precision: None }
    }

    #[test]
    fn rules_extract_what_is_nothing_but_the_answer() {
        let integer = problem(AnswerType::Integer, None);
        assert_eq!(extract(" 014 ", &integer, false).as_deref(), Some("14"));
        assert_eq!(extract("0.5", &integer, false), None);
        assert_eq!(extract("5.", &problem(AnswerType::Float, Some(1)), false).as_deref(), Some("5.0"));
        assert_eq!(extract("  ", &integer, false).as_deref(), Some(""));
        assert_eq!(extract("red", &choices(&["red"]), false).as_deref(), Some("red"));
    }

    #[test]
    fn a_quoted_answer_is_extracted_only_when_asked_for() {
        let list = problem(AnswerType::List, None);
        let response = "The answer is\nThe answer is \"a \"b\"\". ok";
        assert_eq!(extract(response, &list, true).as_deref(), Some("a \"b\""));
        assert_eq!(extract(response, &list, false), None);
        assert_eq!(extract("The answer is \"a\n\".", &list, true), None);
    }

    #[test]
    fn a_choice_is_found_by_letter_or_else_by_distance() {
        let problem = choices(&["hong kong", "osaka", "shanghai", "tokyo"]);
        for (extraction, choice) in
            [("(c) x", "shanghai"), (" B ", "osaka"), ("Tokyo", "tokyo"), ("", "osaka"), ("(AB)", "osaka")]
        {
            assert_eq!(normalise(extraction, &problem).as_deref(), Some(choice), "{extraction}");
        }
        assert_eq!(normalise("A", &choices(&[])), None);
    }

    #[test]
    fn numbers_are_cut_or_rounded() {
        let integer = problem(AnswerType::Integer, None);
        assert_eq!(normalise("-0.5", &integer).as_deref(), Some("0"));
        assert_eq!(normalise("1e22", &integer).as_deref(), Some("10000000000000000000000"));
        assert_eq!(normalise("inf", &integer), None);
        assert_eq!(normalise("2.675", &problem(AnswerType::Float, Some(2))).as_deref(), Some("2.67"));
        assert_eq!(normalise("2.5", &problem(AnswerType::Float, None)).as_deref(), Some("2"));
    }

    #[test]
    fn no_answer_is_the_text_none() {
        assert!(is_right(None, " None"));
        assert!(!is_right(Some("1.5"), "1.50"));
    }

    #[test]
    fn the_undecided_count_as_wrong() {
        let scores = aggregate(&[Some(true), Some(false), None]);
        assert_eq!((scores.accuracy, scores.correct, scores.undecided), (33.33, 1, 1));
    }
}
