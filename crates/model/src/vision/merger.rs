//! From patches to image tokens.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::activation::gelu;

use super::NORM_EPS;
use crate::config::VisionConfig;
use crate::layers::RmsNorm;
use crate::linear::Linear;
use crate::weights::Weights;

/// `linear(gelu(linear(norm(x) of 4 patches side by side)))`, with the exact (erf) GELU.
#[derive(Module, Debug)]
pub struct Merger {
    /// Over each patch.
    pub ln_q: RmsNorm,
    /// The two linear layers.
    pub mlp: MergerMlp,
    #[module(skip)]
    merge_unit: usize,
}

/// The linear layers of the merger; checkpoints name them by their place in a list, `0` and `2`.
#[derive(Module, Debug)]
pub struct MergerMlp {
    /// [4 C, 4 C], `mlp.0` in checkpoints.
    pub fc1: Linear,
    /// [4 C, text C], `mlp.2` in checkpoints.
    pub fc2: Linear,
}

impl Merger {
    pub(super) fn new(weights: &mut Weights, path: &str, config: &VisionConfig) -> Self {
        Self {
            ln_q: RmsNorm::new(weights, &format!("{path}.ln_q"), NORM_EPS),
            mlp: MergerMlp {
                fc1: weights.linear(&format!("{path}.mlp.fc1")),
                fc2: weights.linear(&format!("{path}.mlp.fc2")),
            },
            merge_unit: config.merge_unit(),
        }
    }

    /// Shapes: `x` [1, P, C] -> [M, text C].
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let [_, patches, width] = x.dims();
        let x = self.ln_q.forward(x).reshape([patches / self.merge_unit, self.merge_unit * width]);
        self.mlp.fc2.forward(gelu(self.mlp.fc1.forward(x)))
    }
}
