//! The text that a benchmark asks, from a row of its data set.
//!
//! Source: lmms-eval, the `doc_to_text` of each task with its `default` prompt settings, reference. Where a task needs
//! white space stripped from the question it does so; most do not.

use std::str::FromStr;

use crate::error::{EvalError, Result};
use crate::metrics::mathvista::{AnswerType, QuestionType};
use crate::metrics::mmmu;
use crate::python::text::{capitalize, strip};
use crate::row::Row;

const WORD_OR_PHRASE: &str = "\nAnswer the question using a single word or phrase.";
const OPTION_LETTER: &str = "Answer with the option letter from the given choices directly.";
const OPTIONS_LETTER: &str = "Answer with the option's letter from the given choices directly.";
const LAST_LINE: &str = "Answer the following multiple choice question. The last line of your response should be of \
    the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of options. Think step by step before \
    answering.";
const STEP_BY_STEP: &str =
    "First please perform reasoning, and think step by step to provide best answer to the following question: \n\n";

/// A task of lmms-eval, or questions of your own. The fields that its rows need are named at each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// `question`
    ChartQa,
    /// `question`
    DocVqa,
    /// `question`
    InfoVqa,
    /// `question`
    TextVqa,
    /// `question`
    OcrBench,
    /// `question`
    Mme,
    /// `question`
    Pope,
    /// `question`
    MmVet,
    /// `question`, options and instruction inside
    RealWorldQa,
    /// `question`
    HallusionBench,
    /// `query_wo`
    MathVerse,
    /// `question`, `question_type`, `answer_type`; optional `choices`, `unit`, `precision`
    MathVista(Shot),
    /// `question`, `question_type`, `options`
    Mmmu,
    /// `question`, `options`
    MmmuProStandard,
    /// `question`, `options`
    MmmuProStandardCot,
    /// nothing: question and options are in the picture
    MmmuProVision,
    /// nothing: question and options are in the picture
    MmmuProVisionCot,
    /// `question`; optional `hint`, `A` to `E`
    MmBench,
    /// `question`; optional `options`
    Own,
}

/// The three ways in which MathVista is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shot {
    /// Step by step.
    Cot,
    /// Directly, the format named.
    Format,
    /// Ending in `Solution:`.
    Solution,
}

const NAMES: [(Task, &str); 23] = [
    (Task::ChartQa, "chartqa"),
    (Task::DocVqa, "docvqa_val"),
    (Task::InfoVqa, "infovqa_val"),
    (Task::TextVqa, "textvqa_val"),
    (Task::OcrBench, "ocrbench"),
    (Task::Mme, "mme"),
    (Task::Pope, "pope"),
    (Task::MmVet, "mmvet"),
    (Task::RealWorldQa, "realworldqa"),
    (Task::HallusionBench, "hallusion_bench_image"),
    (Task::MathVerse, "mathverse_testmini"),
    (Task::MathVista(Shot::Cot), "mathvista_testmini_cot"),
    (Task::MathVista(Shot::Format), "mathvista_testmini_format"),
    (Task::MathVista(Shot::Solution), "mathvista_testmini_solution"),
    (Task::Mmmu, "mmmu_val"),
    (Task::MmmuProStandard, "mmmu_pro_standard"),
    (Task::MmmuProStandardCot, "mmmu_pro_standard_cot"),
    (Task::MmmuProVision, "mmmu_pro_vision"),
    (Task::MmmuProVisionCot, "mmmu_pro_vision_cot"),
    (Task::MmBench, "mmbench_en_dev"),
    (Task::MmBench, "mmbench_en_dev_static"),
    (Task::MmBench, "mmbench_en_test"),
    (Task::Own, "own"),
];

impl Task {
    /// The names that [`FromStr`] reads, those of lmms-eval and `own`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// Its name; of several the first.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(task, _)| *task == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Task {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self> {
        let known = NAMES.iter().find(|(_, known)| *known == name);
        known.map(|(task, _)| *task).ok_or_else(|| EvalError::UnknownTask { name: name.to_owned() })
    }
}

