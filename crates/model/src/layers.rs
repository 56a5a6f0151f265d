//! Layers that the vision tower and the decoder share.

use burn::Tensor;
use burn::module::{Module, Param};

use crate::kernels;
use crate::linear::Linear;
use crate::weights::Weights;

/// Root-mean-square norm with a weight; see [`kernels::rms_norm`].
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[C]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn new(weights: &mut Weights, path: &str, eps: f64) -> Self {
        Self { weight: weights.vector(&format!("{path}.weight")), eps }
    }

    /// Shapes: [B, T, C] -> [B, T, C].
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::rms_norm(x, self.weight.val(), self.eps)
    }
}

/// `down(silu(gate(x)) * up(x))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// [C, I].
    pub gate_proj: Linear,
    /// [C, I].
    pub up_proj: Linear,
    /// [I, C].
    pub down_proj: Linear,
}

impl Mlp {
    pub(crate) fn new(weights: &mut Weights, path: &str) -> Self {
        let mut linear = |name: &str| weights.linear(&format!("{path}.{name}"));
        Self { gate_proj: linear("gate_proj"), up_proj: linear("up_proj"), down_proj: linear("down_proj") }
    }

    /// Shapes: [B, T, C] -> [B, T, C].
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(x.clone());
        let up = self.up_proj.forward(x);
        self.down_proj.forward(kernels::silu_mul(gate, up))
    }
}
