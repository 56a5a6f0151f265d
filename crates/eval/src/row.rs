//! One row of input, read field by field so that an error can name the field.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{EvalError, Result};
use crate::python::list_literal;

/// A JSON object of the input and its number, counted from 1.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    number: usize,
    fields: &'a Map<String, Value>,
}

impl<'a> Row<'a> {
    /// The row `number`, counted from 1.
    ///
    /// Errors: [`EvalError::NotAnObject`].
    pub fn new(number: usize, value: &'a Value) -> Result<Self> {
        let found = match value {
            Value::Object(fields) => return Ok(Self { number, fields }),
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
        };
        Err(EvalError::NotAnObject { row: number, found })
    }

    /// Its number, counted from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// A field that has to be there; null counts as absent.
    pub(crate) fn required<T: Deserialize<'a>>(&self, field: &'static str) -> Result<T> {
        self.optional(field)?.ok_or(EvalError::FieldMissing { row: self.number, field })
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T: Deserialize<'a>>(&self, field: &'static str) -> Result<Option<T>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|source| EvalError::FieldInvalid {
                row: self.number,
                field,
                source,
            }),
        }
    }

    /// A text that has to be there.
    pub(crate) fn text(&self, field: &'static str) -> Result<&'a str> {
        self.optional_text(field)?.ok_or(EvalError::FieldMissing { row: self.number, field })
    }

    /// A text that may be absent or null.
    pub(crate) fn optional_text(&self, field: &'static str) -> Result<Option<&'a str>> {
        match self.fields.get(field).and_then(Value::as_str) {
            Some(text) => Ok(Some(text)),
            // Not a text: absent, or the error that says so.
            None => self.optional::<String>(field).map(|_| None),
        }
    }

    /// A list of texts, or the text of a Python list, which is how MMMU stores its options.
    pub(crate) fn python_list(&self, field: &'static str) -> Result<Vec<String>> {
        let source = match self.required(field)? {
            Texts::Many(items) => return Ok(items),
            Texts::One(source) => source,
        };
        let expected = "the text of a Python list such as `['cat', 'dog']`";
        list_literal::parse(&source).ok_or_else(|| self.unknown(field, source, expected))
    }

    /// A count that may be absent, also where a data set stores it with decimals (`2.0`).
    pub(crate) fn count(&self, field: &'static str) -> Result<Option<u32>> {
        let Some(number) = self.optional::<f64>(field)? else {
            return Ok(None);
        };
        if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            return Ok(Some(number as u32));
        }
        Err(self.unknown(field, number.to_string(), "a count"))
    }

    /// The error for a value that the benchmark does not know.
    pub(crate) fn unknown(&self, field: &'static str, found: impl Into<String>, expected: &'static str) -> EvalError {
        EvalError::FieldUnknown { row: self.number, field, found: found.into(), expected }
    }
}

/// A name that some data sets write as text and some as a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub(crate) enum Name {
    Text(String),
    Number(serde_json::Number),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string(),
        }
    }
}

/// One text, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_names_row_and_field() {
        let value = json!({ "answer": 3, "id": null });
        let row = Row::new(7, &value).unwrap();
        assert_eq!(row.text("id").unwrap_err().to_string(), "row 7: field `id` is missing");
        let error = row.text("answer").unwrap_err().to_string();
        assert_eq!(error, "row 7: field `answer` cannot be read: invalid type: integer `3`, expected a string");
        let error = Row::new(2, &json!("text")).unwrap_err().to_string();
        assert_eq!(error, "row 2: a text was found, expected an object with named fields");
    }

    #[test]
    fn options_may_be_the_text_of_a_list_and_a_count_may_have_decimals() {
        let value =
            json!({ "options": "['a', 'b']", "choices": ["a"], "precision": 2.0, "half": 0.5, "broken": "['a'" });
        let row = Row::new(4, &value).unwrap();
        assert_eq!(row.python_list("options").unwrap(), ["a", "b"]);
        assert_eq!(row.python_list("choices").unwrap(), ["a"]);
        assert_eq!((row.count("precision").unwrap(), row.count("absent").unwrap()), (Some(2), None));
        assert_eq!(row.count("half").unwrap_err().to_string(), "row 4: field `half` is `0.5`, expected a count");
        let error = row.python_list("broken").unwrap_err().to_string();
        assert!(error.starts_with("row 4: field `broken` is `['a'`, expected the text of a Python list"), "{error}");
    }

    #[test]
    fn a_list_may_be_one_text_and_a_name_may_be_a_number() {
        let value = json!({ "answer": "a", "answers": ["a", "b"], "id": 12 });
        let row = Row::new(1, &value).unwrap();
        assert_eq!(Vec::from(row.required::<Texts>("answer").unwrap()), ["a"]);
        assert_eq!(Vec::from(row.required::<Texts>("answers").unwrap()), ["a", "b"]);
        assert_eq!(String::from(row.required::<Name>("id").unwrap()), "12");
        let error = row.required::<Texts>("id").unwrap_err().to_string();
        assert_eq!(error, "row 1: field `id` cannot be read: expected a text or a list of texts");
    }
}
