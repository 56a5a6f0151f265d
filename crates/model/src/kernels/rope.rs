//! Rotation of queries and keys.

use burn::Tensor;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::Shape;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::fused::{self, Fused};
use super::{memory, simd};

/// Rotates the pairs (x_j, x_{j + D/2}) of every head by the angle of their token.
///
/// With halves `a` and `b` of the last axis: `[a cos - b sin, b cos + a sin]`, in the dtype of the inputs, which all
/// have the same. `cos` and `sin` are constants: they get no gradient.
///
/// Shapes: `x` [B, H, T, D], `cos` and `sin` [B, T, D/2] -> [B, H, T, D].
///
/// Source: Su et al. 2021 (arXiv:2104.09864), in the half-split pairing of transformers' `rotate_half`.
pub fn rope(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    let [batch, heads, tokens, width] = x.dims();
    assert_eq!(cos.dims(), [batch, tokens, width / 2], "one angle per pair");
    assert_eq!(sin.dims(), cos.dims(), "sines and cosines have one shape");
    let operation = Rope { sizes: [batch, heads, tokens, width] };
    match fused::apply(operation, [x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()]) {
        Ok(output) => Tensor::from_dispatch(output),
        Err([x, cos, sin]) => {
            portable(Tensor::from_dispatch(x), Tensor::from_dispatch(cos), Tensor::from_dispatch(sin))
        }
    }
}

pub(super) fn portable(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let cos = cos.unsqueeze_dim::<4>(1);
    let sin = sin.unsqueeze_dim::<4>(1);
    let a = x.clone().narrow(3, 0, half);
    let b = x.narrow(3, half, half);
    let first = a.clone() * cos.clone() - b.clone() * sin.clone();
    let second = b * cos + a * sin;
    Tensor::cat(vec![first, second], 3)
}

/// The gradient is rotated back. Both are done in place where nobody else holds the values.
#[derive(Debug, Clone, Copy)]
struct Rope {
    /// B, H, T, D.
    sizes: [usize; 4],
}

impl Fused<3> for Rope {
    type Saved = ();
    const READS: [bool; 3] = [false, true, true];

    fn forward(&self, [x, cos, sin]: [FlexTensor; 3]) -> (FlexTensor, ()) {
        (self.rotate(x, cos, sin, 1.0), ())
    }

    fn backward(
        &self,
        [_, cos, sin]: [Option<FlexTensor>; 3],
        (): (),
        gradient: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [cos, sin] = [cos, sin].map(|input| input.expect("cosines and sines are read"));
        [Some(self.rotate(gradient, cos, sin, -1.0)), None, None]
    }
}

impl Rope {
    fn rotate(&self, x: FlexTensor, cos: FlexTensor, sin: FlexTensor, direction: f32) -> FlexTensor {
        let [_, heads, _, width] = self.sizes;
        let [cos, sin] = [cos, sin].map(memory::contiguous);
        let (cos, sin) = (memory::values(&cos), memory::values(&sin));
        let mut x = in_token_order(x, self.sizes);
        let row = heads * width;
        let start = x.layout().start_offset();
        let values = &mut x.storage_mut::<f32>()[start..start + self.sizes.iter().product::<usize>()];
        let piece = memory::rows_per_piece(values.len() / row.max(1), row);
        let angles = piece * (width / 2);
        values
            .par_chunks_mut(piece * row)
            .zip(cos.par_chunks(angles))
            .zip(sin.par_chunks(angles))
            .for_each(|((values, cos), sin)| simd::run(Rotate { values, row, cos, sin, width, direction }));
        x
    }
}

