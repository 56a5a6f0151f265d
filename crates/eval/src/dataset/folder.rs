//! Where in a folder a data set's files are.

use std::path::{Path, PathBuf};

use visionthink_data::DataError;

use crate::benchmarks::Spec;
use crate::error::{EvalError, Result};

/// The Hub's folder for the files of an only configuration.
const DATA: &str = "data";

/// What to open and which split of it, for a file or pattern none: a file has one split.
pub(super) fn find(spec: &Spec, path: &Path, split: Option<&str>) -> Result<(PathBuf, Option<String>)> {
    if !path.is_dir() {
        return Ok((path.to_owned(), None));
    }
    let split = split.or(spec.hub.map(|hub| hub.split)).map(str::to_owned);
    let folders: Vec<&'static str> = spec.hub.and_then(|hub| hub.config).into_iter().chain([DATA]).collect();
    let places = folders.iter().map(|folder| path.join(folder)).chain([path.to_owned()]);
    for place in places {
        if has_files(&place)? {
            return Ok((place, split));
        }
    }
    Err(EvalError::NoFiles { path: path.to_owned(), dataset: spec.name, split, folders })
}

fn has_files(folder: &Path) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(false);
    }
    for entry in fs_err::read_dir(folder).map_err(DataError::from)? {
        let path = entry.map_err(DataError::from)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_parquet = path.extension().is_some_and(|ending| ending == "parquet") && !name.starts_with('.');
        if is_parquet || ["dataset_dict.json", "state.json"].contains(&&*name) {
            return Ok(true);
        }
    }
    Ok(false)
}
