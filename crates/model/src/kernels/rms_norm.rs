//! Root-mean-square norm.

use burn::Tensor;
use burn::tensor::DType;

/// Scales each row to unit mean square, then by `weight`.
///
/// `y = cast(x * rsqrt(mean(x^2) + eps)) * weight`, the mean over the last axis, computed in f32; the cast back to the
/// input's dtype comes before the product with the weight.
///
/// Shapes: `x` [B, T, C], `weight` [C] -> [B, T, C].
///
/// Source: Zhang and Sennrich 2019 (arXiv:1910.07467); the place of the cast from transformers 5.23 `Qwen2RMSNorm`.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let scale = x.clone().square().mean_dim(2).add_scalar(eps).sqrt().recip();
    (x * scale).cast(dtype) * weight.unsqueeze::<3>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, device, values};

    #[test]
    fn matches_the_formula_row_by_row() {
        let x = values([2, 3, 5], 1);
        let weight = values([5], 2);
        let eps = 1e-6;
        let expected: Vec<f32> = x
            .chunks(5)
            .flat_map(|row| {
                let mean = row.iter().map(|value| value * value).sum::<f32>() / 5.0;
                let scale = 1.0 / (mean + eps).sqrt();
                row.iter().zip(weight.iter()).map(move |(value, weight)| value * scale * weight).collect::<Vec<_>>()
            })
            .collect();

        let device = device();
        let found = rms_norm(x.tensor(&device), weight.tensor(&device), f64::from(eps));
        close(&found, &expected, 1e-6);
    }
}
