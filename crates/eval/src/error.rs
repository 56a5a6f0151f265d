//! The one error type of this crate.
//!
//! What a model or a judge wrote is never an error: it is scored, if only as wrong. Errors are about rows.

use crate::benchmark::Benchmark;
use crate::question::Task;

/// What can be wrong with rows that are to be scored or asked; rows are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// No benchmark has this name.
    #[error("unknown benchmark `{name}`; expected one of {}", quoted(Benchmark::names()))]
    UnknownBenchmark {
        /// The name that was asked for.
        name: String,
    },

    /// No task has this name.
    #[error("unknown task `{name}`; expected one of {}", quoted(Task::names()))]
    UnknownTask {
        /// The name that was asked for.
        name: String,
    },

    /// There is nothing to average over.
    #[error("there are no rows to score; expected at least one")]
    NoRows,

    /// A row is not a JSON object.
    #[error("row {row}: {found} was found, expected an object with named fields")]
    NotAnObject {
        /// The row.
        row: usize,
        /// What it is.
        found: &'static str,
    },

    /// A field that the benchmark needs is absent or null.
    #[error("row {row}: field `{field}` is missing")]
    FieldMissing {
        /// The row.
        row: usize,
        /// The field.
        field: &'static str,
    },

    /// A field holds another kind of value than it should.
    #[error("row {row}: field `{field}` cannot be read: {source}")]
    FieldInvalid {
        /// The row.
        row: usize,
        /// The field.
        field: &'static str,
        /// What was found and what was expected.
        source: serde_json::Error,
    },

    /// A field holds the right kind of value, but not one that the benchmark knows.
    #[error("row {row}: field `{field}` is `{found}`, expected {expected}")]
    FieldUnknown {
        /// The row.
        row: usize,
        /// The field.
        field: &'static str,
        /// The value that was found.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },

    /// MME asks two questions about each picture; a score for a picture needs both.
    #[error("`question_id` `{question_id}` of category `{category}` has {found} rows, expected 2")]
    UnpairedQuestion {
        /// The category.
        category: String,
        /// The picture.
        question_id: String,
        /// How many rows name it.
        found: usize,
    },

    /// Two rows of HallusionBench are the same question.
    #[error("two rows are the question `{name}`; expected each question once")]
    RepeatedQuestion {
        /// Category, subcategory, set, figure and question.
        name: String,
    },
}

/// Shorthand used across the crate.
pub type Result<T, E = EvalError> = std::result::Result<T, E>;

fn quoted(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "docvqa2".parse::<Benchmark>().unwrap_err().to_string();
        assert!(error.starts_with("unknown benchmark `docvqa2`; expected one of `chartqa`, "), "{error}");
        assert!(error.contains("`docvqa`"), "{error}");
    }
}
