//! From the rewards of a group to the advantages of its responses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Result, RewardError};

/// Keeps the normalised advantage finite. Source: `core_algos.py` of verl.
const STD_EPSILON: f64 = 1e-6;

/// Divides the reward of a group of one, whose standard deviation is taken for 1: verl builds that 1 as an f32, and
/// adds the epsilon in f32.
const STD_OF_ONE: f32 = 1.0 + 1e-6;

/// The least standard deviation of the rewards of a group that teaches anything. Source: `ray_trainer.py`, `fit`.
pub const MIN_STD: f64 = 1e-4;

/// The arithmetic of a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Double.
    #[default]
    F64,
    /// Single, rounded after every operation and summed in PyTorch's order; for parity with recorded numbers. Sixteen
    /// rewards of 1.4 have a mean one unit off, and advantages of 0.1 where there is nothing to learn.
    F32,
}

impl Precision {
    /// The nearest number that there is.
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F32 => f64::from(value as f32),
        }
    }

    fn sum(self, values: &[f64]) -> f64 {
        match self {
            Self::F64 => values.iter().sum(),
            Self::F32 => f64::from(sum_in_lanes(values)),
        }
    }
}

/// Eight running sums, one for each place in a vector register, added up behind what is left over.
fn sum_in_lanes(values: &[f64]) -> f32 {
    let chunks = values.chunks_exact(8);
    let mut total: f32 = chunks.remainder().iter().map(|&value| value as f32).sum();
    let mut lanes = [0.0_f32; 8];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value as f32;
        }
    }
    for lane in lanes {
        total += lane;
    }
    total
}

/// Mean and spread of the rewards of a group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupStats {
    /// The mean; 0 of an empty group.
    pub mean: f64,
    /// The standard deviation with Bessel's correction (n − 1); `None` for fewer than two rewards.
    pub std: Option<f64>,
}

impl GroupStats {
    /// Of some rewards. Equal rewards have exactly their value as mean and 0 as deviation, in double precision.
    pub fn of(rewards: &[f64], precision: Precision) -> Self {
        let count = rewards.len() as f64;
        let Some((&first, others)) = rewards.split_first() else {
            return Self { mean: 0.0, std: None };
        };
        if others.is_empty() {
            return Self { mean: precision.round(first), std: None };
        }
        if precision == Precision::F64 && others.iter().all(|&reward| reward == first) {
            return Self { mean: first, std: Some(0.0) };
        }
        let mean = precision.round(precision.sum(rewards) / count);
        let squares: f64 = rewards.iter().map(|&reward| (precision.round(reward) - mean).powi(2)).sum();
        Self { mean, std: Some(precision.round((squares / (count - 1.0)).sqrt())) }
    }
}

/// Whether the rewards of a group differ enough to learn from: their deviation is at least [`MIN_STD`]. One reward has
/// no deviation to fail this by, as in the reference.
pub fn has_spread(rewards: &[f64]) -> bool {
    GroupStats::of(rewards, Precision::F64).std.is_none_or(|std| std >= MIN_STD)
}

/// How advantages are made of rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvantageRule {
    /// Whether the deviation of the group is divided out, as GRPO does. It makes groups that are nearly solved or nearly
    /// hopeless weigh as much as the others; without it they weigh less (Dr. GRPO, arXiv 2503.20783, section 3.1).
    pub normalise_std: bool,
    /// The arithmetic.
    pub precision: Precision,
}

impl AdvantageRule {
    /// GRPO in double precision.
    pub fn grpo() -> Self {
        Self { normalise_std: true, precision: Precision::F64 }
    }
}

/// A_i = (R_i − mean) / (std + 1e-6), or R_i − mean; for a group of one mean 0 and std 1.
///
/// Source: GRPO with outcome rewards (arXiv 2402.03300, section 4.1.2); epsilon, Bessel's correction and the group of
/// one as in `compute_grpo_outcome_advantage` of verl.
pub fn advantages(rewards: &[f64], rule: AdvantageRule) -> Vec<f64> {
    let round = |value| rule.precision.round(value);
    let stats = GroupStats::of(rewards, rule.precision);
    let (mean, divisor) = match stats.std {
        Some(std) => (stats.mean, round(std + round(STD_EPSILON))),
        None => (0.0, f64::from(STD_OF_ONE)),
    };
    let advantage = |&reward: &f64| {
        let centred = round(round(reward) - mean);
        if rule.normalise_std { round(centred / divisor) } else { centred }
    };
    rewards.iter().map(advantage).collect()
}

/// The tokens of one response.
#[derive(Debug, Clone, Copy)]
pub struct TokenRewards<'a> {
    /// The prompt that it answers; responses of one prompt need not be neighbours.
    pub group: &'a str,
    /// The reward of every token `[T]`; their sum is the response's, whatever the mask.
    pub rewards: &'a [f64],
    /// The tokens that get the advantage `[T]`.
    pub mask: &'a [bool],
}

