//! One optimizer step.

use std::collections::BTreeMap;

use visionthink_model::ModelError;

use crate::batch::MicroBatch;
use crate::clip::{clip, global_norm};
use crate::config::StepSection;
use crate::evaluate::Share;
use crate::optimizer::Optimizer;
use crate::parameters::{GradientBuffers, Parameters, add_gradients};
use crate::pass::{Backward, backward};
use crate::transcript::{Shown, TargetKind};
use crate::workers::Workers;

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutcome {
    /// Weighted mean over the target tokens of the whole step: `-sum w log p / sum w`.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Loss or gradients were not finite, and nothing was changed.
    pub skipped: bool,
    /// Answer tokens that were the most likely ones, by view.
    pub answer_hits: BTreeMap<Shown, Share>,
    /// Tokens read, padding left out.
    pub tokens: usize,
    /// Images read.
    pub images: usize,
}

/// Forward and backward over all micro-batches, then one step of the optimizer.
///
/// The loss is the weighted mean over the target tokens of the whole step, whatever the micro-batches: each pass is divided by the
/// weight of all. Gradients are added up in the order of the micro-batches.
///
/// # Errors
/// The model refuses a batch.
pub fn step(
    workers: &mut Workers,
    parameters: &mut Parameters,
    optimizer: &mut Optimizer,
    batches: &[MicroBatch],
    lr_factor: f64,
    settings: &StepSection,
) -> Result<StepOutcome, ModelError> {
    let total_weight: f64 = batches.iter().map(MicroBatch::weight).sum();
    let passes = workers.run(batches, |model, batch| backward(model, parameters, batch, settings, total_weight));
    let passes = passes.into_iter().collect::<Result<Vec<Backward>, _>>()?;
    let answer_hits = answer_hits(batches, &passes);
    let loss = passes.iter().map(|pass| pass.loss).sum();
    let mut gradients = add_up(passes);
    let gradient_norm = global_norm(&gradients);
    let mut outcome = StepOutcome {
        loss,
        gradient_norm,
        skipped: !(loss.is_finite() && gradient_norm.is_finite()),
        answer_hits,
        tokens: batches.iter().map(MicroBatch::tokens).sum(),
        images: batches.iter().map(|batch| batch.grids.len()).sum(),
    };
    // Targets without any weight teach nothing; an update would only decay the weights.
    outcome.skipped |= total_weight == 0.0;
    if !outcome.skipped {
        clip(&mut gradients, gradient_norm, settings.clip_norm);
        optimizer.step(parameters, &gradients, lr_factor);
        workers.update(|model| parameters.write_into(model));
    }
    Ok(outcome)
}

fn add_up(passes: Vec<Backward>) -> GradientBuffers {
    let mut sum = GradientBuffers::new();
    for pass in passes {
        add_gradients(&mut sum, pass.gradients);
    }
    sum
}

fn answer_hits(batches: &[MicroBatch], passes: &[Backward]) -> BTreeMap<Shown, Share> {
    let mut shares: BTreeMap<Shown, Share> = BTreeMap::new();
    for (batch, pass) in batches.iter().zip(passes) {
        for ((target, sequence), hit) in batch.targets.iter().zip(&batch.sequences).zip(&pass.hits) {
            if target.kind == TargetKind::Answer {
                let share = shares.entry(batch.shown[*sequence]).or_default();
                share.of += 1;
                share.right += usize::from(*hit);
            }
        }
    }
    shares
}
