//! From an adapter to a folder in the layout of PEFT.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;

use super::peft::config_text;
use super::read::peft_name;
use super::targets::module_of;
use super::{Adapter, CONFIG_FILE, FACTOR_A, PREFIX, TENSORS_FILE};
use crate::config::Config;
use crate::error::ModelError;
use crate::weights::{Dtype, convert, parameters, write_then_rename};

/// See [`Adapter::write`].
pub(super) fn write(adapter: &Adapter, folder: &Path, config: &Config, dtype: Dtype) -> Result<(), ModelError> {
    let file = folder.join(TENSORS_FILE);
    if config.tie_word_embeddings && adapter.tensors.keys().any(|path| path.contains("embed_tokens")) {
        return Err(ModelError::TiedEmbedding { file });
    }
    fs_err::create_dir_all(folder)?;
    let mut bytes = BTreeMap::new();
    for held in adapter.tensors.values() {
        let values = convert::to_file(held.values.clone(), &held.parameter);
        let name = peft_name(&held.parameter, config);
        bytes.insert(name, (held.parameter.file_shape.clone(), convert::encode(&values, dtype)));
    }
    let mut views = Vec::with_capacity(bytes.len());
    for (name, (shape, bytes)) in &bytes {
        let view = TensorView::new(dtype.of_file(), shape.clone(), bytes);
        views.push((name.as_str(), view.map_err(|source| ModelError::SafeTensors { file: file.clone(), source })?));
    }
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_then_rename(&file, |temporary| {
        safetensors::serialize_to_file(views, Some(format), temporary)
            .map_err(|source| ModelError::SafeTensors { file: file.clone(), source })
    })?;
    let (adapted, replaced) = modules(adapter, config);
    let text = config_text(adapter.settings, adapter.base(), &shortened(adapted, config), &replaced);
    write_then_rename(&folder.join(CONFIG_FILE), |temporary| Ok(fs_err::write(temporary, text)?))
}

/// Modules with factors, and modules with parameters that replace those of the base, as transformers names them.
fn modules(adapter: &Adapter, config: &Config) -> (BTreeSet<String>, Vec<String>) {
    let (mut adapted, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for (path, held) in &adapter.tensors {
        let name = peft_name(&held.parameter, config);
        let module = module_of(name.strip_prefix(PREFIX).unwrap_or(&name));
        if path.ends_with(FACTOR_A) {
            adapted.insert(module_of(module).to_owned());
        } else if !Adapter::is_factor(path) {
            replaced.insert(module.to_owned());
        }
    }
    (adapted, replaced.into_iter().collect())
}

/// The last words of the modules where these mean the same set: PEFT adapts every module whose name ends with one. Else all names.
fn shortened(adapted: BTreeSet<String>, config: &Config) -> Vec<String> {
    let last = |module: &str| module.rsplit('.').next().unwrap_or(module).to_owned();
    let words: BTreeSet<String> = adapted.iter().map(|module| last(module)).collect();
    let all = parameters(config).into_iter().map(|one| {
        let name = peft_name(&one, config);
        module_of(name.strip_prefix(PREFIX).unwrap_or(&name)).to_owned()
    });
    let named: BTreeSet<String> = all.filter(|module| words.contains(&last(module))).collect();
    if named == adapted { words.into_iter().collect() } else { adapted.into_iter().collect() }
}
