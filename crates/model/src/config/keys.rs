//! Looking up keys of a foreign JSON file with errors that name them.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;

/// One section of a JSON file: objects searched in order, the first that has a key wins.
pub(super) struct Section<'a> {
    pub(super) file: &'a Path,
    /// Put in front of keys in errors, as `vision_config.`.
    pub(super) prefix: &'static str,
    pub(super) objects: Vec<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// The value of `key`; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.objects.iter().find_map(|object| object.get(key).filter(|value| !value.is_null()))
    }

    pub(super) fn missing(&self, key: &str) -> ModelError {
        ModelError::ConfigKeyMissing { file: self.file.to_path_buf(), key: format!("{}{key}", self.prefix) }
    }

    pub(super) fn wrong(&self, key: &str, found: impl ToString, expected: impl Into<String>) -> ModelError {
        ModelError::ConfigValue {
            file: self.file.to_path_buf(),
            key: format!("{}{key}", self.prefix),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    /// A size under any of `names`, required, from 1 to 2^31.
    pub(super) fn size(&self, names: &[&str]) -> Result<usize, ModelError> {
        let (key, value) =
            names.iter().find_map(|name| Some((name, self.get(name)?))).ok_or_else(|| self.missing(names[0]))?;
        match value.as_u64() {
            Some(size) if (1..=1 << 31).contains(&size) => Ok(size as usize),
            _ => Err(self.wrong(key, value, "a positive whole number")),
        }
    }

    /// A positive number, required.
    pub(super) fn number(&self, key: &str) -> Result<f64, ModelError> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    /// A positive number, or `None` where the key is absent.
    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(self.wrong(key, value, "a positive number")),
        }
    }

    /// A token id, or `None` where the key is absent.
    pub(super) fn optional_id(&self, key: &str) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.map(Some).ok_or_else(|| self.wrong(key, value, "a token id"))
    }

    /// A list of whole numbers, required.
    pub(super) fn list(&self, key: &str) -> Result<Vec<usize>, ModelError> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        let list = value.as_array().and_then(|items| {
            items.iter().map(|item| item.as_u64().map(|number| number as usize)).collect::<Option<Vec<_>>>()
        });
        list.ok_or_else(|| self.wrong(key, value, "a list of whole numbers"))
    }

    /// True where the key is present and `true`.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ModelError> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false")),
        }
    }
}
