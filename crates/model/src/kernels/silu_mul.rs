//! The gated activation of the feed-forward parts.

use burn::Tensor;
use burn::tensor::activation::silu;

/// `silu(gate) * up` with `silu(g) = g / (1 + exp(-g))`.
///
/// Shapes: `gate`, `up` and the result [B, T, I], I the inner width.
///
/// Source: Shazeer 2020 (arXiv:2002.05202), SwiGLU without its projections.
pub fn silu_mul(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate) * up
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, device, values};

    #[test]
    fn matches_the_formula_element_by_element() {
        let gate = values([2, 3, 4], 1);
        let up = values([2, 3, 4], 2);
        let expected: Vec<f32> =
            gate.iter().zip(up.iter()).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();

        let device = device();
        close(&silu_mul(gate.tensor(&device), up.tensor(&device)), &expected, 1e-6);
    }
}
