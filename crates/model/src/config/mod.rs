//! Sizes of a checkpoint, read from `config.json`.

mod keys;
mod read;
mod write;

use std::path::Path;

use visionthink_prune::Pruning;

use crate::error::ModelError;

/// Networks this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `Qwen2_5_VLForConditionalGeneration`: vision tower and Qwen2 decoder.
    Qwen2_5Vl,
    /// `Qwen2ForCausalLM`: the decoder alone.
    Qwen2,
    /// `Qwen3ForCausalLM`: the decoder alone, with normed queries and keys and no biases.
    Qwen3,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Qwen2_5Vl, Self::Qwen2, Self::Qwen3];

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2_5Vl => "qwen2_5_vl",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The entry of `architectures` in `config.json`.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Qwen2_5Vl => "Qwen2_5_VLForConditionalGeneration",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}

/// Sizes of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which network.
    pub architecture: Architecture,
    /// The decoder.
    pub text: TextConfig,
    /// The vision tower; `None` for text-only checkpoints.
    pub vision: Option<VisionConfig>,
    /// The head is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// First token of a document, where the file says.
    pub bos_token_id: Option<u32>,
    /// End tokens, where the file says.
    pub eos_token_id: Vec<u32>,
}

/// Sizes of the decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding; at least the tokenizer's entries.
    pub vocab_size: usize,
    /// C.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// H.
    pub num_attention_heads: usize,
    /// K.
    pub num_key_value_heads: usize,
    /// D; `hidden_size / num_attention_heads` unless the file says otherwise.
    pub head_dim: usize,
    /// Epsilon of every RMS norm of the decoder.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How many of the D/2 frequencies turn with the frame, row and column coordinate; `None` is ordinary rope.
    pub mrope_section: Option<[usize; 3]>,
    /// Longest sequence the checkpoint was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Queries, keys and values have biases (Qwen2).
    pub attention_bias: bool,
    /// Queries and keys are normed over the head width before the rotation (Qwen3).
    pub qk_norm: bool,
    /// Standard deviation of random weights.
    pub initializer_range: f64,
}

/// Sizes of the vision tower, and the ids that stand for images in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// C of the tower.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// H.
    pub num_heads: usize,
    /// Colours.
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch; still images repeat their one frame.
    pub temporal_patch_size: usize,
    /// Patches a side of one image token.
    pub spatial_merge_size: usize,
    /// Side of an attention window in pixels.
    pub window_size: usize,
    /// Blocks that attend to the whole image.
    pub fullatt_block_indexes: Vec<usize>,
    /// Width of the merger's output; the decoder's C.
    pub out_hidden_size: usize,
    /// Standard deviation of random weights.
    pub initializer_range: f64,
    /// Steps of the frame coordinate a second; videos only.
    pub tokens_per_second: Option<f64>,
    /// The placeholder of one image token, `<|image_pad|>`.
    pub image_token_id: u32,
    /// `<|video_pad|>`, where the file says.
    pub video_token_id: Option<u32>,
    /// `<|vision_start|>`, where the file says.
    pub vision_start_token_id: Option<u32>,
    /// `<|vision_end|>`, where the file says.
    pub vision_end_token_id: Option<u32>,
}

impl VisionConfig {
    /// Head width of the tower.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Numbers in one patch, 1176 in released checkpoints.
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches merged into one image token, 4 in released checkpoints.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }

    /// The last block that attends to the whole image, if any does; in released checkpoints it is the last of all.
    pub fn last_whole_image_block(&self) -> Option<usize> {
        self.fullatt_block_indexes.iter().copied().filter(|block| *block < self.depth).max()
    }

    /// Image tokens a side of an attention window.
    pub fn window_cells(&self) -> usize {
        self.window_size / self.spatial_merge_size / self.patch_size
    }
}

impl Config {
    /// Reads `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// The file is missing or not JSON; an architecture that is not in [`Architecture::ALL`]; a size that is missing,
    /// not a number, or does not fit the others. Keys that are not needed are ignored.
    pub fn from_folder(folder: &Path) -> Result<Self, ModelError> {
        let file = folder.join("config.json");
        if !file.is_file() {
            return Err(ModelError::MissingFile { folder: folder.to_path_buf(), expected: "config.json".into() });
        }
        let text = fs_err::read_to_string(&file)?;
        Self::from_json(&text, &file)
    }

    /// Reads the text of a `config.json`; `file` is named in errors.
    ///
    /// Three layouts are in use: flat (released files), nested (transformers 5), and both at once; see
    /// the reading rules in the module `read`.
    pub fn from_json(text: &str, file: &Path) -> Result<Self, ModelError> {
        let value =
            serde_json::from_str(text).map_err(|source| ModelError::Json { file: file.to_path_buf(), source })?;
        read::config(&value, file)
    }

    /// The `config.json` of this configuration in the flat layout of the released files, which transformers 4.49 and
    /// later and vLLM read.
    pub fn to_json(&self, dtype: crate::weights::Dtype) -> serde_json::Value {
        write::config(self, dtype)
    }

    /// Whether visual tokens can be dropped so by this network.
    ///
    /// # Errors
    /// [`ModelError::Prune`], [`ModelError::NoWholeImageBlock`].
    pub fn check_pruning(&self, pruning: &Pruning) -> Result<(), ModelError> {
        pruning.check_for(self.text.num_hidden_layers)?;
        let whole = self.vision.as_ref().is_none_or(|vision| vision.last_whole_image_block().is_some());
        if matches!(pruning, Pruning::VisionZip(_)) && !whole {
            return Err(ModelError::NoWholeImageBlock);
        }
        Ok(())
    }

    /// The id that stands for one image token; `None` for text-only checkpoints.
    pub fn image_token_id(&self) -> Option<u32> {
        self.vision.as_ref().map(|vision| vision.image_token_id)
    }

    /// Checks that the sizes fit each other; [`Config::from_json`] has done it already.
    ///
    /// # Errors
    /// [`ModelError::ConfigValue`] naming the first key that does not fit; `file` is named in it.
    pub fn check(&self, file: &Path) -> Result<(), ModelError> {
        read::check(self, file)
    }
}
