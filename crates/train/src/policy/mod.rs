//! The policy loss of GRPO: pure arithmetic on the log-probabilities of sampled tokens.
//!
//! Everything here is f64 on the host, token by token: [`PolicyLoss::of`] gives the loss, its numbers for the logs and its gradient with
//! respect to the log-probabilities. The trainer sends that gradient into the network as the weights of a sum, so one pass forward and one
//! backward are enough whatever the loss is.
//!
//! Read [`PolicyLoss::of`] first. Source: the VisionThink reference, section e; GRPO (arXiv:2402.03300), DAPO (arXiv:2503.14476) for the
//! two clip ratios and the token mean, Dr. GRPO (arXiv:2503.20783) for the constant divisor.

mod aggregation;
mod clip;
mod entropy;
mod kl;

use burn::Tensor;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

pub use aggregation::Aggregation;
pub use clip::ClipRange;
pub use entropy::{token_entropies, token_log_probs};
pub use kl::KlEstimator;

/// Numbers of sampled tokens, trajectory by trajectory: `[B][T of each]`.
pub type TokenRows = Vec<Vec<f64>>;

/// How sampled tokens are turned into a loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// How far the importance ratio may fall below 1 before it stops counting.
    pub clip_low: f64,
    /// How far it may rise above 1.
    pub clip_high: f64,
    /// How the divergence from the reference policy is estimated.
    pub kl_estimator: KlEstimator,
    /// Times the divergence; 0 needs no reference policy.
    pub kl_coefficient: f64,
    /// Times the entropy, which is subtracted from the loss.
    pub entropy_coefficient: f64,
    /// How losses of tokens become one number.
    pub aggregation: Aggregation,
    /// Whether turns that call are aggregated apart from turns that answer, and the two losses added (DTPO): a few calls then weigh as much
    /// as many answers.
    #[serde(default)]
    pub split_turns: bool,
    /// How often a generation is gone over. Beyond the first optimizer step the policy is no longer the one that sampled, and clipping
    /// begins to matter.
    pub epochs: usize,
    /// Optimizer steps of an epoch, each on its own part of the rollouts.
    pub mini_batches: usize,
}

/// What a policy loss is computed from. All rows have one shape.
#[derive(Debug, Clone, Copy)]
pub struct PolicyInput<'a> {
    /// Of the policy that is trained.
    pub log_probs: &'a TokenRows,
    /// Of the policy that sampled.
    pub old_log_probs: &'a TokenRows,
    /// Of the frozen policy; `None` without a KL term.
    pub ref_log_probs: Option<&'a TokenRows>,
    /// How much better than expected each token's trajectory was.
    pub advantages: &'a TokenRows,
}

/// The loss of some trajectories, its parts and its gradient.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyLoss {
    /// The clipped loss alone.
    pub policy_gradient: f64,
    /// Share of tokens whose ratio was clipped.
    pub clip_fraction: f64,
    /// Mean of `log p_old - log p`.
    pub approximate_kl: f64,
    /// Divergence from the reference policy, without its coefficient; 0 without one.
    pub kl: f64,
    /// `d (policy_gradient + kl_coefficient * kl) / d log p`, token by token.
    pub gradient: TokenRows,
}

/// What every token of an update weighs. Depends on the mask alone, so a pass over some of the trajectories takes its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenShares {
    /// In the loss, by the aggregation.
    pub loss: TokenRows,
    /// In a mean over all tokens, for the logs.
    pub mean: TokenRows,
}

impl TokenShares {
    /// Shapes: `mask` `[B][T]` -> twice `[B][T]`.
    pub fn of(mask: &TokenRows, aggregation: Aggregation) -> Self {
        Self { loss: aggregation.weights(mask), mean: Aggregation::TokenMean.weights(mask) }
    }

    /// Those of turns that called and of other turns, which `policy` may aggregate apart: the loss is then the sum of the two.
    ///
    /// Shapes: `calls` and `answers` `[B][T]`, one of them 1 at every token -> twice `[B][T]`.
    ///
    /// Source: AdaptVision (arXiv:2512.03794), decoupled turn policy optimization, with the token mean.
    pub fn of_turns(calls: &TokenRows, answers: &TokenRows, policy: &PolicySection) -> Self {
        let sum = |a: &TokenRows, b: &TokenRows| -> TokenRows {
            a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
        };
        let whole = Self::of(&sum(calls, answers), policy.aggregation);
        if !policy.split_turns {
            return whole;
        }
        Self { loss: sum(&policy.aggregation.weights(calls), &policy.aggregation.weights(answers)), ..whole }
    }
}

