//! Intermediate values for tests and debugging.

use burn::Tensor;

/// Residual streams collected during a pass; give one to [`Model::encode_images_traced`](crate::Model::encode_images_traced)
/// or [`Model::forward_traced`](crate::Model::forward_traced).
#[derive(Debug, Default)]
pub struct Trace {
    /// After the patch embedding, before the window permutation, [P, C].
    pub patch_embed: Option<Tensor<2>>,
    /// After each vision block, rows in window order, [P, C].
    pub vision_blocks: Vec<Tensor<2>>,
    /// After each decoder layer, [B, T, C].
    pub layers: Vec<Tensor<3>>,
}
