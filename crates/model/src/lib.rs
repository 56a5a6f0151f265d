//! Qwen2.5-VL in burn: vision tower, merger, decoder, weights.
//!
//! This crate owns the network: its sizes ([`Config`]), its modules ([`Model`]), the positions of tokens on three axes
//! ([`MropePositions`], [`PositionCursor`], [`MropeBatch`]), the keys and values kept between passes ([`KvCache`]), and
//! Hugging Face folders in and out ([`Model::load`], [`Model::save`], [`resolve`]), and low-rank adapters ([`Adapter`]). The text-only Qwen2 and Qwen3
//! decoders are the same modules without the tower.
//!
//! It must not know text, sampling, rewards or HTTP beyond fetching a checkpoint. It is stateless: everything that
//! lives between two calls is an argument.
//!
//! Read [`Model`] first: [`Model::encode_images`], [`Model::embed`], [`Model::forward`], [`Model::logits`] are the
//! whole pass, in that order.
//!
//! Dimension letters: B batch, T tokens, C width, H query heads, K key/value heads, D head width, S keys (cache columns
//! and new tokens), P patches, M merged patches (image tokens), V vocabulary, L length of an attention segment, N rows
//! of any kind.
//!
//! Source: the Qwen2.5-VL report (arXiv:2502.13923) and transformers 5.23 `models/qwen2_5_vl` for what only code says.

mod adapter;
mod config;
mod error;
mod flops;
mod gradients;
pub mod kernels;
mod kv_cache;
mod layers;
mod linear;
mod model;
mod position;
mod recompute;
mod rope;
mod text;
mod trace;
mod vision;
mod weights;

pub use adapter::{Adapter, LoraSettings, Scaling};
pub use config::{Architecture, Config, TextConfig, VisionConfig};
pub use error::ModelError;
pub use gradients::add_gradients;
pub use kv_cache::KvCache;
pub use layers::{Mlp, RmsNorm};
pub use linear::{Linear, LowRank};
pub use model::Model;
pub use position::{MropeBatch, MropePositions, PositionCursor, mrope_positions};
pub use recompute::{KeptInputs, ShownImages, image_rows};
pub use text::{Cut, Decoder, DecoderLayer, Embedding, PrunedChunk, PrunedRow, TextAttention};
pub use trace::Trace;
pub use vision::{
    Merger, MergerMlp, PatchEmbed, Segments, VisionAttention, VisionBlock, VisionTower, WindowOrder, ZippedImage,
};
pub use visionthink_image::GridThw;
pub use weights::{
    Download, Dtype, InitOptions, Layout, LoadOptions, Parameter, PatchEmbedInit, parameters, resolve, resolve_dataset,
    resolve_with_progress,
};
