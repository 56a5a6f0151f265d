//! How the model in this process is run: sections `[engine]` and `[schedule]`.

use serde::{Deserialize, Serialize};
use visionthink_engine::EngineOptions;

/// The model in this process: section `[engine]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// `micro`, which is in the program, a checkpoint folder, or `hf:ORG/NAME`.
    pub model: String,
    /// Where it runs: `auto`, `cpu`, `cuda:0`, ….
    pub device: String,
    /// Of a request that names none; 0 takes the most likely token.
    pub temperature: f64,
    /// Tokens of a reply to a request that names no bound.
    pub max_tokens: usize,
}

/// How requests share the model: section `[schedule]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSettings {
    /// Samples that are decoded together.
    pub max_rows: usize,
    /// Samples that may wait for a free row; more are refused with 429.
    pub max_waiting: usize,
    /// Tokens, of prompts and of replies as long as they may become, that may be in work together; more are refused with
    /// 429. Their keys and values are what a request takes in memory.
    pub max_held_tokens: usize,
    /// Bytes of decoded pictures, 3 a pixel, that requests in work hold together.
    pub max_picture_bytes: usize,
    /// New tokens of prompts in one pass, between two tokens of those that are decoded; a longer prompt goes alone.
    pub max_prefill_tokens: usize,
    /// Tokens that a sample is decoded for before it makes room for those that wait.
    pub tokens_before_pause: usize,
    /// Tokens of prompts that are kept for requests that begin alike.
    pub max_prefix_tokens: usize,
    /// Image tokens kept for images that come again.
    pub max_cached_image_tokens: usize,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            max_rows: 16,
            max_waiting: 256,
            max_held_tokens: 1 << 18,
            max_picture_bytes: 1 << 30,
            max_prefill_tokens: 4096,
            tokens_before_pause: 64,
            max_prefix_tokens: 1 << 14,
            max_cached_image_tokens: 1 << 14,
        }
    }
}

impl ScheduleSettings {
    /// What the engine is told.
    pub fn options(&self) -> EngineOptions {
        EngineOptions {
            max_rows: self.max_rows,
            max_prefill_tokens: self.max_prefill_tokens,
            max_cached_image_tokens: self.max_cached_image_tokens,
            max_prefix_tokens: self.max_prefix_tokens,
            tokens_before_pause: self.tokens_before_pause,
            ..EngineOptions::default()
        }
    }
}
