//! Log-probabilities that do not change while a generation is learned from.

use burn::module::Module;
use visionthink_model::ModelError;

use crate::grpo::experience::{Experience, policy_batches};
use crate::grpo::pass::target_log_probs;
use crate::grpo::update::{Learner, UpdateSettings};
use crate::policy::TokenRows;

/// Log-probabilities of sampled tokens, experience by experience.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FrozenLogProbs {
    /// Of the policy that sampled; `None` where a generation gives one step, in whose pass it is the one that learns.
    old: Option<TokenRows>,
    /// Of the reference policy; `None` without a KL term.
    reference: Option<TokenRows>,
}

/// Whose log-probabilities are asked for.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Old,
    Reference,
}

impl FrozenLogProbs {
    /// One forward pass over all experiences for each policy that is needed; no gradients.
    pub(super) fn of(
        learner: &Learner,
        experiences: &[Experience],
        settings: &UpdateSettings,
    ) -> Result<Self, ModelError> {
        let several = settings.policy.epochs * settings.policy.mini_batches > 1;
        let get = |whose, needed: bool| needed.then(|| log_probs(learner, experiences, settings, whose)).transpose();
        Ok(Self { old: get(Whose::Old, several)?, reference: get(Whose::Reference, learner.reference.is_some())? })
    }

    pub(super) fn old_of(&self, experiences: &[usize]) -> Option<Vec<f64>> {
        select(self.old.as_ref(), experiences)
    }

    pub(super) fn reference_of(&self, experiences: &[usize]) -> Option<Vec<f64>> {
        select(self.reference.as_ref(), experiences)
    }
}

fn select(rows: Option<&TokenRows>, experiences: &[usize]) -> Option<Vec<f64>> {
    rows.map(|rows| experiences.iter().flat_map(|row| rows[*row].iter().copied()).collect())
}

fn log_probs(
    learner: &Learner,
    experiences: &[Experience],
    settings: &UpdateSettings,
    whose: Whose,
) -> Result<TokenRows, ModelError> {
    let all: Vec<usize> = (0..experiences.len()).collect();
    let batches = policy_batches(experiences, &all, settings.step.micro_batch, settings.image_tokens)?;
    let found = learner.workers.run(&batches, |model, batch| match (whose, &learner.reference) {
        (Whose::Reference, Some(reference)) => target_log_probs(reference, &batch.micro, settings),
        _ => target_log_probs(&model.valid(), &batch.micro, settings),
    });
    let mut rows = vec![Vec::new(); experiences.len()];
    for (batch, found) in batches.iter().zip(found) {
        let mut found = found?.into_iter();
        for row in &batch.rows {
            rows[*row] = found.by_ref().take(experiences[*row].advantages.len()).collect();
        }
    }
    Ok(rows)
}
