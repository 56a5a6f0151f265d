//! How often the full image was called for, and what came of it.

use super::Metrics;
use crate::error::{Result, RewardError};

/// Keeps the reference's rates defined where nothing was called.
const RATE_EPSILON: f64 = 1e-4;

/// One response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolOutcome {
    /// Whether the full image was delivered: what the reference's names call success.
    pub delivered: bool,
    /// Whether a pair of tool tags is in the transcript.
    pub called: bool,
    /// Whether the answer is right.
    pub correct: bool,
}

/// How rates are taken.
///
/// Source: `_maybe_log_tool_call_metrics` in `verl/trainer/ppo/ray_trainer.py` of VisionThink, commit 42afd8c.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricRules {
    /// Counts over counts; 0 of nothing.
    Exact,
    /// The reference's: 1e-4 is added to what is divided by, and answers after a call count as right only where their
    /// score is 1, which no other accuracy weight allows.
    Reference {
        /// What a right answer scores.
        accuracy_weight: f64,
    },
}

impl MetricRules {
    fn rate(self, part: usize, whole: usize) -> f64 {
        let (part, whole) = (part as f64, whole as f64);
        match self {
            Self::Exact if whole == 0.0 => 0.0,
            Self::Exact => part / whole,
            Self::Reference { .. } => part / (whole + RATE_EPSILON),
        }
    }

    /// Right answers that had the full image.
    fn correct_with_image(self, outcomes: &[ToolOutcome]) -> usize {
        match self {
            Self::Reference { accuracy_weight } if accuracy_weight != 1.0 => 0,
            _ => count(outcomes, |outcome| outcome.delivered && outcome.correct),
        }
    }
}

fn count(outcomes: &[ToolOutcome], holds: impl Fn(&ToolOutcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| holds(outcome)).count()
}

/// The three rates that training and validation share: delivered of all, delivered of called, right of delivered.
fn rates(outcomes: &[ToolOutcome], rules: MetricRules) -> Result<[f64; 3]> {
    if outcomes.is_empty() {
        return Err(RewardError::NoRows { what: "metrics" });
    }
    let delivered = count(outcomes, |outcome| outcome.delivered);
    let called = count(outcomes, |outcome| outcome.called);
    Ok([
        delivered as f64 / outcomes.len() as f64,
        rules.rate(delivered, called),
        rules.rate(rules.correct_with_image(outcomes), delivered),
    ])
}

/// The `tool_call/*` numbers of a training batch, the responses of a group being neighbours.
///
/// The last four are shares of groups by what occurs in them: a wrong answer, a right one with the full image, a right
/// one without.
///
/// # Errors
/// [`RewardError::NoRows`] for an empty batch, [`RewardError::GroupSize`] where it does not divide into groups.
pub fn tool_call_metrics(outcomes: &[ToolOutcome], group_size: usize, rules: MetricRules) -> Result<Metrics> {
    let [per_response, delivery, correct] = rates(outcomes, rules)?;
    if group_size == 0 || !outcomes.len().is_multiple_of(group_size) {
        return Err(RewardError::GroupSize { rows: outcomes.len(), group_size });
    }
    let groups: Vec<&[ToolOutcome]> = outcomes.chunks(group_size).collect();
    let share = |holds: &dyn Fn(&[ToolOutcome]) -> bool| {
        groups.iter().filter(|group| holds(group)).count() as f64 / groups.len() as f64
    };
    // Wrong, right with the image, right without it.
    let mixed = |expected: [bool; 3]| {
        share(&|group| {
            let any = |holds: fn(&ToolOutcome) -> bool| group.iter().any(holds);
            [any(|o| !o.correct), any(|o| o.correct && o.delivered), any(|o| o.correct && !o.delivered)] == expected
        })
    };
    Ok(vec![
        ("tool_call/effective_batch_success_tool_call_ratio", per_response),
        (
            "tool_call/effective_sample_success_tool_call_ratio",
            share(&|group| group.iter().any(|outcome| outcome.delivered)),
        ),
        ("tool_call/success_tool_call_rate", delivery),
        ("tool_call/success_tool_call_correct_answer_ratio", correct),
        ("tool_call/wrong_answer_use_tool_correct_ratio", mixed([true, true, false])),
        ("tool_call/wrong_answer_direct_answer_correct_ratio", mixed([true, false, true])),
        ("tool_call/use_tool_correct_direct_answer_correct_ratio", mixed([false, true, true])),
        ("tool_call/wrong_answer_use_tool_correct_direct_answer_correct_ratio", mixed([true, true, true])),
    ])
}

/// The `val/tool_call/*` numbers.
///
/// # Errors
/// [`RewardError::NoRows`] without a response.
pub fn validation_tool_call_metrics(outcomes: &[ToolOutcome], rules: MetricRules) -> Result<Metrics> {
    let [per_response, delivery, correct] = rates(outcomes, rules)?;
    Ok(vec![
        ("val/tool_call/success_tool_call_ratio_per_batch", per_response),
        ("val/tool_call/success_tool_call_rate", delivery),
        ("val/tool_call/success_tool_call_correct_answer_ratio", correct),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: ToolOutcome = ToolOutcome { delivered: false, called: false, correct: false };
    const DIRECT: ToolOutcome = ToolOutcome { correct: true, ..WRONG };
    const RESIZED: ToolOutcome = ToolOutcome { delivered: true, called: true, correct: true };

    fn value(metrics: &Metrics, name: &str) -> f64 {
        metrics.iter().find(|(other, _)| *other == name).unwrap().1
    }

    #[test]
    fn groups_are_told_apart_by_what_occurs_in_them() {
        let outcomes = [WRONG, RESIZED, WRONG, DIRECT, DIRECT, RESIZED, DIRECT, DIRECT];
        let metrics = tool_call_metrics(&outcomes, 2, MetricRules::Exact).unwrap();
        for name in ["wrong_answer_use_tool_correct", "wrong_answer_direct_answer_correct"] {
            assert_eq!(value(&metrics, &format!("tool_call/{name}_ratio")), 0.25);
        }
        assert_eq!(value(&metrics, "tool_call/effective_sample_success_tool_call_ratio"), 0.5);
        assert_eq!(value(&metrics, "tool_call/success_tool_call_correct_answer_ratio"), 1.0);
    }

    #[test]
    fn another_accuracy_weight_hides_right_answers_from_the_reference_only() {
        let correct = |rules| validation_tool_call_metrics(&[RESIZED, WRONG], rules).unwrap()[2].1;
        assert_eq!(correct(MetricRules::Exact), 1.0);
        assert_eq!(correct(MetricRules::Reference { accuracy_weight: 0.5 }), 0.0);
    }

    #[test]
    fn nobody_calling_is_a_rate_of_zero() {
        assert_eq!(validation_tool_call_metrics(&[WRONG], MetricRules::Exact).unwrap()[1].1, 0.0);
    }

    #[test]
    fn half_a_group_is_an_error() {
        let error = tool_call_metrics(&[WRONG; 3], 2, MetricRules::Exact).unwrap_err();
        assert_eq!(error.to_string(), "3 rows are not whole groups of 2");
    }
}
