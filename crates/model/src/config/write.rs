//! The flat layout of the released files.

use serde_json::{Map, Value, json};

use super::{Config, VisionConfig};
use crate::weights::Dtype;

pub(super) fn config(config: &Config, dtype: Dtype) -> Value {
    let text = &config.text;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.into(), value);
    put("architectures", json!([config.architecture.class_name()]));
    put("model_type", json!(config.architecture.model_type()));
    put("torch_dtype", json!(dtype.torch_name()));
    put("vocab_size", json!(text.vocab_size));
    put("hidden_size", json!(text.hidden_size));
    put("intermediate_size", json!(text.intermediate_size));
    put("num_hidden_layers", json!(text.num_hidden_layers));
    put("num_attention_heads", json!(text.num_attention_heads));
    put("num_key_value_heads", json!(text.num_key_value_heads));
    if text.head_dim * text.num_attention_heads != text.hidden_size || text.qk_norm {
        put("head_dim", json!(text.head_dim));
    }
    put("hidden_act", json!("silu"));
    put("rms_norm_eps", json!(text.rms_norm_eps));
    put("rope_theta", json!(text.rope_theta));
    if let Some(section) = text.mrope_section {
        put("rope_scaling", json!({"type": "mrope", "mrope_section": section}));
    }
    put("max_position_embeddings", json!(text.max_position_embeddings));
    put("attention_dropout", json!(0.0));
    put("use_sliding_window", json!(false));
    put("initializer_range", json!(text.initializer_range));
    put("tie_word_embeddings", json!(config.tie_word_embeddings));
    put("use_cache", json!(true));
    put("bos_token_id", json!(config.bos_token_id));
    put(
        "eos_token_id",
        match config.eos_token_id.as_slice() {
            [one] => json!(one),
            [] => Value::Null,
            several => json!(several),
        },
    );
    if let Some(vision) = &config.vision {
        put("image_token_id", json!(vision.image_token_id));
        for (key, id) in [
            ("video_token_id", vision.video_token_id),
            ("vision_start_token_id", vision.vision_start_token_id),
            ("vision_end_token_id", vision.vision_end_token_id),
        ] {
            if let Some(id) = id {
                put(key, json!(id));
            }
        }
        put("vision_config", vision_section(vision));
    }
    // `null` would override a default of the reader; an absent key does not.
    out.retain(|_, value| !value.is_null());
    Value::Object(out)
}

fn vision_section(vision: &VisionConfig) -> Value {
    let mut section = json!({
        "model_type": "qwen2_5_vl",
        "depth": vision.depth,
        "hidden_size": vision.hidden_size,
        "intermediate_size": vision.intermediate_size,
        "num_heads": vision.num_heads,
        "hidden_act": "silu",
        "in_channels": vision.in_channels,
        "in_chans": vision.in_channels,
        "patch_size": vision.patch_size,
        "spatial_patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "spatial_merge_size": vision.spatial_merge_size,
        "window_size": vision.window_size,
        "fullatt_block_indexes": vision.fullatt_block_indexes,
        "out_hidden_size": vision.out_hidden_size,
        "initializer_range": vision.initializer_range,
    });
    if let Some(rate) = vision.tokens_per_second {
        section["tokens_per_second"] = if rate.fract() == 0.0 { json!(rate as u64) } else { json!(rate) };
    }
    section
}
