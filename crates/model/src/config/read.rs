//! The reading rules for `config.json`.
//!
//! Text sizes stand in `text_config` or at the top level; where both have a key, `text_config` wins. Rotary settings
//! stand in `rope_parameters` (transformers 5), or in `rope_theta` and `rope_scaling` (before).

use std::path::Path;

use serde_json::{Map, Value};

use super::keys::Section;
use super::{Architecture, Config, TextConfig, VisionConfig};
use crate::error::ModelError;

/// The standard deviation transformers assumes where the file is silent; only random initialisation uses it.
const DEFAULT_INITIALIZER_RANGE: f64 = 0.02;

pub(super) fn config(value: &Value, file: &Path) -> Result<Config, ModelError> {
    let top = value.as_object().ok_or_else(|| ModelError::ConfigValue {
        file: file.to_path_buf(),
        key: "config.json".into(),
        found: "not an object".into(),
        expected: "a JSON object".into(),
    })?;
    let architecture = architecture(top, file)?;
    let nested = top.get("text_config").and_then(Value::as_object);
    let text_section = Section { file, prefix: "", objects: nested.into_iter().chain([top]).collect() };
    let top_section = Section { file, prefix: "", objects: vec![top] };

    let config = Config {
        architecture,
        text: text(&text_section, architecture)?,
        vision: match architecture {
            Architecture::Qwen2_5Vl => Some(vision(&top_section)?),
            Architecture::Qwen2 | Architecture::Qwen3 => None,
        },
        tie_word_embeddings: top_section.flag("tie_word_embeddings")? || text_section.flag("tie_word_embeddings")?,
        bos_token_id: text_section.optional_id("bos_token_id")?,
        eos_token_id: end_tokens(&text_section)?,
    };
    check(&config, file)?;
    Ok(config)
}

fn architecture(top: &Map<String, Value>, file: &Path) -> Result<Architecture, ModelError> {
    let class = top.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    let model_type = top.get("model_type").and_then(Value::as_str);
    let found = class
        .or(model_type)
        .ok_or_else(|| ModelError::ConfigKeyMissing { file: file.to_path_buf(), key: "architectures".into() })?;
    let known = Architecture::ALL.into_iter().find(|known| match class {
        Some(class) => known.class_name() == class,
        None => Some(known.model_type()) == model_type,
    });
    known.ok_or_else(|| ModelError::UnknownArchitecture {
        file: file.to_path_buf(),
        found: found.to_string(),
        supported: Architecture::ALL.map(Architecture::class_name).join(", "),
    })
}

fn text(section: &Section<'_>, architecture: Architecture) -> Result<TextConfig, ModelError> {
    refuse_unless(section, "hidden_act", "silu")?;
    if section.flag("use_sliding_window")? {
        return Err(section.wrong("use_sliding_window", true, "false: sliding windows are not supported"));
    }
    let (rope_theta, mrope_section) = rope(section, architecture)?;
    let hidden_size = section.size(&["hidden_size"])?;
    let num_attention_heads = section.size(&["num_attention_heads"])?;
    let head_dim = match architecture {
        Architecture::Qwen3 => section.size(&["head_dim"])?,
        _ if section.get("head_dim").is_some() => section.size(&["head_dim"])?,
        _ if hidden_size % num_attention_heads != 0 => {
            return Err(section.wrong(
                "hidden_size",
                hidden_size,
                format!("a multiple of {num_attention_heads} heads"),
            ));
        }
        _ => hidden_size / num_attention_heads,
    };
    let qwen3 = architecture == Architecture::Qwen3;
    if qwen3 && section.flag("attention_bias")? {
        return Err(section.wrong("attention_bias", true, "false"));
    }
    Ok(TextConfig {
        vocab_size: section.size(&["vocab_size"])?,
        hidden_size,
        intermediate_size: section.size(&["intermediate_size"])?,
        num_hidden_layers: section.size(&["num_hidden_layers"])?,
        num_attention_heads,
        num_key_value_heads: section.size(&["num_key_value_heads"])?,
        head_dim,
        rms_norm_eps: section.number("rms_norm_eps")?,
        rope_theta,
        mrope_section,
        max_position_embeddings: section.size(&["max_position_embeddings"])?,
        attention_bias: !qwen3,
        qk_norm: qwen3,
        initializer_range: section.optional_number("initializer_range")?.unwrap_or(DEFAULT_INITIALIZER_RANGE),
    })
}

/// Base of the frequencies and the split over three axes.
fn rope(section: &Section<'_>, architecture: Architecture) -> Result<(f64, Option<[usize; 3]>), ModelError> {
    let settings: Vec<&Map<String, Value>> =
        ["rope_parameters", "rope_scaling"].iter().filter_map(|key| section.get(key)?.as_object()).collect();
    let nested = Section { file: section.file, prefix: "rope_parameters.", objects: settings };
    for key in ["rope_type", "type"] {
        if let Some(kind) = nested.get(key)
            && !matches!(kind.as_str(), Some("default" | "mrope"))
        {
            return Err(nested.wrong(key, kind, "`default` or `mrope`: scaled rotations are not supported"));
        }
    }
    let theta = match nested.optional_number("rope_theta")? {
        Some(theta) => theta,
        None => section.number("rope_theta")?,
    };
    if architecture != Architecture::Qwen2_5Vl {
        return Ok((theta, None));
    }
    let list = nested.list("mrope_section")?;
    let split = <[usize; 3]>::try_from(list.as_slice())
        .map_err(|_| nested.wrong("mrope_section", format!("{list:?}"), "three numbers"))?;
    Ok((theta, Some(split)))
}

