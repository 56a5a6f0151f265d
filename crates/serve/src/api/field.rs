//! A JSON object that is taken apart key by key, every fault named by its path.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::{ApiError, shown};

/// An object and where it stands in the request. `null` counts as absent, as OpenAI's servers have it.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    pub(crate) fn new(path: impl Into<String>, value: Value) -> Result<Self, ApiError> {
        let path = path.into();
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            other => Err(wrong(if path.is_empty() { "body" } else { &path }, &other, "an object")),
        }
    }

    /// Path of one of its fields.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What is left, untouched.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.fields
    }

    /// Puts a field back, in front of [`Object::rest`].
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        self.fields.insert(key.to_owned(), value);
    }

    /// Refuses what is left.
    pub(crate) fn finish(self, expected: &str) -> Result<(), ApiError> {
        match self.fields.iter().next() {
            Some((key, value)) => Err(wrong(&self.path(key), value, &format!("no such key; there are {expected}"))),
            None => Ok(()),
        }
    }

    pub(crate) fn value(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key).filter(|value| !value.is_null())
    }

    pub(crate) fn missing(&self, key: &str, expected: &str) -> ApiError {
        ApiError::Missing { path: self.path(key), expected: expected.to_owned() }
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.path(key), &other, "a string")),
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(&self.path(key), &other, "true or false")),
        }
    }

    /// A number in `range`.
    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(&self.path(key), &value, &format!("a number from {} to {}", range.start(), range.end()))),
        }
    }

    /// A whole number in `range`.
    pub(crate) fn whole(&mut self, key: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        if let Some(number) = value.as_i64().filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let expected = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (low, i64::MAX) => format!("a whole number, {low} or more"),
            (low, high) => format!("a whole number from {low} to {high}"),
        };
        Err(wrong(&self.path(key), &value, &expected))
    }

    pub(crate) fn list(&mut self, key: &str, expected: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(wrong(&self.path(key), &other, expected)),
        }
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, ApiError> {
        let path = self.path(key);
        self.value(key).map(|value| Self::new(path, value)).transpose()
    }
}

/// A value of the wrong kind.
pub(crate) fn wrong(path: &str, found: &Value, expected: &str) -> ApiError {
    ApiError::Field { path: path.to_owned(), found: shown(found), expected: expected.to_owned() }
}
