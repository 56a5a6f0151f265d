//! From a folder in the layout of PEFT to an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use super::peft::PeftConfig;
use super::targets::{by_path, module_of};
use super::{Adapter, FACTOR_A, FACTOR_B, Held, PREFIX, TENSORS_FILE};
use crate::config::Config;
use crate::error::ModelError;
use crate::weights::{Dtype, Parameter, convert, released_name};

/// See [`Adapter::read`].
pub(super) fn read(folder: &Path, config: &Config) -> Result<Adapter, ModelError> {
    let PeftConfig { settings, base } = PeftConfig::read(folder)?;
    let file = folder.join(TENSORS_FILE);
    if !file.is_file() {
        return Err(ModelError::MissingFile { folder: folder.to_path_buf(), expected: TENSORS_FILE.into() });
    }
    let bytes = fs_err::read(&file)?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|source| ModelError::SafeTensors { file: file.clone(), source })?;
    let known: BTreeMap<String, Parameter> =
        by_path(config, settings.rank).into_values().map(|one| (short_name(&one), one)).collect();
    let mut held = BTreeMap::new();
    // In the order of names, so that of several faults the same one is reported.
    let sorted: BTreeMap<String, _> = tensors.iter().map(|(name, view)| (name.to_owned(), view)).collect();
    for (name, view) in sorted {
        let short = name.strip_prefix(PREFIX).map(released_name);
        let parameter = short.and_then(|short| known.get(&short)).cloned();
        let Some(parameter) = parameter else { return Err(ModelError::AdapterTensor { file, name }) };
        if view.shape() != parameter.file_shape {
            return Err(ModelError::TensorShape {
                file,
                name,
                found: view.shape().to_vec(),
                expected: parameter.file_shape,
            });
        }
        let Some(dtype) = Dtype::from_file(view.dtype()) else {
            return Err(ModelError::TensorDtype { file, name, found: view.dtype() });
        };
        if config.tie_word_embeddings && parameter.path.contains("embed_tokens") {
            return Err(ModelError::TiedEmbedding { file });
        }
        let values = convert::to_memory(convert::decode(view.data(), dtype), &parameter);
        held.insert(parameter.path.clone(), Held { parameter, values });
    }
    if held.is_empty() {
        return Err(ModelError::EmptyAdapter { file });
    }
    for path in held.keys() {
        for (end, other) in [(FACTOR_A, FACTOR_B), (FACTOR_B, FACTOR_A)] {
            let partner = path.strip_suffix(end).map(|module| format!("{module}{other}"));
            if let Some(missing) = partner.filter(|partner| !held.contains_key(partner)) {
                let name =
                    by_path(config, settings.rank).remove(&missing).map_or(missing, |one| peft_name(&one, config));
                return Err(ModelError::MissingTensor { place: file, name });
            }
        }
    }
    Ok(Adapter { settings, base, tensors: held })
}

/// The name of a tensor without [`PREFIX`], as released checkpoints begin it: `model.layers.0.self_attn.q_proj.lora_A.weight`.
fn short_name(parameter: &Parameter) -> String {
    renamed(parameter, Parameter::file_name)
}

/// The name of a tensor in a file that PEFT reads, around the classes of transformers 5.
pub(super) fn peft_name(parameter: &Parameter, config: &Config) -> String {
    // The text-only classes have no tower, and no `language_model` for the rest.
    let name = if config.vision.is_some() { Parameter::new_file_name } else { Parameter::file_name };
    format!("{PREFIX}{}", renamed(parameter, name))
}

fn renamed(parameter: &Parameter, name: impl Fn(&Parameter) -> String) -> String {
    let of_weight = |module: &str| name(&Parameter { path: format!("{module}.weight"), ..parameter.clone() });
    let factor = |module: &str, letter: &str| format!("{}.lora_{letter}.weight", module_of(&of_weight(module)));
    match (parameter.path.strip_suffix(FACTOR_A), parameter.path.strip_suffix(FACTOR_B)) {
        (Some(module), _) => factor(module, "A"),
        (_, Some(module)) => factor(module, "B"),
        _ => name(parameter),
    }
}
