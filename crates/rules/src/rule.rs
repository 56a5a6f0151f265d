//! The judges by name.

use serde::{Deserialize, Serialize};

use crate::answer::AnswerTags;
use crate::boxed::boxed_content;
use crate::error::Result;
use crate::grade::grade_answer;
use crate::judge::choice::choice;
use crate::judge::exact::exact;
use crate::judge::numeric::{Tolerance, numeric};
use crate::judge::{Truth, Verdict, answer_of};
use crate::rule_based::rule_based;
use crate::verify::math_verify;

/// A judge that needs no language model, as a run file names it: `"exact"`, `"choice"`, or
/// `{ numeric = { relative = 0.05, absolute = 0.0 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// [`exact`]: equal texts but for case, spacing, punctuation and articles.
    Exact,
    /// [`numeric`]: the last number, within a tolerance.
    Numeric(Tolerance),
    /// [`choice`]: the option that the reply names.
    Choice,
    /// [`math_verify`]: equal mathematics anywhere in the answer.
    MathVerify,
    /// [`grade_answer`]: equal bare answers; of a reply, the boxed content or the tagged answer.
    GradeAnswer,
    /// [`rule_based`]: the reference's three stages, `split` reading of the answer tags.
    RuleBased,
}

impl Rule {
    /// Refuses a rule whose numbers make no sense.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Numeric(tolerance) => tolerance.check(),
            _ => Ok(()),
        }
    }

    /// Judges the reply of one conversation. With several true answers, one is enough.
    pub fn judge(&self, reply: &str, truth: &Truth<'_>) -> Verdict {
        match self {
            Self::Exact => exact(reply, truth),
            Self::Numeric(tolerance) => numeric(reply, truth, *tolerance),
            Self::Choice => choice(reply, truth),
            Self::MathVerify => any(answer(reply), truth, math_verify),
            Self::GradeAnswer => any(answer_of(reply), truth, |truth, given| grade_answer(given, truth)),
            Self::RuleBased => {
                any(answer(reply), truth, |truth, _| rule_based(&[reply], truth, AnswerTags::Split).accepted.is_some())
            }
        }
    }
}

/// The answer with its box, for rules that look for boxes themselves.
fn answer(reply: &str) -> &str {
    AnswerTags::Split.prediction(reply).unwrap_or(reply)
}

fn any(read: &str, truth: &Truth<'_>, right: impl Fn(&str, &str) -> bool) -> Verdict {
    if read.is_empty() {
        return Verdict::Wrong { read: None };
    }
    let shown = boxed_content(read).unwrap_or(read);
    Verdict::of(truth.answers.iter().any(|answer| right(answer, read)), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_file_names_a_rule() {
        for (json, rule) in [
            (r#""exact""#, Rule::Exact),
            (r#""grade-answer""#, Rule::GradeAnswer),
            (
                r#"{"numeric": {"relative": 0.05, "absolute": 0.0}}"#,
                Rule::Numeric(Tolerance { relative: 0.05, absolute: 0.0 }),
            ),
        ] {
            assert_eq!(serde_json::from_str::<Rule>(json).unwrap(), rule);
        }
        assert!(serde_json::from_str::<Rule>(r#""guess""#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"numeric": {"relative": 0.05}}"#).is_err());
    }

    #[test]
    fn every_rule_judges_a_reply_by_its_answer() {
        let tolerance = Tolerance { relative: 0.0, absolute: 0.0 };
        let rules = [Rule::Exact, Rule::Numeric(tolerance), Rule::MathVerify, Rule::GradeAnswer, Rule::RuleBased];
        for rule in rules {
            let truth = Truth { answers: &["41", "42"], options: &[] };
            let verdict = rule.judge(r"<think>41?</think><answer>\boxed{42}</answer>", &truth);
            assert_eq!(verdict, Verdict::Correct { read: "42".to_owned() }, "{rule:?}");
            assert!(!rule.judge("<answer>7</answer>", &truth).is_correct(), "{rule:?}");
            assert_eq!(rule.judge("<answer></answer>", &truth), Verdict::Wrong { read: None }, "{rule:?}");
        }
        let truth = Truth { answers: &["B"], options: &["cat", "dog"] };
        assert!(Rule::Choice.judge("<answer>dog</answer>", &truth).is_correct());
    }
}
