//! From a checkpoint folder to a model.

use std::path::Path;

use burn::tensor::Device;

use super::checkpoint::Checkpoint;
use super::{LoadOptions, Weights, parameters};
use crate::config::Config;
use crate::error::ModelError;
use crate::model::Model;

/// See [`Model::load`].
pub(crate) fn load(folder: &Path, options: LoadOptions, device: &Device) -> Result<Model, ModelError> {
    let config = Config::from_folder(folder)?;
    let parameters = parameters(&config);
    let checkpoint = Checkpoint::open(folder)?;
    checkpoint.check(&parameters, config.tie_word_embeddings)?;

    let elements: usize = parameters.iter().map(super::Parameter::len).sum();
    let span = tracing::info_span!("load", folder = %folder.display(), tensors = parameters.len(), elements);
    let _entered = span.enter();
    let mut weights = Weights::new();
    for parameter in &parameters {
        weights.insert(parameter, checkpoint.read(parameter)?, options.dtype, device);
    }
    Ok(Model::new(&mut weights, config))
}
