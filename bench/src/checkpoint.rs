//! The checkpoint of 0.15 B parameters that is measured beside the embedded one: released sizes scaled down, random
//! weights, stored in bf16 as released checkpoints are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use serde_json::{Value, json};
use visionthink_model::{Config, Dtype, InitOptions, Model, PatchEmbedInit};

/// Makes the checkpoint unless it is there. Tokenizer, processor and ids are those of a fixture.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.join("model.safetensors").is_file() {
        return Ok(());
    }
    let fixture = fixture();
    let file = fixture.join("config.json");
    let mut config: Value = serde_json::from_str(&fs_err::read_to_string(&file)?)
        .with_context(|| format!("{} is not JSON", file.display()))?;
    scale(&mut config);
    let config = Config::from_json(&config.to_string(), &file)?;

    let options = InitOptions { seed: 1, patch_embed: PatchEmbedInit::Normal, dtype: Dtype::F32 };
    let model = Model::init(config, &options, &Device::flex());
    fs_err::create_dir_all(folder)?;
    copy_companions(&fixture, folder)?;
    // The weights last: their presence says that the folder is whole.
    model.save(folder, Dtype::Bf16)?;
    Ok(())
}

/// Copies what a checkpoint folder holds beside `config.json` and the weights.
pub(crate) fn copy_companions(from: &Path, to: &Path) -> Result<()> {
    const COMPANIONS: [&str; 8] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
        "preprocessor_config.json",
        "generation_config.json",
    ];
    for name in COMPANIONS {
        if from.join(name).is_file() {
            fs_err::copy(from.join(name), to.join(name))?;
        }
    }
    Ok(())
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/models/qwen2_5_vl-a")
}

fn scale(config: &mut Value) {
    let text = json!({
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "max_window_layers": 12,
        "layer_types": vec!["full_attention"; 12],
        "vocab_size": 32768,
    });
    let vision = json!({
        "hidden_size": 384,
        "intermediate_size": 1536,
        "depth": 6,
        "num_heads": 6,
        "fullatt_block_indexes": [2, 5],
        "out_hidden_size": 768,
    });
    for (section, sizes) in [("text_config", text), ("vision_config", vision)] {
        for (key, value) in sizes.as_object().into_iter().flatten() {
            config[section][key] = value.clone();
        }
    }
    config["text_config"]["rope_parameters"]["mrope_section"] = json!([8, 12, 12]);
    config["tie_word_embeddings"] = json!(true);
}
