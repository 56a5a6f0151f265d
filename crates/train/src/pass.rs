//! One pass of the model over a micro-batch.

use burn::Tensor;
use burn::tensor::{Int, TensorData};
use visionthink_model::kernels::cross_entropy_rows;
use visionthink_model::{Model, ModelError};

use crate::batch::MicroBatch;
use crate::parameters::{GradientBuffers, Parameters};

/// Logits at the tokens that predict targets.
///
/// Shapes: -> [N, V], a row for each of `batch.targets`.
///
/// # Errors
/// As [`Model::encode_images`] and [`Model::embed`].
pub fn target_logits(model: &Model, batch: &MicroBatch) -> Result<Tensor<2>, ModelError> {
    let device = model.device();
    let images = match (batch.grids.as_slice(), &model.config().vision) {
        ([], _) => None,
        (_, None) => return Err(ModelError::NoVisionTower),
        (grids, Some(vision)) => {
            let width = vision.patch_values();
            let data = TensorData::new(batch.pixels.clone(), [batch.pixels.len() / width, width]);
            let distinct = model.encode_images(Tensor::from_data(data, &device), grids)?;
            if batch.image_rows.len() == distinct.dims()[0] {
                Some(distinct)
            } else {
                let rows = TensorData::from(batch.image_rows.as_slice());
                Some(distinct.select(0, Tensor::<1, Int>::from_data(rows, &device)))
            }
        }
    };
    let embeds = model.embed(&batch.ids, images)?;
    let hidden = model.forward(embeds, &batch.positions, None);
    let [rows, tokens, width] = hidden.dims();
    let index = Tensor::<1, Int>::from_data(TensorData::from(batch.rows.as_slice()), &device);
    Ok(model.logits(hidden.reshape([rows * tokens, width]).select(0, index)))
}

/// The weighted sum of the negative log-probabilities of the targets: `-sum_n w_n log p(target_n)`, in f32.
pub fn weighted_loss(logits: Tensor<2>, batch: &MicroBatch) -> Tensor<1> {
    let device = logits.device();
    let ids: Vec<i64> = batch.targets.iter().map(|target| i64::from(target.id)).collect();
    let weights: Vec<f32> = batch.targets.iter().map(|target| target.weight).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::from(ids.as_slice()), &device);
    let weights = Tensor::<1>::from_data(TensorData::from(weights.as_slice()), &device);
    (cross_entropy_rows(logits, ids) * weights).sum().neg()
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
/// As [`target_logits`].
pub fn backward(
    model: &Model,
    parameters: &Parameters,
    batch: &MicroBatch,
    total_weight: f64,
) -> Result<Backward, ModelError> {
    let logits = target_logits(model, batch)?;
    let hits = hits(logits.clone().inner(), batch);
    let loss = weighted_loss(logits, batch).div_scalar(total_weight);
    let mut gradients = loss.backward();
    let loss = loss.into_scalar::<f32>();
    Ok(Backward { loss: f64::from(loss), hits, gradients: parameters.take_gradients(model, &mut gradients) })
}

/// Whether each target is the most likely token.
pub fn hits(logits: Tensor<2>, batch: &MicroBatch) -> Vec<bool> {
    let best: Vec<i64> = logits.argmax(1).try_to_vec_as().expect("indices read back as integers");
    best.iter().zip(&batch.targets).map(|(best, target)| *best == i64::from(target.id)).collect()
}
