//! One block of the tower.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::DType;

use super::NORM_EPS;
use super::segments::Segments;
use crate::config::VisionConfig;
use crate::kernels;
use crate::layers::{Mlp, RmsNorm};
use crate::linear::Linear;
use crate::rope::RopeTable;
use crate::weights::Weights;

/// `x += attention(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct VisionBlock {
    /// The norm in front of attention.
    pub norm1: RmsNorm,
    /// The norm in front of the feed-forward part.
    pub norm2: RmsNorm,
    /// Attention.
    pub attn: VisionAttention,
    /// Feed-forward part, with biases.
    pub mlp: Mlp,
}

impl VisionBlock {
    pub(super) fn new(weights: &mut Weights, path: &str, config: &VisionConfig) -> Self {
        Self {
            norm1: RmsNorm::new(weights, &format!("{path}.norm1"), NORM_EPS),
            norm2: RmsNorm::new(weights, &format!("{path}.norm2"), NORM_EPS),
            attn: VisionAttention {
                qkv: weights.linear(&format!("{path}.attn.qkv")),
                proj: weights.linear(&format!("{path}.attn.proj")),
                heads: config.num_heads,
            },
            mlp: Mlp::new(weights, &format!("{path}.mlp")),
        }
    }

    /// Shapes: `x` [1, P, C] -> [1, P, C].
    pub(super) fn forward(&self, x: Tensor<3>, rope: &RopeTable, segments: &Segments) -> Tensor<3> {
        let heads = self.heads(x.clone(), rope);
        self.attend(x, heads, segments)
    }

    /// Queries, keys and values of the block's input, rotated. Shapes: `x` [1, P, C] -> [1, H, P, D] each.
    pub(super) fn heads(&self, x: Tensor<3>, rope: &RopeTable) -> [Tensor<4>; 3] {
        self.attn.heads(self.norm1.forward(x), rope)
    }

    /// The block over its input and what [`VisionBlock::heads`] made of it.
    pub(super) fn attend(&self, x: Tensor<3>, heads: [Tensor<4>; 3], segments: &Segments) -> Tensor<3> {
        let x = x + self.attn.attend(heads, segments);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

/// Bidirectional attention with positions on two axes.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// [C, 3 * C]: queries, keys, values.
    pub qkv: Linear,
    /// [C, C].
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl VisionAttention {
    fn heads(&self, x: Tensor<3>, rope: &RopeTable) -> [Tensor<4>; 3] {
        let [_, patches, width] = x.dims();
        let head_dim = width / self.heads;
        let qkv = self.qkv.forward(x);
        let [q, k, v] = [0, 1, 2].map(|part| {
            qkv.clone().narrow(2, part * width, width).reshape([1, patches, self.heads, head_dim]).swap_dims(1, 2)
        });
        // The tower rotates in f32 whatever the dtype of the weights; the decoder does not.
        let rotate = |x: Tensor<4>| {
            let dtype = x.dtype();
            kernels::rope(x.cast(DType::F32), rope.cos.clone(), rope.sin.clone()).cast(dtype)
        };
        [rotate(q), rotate(k), v]
    }

    fn attend(&self, heads: [Tensor<4>; 3], segments: &Segments) -> Tensor<3> {
        let scale = (heads[0].dims()[3] as f64).powf(-0.5);
        self.proj.forward(segments.attention(heads, scale))
    }
}
