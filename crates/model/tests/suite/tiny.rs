//! A tiny model with random weights and every structural feature: windows, border windows, grouped queries, mrope.

use std::path::Path;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use visionthink_model::{
    Config, Dtype, GridThw, InitOptions, Model, MropeBatch, MropePositions, PatchEmbedInit, PositionCursor,
};

pub(crate) const IMAGE: u32 = 60;
pub(crate) const MERGE: u32 = 2;

/// The configuration as flat JSON, the layout of released files.
pub(crate) fn json(tied: bool) -> serde_json::Value {
    serde_json::json!({
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "vocab_size": 64,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 2, 2]},
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "tie_word_embeddings": tied,
        "image_token_id": IMAGE,
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_heads": 2,
            "in_chans": 3,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "spatial_merge_size": MERGE,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 48,
            "initializer_range": 0.2,
        },
    })
}

pub(crate) fn config(tied: bool) -> Config {
    Config::from_json(&json(tied).to_string(), Path::new("config.json")).unwrap()
}

pub(crate) fn model(tied: bool) -> Model {
    let options = InitOptions { seed: 7, patch_embed: PatchEmbedInit::Normal, dtype: Dtype::F32 };
    Model::init(config(tied), &options, &Device::flex())
}

/// Pixel values of images, different in every number.
pub(crate) fn pixels(grids: &[GridThw], seed: usize) -> Tensor<2> {
    let patches: usize = grids.iter().map(|grid| grid.patches()).sum();
    let values: Vec<f32> = (0..patches * 1176).map(|at| ((at * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, [patches, 1176]), &Device::flex())
}

pub(crate) fn grid(h: u32, w: u32) -> GridThw {
    GridThw { t: 1, h, w }
}

/// Text ids without images, different for every seed.
pub(crate) fn words(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|at| (at * 7 + seed * 13 + at * at * 3) % IMAGE).collect()
}

/// Text positions from the start.
pub(crate) fn text_positions(ids: &[u32]) -> MropePositions {
    PositionCursor::new().advance(ids, Some(IMAGE), &[], MERGE).unwrap()
}

/// Hidden states of a text alone, in one pass.
pub(crate) fn alone(model: &Model, ids: &[u32]) -> Tensor<3> {
    model.forward(model.embed(&[ids], None).unwrap(), &MropeBatch::single(&text_positions(ids)), None)
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.try_to_vec_as().unwrap()
}

/// Asserts finite values within `limit` of each other.
pub(crate) fn close<const D: usize>(found: &Tensor<D>, expected: &Tensor<D>, limit: f32) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let (mut largest, mut index) = (0.0_f32, 0);
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(found.is_finite() && expected.is_finite(), "element {at}: {found} and {expected}");
        if (found - expected).abs() > largest {
            (largest, index) = ((found - expected).abs(), at);
        }
    }
    assert!(largest <= limit, "largest difference {largest:e} at {index}, limit {limit:e}");
}
