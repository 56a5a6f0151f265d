//! Root-mean-square norm.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::fused::{self, Fused};
use super::{memory, simd};

/// Scales each row to unit mean square, then by `weight`.
///
/// `y = cast(x * rsqrt(mean(x^2) + eps)) * weight`, the mean over the last axis, computed in f32; the cast back to the
/// input's dtype comes before the product with the weight.
///
/// Shapes: `x` [B, T, C], `weight` `[C]` -> [B, T, C].
///
/// Source: Zhang and Sennrich 2019 (arXiv:1910.07467); the place of the cast from transformers 5.23 `Qwen2RMSNorm`.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let [_, _, width] = x.dims();
    assert_eq!(weight.dims(), [width], "one weight per column");
    match fused::apply(RmsNorm { eps: eps as f32 }, [x.into_dispatch(), weight.into_dispatch()]) {
        Ok(output) => Tensor::from_dispatch(output),
        Err([x, weight]) => portable(Tensor::from_dispatch(x), Tensor::from_dispatch(weight), eps),
    }
}

pub(super) fn portable(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let scale = x.clone().square().mean_dim(2).add_scalar(eps).sqrt().recip();
    (x * scale).cast(dtype) * weight.unsqueeze::<3>()
}

/// With `s = rsqrt(mean(x^2) + eps)` and `g = dy * weight`: `dx = s g - x s^3 mean(g x)`, `dweight = sum_rows dy x s`.
#[derive(Debug, Clone, Copy)]
struct RmsNorm {
    eps: f32,
}

impl Fused<2> for RmsNorm {
    type Saved = ();
    const READS: [bool; 2] = [true, true];

    fn forward(&self, inputs: [FlexTensor; 2]) -> (FlexTensor, ()) {
        let [x, weight] = inputs.map(memory::contiguous);
        let (values, weight) = (memory::values(&x), memory::values(&weight));
        let mut out = vec![0.0; values.len()];
        let piece = weight.len() * memory::rows_per_piece(values.len() / weight.len().max(1), weight.len());
        out.par_chunks_mut(piece).zip(values.par_chunks(piece)).for_each(|(out, x)| {
            simd::run(Forward { out, x, weight, eps: self.eps });
        });
        (memory::tensor(out, x.layout().shape().clone()), ())
    }

    fn backward(
        &self,
        inputs: [Option<FlexTensor>; 2],
        (): (),
        gradient: FlexTensor,
        [_, weight_wanted]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [x, weight] = inputs.map(|input| memory::contiguous(input.expect("both inputs are read")));
        let mut gradient = memory::contiguous(gradient);
        let (x, weight) = (memory::values(&x), memory::values(&weight));
        let width = weight.len();
        let piece = width * memory::rows_per_piece(x.len() / width.max(1), width);
        let sums: Vec<Vec<f32>> = memory::values_mut(&mut gradient)
            .par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .map(|(gradient, x)| simd::run(Backward { gradient, x, weight, eps: self.eps, weight_wanted }))
            .collect();
        let weight_gradient = weight_wanted.then(|| {
            let mut total = vec![0.0; width];
            for sum in sums {
                total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
            }
            memory::tensor(total, [width])
        });
        [Some(gradient), weight_gradient]
    }
}

struct Forward<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for (out, x) in self.out.chunks_exact_mut(width).zip(self.x.chunks_exact(width)) {
            let scale = simd.splat_f32s(inverse_norm(simd, x, self.eps));
            simd::map(
                simd,
                out,
                [x, self.weight],
                #[inline(always)]
                |[x, weight]| simd.mul_f32s(simd.mul_f32s(x, scale), weight),
            );
        }
    }
}

#[inline(always)]
fn inverse_norm<S: Simd>(simd: S, x: &[f32], eps: f32) -> f32 {
    1.0 / (simd::dot(simd, x, x) / x.len() as f32 + eps).sqrt()
}

/// Turns the gradient of the output into that of `x`, and gives the sum for the weight.
struct Backward<'a> {
    gradient: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    weight_wanted: bool,
}

impl WithSimd for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let width = self.weight.len();
        let mut sum = vec![0.0; width];
        let mut scaled = vec![0.0; width];
        for (gradient, x) in self.gradient.chunks_exact_mut(width).zip(self.x.chunks_exact(width)) {
            let scale = inverse_norm(simd, x, self.eps);
            let s = simd.splat_f32s(scale);
            simd::map(
                simd,
                &mut scaled,
                [gradient, x],
                #[inline(always)]
                |[dy, x]| simd.mul_f32s(simd.mul_f32s(dy, x), s),
            );
            if self.weight_wanted {
                simd::update(
                    simd,
                    &mut sum,
                    [&scaled],
                    #[inline(always)]
                    |sum, [scaled]| simd.add_f32s(sum, scaled),
                );
            }
            let mean = simd::dot(simd, &scaled, self.weight) / width as f32;
            let along = simd.splat_f32s(-scale * scale * mean);
            simd::update(
                simd,
                gradient,
                [self.weight, x],
                #[inline(always)]
                |dy, [weight, x]| simd.mul_add_e_f32s(simd.mul_f32s(dy, s), weight, simd.mul_f32s(x, along)),
            );
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, close_gradients, device, values};

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
                row.iter().zip(&*weight).map(move |(value, weight)| value * scale * weight).collect::<Vec<_>>()
            })
            .collect();

        let device = device();
        let found = rms_norm(x.tensor(&device), weight.tensor(&device), f64::from(eps));
        close(&found, &expected, 1e-6);
    }

    #[test]
    fn gradients_are_those_of_the_composition() {
        for [batch, tokens, width] in [[1, 1, 2], [2, 3, 5], [1, 7, 16], [3, 5, 67], [2, 130, 160]] {
            close_gradients(
                |[x, weight]| rms_norm(x, weight.reshape([width]), 1e-6),
                |[x, weight]| portable(x, weight.reshape([width]), 1e-6),
                [values([batch, tokens, width], 1), values([1, 1, width], 2)],
                1e-5,
            );
        }
    }
}
