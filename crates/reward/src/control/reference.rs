//! The penalties of the reference's code, float comparisons included.
//!
//! Source: VisionThink, commit 42afd8c: `compute_score` in `general_qa_tool.py` for one response, `fit` in
//! `verl/trainer/ppo/ray_trainer.py` for the group. Against Eq. 5 of the paper: a right answer with a call always pays,
//! below the threshold direct answers pay too, so that the full image is never preferred; wrong answers never pay.

use serde::{Deserialize, Serialize};

use super::{DirectRatio, GroupControl};
use crate::breakdown::{Penalty, RewardBreakdown, Weights};
use crate::group::Precision;

/// Keeps the reference's ratio defined where nothing is right.
const RATIO_EPSILON: f32 = 1e-4;

/// The settings of the reference's penalties, with its names in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferencePenalty {
    /// Share of the accuracy weight that a right answer with a counted call loses (`tool_call_penalty`).
    pub call_penalty: f64,
    /// What a right direct answer loses below the threshold, in units of reward (`direct_answer_penalty`).
    pub direct_penalty: f64,
    /// Share of direct answers among the right ones below which they pay; 0 switches the group part off
    /// (`soft_tool_call_penalty_ratio`).
    pub threshold: f64,
    /// Whether direct answers pay in every group with a wrong answer, and below the threshold in groups without one
    /// (`soft_tool_call_filter`).
    pub filter: bool,
    /// The arithmetic in which a direct answer is recognised: its value equals the accuracy weight. The reference
    /// computes in f32 and misses direct answers at weights such as 1.0 and 0.3.
    pub precision: Precision,
}

/// Whether a question needs the full image, and what follows from the model disagreeing (`supervise_tool_label`, off in
/// every recipe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLabel {
    /// The label of the row (`use_tool`).
    pub needs_full: bool,
    /// How a disagreement is penalised.
    pub supervision: Supervision,
}

/// How a call against the label, or a missing one, is penalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// Right answers lose their share of the accuracy weight.
    Share,
    /// Every answer loses the penalty itself (`strict_tool_call_penalty`).
    Flat,
}

impl ReferencePenalty {
    /// The settings of the efficient recipe.
    pub fn recipe() -> Self {
        Self { call_penalty: 0.1, direct_penalty: 0.1, threshold: 0.2, filter: false, precision: Precision::F32 }
    }

    /// What one response pays before its group is looked at.
    ///
    /// Without a label: call_penalty · R_acc for a counted call. With one: the same, or call_penalty itself, where call
    /// and label disagree.
    pub fn of_response(&self, response: &RewardBreakdown, weights: &Weights, label: Option<CallLabel>) -> Penalty {
        let called = response.control.counted_calls > 0;
        let share = self.call_penalty * response.scores(weights).map_or(0.0, |scores| scores.accuracy);
        let amount = match label {
            None if called => share,
            Some(label) if label.needs_full != called => match label.supervision {
                Supervision::Share => share,
                Supervision::Flat => self.call_penalty,
            },
            _ => 0.0,
        };
        if amount == 0.0 {
            Penalty::None
        } else if called {
            Penalty::Resize { amount }
        } else {
            Penalty::Direct { amount }
        }
    }

    /// v = score − format score. C = #{v > 0}, D = #{v = w_a}, r' = D / (C + 1e-4). Where 0 < r' < threshold, every
    /// response with v = w_a pays the direct penalty.
    pub(super) fn apply(&self, group: &mut [RewardBreakdown], weights: &Weights) -> GroupControl {
        let values: Vec<f64> = group.iter().map(|response| self.value(response, weights)).collect();
        for response in &mut *group {
            response.control.penalty = self.of_response(response, weights, None);
        }
        let resize_penalised = self.call_penalty > 0.0;
        if self.threshold <= 0.0 {
            return GroupControl { ratio: None, direct_penalised: false, resize_penalised };
        }
        let full = self.precision.round(weights.accuracy);
        let ratio = ratio(&values, full);
        let direct_penalised = self.direct_penalty > 0.0 && self.hits(&values, ratio.value);
        if direct_penalised {
            for (response, _) in group.iter_mut().zip(&values).filter(|(_, value)| **value == full) {
                response.control.penalty = Penalty::Direct { amount: self.direct_penalty };
            }
        }
        GroupControl { ratio: Some(ratio), direct_penalised, resize_penalised }
    }

