//! What the network says about sampled tokens.

use burn::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, TensorData};
use visionthink_model::kernels::cross_entropy_rows;

/// Log-probabilities of tokens under logits divided by the temperature they were sampled at, natural, in f32 (in f64 for logits in f64).
///
/// Shapes: `logits` [N, V], `ids` `[N]` -> `[N]`.
pub fn token_log_probs(logits: Tensor<2>, ids: Tensor<1, Int>, temperature: f64) -> Tensor<1> {
    cross_entropy_rows(at_temperature(logits, temperature), ids)
}

/// Entropy of the distribution of each token, `H = logsumexp(z) - sum_v softmax(z)_v z_v` with `z` the logits over the temperature.
///
/// Shapes: `logits` [N, V] -> `[N]`.
///
/// Source: the VisionThink reference, section e, entropy.
pub fn token_entropies(logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    let logits = at_temperature(logits, temperature);
    let logits = if logits.dtype() == DType::F64 { logits } else { logits.cast(DType::F32) };
    let log_probs = log_softmax(logits, 1);
    (log_probs.clone().exp() * log_probs).sum_dim(1).squeeze_dim::<1>(1).neg()
}

fn at_temperature(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    // A division by one is a copy of [N, V] numbers.
    if temperature == 1.0 {
        return logits;
    }
    // Not `div_scalar`: burn 0.22.1 rounds a scalar to f32 on the way back, whatever the tensor is.
    let divisor = Tensor::<2>::from_data(TensorData::from([[temperature]]), (&logits.device(), logits.dtype()));
    logits / divisor
}
