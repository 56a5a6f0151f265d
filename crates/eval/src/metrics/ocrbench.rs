//! OCRBench: an answer occurs in the prediction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Edition;
use crate::python::text::strip;

/// The data set whose answers are formulas: compared without spaces, in their case.
const FORMULAS: &str = "HME100k";

/// Whether any answer occurs in the prediction. An empty answer always does.
///
/// Formulas are compared without line breaks and spaces. Other texts are lowered, stripped and their line breaks made
/// spaces; the reference turns full-width characters into ASCII before. v0.3.2 lowers the prediction before it looks
/// at the data set, so there a formula with a capital is never found.
///
/// Source: lmms-eval, `tasks/ocrbench/utils`, reference and v0.3.2.
pub fn contains_answer<A: AsRef<str>>(prediction: &str, answers: &[A], dataset: &str, edition: Edition) -> bool {
    let prediction = strip(prediction);
    let (prediction, prepare): (String, fn(&str) -> String) = match (edition, dataset == FORMULAS) {
        (Edition::Reference, true) => (prediction.to_owned(), without_spaces),
        (Edition::Reference, false) => (prediction.to_owned(), |text| lowered(&narrow(text))),
        (Edition::V032, true) => (prediction.to_lowercase(), without_spaces),
        (Edition::V032, false) => (prediction.to_owned(), lowered),
    };
    let prediction = prepare(&prediction);
    answers.iter().any(|answer| prediction.contains(&prepare(answer.as_ref())))
}

fn without_spaces(text: &str) -> String {
    strip(text).replace(['\n', ' '], "")
}

fn lowered(text: &str) -> String {
    strip(&text.to_lowercase()).replace('\n', " ")
}

/// Full-width forms U+FF01 to U+FF5E as ASCII, the ideographic space as a space.
fn narrow(text: &str) -> String {
    let narrowed = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    };
    text.chars().map(narrowed).collect()
}

/// The ten kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names beside the variants say what they are")]
pub enum QuestionType {
    #[serde(rename = "Regular Text Recognition")]
    RegularText,
    #[serde(rename = "Irregular Text Recognition")]
    IrregularText,
    #[serde(rename = "Artistic Text Recognition")]
    ArtisticText,
    #[serde(rename = "Handwriting Recognition")]
    Handwriting,
    #[serde(rename = "Digit String Recognition")]
    DigitString,
    #[serde(rename = "Non-Semantic Text Recognition")]
    NonSemanticText,
    #[serde(rename = "Scene Text-centric VQA")]
    SceneText,
    #[serde(rename = "Doc-oriented VQA")]
    Document,
    #[serde(rename = "Key Information Extraction")]
    KeyInformation,
    #[serde(rename = "Handwritten Mathematical Expression Recognition")]
    HandwrittenFormula,
}

impl QuestionType {
    const ALL: [Self; 10] = [
        Self::RegularText,
        Self::IrregularText,
        Self::ArtisticText,
        Self::Handwriting,
        Self::DigitString,
        Self::NonSemanticText,
        Self::SceneText,
        Self::Document,
        Self::KeyInformation,
        Self::HandwrittenFormula,
    ];

    /// Whether it belongs to the sub-score "text recognition".
    fn recognition(self) -> bool {
        self <= Self::NonSemanticText
    }
}

/// Counts of right answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of all questions; the whole data set has 1000.
    pub final_score: u32,
    /// `final_score / 1000`, whatever the number of questions.
    pub accuracy: f64,
    /// Of the six kinds of recognition; 300 in the whole data set.
    pub text_recognition: u32,
    /// Of each kind, also those without questions.
    pub per_type: BTreeMap<QuestionType, u32>,
}

/// The counts over questions, each with its kind and whether it was right.
pub fn aggregate(questions: &[(QuestionType, bool)]) -> Scores {
    let mut per_type: BTreeMap<_, _> = QuestionType::ALL.map(|kind| (kind, 0)).into();
    for (kind, right) in questions {
        *per_type.entry(*kind).or_insert(0) += u32::from(*right);
    }
    let final_score: u32 = per_type.values().sum();
    let text_recognition = per_type.iter().filter(|(kind, _)| kind.recognition()).map(|(_, count)| count).sum();
    Scores { final_score, accuracy: f64::from(final_score) / 1000.0, text_recognition, per_type }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_inside_a_longer_text() {
        assert!(contains_answer("The sign says\nSTOP.", &["says stop"], "svt", Edition::Reference));
        assert!(contains_answer("", &[""], "svt", Edition::Reference));
        assert!(!contains_answer("50 %", &["50%"], "svt", Edition::Reference));
    }

    #[test]
    fn only_the_reference_narrows_full_width_characters() {
        assert!(contains_answer("ＡＢ　１", &["ab 1"], "svt", Edition::Reference));
        assert!(!contains_answer("ＡＢ　１", &["ab 1"], "svt", Edition::V032));
    }

    #[test]
    fn a_formula_keeps_its_case_and_the_old_rule_never_finds_a_capital() {
        assert!(contains_answer("x = Y", &["x=Y"], FORMULAS, Edition::Reference));
        assert!(!contains_answer("x = y", &["x=Y"], FORMULAS, Edition::Reference));
        assert!(!contains_answer("x = Y", &["x=Y"], FORMULAS, Edition::V032));
        assert!(contains_answer("x = y", &["x=y"], FORMULAS, Edition::V032));
    }

    #[test]
    fn recognition_is_a_part_of_the_score() {
        let scores = aggregate(&[
            (QuestionType::Handwriting, true),
            (QuestionType::Document, true),
            (QuestionType::Document, false),
        ]);
        assert_eq!((scores.final_score, scores.text_recognition, scores.accuracy), (2, 1, 0.002));
        assert_eq!(scores.per_type.len(), 10);
    }
}
