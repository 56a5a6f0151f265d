//! From a model to a checkpoint folder.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use fs_err::File;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{Dtype, convert, parameters};
use crate::error::ModelError;
use crate::model::Model;

/// The data starts at a multiple of this, as in files that others write.
const HEADER_ALIGNMENT: usize = 8;

/// See [`Model::save`].
pub(crate) fn save(model: &Model, folder: &Path, dtype: Dtype) -> Result<(), ModelError> {
    // A checkpoint has no place for an adapter.
    let merged = model.has_adapter().then(|| model.clone().merge_adapter());
    let model = merged.as_ref().unwrap_or(model);
    fs_err::create_dir_all(folder)?;
    let weights = folder.join("model.safetensors");
    write_then_rename(&weights, |temporary| write_weights(model, temporary, dtype))?;
    write_then_rename(&folder.join("config.json"), |temporary| {
        let text = serde_json::to_string_pretty(&model.config().to_json(dtype)).expect("a JSON value has a text");
        Ok(fs_err::write(temporary, text + "\n")?)
    })
}

/// Header, then one tensor after the other, so that one is in memory at a time.
fn write_weights(model: &Model, file: &Path, dtype: Dtype) -> Result<(), ModelError> {
    let unwritable = |source| ModelError::SafeTensors { file: file.to_path_buf(), source };
    let mut collect = Collect { path: Vec::new(), tensors: HashMap::new() };
    model.visit(&mut collect);
    let parameters = parameters(model.config());

    let mut end = 0;
    let infos = parameters.iter().map(|parameter| {
        let start = end;
        end += parameter.len() * dtype.size();
        let info =
            TensorInfo { dtype: dtype.of_file(), shape: parameter.file_shape.clone(), data_offsets: (start, end) };
        (parameter.file_name(), info)
    });
    let format = HashMap::from([("format".to_string(), "pt".to_string())]);
    let metadata = Metadata::new(Some(format), infos.collect()).map_err(unwritable)?;
    let mut header = serde_json::to_vec(&metadata).map_err(|source| unwritable(source.into()))?;
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT), b' ');

    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for parameter in &parameters {
        let tensor = collect.tensors.remove(&parameter.path).expect("the list of parameters names every one");
        let values = tensor.try_into_vec_as::<f32>().expect("a float tensor can be read as f32");
        out.write_all(&convert::encode(&convert::to_file(values, parameter), dtype))?;
    }
    out.flush()?;
    Ok(())
}

/// Writes beside `target`, flushes to the disk, then renames: a reader sees the old file or the new one.
pub(crate) fn write_then_rename(
    target: &Path,
    write: impl FnOnce(&Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let mut name = target.file_name().expect("the target is a file").to_os_string();
    name.push(".tmp");
    let temporary = target.with_file_name(name);
    write(&temporary)?;
    fs_err::OpenOptions::new().append(true).open(&temporary)?.sync_all()?;
    fs_err::rename(&temporary, target)?;
    Ok(())
}

/// Collects every parameter, flattened, by path.
struct Collect {
    path: Vec<String>,
    tensors: HashMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let elements = tensor.shape().num_elements();
        self.tensors.insert(self.path.join("."), tensor.reshape([elements]));
    }
}