impl PolicyLoss {
    /// With `r = exp(log p - log p_old)`, advantage `A` and the mean `M` of the aggregation:
    ///
    /// `M(max(-A r, -A clamp(r, 1 - clip_low, 1 + clip_high))) + kl_coefficient M(kl(log p, log p_ref))`.
    ///
    /// The clip fraction and the approximate KL are means over tokens whatever the aggregation. `shares` are those of these rows in
    /// the whole update, so the losses of its passes add up.
    ///
    /// # Panics
    /// Rows of different shapes.
    ///
    /// Source: the VisionThink reference, section e, loss.
    pub fn of(input: PolicyInput<'_>, shares: &TokenShares, settings: &PolicySection) -> Self {
        let clip = ClipRange { low: settings.clip_low, high: settings.clip_high };
        let mut loss = Self::default();
        for (row, log_probs) in input.log_probs.iter().enumerate() {
            let mut gradient = Vec::with_capacity(log_probs.len());
            for (at, &log_prob) in log_probs.iter().enumerate() {
                let (weight, share) = (shares.loss[row][at], shares.mean[row][at]);
                // Masked: numbers there may be anything.
                if share == 0.0 {
                    gradient.push(0.0);
                    continue;
                }
                let old = input.old_log_probs[row][at];
                let surrogate = clip.surrogate(log_prob, old, input.advantages[row][at]);
                loss.policy_gradient += weight * surrogate.loss;
                loss.clip_fraction += share * f64::from(u8::from(surrogate.clipped));
                loss.approximate_kl += share * (old - log_prob);
                let mut slope = surrogate.gradient;
                if let Some(reference) = input.ref_log_probs {
                    let kl = settings.kl_estimator.estimate(log_prob, reference[row][at]);
                    loss.kl += weight * kl.value;
                    slope += settings.kl_coefficient * kl.gradient;
                }
                gradient.push(weight * slope);
            }
            loss.gradient.push(gradient);
        }
        loss
    }

    /// Adds the parts of other tokens of the same update, their gradients left out.
    pub(crate) fn add(&mut self, other: &Self) {
        self.policy_gradient += other.policy_gradient;
        self.clip_fraction += other.clip_fraction;
        self.approximate_kl += other.approximate_kl;
        self.kl += other.kl;
    }
}

