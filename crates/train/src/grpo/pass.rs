//! One pass of the policy over a batch of rollouts.

use std::ops::Range;

use burn::Tensor;
use visionthink_model::{Model, ModelError};

use crate::batch::MicroBatch;
use crate::grpo::update::UpdateSettings;
use crate::parameters::{GradientBuffers, Parameters};
use crate::pass::{for_each_chunk, gradients_by_chunk};
use crate::policy::{PolicyInput, PolicyLoss, TokenRows, TokenShares, surrogate, token_entropies, token_log_probs};

/// What the loss has to know of sampled tokens beside the network's word: a number for each target of a batch, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledTokens {
    /// How much better than expected each token was.
    pub advantages: Vec<f64>,
    /// Log-probabilities of the policy that sampled; `None` where that is the one that learns, as it is now.
    pub old_log_probs: Option<Vec<f64>>,
    /// Log-probabilities of the reference policy; `None` without a KL term.
    pub ref_log_probs: Option<Vec<f64>>,
    /// Shares in the loss of the whole update.
    pub loss_shares: Vec<f64>,
    /// Shares in a mean over all tokens of the update.
    pub mean_shares: Vec<f64>,
}

/// What a pass gives; shares of the update, so that passes add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyPass {
    /// The loss and its parts. Its gradient by log-probabilities is not kept.
    pub loss: PolicyLoss,
    /// Mean entropy.
    pub entropy: f64,
    /// Gradients of the parameters.
    pub gradients: GradientBuffers,
}

/// Loss and gradients of one batch; see [`PolicyLoss::of`] for the loss. One forward pass and one backward.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
///
/// # Panics
/// Other numbers of tokens than targets.
pub fn policy_pass(
    model: &Model,
    parameters: &Parameters,
    batch: &MicroBatch,
    tokens: &SampledTokens,
    settings: &UpdateSettings,
) -> Result<PolicyPass, ModelError> {
    let UpdateSettings { policy, temperature, step, .. } = settings;
    let coefficient = policy.entropy_coefficient;
    let mut pass = PolicyPass::default();
    pass.gradients = gradients_by_chunk(model, parameters, batch, step, |rows, logits| {
        // Without a bonus the entropy is only looked at, and needs no graph.
        let watched = if coefficient > 0.0 { logits.clone() } else { logits.clone().inner() };
        let entropies = token_entropies(watched, *temperature);
        let ids = batch.target_ids(rows.clone(), &logits.device());
        let log_probs = token_log_probs(logits, ids, *temperature);
        let shares = tokens.shares(&rows);
        let loss = tokens.loss(&rows, host(log_probs.clone()), &shares, settings);
        let shared = host(entropies.clone()).into_iter().zip(&shares.mean[0]);
        pass.entropy += shared.map(|(entropy, share)| entropy * share).sum::<f64>();
        pass.loss.add(&loss);
        surrogate(log_probs, (coefficient > 0.0).then_some(entropies), &loss, &shares, coefficient)
    })?;
    Ok(pass)
}

/// Log-probabilities of the targets of a batch under a model on a plain device, in their order.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub fn target_log_probs(model: &Model, batch: &MicroBatch, settings: &UpdateSettings) -> Result<Vec<f64>, ModelError> {
    let mut found = Vec::with_capacity(batch.targets.len());
    for_each_chunk(model, batch, settings.step.logit_chunk, |rows, logits| {
        let ids = batch.target_ids(rows, &logits.device());
        found.extend(host(token_log_probs(logits, ids, settings.temperature)));
    })?;
    Ok(found)
}

impl SampledTokens {
    /// Tokens of a chunk, as one row.
    fn shares(&self, rows: &Range<usize>) -> TokenShares {
        TokenShares { loss: one_row(&self.loss_shares, rows), mean: one_row(&self.mean_shares, rows) }
    }

    fn loss(
        &self,
        rows: &Range<usize>,
        log_probs: Vec<f64>,
        shares: &TokenShares,
        settings: &UpdateSettings,
    ) -> PolicyLoss {
        let current = vec![log_probs];
        let old = self.old_log_probs.as_ref().map(|old| one_row(old, rows));
        let reference = self.ref_log_probs.as_ref().map(|reference| one_row(reference, rows));
        let input = PolicyInput {
            log_probs: &current,
            old_log_probs: old.as_ref().unwrap_or(&current),
            ref_log_probs: reference.as_ref(),
            advantages: &one_row(&self.advantages, rows),
        };
        PolicyLoss::of(input, shares, &settings.policy)
    }
}

fn one_row(numbers: &[f64], rows: &Range<usize>) -> TokenRows {
    vec![numbers[rows.clone()].to_vec()]
}

fn host(tensor: Tensor<1>) -> Vec<f64> {
    let values: Vec<f32> = tensor.try_to_vec_as().expect("floats read back");
    values.into_iter().map(f64::from).collect()
}
