//! One pass of the model over a micro-batch.

use std::ops::Range;

use burn::Tensor;
use burn::tensor::{Gradients, Int, TensorData};
use visionthink_model::kernels::cross_entropy_rows;
use visionthink_model::{KeptInputs, KvCache, Model, ModelError, ShownImages, add_gradients, image_rows};

use crate::batch::MicroBatch;
use crate::config::StepSection;
use crate::parameters::{GradientBuffers, Parameters};
use crate::shared_heads::SharedHeads;

/// Hidden states of the tokens that predict targets.
///
/// Shapes: -> [N, C], a row for each of `batch.targets`.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
fn target_states(model: &Model, batch: &MicroBatch) -> Result<Tensor<2>, ModelError> {
    let images = pixels(model, batch)?.map(|pixels| model.encode_images(pixels, &batch.grids)).transpose()?;
    let embed = |ids: &[Vec<u32>], rows: &[i64]| {
        let shown = images.clone().filter(|_| !rows.is_empty());
        model.embed(ids, shown.map(|images| image_rows(images, rows)))
    };
    let Some(SharedHeads { heads, tails, head_of, rows }) = &batch.shared else {
        let embeds = embed(&batch.ids, &batch.image_rows)?;
        return Ok(before_targets(model.forward(embeds, &batch.positions, None), batch));
    };
    let mut cache = KvCache::new(&model.config().text, heads.ids.len());
    let head_states = model.forward(embed(&heads.ids, &heads.image_rows)?, &heads.positions, Some(&mut cache));
    let mut cache = cache.select(head_of);
    let tail_states = model.forward(embed(&tails.ids, &tails.image_rows)?, &tails.positions, Some(&mut cache));
    let [head_states, tail_states] = [head_states, tail_states].map(all_rows);
    Ok(select_rows(Tensor::cat(vec![head_states, tail_states], 0), rows))
}

/// The patches of the distinct images [P, patch values], on the device of the model.
fn pixels(model: &Model, batch: &MicroBatch) -> Result<Option<Tensor<2>>, ModelError> {
    if batch.grids.is_empty() {
        return Ok(None);
    }
    let width = model.config().vision.as_ref().ok_or(ModelError::NoVisionTower)?.patch_values();
    let data = TensorData::new(batch.pixels.clone(), [batch.pixels.len() / width, width]);
    Ok(Some(Tensor::from_data(data, &model.device())))
}

/// Rows of the tokens that predict targets. Shapes: [B, T, C] -> [N, C].
fn before_targets(hidden: Tensor<3>, batch: &MicroBatch) -> Tensor<2> {
    select_rows(all_rows(hidden), &batch.rows)
}

/// [B, T, C] -> [B * T, C].
fn all_rows(hidden: Tensor<3>) -> Tensor<2> {
    let [rows, tokens, width] = hidden.dims();
    hidden.reshape([rows * tokens, width])
}

fn select_rows(hidden: Tensor<2>, rows: &[i64]) -> Tensor<2> {
    let index = Tensor::<1, Int>::from_data(TensorData::from(rows), &hidden.device());
    hidden.select(0, index)
}

/// Logits at the tokens that predict targets, all at once.
///
/// Shapes: -> [N, V], a row for each of `batch.targets`.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub fn target_logits(model: &Model, batch: &MicroBatch) -> Result<Tensor<2>, ModelError> {
    Ok(model.logits(target_states(model, batch)?))
}

/// Gives `look` the logits of up to `chunk` targets at a time, on the device of `model`, so that never more than [`chunk`, V] of them are in
/// memory.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub(crate) fn for_each_chunk(
    model: &Model,
    batch: &MicroBatch,
    chunk: usize,
    mut look: impl FnMut(Range<usize>, Tensor<2>),
) -> Result<(), ModelError> {
    let states = target_states(model, batch)?;
    for rows in chunks(batch.targets.len(), chunk) {
        look(rows.clone(), model.logits(states.clone().slice(rows)));
    }
    Ok(())
}

/// Gradients of a loss that is a sum over targets: `loss` gives the part of the targets in a range, from their logits [n, V].
///
/// Logits and all that is computed from them exist for `step.logit_chunk` targets at a time, in the backward pass as well: each chunk is
/// taken back to the hidden states, and what it says about them goes through the network at once. Peak memory does not grow with
/// vocabulary times targets.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub(crate) fn gradients_by_chunk(
    model: &Model,
    parameters: &Parameters,
    batch: &MicroBatch,
    step: &StepSection,
    mut loss: impl FnMut(Range<usize>, Tensor<2>) -> Tensor<1>,
) -> Result<GradientBuffers, ModelError> {
    let (plain, tape) = Tape::forward(model, batch, step.activation_checkpointing)?;
    let mut gradients: Option<Gradients> = None;
    let mut slopes = Vec::new();
    for rows in chunks(batch.targets.len(), step.logit_chunk) {
        let leaf = Tensor::from_inner(plain.clone().slice(rows.clone())).require_grad();
        let mut found = loss(rows, model.logits(leaf.clone())).backward();
        slopes.push(leaf.grad_remove(&mut found).expect("logits depend on the hidden states"));
        add(model, found, &mut gradients);
    }
    if !slopes.is_empty()
        && let Some(found) = tape.backward(model, batch, Tensor::cat(slopes, 0))
    {
        add(model, found, &mut gradients);
    }
    Ok(match gradients {
        Some(mut gradients) => parameters.take_gradients(model, &mut gradients),
        None => parameters.iter().map(|one| vec![0.0; one.values.len()]).collect(),
    })
}