/// A sum whose gradient is that of the whole loss: `sum_n gradient_n log_probs_n - entropy_coefficient sum_n share_n entropies_n`.
///
/// The numbers of the loss are constants here; its value means nothing.
///
/// Shapes: `log_probs` and `entropies` `[N]`, the tokens of the loss row by row -> `[1]`.
pub fn surrogate(
    log_probs: Tensor<1>,
    entropies: Option<Tensor<1>>,
    loss: &PolicyLoss,
    shares: &TokenShares,
    entropy_coefficient: f64,
) -> Tensor<1> {
    let options = (&log_probs.device(), log_probs.dtype());
    let constant = |rows: &TokenRows| {
        let values: Vec<f64> = rows.iter().flatten().copied().collect();
        Tensor::<1>::from_data(TensorData::from(values.as_slice()), options)
    };
    let sum = (log_probs * constant(&loss.gradient)).sum();
    match entropies {
        Some(entropies) => sum - (entropies * constant(&shares.loss)).sum().mul_scalar(entropy_coefficient),
        None => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PolicySection {
        PolicySection {
            clip_low: 0.2,
            clip_high: 0.2,
            kl_estimator: KlEstimator::K3,
            kl_coefficient: 0.1,
            entropy_coefficient: 0.0,
            aggregation: Aggregation::TokenMean,
            split_turns: false,
            epochs: 1,
            mini_batches: 1,
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let old = vec![vec![-1.0, -0.5], vec![-2.0, -0.1]];
        let reference = vec![vec![-1.2, -0.4], vec![-1.0, -0.3]];
        let advantages = vec![vec![1.0, 1.0], vec![-0.7, -0.7]];
        let mask = vec![vec![1.0, 1.0], vec![1.0, 0.0]];
        let log_probs = vec![vec![-0.9, -0.6], vec![-1.95, -0.2]];
        let total = |log_probs: &TokenRows| {
            let input = PolicyInput {
                log_probs,
                old_log_probs: &old,
                ref_log_probs: Some(&reference),
                advantages: &advantages,
            };
            let loss = PolicyLoss::of(input, &TokenShares::of(&mask, Aggregation::SeqMeanTokenMean), &settings());
            (loss.policy_gradient + 0.1 * loss.kl, loss.gradient)
        };
        let (_, gradient) = total(&log_probs);
        for row in 0..2 {
            for at in 0..2 {
                let moved = |by: f64| {
                    let mut moved = log_probs.clone();
                    moved[row][at] += by;
                    total(&moved).0
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                // A central difference of step 1e-6 is good to about 1e-9 here.
                assert!((slope - gradient[row][at]).abs() < 1e-7, "{slope} and {} at {row}, {at}", gradient[row][at]);
            }
        }
    }

    #[test]
    fn a_fresh_rollout_has_ratio_one_and_the_gradient_of_minus_the_advantage() {
        let log_probs = vec![vec![-1.0, -2.0]];
        let input = PolicyInput {
            log_probs: &log_probs,
            old_log_probs: &log_probs,
            ref_log_probs: None,
            advantages: &vec![vec![0.5, 0.5]],
        };
        let shares = TokenShares::of(&vec![vec![1.0, 1.0]], Aggregation::TokenMean);
        let loss = PolicyLoss::of(input, &shares, &settings());
        assert_eq!(loss.policy_gradient, -0.5);
        assert_eq!(loss.gradient, [[-0.25, -0.25]]);
        assert_eq!((loss.clip_fraction, loss.approximate_kl, loss.kl), (0.0, 0.0, 0.0));
    }

    #[test]
    fn turns_that_call_and_turns_that_answer_are_means_of_their_own() {
        let (calls, answers) = (vec![vec![1.0, 1.0, 0.0], vec![0.0]], vec![vec![0.0, 0.0, 1.0], vec![1.0]]);
        let shares =
            |split_turns| TokenShares::of_turns(&calls, &answers, &PolicySection { split_turns, ..settings() });
        assert_eq!(shares(false).loss, [vec![0.25; 3], vec![0.25]]);
        // Two tokens called, two answered.
        assert_eq!(shares(true).loss, [vec![0.5; 3], vec![0.5]]);
        assert_eq!(shares(true).mean, shares(false).mean);
    }

    #[test]
    fn the_losses_of_passes_add_up_to_that_of_the_update() {
        let (log_probs, old) = (vec![vec![-0.9, -0.6], vec![-1.9]], vec![vec![-1.0, -0.5], vec![-2.0]]);
        let advantages = vec![vec![1.0, 1.0], vec![-0.7]];
        let shares = TokenShares::of(&vec![vec![1.0, 1.0], vec![1.0]], Aggregation::TokenMean);
        let loss = |log_probs: &TokenRows, old_log_probs: &TokenRows, advantages: &TokenRows, shares: &TokenShares| {
            let input = PolicyInput { log_probs, old_log_probs, ref_log_probs: None, advantages };
            PolicyLoss::of(input, shares, &settings())
        };
        let whole = loss(&log_probs, &old, &advantages, &shares);
        let pass = |row: usize| {
            let of = |rows: &TokenRows| vec![rows[row].clone()];
            loss(
                &of(&log_probs),
                &of(&old),
                &of(&advantages),
                &TokenShares { loss: of(&shares.loss), mean: of(&shares.mean) },
            )
        };
        let (first, second) = (pass(0), pass(1));
        assert!((first.policy_gradient + second.policy_gradient - whole.policy_gradient).abs() < 1e-12);
        assert_eq!(first.gradient[0], whole.gradient[0]);
        assert_eq!(second.gradient[0], whole.gradient[1]);
    }
}
