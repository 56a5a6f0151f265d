//! Muon: momentum for matrices, orthogonalised.

use burn::Tensor;
use burn::tensor::{Device, TensorData};

use crate::config::MuonSection;
use crate::parameters::Parameter;

/// Coefficients of the quintic iteration; they push singular values from (0, 1] to near 1 in five rounds.
///
/// Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
const QUINTIC: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// Rounds of the iteration.
const ROUNDS: usize = 5;

/// The update has this root mean square, as AdamW's usually has, so that both share a learning rate.
///
/// Source: Liu et al. 2025 (arXiv:2502.16982), section 2.2.
const UPDATE_RMS: f32 = 0.2;

/// Whether a parameter is a hidden matrix: two dimensions, and neither an embedding nor the head.
pub(crate) fn is_hidden_matrix(parameter: &Parameter) -> bool {
    parameter.shape.len() == 2 && !parameter.name.contains("embed") && !parameter.name.starts_with("lm_head")
}

/// One step for the hidden matrix `parameter` [in, out] with gradient `g` and momentum `m`:
///
/// `m = beta m + (1 - beta) g`; `u = beta m + (1 - beta) g`; `p *= 1 - lr * weight_decay`;
/// `p -= lr * 0.2 sqrt(max(in, out)) * orthogonal(u)`.
pub(crate) fn update(
    settings: MuonSection,
    lr: f64,
    weight_decay: f64,
    parameter: &mut Parameter,
    gradient: &[f32],
    momentum: &mut [f32],
) {
    let &[inputs, outputs] = parameter.shape.as_slice() else { unreachable!("a hidden matrix has two dimensions") };
    let beta = settings.momentum as f32;
    let ahead: Vec<f32> = momentum
        .iter_mut()
        .zip(gradient)
        .map(|(mean, gradient)| {
            *mean += (gradient - *mean) * (1.0 - beta);
            beta * *mean + (1.0 - beta) * gradient
        })
        .collect();
    let direction = orthogonal(ahead, [inputs, outputs]);
    let keep = (1.0 - lr * weight_decay) as f32;
    let step = lr as f32 * UPDATE_RMS * (inputs.max(outputs) as f32).sqrt();
    for (value, direction) in parameter.values.iter_mut().zip(direction) {
        *value = *value * keep - step * direction;
    }
}

/// The nearest matrix with all singular values near 1 (0.7 to 1.2), row by row.
///
/// With `X = M / |M|`: five times `A = X X^T`, `X = a X + (b A + c A A) X`, on the wide side.
fn orthogonal(matrix: Vec<f32>, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let device = Device::flex();
    let mut x = Tensor::<2>::from_data(TensorData::new(matrix, [rows, columns]), &device);
    let tall = rows > columns;
    if tall {
        x = x.transpose();
    }
    let norm: f32 = x.clone().square().sum().sqrt().into_scalar();
    x = x.div_scalar(norm + 1e-7);
    let [a, b, c] = QUINTIC;
    for _ in 0..ROUNDS {
        let gram = x.clone().matmul(x.clone().transpose());
        let mixed = gram.clone().mul_scalar(b) + gram.clone().matmul(gram).mul_scalar(c);
        x = x.clone().mul_scalar(a) + mixed.matmul(x);
    }
    if tall {
        x = x.transpose();
    }
    x.try_to_vec_as().expect("a float tensor reads back as f32")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * at * 37 + at * 11) % 101) as f32 / 50.0 - 1.0).collect()
    }

    fn gram(matrix: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
        let x = Tensor::<2>::from_data(TensorData::new(matrix.to_vec(), [rows, columns]), &Device::flex());
        let gram = if rows > columns { x.clone().transpose().matmul(x) } else { x.clone().matmul(x.transpose()) };
        gram.try_to_vec_as().unwrap()
    }

    #[test]
    fn the_rows_or_columns_of_an_update_are_nearly_orthogonal() {
        for shape in [[6, 20], [20, 6]] {
            let gram = gram(&orthogonal(numbers(120), shape), shape);
            for (at, value) in gram.into_iter().enumerate() {
                // The iteration leaves singular values between 0.7 and 1.2, so their squares differ from 1 by up to 0.5.
                let expected = if at / 6 == at % 6 { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 0.5, "{shape:?}: {value} at {at}");
            }
        }
    }

    #[test]
    fn an_update_is_as_large_as_one_of_adamw_whatever_the_gradient() {
        for scale in [1e-6, 1e3] {
            let gradient: Vec<f32> = numbers(8 * 32).into_iter().map(|value| value * scale).collect();
            let mut parameter = Parameter {
                name: "visual.blocks.0.mlp.up_proj.weight".into(),
                shape: vec![8, 32],
                values: vec![0.0; 256],
            };
            let mut momentum = vec![0.0; 256];
            update(MuonSection { momentum: 0.9 }, 1.0, 0.1, &mut parameter, &gradient, &mut momentum);
            let rms = (parameter.values.iter().map(|value| value * value).sum::<f32>() / 256.0).sqrt();
            // 8 singular values near 1: a root mean square of sqrt(8 / 256) sqrt(32) 0.2.
            assert!((0.14..0.24).contains(&rms), "{rms}");
        }
    }

    #[test]
    fn embeddings_heads_and_vectors_are_left_to_adamw() {
        let named = |name: &str, shape: &[usize]| Parameter {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![0.0; shape.iter().product()],
        };
        assert!(is_hidden_matrix(&named("language_model.layers.0.self_attn.q_proj.weight", &[4, 4])));
        assert!(!is_hidden_matrix(&named("language_model.embed_tokens.weight", &[4, 4])));
        assert!(!is_hidden_matrix(&named("visual.patch_embed.proj.weight", &[4, 4])));
        assert!(!is_hidden_matrix(&named("lm_head.weight", &[4, 4])));
        assert!(!is_hidden_matrix(&named("language_model.norm.weight", &[4])));
    }
}
