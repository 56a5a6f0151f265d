//! The rules to choose from for questions of your own.

use std::fmt;
use std::str::FromStr;

use super::{Edition, anls, chartqa, mcq, mmmu, ocrbench, realworldqa};
use crate::error::EvalError;
use crate::python::text::strip;

/// The letters that a question without a list of options may name.
const LETTERS: [char; 5] = ['A', 'B', 'C', 'D', 'E'];

/// A rule for questions of your own. Of several answers the one that fits best counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnMetric {
    /// The prediction is the answer, in any case and without dots at its end (as RealWorldQA).
    Exact,
    /// How near it is to the answer, from 0 to 1 (as DocVQA).
    Anls,
    /// It is the answer, or a number within 5 % of it (as ChartQA).
    Relaxed,
    /// It has the answer in it, in any case (as OCRBench).
    Contains,
    /// It chooses the option that the answer names by letter or text: of a list of options as MMMU reads it, else of the
    /// letters A to E as RealWorldQA does.
    MultipleChoice,
}

const NAMES: [(OwnMetric, &str); 5] = [
    (OwnMetric::Exact, "exact"),
    (OwnMetric::Anls, "anls"),
    (OwnMetric::Relaxed, "relaxed"),
    (OwnMetric::Contains, "contains"),
    (OwnMetric::MultipleChoice, "multiple-choice"),
];

impl OwnMetric {
    /// The names that [`FromStr`] reads.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(metric, _)| *metric == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for OwnMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OwnMetric {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, EvalError> {
        let known = NAMES.iter().find(|(_, known)| *known == name);
        known.map(|(metric, _)| *metric).ok_or_else(|| EvalError::UnknownMetric { name: name.to_owned() })
    }
}

/// The score of a prediction, from 0 to 1; `None` if no answer of a multiple choice names an option.
pub fn score(metric: OwnMetric, prediction: &str, answers: &[String], options: &[String]) -> Option<f64> {
    let any = |right: fn(&str, &str) -> bool| f64::from(answers.iter().any(|answer| right(prediction, answer)));
    match metric {
        OwnMetric::Exact => Some(any(realworldqa::is_same_text)),
        OwnMetric::Anls => Some(anls::anls(prediction, answers)),
        OwnMetric::Relaxed => Some(any(chartqa::relaxed_match)),
        OwnMetric::Contains => Some(f64::from(ocrbench::contains_answer(prediction, answers, "", Edition::Reference))),
        OwnMetric::MultipleChoice => {
            let truths: Vec<char> = answers.iter().filter_map(|answer| letter(answer, options)).collect();
            let chosen = if options.is_empty() {
                mcq::extract(prediction, &LETTERS)
            } else {
                mmmu::parse_choice(prediction, options)
            };
            (!truths.is_empty()).then(|| f64::from(chosen.is_some_and(|chosen| truths.contains(&chosen))))
        }
    }
}

/// The letter of the option that an answer names, by its letter or, failing that, by its text in any case.
fn letter(answer: &str, options: &[String]) -> Option<char> {
    let answer = strip(answer);
    let offered = if options.is_empty() { LETTERS.len() } else { options.len() };
    let mut letters = ('A'..='Z').take(offered);
    letters.clone().find(|letter| answer.strip_prefix(*letter).is_some_and(str::is_empty)).or_else(|| {
        let place = options.iter().position(|option| strip(option).to_lowercase() == answer.to_lowercase())?;
        letters.nth(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(metric: &str, prediction: &str, answers: &[&str], options: &[&str]) -> Option<f64> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        score(metric.parse().unwrap(), prediction, &owned(answers), &owned(options))
    }

    #[test]
    fn each_rule_reads_its_own_way() {
        assert_eq!(scored("exact", " Red. ", &["blue", "red"], &[]), Some(1.0));
        assert_eq!(scored("exact", "it is red", &["red"], &[]), Some(0.0));
        assert_eq!(scored("anls", "helo", &["hello"], &[]), Some(0.8));
        assert_eq!(scored("relaxed", "10.4", &["10"], &[]), Some(1.0));
        assert_eq!(scored("relaxed", "10.6", &["10"], &[]), Some(0.0));
        assert_eq!(scored("contains", "It says STOP here", &["stop"], &[]), Some(1.0));
    }

    #[test]
    fn a_choice_is_named_by_letter_or_by_text() {
        let options = ["a cat", "a dog"];
        for answer in ["B", "a dog", "A Dog"] {
            assert_eq!(scored("multiple-choice", "(B)", &[answer], &options), Some(1.0), "{answer}");
            assert_eq!(scored("multiple-choice", "(A)", &[answer], &options), Some(0.0), "{answer}");
        }
        assert_eq!(scored("multiple-choice", "The answer is C.", &["C"], &[]), Some(1.0));
        assert_eq!(scored("multiple-choice", "(A)", &["a bird"], &options), None);
        assert_eq!(scored("multiple-choice", "(A)", &["C"], &options), None);
    }

    #[test]
    fn an_unknown_rule_is_answered_with_the_known_ones() {
        let error = "bleu".parse::<OwnMetric>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown metric `bleu`; expected one of `exact`, `anls`, `relaxed`, `contains`, `multiple-choice`"
        );
        for name in OwnMetric::names() {
            assert_eq!(name.parse::<OwnMetric>().unwrap().to_string(), name);
        }
    }
}
