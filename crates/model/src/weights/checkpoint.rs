//! Where the tensors of a checkpoint folder are, without reading them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err::File;
use safetensors::tensor::{Metadata, SafeTensorError};
use serde::Deserialize;

use super::parameters::released_name;
use super::{Dtype, Parameter, convert};
use crate::error::ModelError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Bytes in front of the header: its length.
const PREFIX: u64 = 8;
/// Headers of real checkpoints have a few hundred kilobytes; safetensors itself refuses more than this.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a checkpoint folder by released name.
pub(super) struct Checkpoint {
    /// The file, or the folder of a sharded checkpoint: what an error about a missing tensor names.
    place: PathBuf,
    tensors: HashMap<String, Entry>,
}

/// One tensor in a file.
struct Entry {
    file: PathBuf,
    /// As the file spells it.
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    /// First byte in the file, and number of bytes.
    start: u64,
    length: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Reads the headers of all files.
    pub(super) fn open(folder: &Path) -> Result<Self, ModelError> {
        let index = folder.join(INDEX);
        let single = folder.join(SINGLE);
        let (place, files) = if single.is_file() {
            (single.clone(), vec![single])
        } else if index.is_file() {
            (folder.to_path_buf(), shards(&index, folder)?)
        } else {
            let expected = format!("{SINGLE}` or `{INDEX}");
            return Err(ModelError::MissingFile { folder: folder.to_path_buf(), expected });
        };
        let mut checkpoint = Self { place, tensors: HashMap::new() };
        for file in files {
            checkpoint.read_header(&file)?;
        }
        Ok(checkpoint)
    }

    fn read_header(&mut self, file: &Path) -> Result<(), ModelError> {
        let (metadata, data_start) = header(file)?;
        for (name, info) in metadata.tensors() {
            let entry = Entry {
                file: file.to_path_buf(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: data_start + info.data_offsets.0 as u64,
                length: (info.data_offsets.1 - info.data_offsets.0) as u64,
                name: name.clone(),
            };
            if let Some(other) = self.tensors.insert(released_name(&name), entry) {
                return Err(ModelError::DuplicateTensor { file: file.to_path_buf(), name, other: other.file });
            }
        }
        Ok(())
    }

    /// Checks that the checkpoint holds exactly `parameters`, each with its shape and a float type.
    pub(super) fn check(&self, parameters: &[Parameter], tied: bool) -> Result<(), ModelError> {
        for parameter in parameters {
            let entry = self.entry(parameter)?;
            if entry.shape != parameter.file_shape {
                return Err(ModelError::TensorShape {
                    file: entry.file.clone(),
                    name: entry.name.clone(),
                    found: entry.shape.clone(),
                    expected: parameter.file_shape.clone(),
                });
            }
            float_type(entry)?;
        }
        let known: HashSet<String> = parameters.iter().map(Parameter::file_name).collect();
        let extra = self.tensors.iter().filter(|(name, _)| !known.contains(*name) && !ignored(name, tied));
        match extra.map(|(_, entry)| entry).min_by_key(|entry| &entry.name) {
            None => Ok(()),
            Some(entry) => Err(ModelError::ExtraTensor { file: entry.file.clone(), name: entry.name.clone() }),
        }
    }

    /// Reads one tensor as f32 in the layout of the modules.
    pub(super) fn read(&self, parameter: &Parameter) -> Result<Vec<f32>, ModelError> {
        let entry = self.entry(parameter)?;
        let mut bytes = vec![0; entry.length as usize];
        let mut file = File::open(&entry.file)?;
        file.seek(SeekFrom::Start(entry.start))?;
        file.read_exact(&mut bytes)?;
        let values = convert::decode(&bytes, float_type(entry)?);
        drop(bytes);
        Ok(convert::to_memory(values, parameter))
    }

    fn entry(&self, parameter: &Parameter) -> Result<&Entry, ModelError> {
        let name = parameter.file_name();
        self.tensors.get(&name).ok_or_else(|| ModelError::MissingTensor { place: self.place.clone(), name })
    }
}

/// The first weights file that a folder lacks; `None` where all are there.
pub(super) fn missing_file(folder: &Path) -> Option<String> {
    if folder.join(SINGLE).is_file() {
        return None;
    }
    let index = folder.join(INDEX);
    if !index.is_file() {
        return Some(SINGLE.into());
    }
    match shards(&index, folder) {
        Ok(_) => None,
        Err(ModelError::MissingShard { shard, .. }) => Some(shard),
        Err(_) => Some(INDEX.into()),
    }
}

/// Tensors that checkpoints carry without need: a head beside a tied embedding, and rotary frequencies that old
/// versions stored.
fn ignored(name: &str, tied: bool) -> bool {
    (tied && name == "lm_head.weight")
        || name.ends_with("rotary_emb.inv_freq")
        || name.ends_with("rotary_pos_emb.inv_freq")
}

fn float_type(entry: &Entry) -> Result<Dtype, ModelError> {
    let wrong = || ModelError::TensorDtype { file: entry.file.clone(), name: entry.name.clone(), found: entry.dtype };
    Dtype::from_file(entry.dtype).ok_or_else(wrong)
}

/// The shards that an index names, each once.
fn shards(index: &Path, folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let text = fs_err::read_to_string(index)?;
    let parsed: Index =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { file: index.to_path_buf(), source })?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let find = |shard: String| {
        let file = folder.join(&shard);
        // The index is a foreign file: a shard is a file of this folder and nothing else.
        let plain = Path::new(&shard).file_name().is_some_and(|name| name == shard.as_str());
        if plain && file.is_file() {
            Ok(file)
        } else {
            Err(ModelError::MissingShard { index: index.to_path_buf(), shard })
        }
    };
    names.into_iter().map(find).collect()
}

/// The parsed header of a file, and where its data starts.
fn header(path: &Path) -> Result<(Metadata, u64), ModelError> {
    let unreadable = |source| ModelError::SafeTensors { file: path.to_path_buf(), source };
    let mut file = File::open(path)?;
    let found = file.metadata()?.len();
    if found < PREFIX {
        return Err(unreadable(SafeTensorError::HeaderTooSmall));
    }
    let mut length = [0; PREFIX as usize];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(unreadable(SafeTensorError::HeaderTooLarge));
    }
    let data_start = PREFIX + length;
    if found < data_start {
        return Err(ModelError::TruncatedFile { file: path.to_path_buf(), found, expected: data_start });
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text)?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|source| unreadable(SafeTensorError::InvalidHeaderDeserialization(source)))?;
    let expected = data_start + metadata.data_len() as u64;
    if found != expected {
        return Err(ModelError::TruncatedFile { file: path.to_path_buf(), found, expected });
    }
    Ok((metadata, data_start))
}