fn vision(top: &Section<'_>) -> Result<VisionConfig, ModelError> {
    let object = top.get("vision_config").and_then(Value::as_object).ok_or_else(|| top.missing("vision_config"))?;
    let section = Section { file: top.file, prefix: "vision_config.", objects: vec![object] };
    refuse_unless(&section, "hidden_act", "silu")?;
    Ok(VisionConfig {
        depth: section.size(&["depth"])?,
        hidden_size: section.size(&["hidden_size"])?,
        intermediate_size: section.size(&["intermediate_size"])?,
        num_heads: section.size(&["num_heads"])?,
        in_channels: section.size(&["in_channels", "in_chans"])?,
        patch_size: section.size(&["patch_size"])?,
        temporal_patch_size: section.size(&["temporal_patch_size"])?,
        spatial_merge_size: section.size(&["spatial_merge_size"])?,
        window_size: section.size(&["window_size"])?,
        fullatt_block_indexes: section.list("fullatt_block_indexes")?,
        out_hidden_size: section.size(&["out_hidden_size"])?,
        initializer_range: section.optional_number("initializer_range")?.unwrap_or(DEFAULT_INITIALIZER_RANGE),
        tokens_per_second: section.optional_number("tokens_per_second")?,
        image_token_id: top.optional_id("image_token_id")?.ok_or_else(|| top.missing("image_token_id"))?,
        video_token_id: top.optional_id("video_token_id")?,
        vision_start_token_id: top.optional_id("vision_start_token_id")?,
        vision_end_token_id: top.optional_id("vision_end_token_id")?,
    })
}

fn refuse_unless(section: &Section<'_>, key: &str, only: &str) -> Result<(), ModelError> {
    match section.get(key) {
        Some(value) if value.as_str() != Some(only) => Err(section.wrong(key, value, format!("`{only}`"))),
        _ => Ok(()),
    }
}

fn end_tokens(section: &Section<'_>) -> Result<Vec<u32>, ModelError> {
    match section.get("eos_token_id") {
        Some(Value::Array(_)) => Ok(section.list("eos_token_id")?.into_iter().map(|id| id as u32).collect()),
        _ => Ok(section.optional_id("eos_token_id")?.into_iter().collect()),
    }
}

/// Sizes that have to fit each other.
pub(super) fn check(config: &Config, file: &Path) -> Result<(), ModelError> {
    let text = &config.text;
    let top = Section { file, prefix: "", objects: Vec::new() };
    if !text.num_attention_heads.is_multiple_of(text.num_key_value_heads) {
        let expected = format!("a divisor of {} query heads", text.num_attention_heads);
        return Err(top.wrong("num_key_value_heads", text.num_key_value_heads, expected));
    }
    if !text.head_dim.is_multiple_of(2) {
        return Err(top.wrong("head_dim", text.head_dim, "an even number"));
    }
    if let Some(split) = text.mrope_section
        && split.iter().sum::<usize>() != text.head_dim / 2
    {
        let expected = format!("a sum of {}, half the head width", text.head_dim / 2);
        return Err(top.wrong("mrope_section", format!("{split:?}"), expected));
    }
    let Some(vision) = &config.vision else { return Ok(()) };
    check_vision(vision, text.hidden_size, file)?;
    if vision.image_token_id as usize >= text.vocab_size {
        let expected = format!("below the vocabulary of {}", text.vocab_size);
        return Err(top.wrong("image_token_id", vision.image_token_id, expected));
    }
    Ok(())
}

fn check_vision(vision: &VisionConfig, text_width: usize, file: &Path) -> Result<(), ModelError> {
    let section = Section { file, prefix: "vision_config.", objects: Vec::new() };
    if !vision.hidden_size.is_multiple_of(vision.num_heads) || !vision.head_dim().is_multiple_of(4) {
        let expected = format!("{} heads of a width divisible by 4", vision.num_heads);
        return Err(section.wrong("hidden_size", vision.hidden_size, expected));
    }
    if vision.out_hidden_size != text_width {
        let expected = format!("{text_width}, the decoder's `hidden_size`");
        return Err(section.wrong("out_hidden_size", vision.out_hidden_size, expected));
    }
    let cell = vision.patch_size * vision.spatial_merge_size;
    if vision.window_size < cell {
        let expected = format!("at least {cell}, the side of one image token");
        return Err(section.wrong("window_size", vision.window_size, expected));
    }
    if let Some(index) = vision.fullatt_block_indexes.iter().find(|index| **index >= vision.depth) {
        return Err(section.wrong("fullatt_block_indexes", index, format!("below {}, the depth", vision.depth)));
    }
    Ok(())
}
