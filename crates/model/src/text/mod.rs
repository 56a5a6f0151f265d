//! The decoder: Qwen2 with rotary positions on three axes.

mod attention;
mod embedding;
mod glance;
mod line;
mod pruning;

use burn::Tensor;
use burn::module::Module;

pub use attention::TextAttention;
pub use embedding::Embedding;
pub(crate) use pruning::read;
pub use pruning::{Cut, PrunedChunk, PrunedRow};

use crate::config::Config;
use crate::kernels::AttentionMask;
use crate::kv_cache::KvCache;
use crate::layers::{Mlp, RmsNorm};
use crate::position::MropeBatch;
use crate::rope::RopeTable;
use crate::trace::Trace;
use crate::weights::Weights;

/// Token embedding, layers and the last norm.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Rows of the vocabulary.
    pub embed_tokens: Embedding,
    /// Layers, first to last.
    pub layers: Vec<DecoderLayer>,
    /// The norm behind the last layer.
    pub norm: RmsNorm,
}

impl Decoder {
    pub(crate) fn new(weights: &mut Weights, config: &Config) -> Self {
        let text = &config.text;
        let path = "language_model";
        Self {
            embed_tokens: Embedding::new(weights, &format!("{path}.embed_tokens"), config.tie_word_embeddings),
            layers: (0..text.num_hidden_layers)
                .map(|index| DecoderLayer::new(weights, &format!("{path}.layers.{index}"), config))
                .collect(),
            norm: RmsNorm::new(weights, &format!("{path}.norm"), text.rms_norm_eps),
        }
    }

    /// Hidden states behind the last norm; see [`Model::forward`](crate::Model::forward).
    pub(crate) fn forward(
        &self,
        embeds: Tensor<3>,
        batch: &MropeBatch,
        mut cache: Option<&mut KvCache>,
        config: &Config,
        mut trace: Option<&mut Trace>,
    ) -> Tensor<3> {
        let [rows, tokens, _] = embeds.dims();
        assert_eq!([rows, tokens], [batch.batch(), batch.tokens()], "embeddings and positions describe one batch");
        let mut geometry = Geometry::new(&embeds, batch, cache.as_deref_mut(), config);
        let mut x = embeds;
        for (index, layer) in self.layers.iter().enumerate() {
            if let Some(cache) = cache.as_deref_mut() {
                geometry.enter(index, batch, cache);
            }
            x = layer.forward(x, &geometry, cache.as_deref_mut().map(|cache| (cache, index)));
            if let Some(trace) = trace.as_deref_mut() {
                trace.layers.push(x.clone());
            }
        }
        self.norm.forward(x)
    }
}

/// Where the tokens of a chunk are, and what they see: what all layers of a run share.
pub(crate) struct Geometry {
    rope: RopeTable,
    mask: AttentionMask,
}

impl Geometry {
    /// On the device of the embeddings; opens the columns of the chunk in the cache.
    pub(crate) fn new(embeds: &Tensor<3>, batch: &MropeBatch, cache: Option<&mut KvCache>, config: &Config) -> Self {
        let valid = match cache {
            Some(cache) => cache.open_columns(0, batch),
            None => batch.valid().to_vec(),
        };
        let rope = RopeTable::mrope(batch, &config.text, &embeds.device(), embeds.dtype());
        Self { rope, mask: AttentionMask::causal(valid) }
    }

    /// Opens the columns of the chunk in the run of the cache that begins with the layer, if one does; that of the first layer is open.
    fn enter(&mut self, layer: usize, batch: &MropeBatch, cache: &mut KvCache) {
        if layer > 0 && cache.begins_run(layer) {
            self.mask = AttentionMask::causal(cache.open_columns(layer, batch));
        }
    }
}

/// `x += attention(norm(x)); x += mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// The norm in front of attention.
    pub input_layernorm: RmsNorm,
    /// Attention.
    pub self_attn: TextAttention,
    /// The norm in front of the feed-forward part.
    pub post_attention_layernorm: RmsNorm,
    /// Feed-forward part.
    pub mlp: Mlp,
}

impl DecoderLayer {
    fn new(weights: &mut Weights, path: &str, config: &Config) -> Self {
        let eps = config.text.rms_norm_eps;
        Self {
            input_layernorm: RmsNorm::new(weights, &format!("{path}.input_layernorm"), eps),
            self_attn: TextAttention::new(weights, &format!("{path}.self_attn"), &config.text),
            post_attention_layernorm: RmsNorm::new(weights, &format!("{path}.post_attention_layernorm"), eps),
            mlp: Mlp::new(weights, &format!("{path}.mlp")),
        }
    }

    pub(crate) fn forward(&self, x: Tensor<3>, geometry: &Geometry, cache: Option<(&mut KvCache, usize)>) -> Tensor<3> {
        let Geometry { rope, mask } = geometry;
        let x = x.clone() + self.self_attn.forward(self.input_layernorm.forward(x), rope, mask, cache);
        x.clone() + self.mlp.forward(self.post_attention_layernorm.forward(x))
    }
}
