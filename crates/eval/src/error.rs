//! The one error type of this crate.
//!
//! What a model or a judge wrote is never an error: it is scored, if only as wrong. Errors are about rows and files. A row
//! of a data set that can be read but not asked or scored is no error either, but a [`Defect`](crate::Defect) of its sample.

use std::path::PathBuf;

use visionthink_data::{Column, DataError, MissingColumns, RowError};

use crate::benchmark::Benchmark;
use crate::benchmarks;
use crate::metrics::own::OwnMetric;
use crate::question::Task;
use crate::run::Source;

/// What can be wrong with data sets, and with rows that are to be scored or asked; rows are counted from 1.
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

    /// No data set has this name.
    #[error("unknown data set `{name}`; expected one of {}", quoted(benchmarks::names()))]
    UnknownDataset {
        /// The name that was asked for.
        name: String,
    },

    /// No rule for questions of one's own has this name.
    #[error("unknown metric `{name}`; expected one of {}", quoted(OwnMetric::names()))]
    UnknownMetric {
        /// The name that was asked for.
        name: String,
    },

    /// A task that asks the questions of another data set.
    #[error("data set `{dataset}` has no task `{task}`; expected one of {}", quoted(expected.iter().map(|task| task.name())))]
    TaskOfAnother {
        /// The data set.
        dataset: &'static str,
        /// The name of the task.
        task: &'static str,
        /// The tasks of the data set.
        expected: &'static [Task],
    },

    /// A part of a data set that does not exist.
    #[error("shard {index} of {of} does not exist; expected an index below the number of shards, counted from 0")]
    Shard {
        /// Which shard, counted from 0.
        index: u64,
        /// Of how many.
        of: u64,
    },

    /// A folder without files to read.
    #[error(
        "{}: no Parquet files here for `{dataset}`{}; expected them here or in {}", path.display(),
        split.as_ref().map_or_else(String::new, |split| format!(", such as `{split}-00000-of-00001.parquet`")),
        folders.iter().map(|folder| format!("`{folder}`")).collect::<Vec<_>>().join(" or ")
    )]
    NoFiles {
        /// The folder.
        path: PathBuf,
        /// The data set that was looked for.
        dataset: &'static str,
        /// The split that was looked for.
        split: Option<String>,
        /// The folders below it that were searched, too.
        folders: Vec<&'static str>,
    },

    /// A folder without files of the split that is asked for.
    #[error(
        "{}: no split `{split}` of `{dataset}` here; found {}", path.display(),
        found.iter().map(|split| format!("`{split}`")).collect::<Vec<_>>().join(", ")
    )]
    NoSplit {
        /// The folder.
        path: PathBuf,
        /// The data set that was looked for.
        dataset: &'static str,
        /// The split that was looked for.
        split: String,
        /// The splits that are there.
        found: Vec<String>,
    },

    /// A file without columns that the data set has.
    #[error("{}: not the data of `{dataset}`: {missing}; expected {}", path.display(), required(columns))]
    Columns {
        /// The file.
        path: PathBuf,
        /// The data set that was looked for.
        dataset: &'static str,
        /// What is missing and what is there.
        missing: MissingColumns,
        /// All columns of the data set.
        columns: &'static [Column],
    },

    /// A data set that cannot be opened for another reason; the source names the file.
    #[error(transparent)]
    Data(#[from] DataError),

    /// A row or a damaged part of a data set that cannot be read, and where.
    #[error(transparent)]
    RowOfFile(#[from] RowError),

    /// A run file that cannot be used, with all that is wrong in it.
    #[error("{}: {}", file.display(), problems.join("\n  "))]
    RunFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problems: Vec<String>,
    },

    /// Another run writes to the folder.
    #[error("{}: process {holder} writes to this run folder; wait for it, or give `run.name` another value", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Number of the process.
        holder: String,
    },

    /// A folder that is no run of an evaluation.
    #[error("{}: no `config.toml` here; expected the folder of a run, as `runs/NAME`", folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },

    /// A run that would go on with other settings than it began with.
    #[error(
        "{}: the run began with other settings: {}; give `run.name` another value, or set them back",
        folder.display(), keys.join(", ")
    )]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// Every key with both values.
        keys: Vec<String>,
    },

    /// Shards that are no parts of one run.
    #[error("{}: not a shard of this run: {problem}", folder.display())]
    Shards {
        /// The folder of the shard.
        folder: PathBuf,
        /// Why not.
        problem: String,
    },

    /// A line of a run's samples that is no record.
    #[error("{}:{line}: not a record: {source}; mend the line, or remove it to ask its sample again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What was found and what was expected.
        source: serde_json::Error,
    },

    /// A record of a sample that has one.
    #[error("{}: sample {} of `{}` by `{}`, `{}` was asked twice", path.display(), sample.index, sample.benchmark, sample.model, sample.method)]
    Asked {
        /// The file.
        path: PathBuf,
        /// The sample.
        sample: Box<Source>,
    },

    /// A file of a run that cannot be read or written; the source names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),

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

fn required(columns: &'static [Column]) -> String {
    quoted(columns.iter().filter(|column| column.required).map(|column| column.name))
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
