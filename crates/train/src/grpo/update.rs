//! What is learned from a generation: one optimizer step, or several.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use visionthink_model::{Model, ModelError};

use crate::batch::ImageTokens;
use crate::clip::{clip, global_norm};
use crate::config::StepSection;
use crate::grpo::experience::{Experience, PolicyBatch, policy_batches};
use crate::grpo::frozen::FrozenLogProbs;
use crate::grpo::pass::{SampledTokens, policy_pass};
use crate::optimizer::Optimizer;
use crate::parameters::{GradientBuffers, Parameters, add_gradients};
use crate::policy::{PolicyLoss, PolicySection, TokenRows, TokenShares};
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

/// How a generation is learned from.
#[derive(Debug, Clone, Copy)]
pub struct UpdateSettings {
    /// The loss, and how often it is gone over.
    pub policy: PolicySection,
    /// The temperature that rollouts are sampled at; logits are divided by it here too.
    pub temperature: f64,
    /// How a step is cut into passes, and how far it may go.
    pub step: StepSection,
    /// Where images are.
    pub image_tokens: ImageTokens,
    /// Seed of the run.
    pub seed: u64,
    /// The generation; with the seed it decides how rollouts are dealt into mini-batches.
    pub generation: u64,
}

/// What the optimizer steps of a generation did. Parts of the loss are means over the steps, skipped ones left out unless all are.
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
    /// Sampled tokens of the generation.
    pub tokens: usize,
    /// Optimizer steps, skipped ones included.
    pub updates: u32,
    /// Steps where something was not finite, and nothing was changed.
    pub skipped: u32,
    /// How many of those were the last in a row.
    pub skipped_at_end: u32,
}

/// Learns from a generation: `policy.epochs` times over all experiences, each time dealt anew into `policy.mini_batches` parts of equal
/// size, with one optimizer step a part.
///
/// The log-probabilities of the old policy and of the reference are computed once, before the first step, by the network as it learns:
/// those that the sampler saw differ from them by rounding and by `top_p`, and ratios would not begin at 1. The reference implementation
/// recomputes them too. All steps of a generation have the learning rate `lr_factor`: the schedule counts generations.
///
/// # Errors
/// The model refuses a batch.
///
/// Source: Schulman et al. 2017 (arXiv:1707.06347), algorithm 1; GRPO (arXiv:2402.03300), algorithm 1.
pub fn update(
    learner: &mut Learner,
    experiences: &[Experience],
    settings: &UpdateSettings,
    lr_factor: f64,
) -> Result<PolicyOutcome, ModelError> {
    let frozen = FrozenLogProbs::of(learner, experiences, settings)?;
    let mut steps = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    random.set_stream(settings.generation);
    for part in mini_batches(experiences.len(), &settings.policy, &mut random) {
        let batches = policy_batches(experiences, &part, settings.step.micro_batch, settings.image_tokens)?;
        let tokens = sampled_tokens(&batches, experiences, &frozen, &settings.policy);
        steps.push(step(learner, &batches, &tokens, settings, lr_factor)?);
    }
    let tokens = experiences.iter().map(|one| one.advantages.len()).sum();
    Ok(PolicyOutcome { tokens, ..PolicyOutcome::of(&steps) })
}