/// The way back from hidden states to parameters.
enum Tape {
    /// Everything that the forward pass computed. [N, C]
    Whole(Tensor<2>),
    /// The inputs of blocks, and hidden states [B, T, C] on the plain device.
    Inputs(Box<KeptInputs>, Tensor<3>),
}

impl Tape {
    /// Hidden states of the tokens that predict targets, on the plain device, and the way back from them.
    fn forward(model: &Model, batch: &MicroBatch, keep_inputs: bool) -> Result<(Tensor<2>, Self), ModelError> {
        if !keep_inputs {
            let states = target_states(model, batch)?;
            return Ok((states.clone().inner(), Self::Whole(states)));
        }
        let images = pixels(model, batch)?.map(|pixels| ShownImages {
            pixels: pixels.inner(),
            grids: &batch.grids,
            rows: &batch.image_rows,
        });
        let (hidden, kept) = model.forward_keeping_inputs(&batch.ids, images, &batch.positions)?;
        Ok((before_targets(hidden.clone(), batch), Self::Inputs(Box::new(kept), hidden)))
    }

    /// Gradients of the parameters from those of the states, `slopes` [N, C] on the plain device; none where nothing in front of the head
    /// learns.
    fn backward(self, model: &Model, batch: &MicroBatch, slopes: Tensor<2>) -> Option<Gradients> {
        // The gradient of this sum by the states are the slopes; its value means nothing.
        let weighted = |states: Tensor<2>| (states * Tensor::from_inner(slopes)).sum();
        match self {
            Self::Whole(states) => states.is_tracked().then(|| weighted(states).backward()),
            Self::Inputs(kept, hidden) => {
                let leaf = Tensor::from_inner(hidden).require_grad();
                let found = weighted(before_targets(leaf.clone(), batch)).backward();
                let slope = leaf.grad(&found).expect("states are rows of the hidden states");
                model.backward_from_inputs(*kept, slope)
            }
        }
    }
}

fn add(model: &Model, found: Gradients, sum: &mut Option<Gradients>) {
    match sum {
        Some(sum) => add_gradients(model, found, sum),
        None => *sum = Some(found),
    }
}

/// `0..count` in ranges of `size`.
fn chunks(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |start| start..(start + size).min(count))
}

/// The weighted sum of the negative log-probabilities of targets: `-sum_n w_n log p(target_n)`, in f32.
///
/// Shapes: `logits` [N, V] for the targets in `rows`.
fn weighted_loss(logits: Tensor<2>, batch: &MicroBatch, rows: Range<usize>) -> Tensor<1> {
    let device = logits.device();
    let weights: Vec<f32> = batch.targets[rows.clone()].iter().map(|target| target.weight).collect();
    let weights = Tensor::<1>::from_data(TensorData::from(weights.as_slice()), &device);
    (cross_entropy_rows(logits, batch.target_ids(rows, &device)) * weights).sum().neg()
}

/// What a backward pass gives.
#[derive(Debug)]
pub struct Backward {
    /// The share of the step's loss.
    pub loss: f64,
    /// Whether each target was the most likely token.
    pub hits: Vec<bool>,
    /// The share of the step's gradients.
    pub gradients: GradientBuffers,
}

/// Loss and gradients of one micro-batch; `total_weight` is the sum of the target weights of the whole step, so that the shares of
/// all micro-batches add up to the weighted mean over the step.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub fn backward(
    model: &Model,
    parameters: &Parameters,
    batch: &MicroBatch,
    step: &StepSection,
    total_weight: f64,
) -> Result<Backward, ModelError> {
    let mut total = 0.0;
    let mut hits = Vec::with_capacity(batch.targets.len());
    let gradients = gradients_by_chunk(model, parameters, batch, step, |rows, logits| {
        hits.extend(self::hits(logits.clone().inner(), batch, rows.clone()));
        let loss = weighted_loss(logits, batch, rows).div_scalar(total_weight);
        total += f64::from(loss.clone().inner().into_scalar::<f32>());
        loss
    })?;
    Ok(Backward { loss: total, hits, gradients })
}

/// Whether each of the targets in `rows` is the most likely token.
///
/// Shapes: `logits` [N, V].
pub(crate) fn hits(logits: Tensor<2>, batch: &MicroBatch, rows: Range<usize>) -> Vec<bool> {
    let best: Vec<i64> = logits.argmax(1).try_to_vec_as().expect("indices read back as integers");
    best.iter().zip(&batch.targets[rows]).map(|(best, target)| *best == i64::from(target.id)).collect()
}