/// The text that a task asks about a row of its data set.
///
/// Errors name the row and the field that is missing, of the wrong kind or of an unknown value.
pub fn question_text(task: Task, row: &Row<'_>) -> Result<String> {
    let question = || row.text("question");
    Ok(match task {
        Task::ChartQa => format!("{}\nAnswer the question with a single word.", question()?),
        Task::DocVqa | Task::InfoVqa => format!("{}{WORD_OR_PHRASE}", question()?),
        Task::TextVqa => format!("{}{WORD_OR_PHRASE}", capitalize(question()?)),
        Task::Mme => format!("{}{WORD_OR_PHRASE}", strip(question()?).replace(" Please answer yes or no.", "")),
        Task::Pope => format!("{}{WORD_OR_PHRASE}", strip(question()?)),
        Task::MmVet => format!("{STEP_BY_STEP}{}", question()?),
        Task::OcrBench | Task::RealWorldQa => strip(question()?).to_owned(),
        Task::MathVerse => strip(row.text("query_wo")?).to_owned(),
        Task::MathVista(shot) => mathvista(row, shot)?,
        Task::Mmmu => match row.required("question_type")? {
            mmmu::QuestionType::MultipleChoice => lettered(row, OPTIONS_LETTER)?,
            mmmu::QuestionType::Open => format!("{}\n{WORD_OR_PHRASE}", question()?),
        },
        Task::MmmuProStandard => lettered(row, OPTION_LETTER)?,
        Task::MmmuProStandardCot => lettered(row, LAST_LINE)?,
        Task::MmmuProVision => OPTION_LETTER.to_owned(),
        Task::MmmuProVisionCot => LAST_LINE.to_owned(),
        Task::MmBench => mmbench(row)?,
        Task::Own if row.optional::<Vec<String>>("options")?.is_some_and(|options| !options.is_empty()) => {
            lettered(row, OPTIONS_LETTER)?
        }
        Task::HallusionBench | Task::Own => question()?.to_owned(),
    })
}

/// Question, options with their letters, an empty line, and what to answer with.
fn lettered(row: &Row<'_>, instruction: &str) -> Result<String> {
    let options = with_letters(&row.python_list("options")?, |letter, option| format!("{letter}. {option}"));
    Ok(format!("{}\n{}\n\n{instruction}", row.text("question")?, options.join("\n")))
}

fn with_letters(options: &[String], shown: fn(char, &str) -> String) -> Vec<String> {
    ('A'..).zip(options).map(|(letter, option)| shown(letter, option)).collect()
}

/// Options that are missing, empty or the text `nan` are left out; a hint is left out only if missing or `nan`.
fn mmbench(row: &Row<'_>) -> Result<String> {
    let present = |text: &&str| *text != "nan";
    let hint = row.optional_text("hint")?.filter(present).map_or_else(String::new, |hint| format!("{hint} "));
    let mut lines = vec![format!("{hint}{} There are several options:", row.text("question")?)];
    for letter in ["A", "B", "C", "D", "E"] {
        if let Some(option) = row.optional_text(letter)?.filter(present).filter(|option| !option.is_empty()) {
            lines.push(format!("{letter}. {option}"));
        }
    }
    Ok(format!("{}\n\n{OPTIONS_LETTER}", lines.join("\n").trim_end_matches('\n')))
}