/// The same heads [B, H, T, D] in memory of [B, T, H, D], as projections leave them, held by nobody else.
fn in_token_order(x: FlexTensor, [batch, heads, tokens, width]: [usize; 4]) -> FlexTensor {
    let strides = [tokens * heads * width, width, heads * width, 1].map(|stride| stride as isize);
    let lies_so = (0..4).all(|axis| x.layout().shape()[axis] == 1 || x.layout().strides()[axis] == strides[axis]);
    if lies_so && x.is_unique() {
        return x;
    }
    let tokens_first = x.layout().permute(&[0, 2, 1, 3]);
    let copy = x.with_layout(tokens_first);
    let copy = if copy.is_contiguous() {
        memory::tensor(memory::values(&copy).to_vec(), [batch, tokens, heads, width])
    } else {
        copy.to_contiguous()
    };
    copy.with_layout(Layout::new(Shape::new([batch, heads, tokens, width]), strides.to_vec(), 0))
}

struct Rotate<'a> {
    /// [rows, H * D].
    values: &'a mut [f32],
    row: usize,
    /// [rows, D / 2].
    cos: &'a [f32],
    sin: &'a [f32],
    width: usize,
    /// 1, or -1 to rotate back.
    direction: f32,
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let half = self.width / 2;
        let direction = simd.splat_f32s(self.direction);
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in self.values.chunks_exact_mut(self.row).zip(angles) {
            for head in row.chunks_exact_mut(self.width) {
                let (a, b) = head.split_at_mut(half);
                simd::update_two(
                    simd,
                    [a, b],
                    [cos, sin],
                    #[inline(always)]
                    |[a, b], [cos, sin]| {
                        let sin = simd.mul_f32s(sin, direction);
                        [
                            simd.negate_mul_add_e_f32s(b, sin, simd.mul_f32s(a, cos)),
                            simd.mul_add_e_f32s(a, sin, simd.mul_f32s(b, cos)),
                        ]
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, close_gradients, device, values};

    #[test]
    fn rotates_each_pair_by_the_angle_of_its_token() {
        let (batch, heads, tokens, half) = (2, 3, 4, 5);
        let x = values([batch, heads, tokens, 2 * half], 1);
        let angle = values([batch, tokens, half], 2);
        let cos = angle.map(f32::cos);
        let sin = angle.map(f32::sin);
        let mut expected = x.to_vec();
        for b in 0..batch {
            for h in 0..heads {
                for t in 0..tokens {
                    let row = ((b * heads + h) * tokens + t) * 2 * half;
                    for j in 0..half {
                        let (sin, cos) = angle[(b * tokens + t) * half + j].sin_cos();
                        expected[row + j] = x[row + j] * cos - x[row + half + j] * sin;
                        expected[row + half + j] = x[row + half + j] * cos + x[row + j] * sin;
                    }
                }
            }
        }

        let device = device();
        let found = rope(x.tensor(&device), cos.tensor(&device), sin.tensor(&device));
        close(&found, &expected, 1e-6);
    }

    #[test]
    fn gradients_are_those_of_the_composition_however_the_heads_lie() {
        for [batch, heads, tokens, half] in [[1, 1, 1, 1], [2, 3, 4, 5], [2, 5, 130, 16], [3, 1, 7, 40]] {
            let angle = values([batch, tokens, half], 2).map(|value| 3.0 * value);
            let device = device().autodiff();
            let (cos, sin) = (angle.map(f32::cos).tensor(&device), angle.map(f32::sin).tensor(&device));
            close_gradients(
                |[x]| rope(x.swap_dims(1, 2), cos.clone(), sin.clone()),
                |[x]| portable(x.swap_dims(1, 2), cos.clone(), sin.clone()),
                [values([batch, tokens, heads, 2 * half], 1)],
                1e-6,
            );
            close_gradients(
                |[x]| rope(x.clone() * 2.0, cos.clone(), sin.clone()) + x,
                |[x]| portable(x.clone() * 2.0, cos.clone(), sin.clone()) + x,
                [values([batch, heads, tokens, 2 * half], 1)],
                1e-6,
            );
        }
    }

    #[test]
    fn what_somebody_else_holds_is_not_written_over() {
        let device = device();
        let x = values([1, 2, 3, 4], 1);
        let angle = values([1, 3, 2], 2);
        let held = x.tensor(&device);
        let _ = rope(held.clone(), angle.tensor(&device), angle.tensor(&device));
        close(&held, &x, 0.0);
    }
}
