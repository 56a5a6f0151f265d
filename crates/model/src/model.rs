//! The whole network.

use std::path::Path;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Device, Int};

use crate::config::{Config, VisionConfig};
use crate::error::ModelError;
use crate::kv_cache::KvCache;
use crate::linear::Linear;
use crate::position::MropeBatch;
use crate::text::{Decoder, PrunedChunk, PrunedRow};
use crate::trace::Trace;
use crate::vision::VisionTower;
use crate::weights::{self, Dtype, InitOptions, LoadOptions, Weights};
use visionthink_image::GridThw;

/// Qwen2.5-VL, or the text-only decoder of its family.
///
/// Linear weights are stored [in, out]; parameter paths are the names of released checkpoints without `model.`
/// (`visual.blocks.0.attn.qkv.weight`, `language_model.layers.0.mlp.up_proj.weight`); see
/// [`parameters`](crate::parameters).
///
/// On a device with autodiff all parameters record gradients.
#[derive(Module, Debug)]
pub struct Model {
    /// The vision tower; `None` for text-only checkpoints.
    pub visual: Option<VisionTower>,
    /// The decoder.
    pub language_model: Decoder,
    /// [C, V]; `None` where the head is the embedding matrix.
    pub lm_head: Option<Linear>,
    #[module(skip)]
    config: Config,
}

impl Model {
    /// Reads a checkpoint folder: `config.json`, and `model.safetensors` or the shards of
    /// `model.safetensors.index.json`, with old or new tensor names, in bf16, f16 or f32.
    ///
    /// One tensor at a time is in memory beside the model.
    ///
    /// # Errors
    /// A file that is missing, truncated or not what its name says; a tensor that is missing, left over, of another
    /// shape or not a float. All headers are checked before the first tensor is read.
    pub fn load(folder: &Path, options: &LoadOptions, device: &Device) -> Result<Self, ModelError> {
        weights::load(folder, *options, device)
    }

    /// A model with random weights; the same seed gives the same weights on every device.
    pub fn init(config: Config, options: &InitOptions, device: &Device) -> Self {
        let mut weights = weights::init(&config, options, device);
        Self::new(&mut weights, config)
    }

    /// Writes `config.json` and `model.safetensors` with the names of released files into `folder`, which is created
    /// where needed. Each file is written under a temporary name, flushed and renamed. An adapter that is on is merged into what is written.
    pub fn save(&self, folder: &Path, dtype: Dtype) -> Result<(), ModelError> {
        weights::save(self, folder, dtype)
    }

    pub(crate) fn new(weights: &mut Weights, config: Config) -> Self {
        Self {
            visual: config.vision.as_ref().map(|vision| VisionTower::new(weights, vision)),
            language_model: Decoder::new(weights, &config),
            lm_head: (!config.tie_word_embeddings).then(|| weights.linear("lm_head")),
            config,
        }
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.language_model.embed_tokens.weight.device()
    }

    /// An empty cache for `batch` sequences.
    pub fn new_cache(&self, batch: usize) -> KvCache {
        KvCache::new(&self.config.text, batch)
    }

    /// Image tokens of all images, in order.
    ///
    /// Shapes: `pixel_values` [P, patch values] in the row order of the processor, `grids` in patches -> [M, C].
    ///
    /// # Errors
    /// [`ModelError::NoVisionTower`], [`ModelError::Grid`], [`ModelError::PixelValues`].
    pub fn encode_images(&self, pixel_values: Tensor<2>, grids: &[GridThw]) -> Result<Tensor<2>, ModelError> {
        self.encode(pixel_values, grids, None)
    }

    /// [`Model::encode_images`], keeping what passes between the blocks.
    pub fn encode_images_traced(
        &self,
        pixel_values: Tensor<2>,
        grids: &[GridThw],
        trace: &mut Trace,
    ) -> Result<Tensor<2>, ModelError> {
        self.encode(pixel_values, grids, Some(trace))
    }

    fn encode(
        &self,
        pixel_values: Tensor<2>,
        grids: &[GridThw],
        trace: Option<&mut Trace>,
    ) -> Result<Tensor<2>, ModelError> {
        let (tower, config) = self.tower_for(&pixel_values, grids)?;
        let dtype = tower.patch_embed.proj.weight.dtype();
        Ok(tower.forward(pixel_values.cast(dtype), grids, config, trace))
    }

    /// The tower, once the images are known to be right for it.
    pub(crate) fn tower_for(
        &self,
        pixel_values: &Tensor<2>,
        grids: &[GridThw],
    ) -> Result<(&VisionTower, &VisionConfig), ModelError> {
        let (Some(tower), Some(config)) = (&self.visual, &self.config.vision) else {
            return Err(ModelError::NoVisionTower);
        };
        let merge = config.spatial_merge_size as u32;
        for (image, &GridThw { t, h, w }) in grids.iter().enumerate() {
            if t == 0 || h == 0 || w == 0 || h % merge != 0 || w % merge != 0 {
                return Err(ModelError::Grid { image, t, h, w, merge });
            }
        }
        let expected = [grids.iter().map(|grid| grid.patches()).sum(), config.patch_values()];
        let found = pixel_values.dims();
        if found != expected || expected[0] == 0 {
            return Err(ModelError::PixelValues { found, expected });
        }
        Ok((tower, config))
    }