fn mathvista(row: &Row<'_>, shot: Shot) -> Result<String> {
    let question = row.text("question")?;
    let question = match row.optional_text("unit")?.filter(|unit| !unit.is_empty()) {
        Some(unit) => format!("{question} (Unit: {unit})"),
        None => question.to_owned(),
    };
    let choices: Vec<String> = row.optional("choices")?.unwrap_or_default();
    let mut lines = Vec::new();
    if shot == Shot::Format {
        lines.push(question);
        lines.extend(with_letters(&choices, |letter, choice| format!("{letter}. {choice}")));
    } else {
        lines.push(format!("Question: {question}"));
        lines.extend((!choices.is_empty()).then(|| "Choices:".to_owned()));
        lines.extend(with_letters(&choices, |letter, choice| format!("({letter}) {choice}")));
    }
    let [hint, format] = mathvista_hints(row)?;
    lines.push(if shot == Shot::Format { format } else { hint }.to_owned());
    lines.extend((shot == Shot::Solution).then(|| "Solution:".to_owned()));
    Ok(strip(&lines.join("\n")).to_owned())
}

/// What MathVista says about the form of the answer: the long hint, and the short one that names the format.
fn mathvista_hints(row: &Row<'_>) -> Result<[&'static str; 2]> {
    if row.required::<QuestionType>("question_type")? == QuestionType::MultiChoice {
        return Ok([
            "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.",
            OPTIONS_LETTER,
        ]);
    }
    Ok(match (row.required("answer_type")?, row.count("precision")?) {
        (AnswerType::Integer, _) => [
            "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, \
             at the end.",
            "Answer the question using a single integer number.",
        ],
        (AnswerType::Float, Some(1)) => [
            "Hint: Please answer the question requiring a floating-point number with one decimal place and provide the \
             final value, e.g., 1.2, 1.3, 1.4, at the end.",
            "Answer the question using a single floating-point number with one decimal place.",
        ],
        (AnswerType::Float, Some(2)) => [
            "Hint: Please answer the question requiring a floating-point number with two decimal places and provide \
             the final value, e.g., 1.23, 1.34, 1.45, at the end.",
            "Answer the question using a single floating-point number with two decimal places.",
        ],
        (AnswerType::List, _) => [
            "Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., \
             [1, 2, 3], [1.2, 1.3, 1.4], at the end.",
            "Answer the question using a Python list.",
        ],
        (AnswerType::Float, precision) => {
            let found = precision.map_or_else(|| "null".to_owned(), |decimals| decimals.to_string());
            return Err(row.unknown("precision", found, "1 or 2 for a number with decimals"));
        }
        (AnswerType::Text, _) => {
            return Err(row.unknown("answer_type", "text", "`integer`, `float` or `list` without choices"));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(task: &str, row: &Value) -> Result<String> {
        question_text(task.parse()?, &Row::new(1, row)?)
    }

    #[test]
    fn options_get_letters() {
        let row = json!({ "question": "Which?", "options": "['cat', \"it's\"]", "question_type": "multiple-choice" });
        let expected = format!("Which?\nA. cat\nB. it's\n\n{OPTIONS_LETTER}");
        assert_eq!(text("mmmu_val", &row).unwrap(), expected);
    }

    #[test]
    fn missing_options_of_mmbench_are_left_out() {
        let row = json!({ "question": "Q", "hint": "", "A": "x", "B": "nan", "C": null, "D": "", "E": "y\n" });
        let expected = format!(" Q There are several options:\nA. x\nE. y\n\n{OPTIONS_LETTER}");
        assert_eq!(text("mmbench_en_dev", &row).unwrap(), expected);
    }

    #[test]
    fn a_number_of_unknown_form_cannot_be_asked_for() {
        let row = json!({ "question": "Q", "question_type": "free_form", "answer_type": "float", "precision": 3.0 });
        let error = text("mathvista_testmini_cot", &row).unwrap_err().to_string();
        assert_eq!(error, "row 1: field `precision` is `3`, expected 1 or 2 for a number with decimals");
    }

    #[test]
    fn every_name_is_known() {
        for name in Task::names() {
            assert!(name.parse::<Task>().is_ok(), "{name}");
        }
        assert!("mmmu_test".parse::<Task>().unwrap_err().to_string().contains("`mmmu_val`"));
    }
}
