//! Attention of the decoder: grouped queries, rotated in three axes, over the cache.

use burn::Tensor;
use burn::module::Module;

use crate::config::TextConfig;
use crate::kernels::{self, AttentionMask};
use crate::kv_cache::KvCache;
use crate::layers::RmsNorm;
use crate::linear::Linear;
use crate::rope::RopeTable;
use crate::weights::Weights;

/// Attention of one decoder layer.
#[derive(Module, Debug)]
pub struct TextAttention {
    /// [C, H * D].
    pub q_proj: Linear,
    /// [C, K * D].
    pub k_proj: Linear,
    /// [C, K * D].
    pub v_proj: Linear,
    /// [H * D, C].
    pub o_proj: Linear,
    /// Over the head width of the queries (Qwen3).
    pub q_norm: Option<RmsNorm>,
    /// Over the head width of the keys (Qwen3).
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    head_dim: usize,
}

impl TextAttention {
    pub(crate) fn new(weights: &mut Weights, path: &str, config: &TextConfig) -> Self {
        let mut linear = |name: &str| weights.linear(&format!("{path}.{name}"));
        let [q_proj, k_proj, v_proj, o_proj] = ["q_proj", "k_proj", "v_proj", "o_proj"].map(&mut linear);
        let mut norm =
            |name: &str| config.qk_norm.then(|| RmsNorm::new(weights, &format!("{path}.{name}"), config.rms_norm_eps));
        let [q_norm, k_norm] = ["q_norm", "k_norm"].map(&mut norm);
        Self { q_proj, k_proj, v_proj, o_proj, q_norm, k_norm, head_dim: config.head_dim }
    }

    /// Attends over the tokens of this chunk and, with a cache, over what it holds; the chunk is appended to it.
    ///
    /// Shapes: `x` [B, T, C] -> [B, T, C].
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        rope: &RopeTable,
        mask: &AttentionMask,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let q = self.queries(x.clone(), rope);
        let k = self.keys(x.clone(), rope);
        let v = self.heads(self.v_proj.forward(x), None);
        let (k, v) = match cache {
            Some((cache, layer)) => cache.append(layer, k, v),
            None => (k, v),
        };
        self.o_proj.forward(kernels::attention(q, k, v, mask, self.scale()))
    }

    /// Rotated queries. Shapes: `x` [B, T, C] -> [B, H, T, D].
    pub(super) fn queries(&self, x: Tensor<3>, rope: &RopeTable) -> Tensor<4> {
        rotate(self.heads(self.q_proj.forward(x), self.q_norm.as_ref()), rope)
    }

    /// Rotated keys. Shapes: `x` [B, T, C] -> [B, K, T, D].
    pub(super) fn keys(&self, x: Tensor<3>, rope: &RopeTable) -> Tensor<4> {
        rotate(self.heads(self.k_proj.forward(x), self.k_norm.as_ref()), rope)
    }

    /// What scores are multiplied by.
    pub(super) fn scale(&self) -> f64 {
        (self.head_dim as f64).powf(-0.5)
    }

    /// [B, T, H * D] -> [B, H, T, D], each head normed where there is a norm.
    fn heads(&self, x: Tensor<3>, norm: Option<&RmsNorm>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        let heads = width / self.head_dim;
        let x = match norm {
            Some(norm) => norm.forward(x.reshape([batch, tokens * heads, self.head_dim])),
            None => x,
        };
        x.reshape([batch, tokens, heads, self.head_dim]).swap_dims(1, 2)
    }
}

fn rotate(x: Tensor<4>, rope: &RopeTable) -> Tensor<4> {
    kernels::rope(x, rope.cos.clone(), rope.sin.clone())
}