    /// Decoder input: embeddings of the ids, with the image tokens' rows from `images`, in order over the batch.
    ///
    /// Shapes: `ids` B rows of up to T ids, aligned at their ends; `images` [M, C] -> [B, T, C]. What stands in front
    /// of a shorter row is padding; give [`MropeBatch::left_padded`] rows of the same lengths.
    ///
    /// Without `images` a placeholder is embedded like any other id, as transformers does with one that was sampled;
    /// [`PositionCursor::advance`](crate::PositionCursor::advance) finds prompts whose images are missing.
    ///
    /// # Errors
    /// [`ModelError::TokenId`]; [`ModelError::ImageTokens`] where the placeholders are not as many as the rows of
    /// `images`.
    pub fn embed(&self, ids: &[impl AsRef<[u32]>], images: Option<Tensor<2>>) -> Result<Tensor<3>, ModelError> {
        let vocab_size = self.config.text.vocab_size;
        let tokens = ids.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let image_token = self.config.image_token_id();

        let mut words = Vec::with_capacity(ids.len() * tokens);
        let mut sources = Vec::with_capacity(ids.len() * tokens);
        let mut placeholders = 0;
        for row in ids {
            let row = row.as_ref();
            if let Some(id) = row.iter().find(|id| **id as usize >= vocab_size) {
                return Err(ModelError::TokenId { id: *id, vocab_size });
            }
            for id in std::iter::repeat_n(&0, tokens - row.len()).chain(row) {
                words.push(i64::from(*id));
            }
            sources.extend(std::iter::repeat_n(None, tokens - row.len()));
            for id in row {
                let is_image = Some(*id) == image_token;
                sources.push(is_image.then_some(placeholders));
                placeholders += usize::from(is_image);
            }
        }
        if let Some(images) = &images
            && images.dims()[0] != placeholders
        {
            return Err(ModelError::ImageTokens { tokens: placeholders, expected: images.dims()[0] });
        }

        let device = self.device();
        let count = words.len();
        let text = self.language_model.embed_tokens.rows(Tensor::<1, Int>::from_ints(words.as_slice(), &device));
        let rows = match images {
            None => text,
            Some(images) => {
                let index: Vec<i64> = sources
                    .iter()
                    .enumerate()
                    .map(|(at, source)| source.map_or(at, |image: usize| count + image) as i64)
                    .collect();
                let both = Tensor::cat(vec![text.clone(), images.cast(text.dtype())], 0);
                both.select(0, Tensor::<1, Int>::from_ints(index.as_slice(), &device))
            }
        };
        Ok(rows.reshape([ids.len(), tokens, self.config.text.hidden_size]))
    }

    /// Hidden states behind the last norm, for every token of the chunk.
    ///
    /// With a cache the chunk continues the sequences in it and is appended to it; without one the chunk is the whole
    /// sequence. Padding gives rows that mean nothing and must not be read.
    ///
    /// Shapes: `embeds` [B, T, C] -> [B, T, C].
    ///
    /// # Panics
    /// The batch or the cache is for other rows or tokens than the embeddings.
    pub fn forward(&self, embeds: Tensor<3>, batch: &MropeBatch, cache: Option<&mut KvCache>) -> Tensor<3> {
        self.language_model.forward(embeds, batch, cache, &self.config, None)
    }

    /// [`Model::forward`], keeping what passes between the layers.
    pub fn forward_traced(
        &self,
        embeds: Tensor<3>,
        batch: &MropeBatch,
        cache: Option<&mut KvCache>,
        trace: &mut Trace,
    ) -> Tensor<3> {
        self.language_model.forward(embeds, batch, cache, &self.config, Some(trace))
    }

    /// [`Model::forward`] over a chunk that goes on without some of its visual tokens, and what became of them.
    ///
    /// Dropped tokens are not computed in later layers and have no entries in their part of the cache; what is left keeps its
    /// positions. Scores are computed for the queries that a method asks and nothing else; where nothing is to be dropped the pass is
    /// that of [`Model::forward`]. The last token of every row is the last column.
    ///
    /// Shapes: `embeds` [B, T, C] -> [B, T', C], left-padded.
    ///
    /// # Errors
    /// Settings that the decoder cannot follow; a device that fails while scores are read.
    ///
    /// # Panics
    /// The chunk or the cache is for other rows or tokens than the embeddings.
    pub fn forward_pruned(
        &self,
        embeds: Tensor<3>,
        chunk: PrunedChunk<'_>,
        cache: &mut KvCache,
    ) -> Result<(Tensor<3>, Vec<PrunedRow>), ModelError> {
        self.config.check_pruning(chunk.pruning)?;
        self.language_model.forward_pruned(embeds, chunk, cache, &self.config)
    }

    /// Logits of the rows given, in the dtype of the weights; select the rows that somebody asks for first.
    ///
    /// Shapes: `hidden` [N, C] -> [N, V].
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => self.language_model.embed_tokens.logits(hidden),
        }
    }

    /// The hidden states of the last token of every row, which is where a left-padded chunk ends.
    ///
    /// Shapes: `hidden` [B, T, C] -> [B, C].
    pub fn last_rows(hidden: Tensor<3>) -> Tensor<2> {
        let [batch, tokens, width] = hidden.dims();
        hidden.narrow(1, tokens - 1, 1).reshape([batch, width])
    }
}
