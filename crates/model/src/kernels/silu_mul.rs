//! The gated activation of the feed-forward parts.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::tensor::activation::silu;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::fused::{self, Fused};
use super::{memory, simd};

/// `silu(gate) * up` with `silu(g) = g / (1 + exp(-g))`.
///
/// Shapes: `gate`, `up` and the result [B, T, I], I the inner width.
///
/// Source: Shazeer 2020 (arXiv:2002.05202), SwiGLU without its projections.
pub fn silu_mul(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    assert_eq!(gate.dims(), up.dims(), "gate and up have one shape");
    fused::apply_to(SiluMul, [gate, up]).unwrap_or_else(|[gate, up]| portable(gate, up))
}

pub(super) fn portable(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate) * up
}

/// With `s = sigmoid(gate)`: `dup = dy gate s`, `dgate = dy up s (1 + gate (1 - s))`.
#[derive(Debug, Clone, Copy)]
struct SiluMul;

impl Fused<2> for SiluMul {
    type Saved = ();
    const READS: [bool; 2] = [true, true];

    fn forward(&self, inputs: [FlexTensor; 2]) -> (FlexTensor, ()) {
        let [gate, up] = inputs.map(memory::contiguous);
        let mut out = vec![0.0; memory::values(&gate).len()];
        let piece = memory::rows_per_piece(out.len(), 1);
        out.par_chunks_mut(piece)
            .zip(memory::values(&gate).par_chunks(piece))
            .zip(memory::values(&up).par_chunks(piece))
            .for_each(|((out, gate), up)| simd::run(Forward { out, gate, up }));
        (memory::tensor(out, gate.layout().shape().clone()), ())
    }

    fn backward(
        &self,
        inputs: [Option<FlexTensor>; 2],
        (): (),
        gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [mut gate, up] = inputs.map(|input| memory::contiguous(input.expect("both inputs are read")));
        let mut gradient = memory::contiguous(gradient);
        let piece = memory::rows_per_piece(memory::values(&up).len(), 1);
        memory::values_mut(&mut gate)
            .par_chunks_mut(piece)
            .zip(memory::values(&up).par_chunks(piece))
            .zip(memory::values_mut(&mut gradient).par_chunks_mut(piece))
            .for_each(|((gate, up), gradient)| simd::run(Backward { gate, up, gradient }));
        [Some(gate), Some(gradient)]
    }
}

struct Forward<'a> {
    out: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd::map(
            simd,
            self.out,
            [self.gate, self.up],
            #[inline(always)]
            |[gate, up]| simd.mul_f32s(simd.mul_f32s(gate, simd::sigmoid(simd, gate)), up),
        );
    }
}

/// Turns `gate` into its gradient, and the gradient of the output into that of `up`.
struct Backward<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
    gradient: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let one = simd.splat_f32s(1.0);
        simd::update_two(
            simd,
            [self.gate, self.gradient],
            [self.up],
            #[inline(always)]
            |[gate, dy], [up]| {
                let s = simd::sigmoid(simd, gate);
                let dy_s = simd.mul_f32s(dy, s);
                let slope = simd.mul_add_e_f32s(gate, simd.sub_f32s(one, s), one);
                [simd.mul_f32s(simd.mul_f32s(dy_s, up), slope), simd.mul_f32s(dy_s, gate)]
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, close_gradients, device, values};

    #[test]
    fn matches_the_formula_element_by_element() {
        let gate = values([2, 3, 4], 1);
        let up = values([2, 3, 4], 2);
        let expected: Vec<f32> =
            gate.iter().zip(up.iter()).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();

        let device = device();
        close(&silu_mul(gate.tensor(&device), up.tensor(&device)), &expected, 1e-6);
    }

    #[test]
    fn gradients_are_those_of_the_composition() {
        for shape in [[1, 1, 1], [2, 3, 5], [1, 7, 16], [3, 5, 67], [2, 130, 416]] {
            let gate = values(shape, 1).map(|value| 10.0 * value);
            close_gradients(
                |[gate, up]| silu_mul(gate, up),
                |[gate, up]| portable(gate, up),
                [gate, values(shape, 2)],
                2e-6,
            );
        }
    }
}