/// The advantage of every token `[B][T]`: the response's where the mask is, 0 elsewhere.
///
/// # Errors
/// [`RewardError::RowLength`] where a mask does not fit its rewards.
pub fn token_advantages(responses: &[TokenRewards<'_>], rule: AdvantageRule) -> Result<Vec<Vec<f64>>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut sums = Vec::with_capacity(responses.len());
    for (row, response) in responses.iter().enumerate() {
        let (found, expected) = (response.mask.len(), response.rewards.len());
        if found != expected {
            return Err(RewardError::RowLength { row, field: "mask", found, expected });
        }
        groups.entry(response.group).or_default().push(row);
        sums.push(rule.precision.sum(response.rewards));
    }
    let mut tokens = vec![Vec::new(); responses.len()];
    for rows in groups.values() {
        let rewards: Vec<f64> = rows.iter().map(|&row| sums[row]).collect();
        for (&row, advantage) in rows.iter().zip(advantages(&rewards, rule)) {
            tokens[row] = responses[row].mask.iter().map(|&on| if on { advantage } else { 0.0 }).collect();
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CENTRED: AdvantageRule = AdvantageRule { normalise_std: false, precision: Precision::F64 };

    #[test]
    fn two_responses_are_a_deviation_apart() {
        let advantages = advantages(&[1.5, 0.5], AdvantageRule::grpo());
        // std = sqrt(0.5); 0.5 / std = sqrt(0.5), up to the epsilon of 1e-6.
        assert!((advantages[0] - 0.5_f64.sqrt()).abs() < 2e-6, "{advantages:?}");
        assert_eq!(advantages[1], -advantages[0]);
    }

    #[test]
    fn without_the_deviation_advantages_are_rewards_above_the_mean() {
        assert_eq!(advantages(&[1.5, 0.5, 1.0, 1.0], CENTRED), [0.5, -0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_response_without_company_keeps_its_reward() {
        assert_eq!(advantages(&[0.5], CENTRED), [0.5]);
        assert!((advantages(&[0.5], AdvantageRule::grpo())[0] - 0.5).abs() < 1e-6);
        assert!(has_spread(&[0.5]));
        assert_eq!(advantages(&[], AdvantageRule::grpo()), [0.0; 0]);
    }

    #[test]
    fn single_precision_finds_a_spread_that_is_not_there() {
        let rule = AdvantageRule { normalise_std: true, precision: Precision::F32 };
        let advantage = advantages(&[1.4; 16], rule)[0];
        assert!((advantage - 0.106).abs() < 1e-3, "{advantage}");
    }

    #[test]
    fn groups_may_be_shuffled_and_masks_may_have_holes() {
        let row = |group, rewards, mask| TokenRewards { group, rewards, mask };
        let rows = [
            row("a", [0.0, 1.0].as_slice(), [true, false].as_slice()),
            row("b", &[0.5], &[true]),
            row("a", &[0.0, 0.0], &[true, true]),
        ];
        let tokens = token_advantages(&rows, CENTRED).unwrap();
        assert_eq!(tokens, [vec![0.5, 0.0], vec![0.5], vec![-0.5, -0.5]]);
        let wrong = [row("a", [0.0].as_slice(), [].as_slice())];
        assert!(matches!(token_advantages(&wrong, CENTRED), Err(RewardError::RowLength { row: 0, .. })));
    }

    proptest! {
        #[test]
        fn a_constant_reward_group_has_zero_advantage(reward in -10.0..10.0_f64, count in 2usize..40) {
            let rewards = vec![reward; count];
            prop_assert_eq!(advantages(&rewards, AdvantageRule::grpo()), vec![0.0; count]);
            prop_assert_eq!(advantages(&rewards, CENTRED), vec![0.0; count]);
            prop_assert!(!has_spread(&rewards));
        }

        #[test]
        fn advantages_sum_to_nothing_and_keep_the_order(rewards in prop::collection::vec(-2.0..2.0_f64, 2..20)) {
            let advantages = advantages(&rewards, AdvantageRule::grpo());
            let sum: f64 = advantages.iter().sum();
            // f64: the rounding of the mean, divided by a deviation that may be small.
            let std = GroupStats::of(&rewards, Precision::F64).std.unwrap();
            prop_assert!(sum.abs() < 1e-12 / (std + 1e-6), "{sum}");
            for (a, b) in rewards.iter().zip(&advantages).zip(rewards.iter().zip(&advantages).skip(1)) {
                prop_assert!((a.0 > b.0) == (a.1 > b.1) || (a.0 - b.0).abs() < 1e-12);
            }
        }
    }
}