/// The experiences of every optimizer step. A single part needs no order.
fn mini_batches(experiences: usize, policy: &PolicySection, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let PolicySection { epochs, mini_batches, .. } = *policy;
    let mut parts = Vec::with_capacity(epochs * mini_batches);
    for _ in 0..epochs {
        let mut order: Vec<usize> = (0..experiences).collect();
        if mini_batches > 1 {
            order.shuffle(random);
        }
        // With fewer experiences than parts some parts are empty, and no steps.
        let cut = |part: usize| part * experiences / mini_batches;
        parts.extend((0..mini_batches).map(|part| order[cut(part)..cut(part + 1)].to_vec()));
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The tokens of every batch, with their shares in the step that the batches make up.
fn sampled_tokens(
    batches: &[PolicyBatch],
    experiences: &[Experience],
    frozen: &FrozenLogProbs,
    policy: &PolicySection,
) -> Vec<SampledTokens> {
    // Every target was sampled; what was not is no target.
    let mask = |of_call| -> TokenRows {
        batches.iter().flat_map(|batch| &batch.rows).map(|row| experiences[*row].mask(of_call)).collect()
    };
    let shares = TokenShares::of_turns(&mask(true), &mask(false), policy);
    let (mut loss_shares, mut mean_shares) = (shares.loss.into_iter(), shares.mean.into_iter());
    batches
        .iter()
        .map(|batch| SampledTokens {
            advantages: batch.rows.iter().flat_map(|row| experiences[*row].advantages.clone()).collect(),
            old_log_probs: frozen.old_of(&batch.rows),
            ref_log_probs: frozen.reference_of(&batch.rows),
            loss_shares: loss_shares.by_ref().take(batch.rows.len()).flatten().collect(),
            mean_shares: mean_shares.by_ref().take(batch.rows.len()).flatten().collect(),
        })
        .collect()
}

/// What one optimizer step did.
#[derive(Debug, Clone, Default, PartialEq)]
struct StepOutcome {
    loss: PolicyLoss,
    entropy: f64,
    gradient_norm: f64,
    skipped: bool,
}

/// Forward and backward over the batches, then one step of the optimizer.
fn step(
    learner: &mut Learner,
    batches: &[PolicyBatch],
    tokens: &[SampledTokens],
    settings: &UpdateSettings,
    lr_factor: f64,
) -> Result<StepOutcome, ModelError> {
    let parameters = &learner.parameters;
    let jobs: Vec<(&PolicyBatch, &SampledTokens)> = batches.iter().zip(tokens).collect();
    let passes = learner
        .workers
        .run(&jobs, |model, (batch, tokens)| policy_pass(model, parameters, &batch.micro, tokens, settings));
    let mut outcome = StepOutcome::default();
    let mut gradients = GradientBuffers::new();
    for pass in passes {
        let pass = pass?;
        outcome.loss.add(&pass.loss);
        outcome.entropy += pass.entropy;
        add_gradients(&mut gradients, pass.gradients);
    }
    outcome.gradient_norm = global_norm(&gradients);
    let empty = tokens.iter().all(|tokens| tokens.advantages.is_empty());
    outcome.skipped = empty || !(outcome.loss.policy_gradient.is_finite() && outcome.gradient_norm.is_finite());
    if !outcome.skipped {
        clip(&mut gradients, outcome.gradient_norm, settings.step.clip_norm);
        learner.optimizer.step(&mut learner.parameters, &gradients, lr_factor);
        let parameters = &learner.parameters;
        learner.workers.update(|model| parameters.write_into(model));
    }
    Ok(outcome)
}

impl PolicyOutcome {
    fn of(steps: &[StepOutcome]) -> Self {
        let skipped = steps.iter().filter(|step| step.skipped).count();
        let all = skipped == steps.len();
        let counted: Vec<&StepOutcome> = steps.iter().filter(|step| all || !step.skipped).collect();
        let mean = |number: fn(&StepOutcome) -> f64| {
            counted.iter().map(|step| number(step)).sum::<f64>() / counted.len().max(1) as f64
        };
        Self {
            policy_gradient: mean(|step| step.loss.policy_gradient),
            clip_fraction: mean(|step| step.loss.clip_fraction),
            approximate_kl: mean(|step| step.loss.approximate_kl),
            kl: mean(|step| step.loss.kl),
            entropy: mean(|step| step.entropy),
            gradient_norm: mean(|step| step.gradient_norm),
            tokens: 0,
            updates: steps.len() as u32,
            skipped: skipped as u32,
            skipped_at_end: steps.iter().rev().take_while(|step| step.skipped).count() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Aggregation, KlEstimator};

    fn policy(epochs: usize, mini_batches: usize) -> PolicySection {
        PolicySection {
            clip_low: 0.2,
            clip_high: 0.2,
            kl_estimator: KlEstimator::K3,
            kl_coefficient: 0.0,
            entropy_coefficient: 0.0,
            aggregation: Aggregation::TokenMean,
            split_turns: false,
            epochs,
            mini_batches,
        }
    }

    fn parts(experiences: usize, epochs: usize, mini_batches: usize, generation: u64) -> Vec<Vec<usize>> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        random.set_stream(generation);
        super::mini_batches(experiences, &policy(epochs, mini_batches), &mut random)
    }

    #[test]
    fn every_epoch_deals_all_rollouts_into_parts_of_nearly_one_size() {
        let found = parts(11, 2, 3, 0);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 4, 4, 3, 4, 4]);
        for epoch in found.chunks(3) {
            let mut all = epoch.concat();
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
        assert_ne!(found[..3], found[3..], "epochs are dealt apart");
        assert_eq!(found, parts(11, 2, 3, 0));
        assert_ne!(found, parts(11, 2, 3, 1), "and so are generations");
    }

    #[test]
    fn a_single_part_keeps_its_order_and_no_part_is_empty() {
        assert_eq!(parts(4, 1, 1, 0), [[0, 1, 2, 3]]);
        assert_eq!(parts(2, 1, 5, 0).len(), 2);
        assert!(parts(0, 3, 1, 0).is_empty());
    }

    #[test]
    fn skipped_steps_are_counted_and_leave_the_means_alone() {
        let step = |norm: f64| StepOutcome { gradient_norm: norm, skipped: norm.is_nan(), ..StepOutcome::default() };
        let outcome = PolicyOutcome::of(&[step(f64::NAN), step(1.0), step(3.0), step(f64::NAN), step(f64::NAN)]);
        assert_eq!((outcome.updates, outcome.skipped, outcome.skipped_at_end), (5, 3, 2));
        assert_eq!(outcome.gradient_norm, 2.0);
        let outcome = PolicyOutcome::of(&[step(f64::NAN), step(f64::NAN)]);
        assert!(outcome.gradient_norm.is_nan() && outcome.skipped == outcome.updates);
    }
}
