//! `adapter_config.json`, as PEFT 0.21 writes it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{CONFIG_FILE, LoraSettings, Scaling};
use crate::error::ModelError;

/// Options of PEFT that change what an adapter computes, and are not computed here: they have to be off.
const REFUSED: [&str; 17] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "target_parameters",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "megatron_config",
    "ensure_weight_tying",
];

/// Ways to start an adapter that leave the base as it is. The others of PEFT change it, and it is not in the adapter.
const HARMLESS_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What is used of `adapter_config.json`.
#[derive(Debug)]
pub(super) struct PeftConfig {
    pub(super) settings: LoraSettings,
    pub(super) base: Option<String>,
}

impl PeftConfig {
    pub(super) fn read(folder: &Path) -> Result<Self, ModelError> {
        let file = folder.join(CONFIG_FILE);
        if !file.is_file() {
            return Err(ModelError::MissingFile { folder: folder.to_path_buf(), expected: CONFIG_FILE.into() });
        }
        let text = fs_err::read_to_string(&file)?;
        let config: Map<String, Value> =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { file: file.clone(), source })?;
        let wrong = |key: &str, expected: &str| ModelError::ConfigValue {
            file: file.clone(),
            key: key.to_owned(),
            found: config.get(key).unwrap_or(&Value::Null).to_string(),
            expected: expected.to_owned(),
        };
        let given = |key: &str| {
            config.get(key).ok_or_else(|| ModelError::ConfigKeyMissing { file: file.clone(), key: key.to_owned() })
        };
        if given("peft_type")?.as_str() != Some("LORA") {
            return Err(wrong("peft_type", "`LORA`: no other kind of adapter is supported"));
        }
        if let Some(key) = REFUSED.into_iter().find(|key| config.get(*key).is_some_and(|value| !is_off(value))) {
            return Err(wrong(key, "it to be off: the option is not supported"));
        }
        if config.get("bias").is_some_and(|value| value.as_str() != Some("none")) {
            return Err(wrong("bias", "`none`: biases beside the factors are not supported"));
        }
        let start = config.get("init_lora_weights");
        if !start.is_none_or(|value| {
            value.is_boolean() || value.as_str().is_some_and(|name| HARMLESS_STARTS.contains(&name))
        }) {
            return Err(wrong(
                "init_lora_weights",
                "a start that leaves the base unchanged: true, false or `gaussian`",
            ));
        }
        let rank = given("r")?.as_u64().filter(|rank| *rank > 0).ok_or_else(|| wrong("r", "at least 1"))? as usize;
        let alpha = given("lora_alpha")?.as_f64().ok_or_else(|| wrong("lora_alpha", "a number"))?;
        let scaling = match config.get("use_rslora").map(Value::as_bool) {
            Some(Some(true)) => Scaling::RankStabilised,
            None | Some(Some(false)) => Scaling::Standard,
            Some(None) => return Err(wrong("use_rslora", "true or false")),
        };
        let base = config.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { settings: LoraSettings { rank, alpha, scaling }, base })
    }
}

/// PEFT writes every option, most of them off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The text of `adapter_config.json`. Dropout is a matter of training and is over.
pub(super) fn config_text(
    settings: LoraSettings,
    base: Option<&str>,
    target_modules: &[String],
    modules_to_save: &[String],
) -> String {
    let alpha = settings.alpha;
    // PEFT declares an integer.
    let alpha = if alpha.fract() == 0.0 && alpha.abs() < 1e15 { json!(alpha as i64) } else { json!(alpha) };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": true,
        "r": settings.rank,
        "lora_alpha": alpha,
        "use_rslora": settings.scaling == Scaling::RankStabilised,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "target_modules": target_modules,
        "modules_to_save": (!modules_to_save.is_empty()).then_some(modules_to_save),
    });
    format!("{config:#}\n")
}
