//! One optimizer step of the policy.

use burn::Tensor;
use burn::tensor::{Int, TensorData};
use visionthink_model::{Model, ModelError};

use crate::clip::{clip, global_norm};
use crate::grpo::experience::PolicyBatch;
use crate::optimizer::Optimizer;
use crate::parameters::{GradientBuffers, Parameters, add_gradients};
use crate::pass::target_logits;
use crate::policy::{
    PolicyInput, PolicyLoss, PolicySection, TokenRows, TokenShares, surrogate, token_entropies, token_log_probs,
};
use crate::workers::Workers;

/// What learns, and what it may not stray from.
#[derive(Debug)]
pub struct Learner {
    /// Replicas of the policy.
    pub workers: Workers,
    /// Its weights.
    pub parameters: Parameters,
    /// Its optimizer.
    pub optimizer: Optimizer,
    /// The frozen policy on a plain device; `None` without a KL term.
    pub reference: Option<Model>,
}

/// The constants of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateSettings {
    /// The loss.
    pub policy: PolicySection,
    /// The temperature that rollouts are sampled at; logits are divided by it here too.
    pub temperature: f64,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
}

/// What an update did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PolicyOutcome {
    /// The clipped loss alone.
    pub policy_gradient: f64,
    /// Share of tokens whose ratio was clipped.
    pub clip_fraction: f64,
    /// Mean of `log p_old - log p` over sampled tokens.
    pub approximate_kl: f64,
    /// Divergence from the reference policy; 0 without one.
    pub kl: f64,
    /// Mean entropy of sampled tokens.
    pub entropy: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Something was not finite, and nothing was changed.
    pub skipped: bool,
    /// Sampled tokens.
    pub tokens: usize,
}

/// Forward and backward over all batches, then one step of the optimizer.
///
/// # Errors
/// The model refuses a batch.
pub fn update(
    learner: &mut Learner,
    batches: &[PolicyBatch],
    settings: &UpdateSettings,
    lr_factor: f64,
) -> Result<PolicyOutcome, ModelError> {
    let jobs = jobs(batches, settings);
    let (parameters, reference) = (&learner.parameters, learner.reference.as_ref());
    let passes = learner.workers.run(&jobs, |model, job| pass(model, reference, parameters, job, settings));
    let mut outcome = PolicyOutcome::default();
    let mut gradients = GradientBuffers::new();
    for pass in passes {
        let Pass { loss, entropy, tokens, gradients: share } = pass?;
        outcome.policy_gradient += loss.policy_gradient;
        outcome.clip_fraction += loss.clip_fraction;
        outcome.approximate_kl += loss.approximate_kl;
        outcome.kl += loss.kl;
        outcome.entropy += entropy;
        outcome.tokens += tokens;
        add_gradients(&mut gradients, share);
    }
    outcome.gradient_norm = global_norm(&gradients);
    outcome.skipped =
        outcome.tokens == 0 || !(outcome.policy_gradient.is_finite() && outcome.gradient_norm.is_finite());
    if !outcome.skipped {
        clip(&mut gradients, outcome.gradient_norm, settings.clip_norm);
        learner.optimizer.step(&mut learner.parameters, &gradients, lr_factor);
        let parameters = &learner.parameters;
        learner.workers.update(|model| parameters.write_into(model));
    }
    Ok(outcome)
}

/// A batch with the shares of its tokens in the whole update.
struct Job<'a> {
    batch: &'a PolicyBatch,
    shares: TokenShares,
}

fn jobs<'a>(batches: &'a [PolicyBatch], settings: &UpdateSettings) -> Vec<Job<'a>> {
    // Every target was sampled; what was not is no target.
    let mask: TokenRows = batches.iter().flat_map(|batch| &batch.advantages).map(|row| vec![1.0; row.len()]).collect();
    let shares = TokenShares::of(&mask, settings.policy.aggregation);
    let mut next = 0;
    batches
        .iter()
        .map(|batch| {
            let rows: Vec<usize> = (next..next + batch.advantages.len()).collect();
            next += rows.len();
            Job { batch, shares: shares.select(&rows) }
        })
        .collect()
}

/// What a pass gives.
struct Pass {
    loss: PolicyLoss,
    entropy: f64,
    tokens: usize,
    gradients: GradientBuffers,
}

fn pass(
    model: &Model,
    reference: Option<&Model>,
    parameters: &Parameters,
    job: &Job<'_>,
    settings: &UpdateSettings,
) -> Result<Pass, ModelError> {
    let Job { batch, shares } = job;
    let logits = target_logits(model, &batch.micro)?;
    let coefficient = settings.policy.entropy_coefficient;
    // Without a bonus the entropy is only looked at, and needs no graph.
    let entropies = if coefficient > 0.0 {
        token_entropies(logits.clone(), settings.temperature)
    } else {
        token_entropies(logits.clone().inner(), settings.temperature)
    };
    let log_probs = token_log_probs(logits, target_ids(batch, model), settings.temperature);
    let current = batch.by_row(&host(log_probs.clone()));
    let ref_log_probs = match reference {
        Some(reference) => Some(self::log_probs(reference, batch, settings.temperature)?),
        None => None,
    };
    let input = PolicyInput {
        log_probs: &current,
        // The policy that learns is the one that sampled: one update a generation.
        old_log_probs: &current,
        ref_log_probs: ref_log_probs.as_ref(),
        advantages: &batch.advantages,
    };
    let loss = PolicyLoss::of(input, shares, &settings.policy);
    let entropy = mean(&host(entropies.clone()), &shares.mean);
    let bonus = (coefficient > 0.0).then_some(entropies);
    let mut gradients = surrogate(log_probs, bonus, &loss, shares, coefficient).backward();
    let gradients = parameters.take_gradients(model, &mut gradients);
    Ok(Pass { loss, entropy, tokens: batch.micro.targets.len(), gradients })
}

/// Log-probabilities of sampled tokens under a model on a plain device.
fn log_probs(model: &Model, batch: &PolicyBatch, temperature: f64) -> Result<TokenRows, ModelError> {
    let logits = target_logits(model, &batch.micro)?;
    Ok(batch.by_row(&host(token_log_probs(logits, target_ids(batch, model), temperature))))
}

fn target_ids(batch: &PolicyBatch, model: &Model) -> Tensor<1, Int> {
    let ids: Vec<i64> = batch.micro.targets.iter().map(|target| i64::from(target.id)).collect();
    Tensor::from_data(TensorData::from(ids.as_slice()), &model.device())
}

fn host(tensor: Tensor<1>) -> Vec<f64> {
    let values: Vec<f32> = tensor.try_to_vec_as().expect("floats read back");
    values.into_iter().map(f64::from).collect()
}

fn mean(numbers: &[f64], shares: &TokenRows) -> f64 {
    numbers.iter().zip(shares.iter().flatten()).map(|(number, share)| number * share).sum()
}