    /// Score less format score in the order of the reference's operations, which decides whether it equals the weight.
    fn value(&self, response: &RewardBreakdown, weights: &Weights) -> f64 {
        let round = |value| self.precision.round(value);
        let Some(scores) = response.scores(weights) else {
            return 0.0;
        };
        let factor = if response.control.counted_calls > 0 { 1.0 - self.call_penalty } else { 1.0 };
        let score = factor * scores.accuracy + scores.format;
        round(round(score) - round(scores.format))
    }

    fn hits(&self, values: &[f64], ratio: f64) -> bool {
        let below = ratio > 0.0 && ratio < f64::from(self.threshold as f32);
        if !self.filter {
            return below;
        }
        let some_wrong = values.contains(&0.0);
        some_wrong || below
    }
}

/// The reference takes the ratio in f32 whatever the rest is in.
fn ratio(values: &[f64], full: f64) -> DirectRatio {
    let direct = values.iter().filter(|&&value| value == full).count();
    let correct = values.iter().filter(|&&value| value > 0.0).count();
    let value = f64::from(direct as f32 / (correct as f32 + RATIO_EPSILON));
    DirectRatio { direct, correct, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breakdown::{Accuracy, FirstTurn};
    use crate::control::PenaltyRule;
    use crate::format::{Format, FormatCheck};

    fn response(correct: bool, calls: usize) -> RewardBreakdown {
        let accuracy = if correct { Accuracy::Correct } else { Accuracy::Wrong };
        let first_turn = if calls > 0 { FirstTurn::Resized } else { FirstTurn::Direct };
        RewardBreakdown::new(accuracy, FormatCheck { format: Format::Ok, tool_calls: calls }, first_turn)
    }

    fn rewards(rule: ReferencePenalty, group: &mut [RewardBreakdown], weights: Weights) -> Vec<f64> {
        PenaltyRule::Reference(rule).apply(group, &weights);
        group.iter().map(|response| response.reward(&weights)).collect()
    }

    #[test]
    fn below_the_threshold_the_reference_makes_everybody_equal() {
        let mut group = vec![response(true, 0), response(true, 1), response(false, 1)];
        let rule = ReferencePenalty { threshold: 0.6, ..ReferencePenalty::recipe() };
        assert_eq!(rewards(rule, &mut group, Weights::paper()), [1.4, 1.4, 0.5]);
    }

    #[test]
    fn without_a_threshold_only_right_answers_with_a_call_pay() {
        let mut group = vec![response(true, 0), response(true, 1), response(false, 1)];
        let rule = ReferencePenalty { threshold: 0.0, ..ReferencePenalty::recipe() };
        assert_eq!(rewards(rule, &mut group, Weights::paper()), [1.5, 1.4, 0.5]);
    }

    #[test]
    fn in_single_precision_a_direct_answer_can_go_unrecognised() {
        let weights = Weights { format: 0.3, ..Weights::paper() };
        let mut group = vec![response(true, 0)];
        let count = |precision, group: &mut [RewardBreakdown]| {
            let rule = ReferencePenalty { precision, ..ReferencePenalty::recipe() };
            PenaltyRule::Reference(rule).apply(group, &weights).ratio.unwrap().direct
        };
        assert_eq!(count(Precision::F64, &mut group), 1);
        assert_eq!(count(Precision::F32, &mut group), 0);
    }

    #[test]
    fn a_label_penalises_both_the_needless_call_and_the_missing_one() {
        let rule = ReferencePenalty::recipe();
        let label = |needs_full, supervision| Some(CallLabel { needs_full, supervision });
        let of = |correct, calls, label| rule.of_response(&response(correct, calls), &Weights::paper(), label);
        assert_eq!(of(true, 1, label(true, Supervision::Share)), Penalty::None);
        assert_eq!(of(true, 1, label(false, Supervision::Share)), Penalty::Resize { amount: 0.1 });
        assert_eq!(of(false, 1, label(false, Supervision::Share)), Penalty::None);
        assert_eq!(of(false, 0, label(true, Supervision::Flat)), Penalty::Direct { amount: 0.1 });
    }
}
