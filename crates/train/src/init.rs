//! The weights a run starts from.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use visionthink_model::{Adapter, Config, Dtype, InitOptions, LoadOptions, Model, PatchEmbedInit};
use visionthink_protocol::Tokenizer;

use crate::config::{AllParameters, InitScale, InitSection, ModelSection, PatchEmbed, Trainable};
use crate::error::TrainError;
use crate::parameters::{Parameter, Parameters};

/// The model a run starts from, without an adapter.
///
/// # Errors
/// A file that is missing or broken; a configuration that does not fit its tokenizer.
pub fn start_model(section: &ModelSection, seed: u64, device: &Device) -> Result<Model, TrainError> {
    let init = match (&section.checkpoint, &section.init) {
        (Some(folder), _) => return Ok(Model::load(folder, &LoadOptions { dtype: section.dtype() }, device)?),
        (None, Some(init)) => init,
        (None, None) => unreachable!("a checked run file says where weights start"),
    };
    let config = Config::from_json(&fs_err::read_to_string(&init.config)?, &init.config)?;
    check_tokenizer(&config, &init.config, &init.tokenizer)?;
    random_model(config, init, seed, device)
}

/// The model of a run with what learns in it.
#[derive(Debug)]
pub struct StartingModel {
    /// The model, with its adapter on.
    pub model: Model,
    /// What learns.
    pub parameters: Parameters,
    /// Under an adapter, the checkpoint it is for, on the plain device: the model with the adapter off, which shares its weights.
    pub base: Option<Model>,
}

/// The model a run starts from, or goes on from where there is a checkpoint of it.
///
/// # Errors
/// As [`start_model`]; a prefix or a target without a parameter; an adapter that does not fit its base.
pub fn learning_model(
    section: &ModelSection,
    seed: u64,
    latest: Option<&Path>,
    device: &Device,
) -> Result<StartingModel, TrainError> {
    let Some(lora) = &section.lora else {
        let mut section = section.clone();
        section.checkpoint = latest.map(Path::to_path_buf).or(section.checkpoint);
        let model = start_model(&section, seed, device)?;
        let parameters = Parameters::of(&model, &section.trainable)?;
        return Ok(StartingModel { model, parameters, base: None });
    };
    let base = start_model(section, seed, device)?;
    let adapter = match latest {
        Some(folder) => Adapter::read(folder, base.config())?,
        None => Adapter::init(base.config(), lora.settings(), &lora.target_modules, seed)?,
    };
    let frozen = base.valid();
    let model = base.with_adapter(&adapter);
    let mut parameters = Parameters::of(&model, &section.trainable)?;
    parameters.take_from(&adapter);
    Ok(StartingModel { model, parameters, base: Some(frozen) })
}

/// The folder with tokenizer, chat template and image processor of a run: the one its run file names, also when the run is resumed. Its
/// own checkpoints come and go.
pub fn side_files(section: &ModelSection) -> PathBuf {
    match (&section.checkpoint, &section.init) {
        (Some(folder), _) => folder.clone(),
        (None, Some(init)) => init.tokenizer.clone(),
        (None, None) => unreachable!("a checked run file says where weights start"),
    }
}

fn random_model(config: Config, init: &InitSection, seed: u64, device: &Device) -> Result<Model, TrainError> {
    let patch_embed = match init.patch_embed {
        PatchEmbed::Normal => PatchEmbedInit::Normal,
        PatchEmbed::ZeroMean => PatchEmbedInit::ZeroMean,
    };
    let text_deviation = config.text.initializer_range;
    let vision_deviation = config.vision.as_ref().map_or(text_deviation, |vision| vision.initializer_range);
    let model = Model::init(config, &InitOptions { seed, patch_embed, dtype: Dtype::F32 }, device);
    if init.scale == InitScale::Config {
        return Ok(model);
    }
    let mut parameters = Parameters::of(&model, &Trainable::All(AllParameters::All))?;
    for parameter in parameters.iter_mut() {
        let deviation = if parameter.name.starts_with("visual.") { vision_deviation } else { text_deviation };
        scale_to_fan_in(parameter, deviation);
    }
    Ok(parameters.write_into(model))
}

/// Scales a matrix [in, out] drawn with `deviation` to `1 / sqrt(in)`, or half of that where it writes into the residual stream, so
/// that the stream grows slowly with depth.
fn scale_to_fan_in(parameter: &mut Parameter, deviation: f64) {
    const RESIDUAL: [&str; 3] = ["attn.proj.weight", "o_proj.weight", "down_proj.weight"];
    let &[inputs, _] = parameter.shape.as_slice() else { return };
    // Embeddings have no inputs to add up; the configuration's deviation is the scale of what they write.
    if parameter.name.contains("embed") {
        return;
    }
    let residual = RESIDUAL.iter().any(|end| parameter.name.ends_with(end));
    let wanted = (inputs as f64).sqrt().recip() * if residual { 0.5 } else { 1.0 };
    let factor = (wanted / deviation) as f32;
    parameter.values.iter_mut().for_each(|value| *value *= factor);
}

/// The ids in `config.json` have to be the tokenizer's, and every token needs a row.
fn check_tokenizer(config: &Config, file: &Path, folder: &Path) -> Result<(), TrainError> {
    let tokenizer = Tokenizer::from_dir(folder)?;
    let differs = |key: &str, found: String, expected: String| TrainError::Tokenizer {
        config: file.to_path_buf(),
        key: key.to_string(),
        found,
        tokenizer: folder.to_path_buf(),
        expected,
    };
    let entries = tokenizer.vocab_size();
    if config.text.vocab_size < entries {
        return Err(differs("vocab_size", config.text.vocab_size.to_string(), format!("{entries} entries")));
    }
    let image_pad = tokenizer.special().image_pad;
    match config.image_token_id() {
        Some(id) if id != image_pad => Err(differs("image_token_id", id.to_string(), image_pad.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_have_the_scale_of_their_inputs_and_the_residual_stream_gets_half() {
        let scaled = |name: &str| {
            let mut parameter = Parameter { name: name.to_string(), shape: vec![16, 2], values: vec![0.5; 32] };
            scale_to_fan_in(&mut parameter, 0.5);
            parameter.values[0]
        };
        assert_eq!(scaled("visual.blocks.0.attn.qkv.weight"), 0.25);
        assert_eq!(scaled("language_model.layers.1.mlp.down_proj.weight"), 0.125);
        assert_eq!(scaled("language_model.layers.1.self_attn.o_proj.weight"), 0.125);
        assert_eq!(scaled("lm_head.weight"), 0.25);
        assert_eq!(scaled("language_model.embed_tokens.weight"), 0.5);
    }
}
