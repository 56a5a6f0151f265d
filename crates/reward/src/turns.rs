//! Advantages of turns: the decision to call is credited with what it earned, the answer with what it earned.

use serde::{Deserialize, Serialize};

use crate::breakdown::{FirstTurn, RewardBreakdown, Weights};
use crate::group::{AdvantageRule, advantages};

/// Which tokens a reward is credited to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credit {
    /// All sampled tokens of a response have its advantage (GRPO).
    #[default]
    Trajectory,
    /// Parts of the reward are normalised apart, and that of the tool goes to the turn that called (DTPO); see [`turn_advantages`].
    Turns {
        /// What the tool's part weighs against the outcome's: λ, 0.3 in the paper.
        tool_weight: f64,
    },
}

impl Credit {
    /// The advantages of a group: of `rewards`, or of their `parts`.
    pub fn advantages(self, rewards: &[f64], parts: &[TurnRewards], rule: AdvantageRule) -> Vec<TurnAdvantages> {
        match self {
            Self::Trajectory => advantages(rewards, rule).into_iter().map(TurnAdvantages::uniform).collect(),
            Self::Turns { tool_weight } => turn_advantages(parts, tool_weight, rule),
        }
    }
}

/// The reward of one response in two parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnRewards {
    /// What the answer earned.
    pub outcome: f64,
    /// What calling, or not calling, earned.
    pub tool: f64,
    /// Whether the first turn called, so that there is a second one.
    pub called: bool,
}

/// The advantage of the sampled tokens of one response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnAdvantages {
    /// Of the turn that called.
    pub call: f64,
    /// Of the turn that answered; of all tokens where nothing was called.
    pub answer: f64,
}

impl TurnRewards {
    /// Accuracy and format are the outcome; the control penalty, negative, is the tool's part. 0 where nobody judged the answer.
    pub fn of(response: &RewardBreakdown, weights: &Weights) -> Self {
        let called = response.control.first_turn == FirstTurn::Resized;
        let (outcome, tool) = response
            .scores(weights)
            .map_or((0.0, 0.0), |scores| (scores.accuracy + scores.format, -response.control.penalty.amount()));
        Self { outcome, tool, called }
    }
}

/// DTPO. With `A_o` and `A_t` the advantages of the outcomes and of the tool parts over the group, each by `rule`:
///
/// | | tokens of the calling turn | other tokens |
/// | --- | --- | --- |
/// | called | A_o + λ A_t | A_o |
/// | did not call | – | A_o + λ A_t |
///
/// A group whose tool parts are all equal has A_t = 0.
///
/// Source: AdaptVision (arXiv 2512.03794), decoupled turn policy optimization. Its tool reward judges a crop, and its balance penalty is part
/// of the outcome; here the tool gives the whole image, so the control penalty is all that the decision earns, and it is the tool's part.
/// The other half of DTPO, a mean of its own for either kind of turn, is a matter of the loss.
pub fn turn_advantages(rewards: &[TurnRewards], tool_weight: f64, rule: AdvantageRule) -> Vec<TurnAdvantages> {
    let part = |of: fn(&TurnRewards) -> f64| advantages(&rewards.iter().map(of).collect::<Vec<f64>>(), rule);
    let (outcomes, tools) = (part(|reward| reward.outcome), part(|reward| reward.tool));
    let parts = rewards.iter().zip(outcomes).zip(tools);
    parts
        .map(|((reward, outcome), tool)| {
            let both = outcome + tool_weight * tool;
            TurnAdvantages { call: both, answer: if reward.called { outcome } else { both } }
        })
        .collect()
}

impl TurnAdvantages {
    /// One advantage for all tokens.
    pub fn uniform(advantage: f64) -> Self {
        Self { call: advantage, answer: advantage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breakdown::{Accuracy, Penalty};
    use crate::format::FormatRules;
    use crate::group::Precision;

    const CENTRED: AdvantageRule = AdvantageRule { normalise_std: false, precision: Precision::F64 };

    fn reward(outcome: f64, tool: f64, called: bool) -> TurnRewards {
        TurnRewards { outcome, tool, called }
    }

    #[test]
    fn a_call_is_credited_to_the_turn_that_called_and_an_answer_to_all() {
        let group =
            [reward(1.5, -0.1, true), reward(0.5, -0.1, true), reward(1.5, 0.0, false), reward(0.5, 0.0, false)];
        // Means 1.0 and -0.05: outcomes are 0.5 above or below, tools 0.05, of which half counts.
        let expected = [(0.475, 0.5), (-0.525, -0.5), (0.525, 0.525), (-0.475, -0.475)];
        for (found, (call, answer)) in turn_advantages(&group, 0.5, CENTRED).into_iter().zip(expected) {
            assert!((found.call - call).abs() < 1e-12 && (found.answer - answer).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn parts_are_normalised_by_deviations_of_their_own() {
        let group = [reward(1.5, -0.1, true), reward(0.5, 0.0, false)];
        let found = turn_advantages(&group, 0.3, AdvantageRule::grpo());
        // Two numbers are sqrt(1/2) deviations from their mean, whatever their distance: s = 0.7071 for both parts.
        let s = 0.5_f64.sqrt();
        assert!((found[0].answer - s).abs() < 2e-5 && (found[0].call - 0.7 * s).abs() < 2e-5, "{found:?}");
        assert!((found[1].answer + 0.7 * s).abs() < 2e-5, "{found:?}");
    }

    #[test]
    fn equal_tool_parts_leave_the_advantage_of_the_outcome() {
        let group = [reward(1.5, -0.1, true), reward(0.5, -0.1, false)];
        let outcome = advantages(&[1.5, 0.5], AdvantageRule::grpo());
        for (found, outcome) in turn_advantages(&group, 0.3, AdvantageRule::grpo()).into_iter().zip(outcome) {
            assert_eq!(found, TurnAdvantages::uniform(outcome));
        }
    }

    #[test]
    fn the_penalty_is_the_tools_part_of_a_reward() {
        let check = FormatRules::Strict.check(&["<think>a</think><answer>7</answer>"]);
        let mut response = RewardBreakdown::new(Accuracy::Correct, check, FirstTurn::Direct);
        response.control.penalty = Penalty::Direct { amount: 0.1 };
        let found = TurnRewards::of(&response, &Weights::paper());
        assert_eq!(found, reward(1.5, -0.1, false));
        response.accuracy = Accuracy::Unjudged;
        assert_eq!(TurnRewards::of(&response, &Weights::paper()), reward(0.0, 0.0, false));
    }
}
