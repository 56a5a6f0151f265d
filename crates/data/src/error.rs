//! What can be wrong with a data set ([`DataError`]) and with one row of it ([`RowError`]).

use std::fmt;
use std::path::PathBuf;

use arrow_schema::ArrowError;

/// A data set that cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be opened, read, written or renamed; the source names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A path whose ending says nothing known, or a folder of another layout.
    #[error(
        "{}: no question rows here; expected a `.jsonl`, `.parquet` or `.arrow` file, a folder of `.parquet` files, \
         or a folder written by `datasets.save_to_disk`", path.display()
    )]
    UnknownFormat {
        /// What was to be opened.
        path: PathBuf,
    },
    /// A folder holds several splits and none was chosen, or one that it does not hold.
    #[error("{}: holds the splits {}; choose one of them", path.display(), quoted(splits))]
    Split {
        /// The folder.
        path: PathBuf,
        /// The splits that are there.
        splits: Vec<String>,
    },
    /// A shard that the other files announce is missing.
    #[error("{}: this shard is missing; the download or copy of the data set is incomplete", path.display())]
    MissingShard {
        /// The file that should be there.
        path: PathBuf,
    },
    /// `state.json` or `dataset_dict.json` does not say what `datasets` writes there.
    #[error("{}: not a description as `datasets.save_to_disk` writes it", path.display())]
    Description {
        /// The description file.
        path: PathBuf,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// A Parquet file whose footer cannot be read, or that cannot be written.
    #[error("{}: cannot be read or written as Parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ArrowError,
    },
    /// An Arrow stream whose schema cannot be read.
    #[error("{}: not a readable Arrow IPC stream", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ArrowError,
    },
    /// An Arrow file of the random-access kind, which `datasets` does not write.
    #[error("{}: is an Arrow IPC file (Feather), expected an Arrow IPC stream as `datasets.save_to_disk` writes it", path.display())]
    ArrowFile {
        /// The file.
        path: PathBuf,
    },
    /// Columns without which a question is no question.
    #[error("{}: {missing}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// What was looked for and what is there.
        missing: MissingColumns,
    },
    /// A column of a type that cannot hold what its name says.
    #[error("{}: column `{column}` is {found}, expected {expected}", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its Arrow type.
        found: String,
        /// What a reader takes there.
        expected: &'static str,
    },
    /// A writer would replace something.
    #[error("{}: exists already; remove it or choose another name", path.display())]
    Exists {
        /// The file or folder in the way.
        path: PathBuf,
    },
    /// An image that Parquet cannot hold in one value.
    #[error("row `{id}`: the image has {bytes} bytes, the limit is {limit}")]
    ImageTooLarge {
        /// The question's id.
        id: String,
        /// Its encoded size.
        bytes: usize,
        /// The largest size that is written.
        limit: usize,
    },
    /// One row, where a caller does not go on without it.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// One row (or the rest of a damaged part) that could not be read. Iteration goes on after it.
///
/// Its message is one line with everything in it, causes included, because such lines are logged by the hundred.
#[derive(Debug, thiserror::Error)]
#[error("{}:{place} {problem}", path.display())]
pub struct RowError {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub place: Place,
    /// What is wrong.
    pub problem: Box<RowProblem>,
}

/// A place in a file of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file, counted from 1 as editors do.
    Line(u64),
    /// A row of a table, counted from 0 within its file as `datasets` does.
    Row(u64),
    /// The file as a whole.
    File,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{line}:"),
            Self::Row(row) => write!(f, " row {row}:"),
            Self::File => Ok(()),
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    /// Columns without which a question is no question.
    #[error("{0}")]
    Columns(MissingColumns),
    /// A value that must be there is null.
    #[error("`{column}` is null")]
    Null {
        /// The column.
        column: String,
    },
    /// A value of a type or range that its column cannot hold.
    #[error("`{column}` is {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// What is there.
        found: String,
        /// What a reader takes there.
        expected: &'static str,
    },
    /// An image value without content.
    #[error("`{column}` holds neither the bytes nor the path of an image")]
    NoImage {
        /// The column.
        column: String,
    },
    /// A list of images where a question takes one.
    #[error("`{column}` holds {count} images, a question takes one")]
    ManyImages {
        /// The column.
        column: String,
        /// How many there are.
        count: usize,
    },
    /// An image on the network.
    #[error("`{column}` is the URL `{url}`, expected a path; download the images first")]
    Remote {
        /// The column.
        column: String,
        /// The URL, cut to a readable length.
        url: String,
    },
    /// A line that ends in the middle of its JSON object.
    #[error("the line ends inside its JSON object; the file may have been cut off")]
    Truncated,
    /// A line that is not a JSON object.
    #[error("not a JSON object: {}", within_line(.0))]
    Json(#[source] serde_json::Error),
    /// A line longer than any row should be; it was skipped without being held in memory.
    #[error("the line is longer than {limit} bytes")]
    LongLine {
        /// The limit.
        limit: usize,
    },
    /// A damaged part: the rest of a Parquet row group, a batch of an Arrow stream, or the rest of one.
    #[error("damaged data; {} skipped: {source}", lost_rows(*lost))]
    Damaged {
        /// How many rows were skipped; `None` is the rest of the file.
        lost: Option<u64>,
        /// What the decoder found.
        source: ArrowError,
    },
    /// An Arrow stream that ends before its end mark. All rows before were given; nobody knows how many came after.
    #[error("the Arrow stream ends before its end mark; the file was cut off or damaged here")]
    Cut,
    /// The file could not be read any further.
    #[error("cannot be read any further: {0}")]
    Io(#[source] std::io::Error),
    /// A shard that could be opened at first can no longer be.
    #[error("cannot be opened any more: {0}")]
    Shard(#[source] Box<DataError>),
}

/// Columns that were looked for and not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumns {
    /// Each missing column with the other names it may have.
    pub expected: Vec<&'static [&'static str]>,
    /// All columns that are there.
    pub found: Vec<String>,
}

impl fmt::Display for MissingColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected: Vec<String> = self.expected.iter().map(|names| or(names)).collect();
        write!(f, "no column {}; found {}", expected.join(" and no column "), quoted(&self.found))
    }
}

/// `` `a` or `b` ``.
fn or(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// `` `a`, `b` ``, or "none".
fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The parser was given one line and calls it the first; the place of that line in the file is said elsewhere.
fn within_line(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match said.strip_suffix(&place) {
        Some(said) if error.column() > 0 => format!("{said} at column {}", error.column()),
        Some(said) => said.to_owned(),
        None => said,
    }
}

fn lost_rows(lost: Option<u64>) -> String {
    match lost {
        Some(1) => "1 row is".to_owned(),
        Some(lost) => format!("{lost} rows are"),
        None => "the rest of the file is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_error_names_file_place_and_problem() {
        let at = |place| RowError {
            path: "train.jsonl".into(),
            place,
            problem: Box::new(RowProblem::Null { column: "image".into() }),
        };
        assert_eq!(at(Place::Line(17)).to_string(), "train.jsonl:17: `image` is null");
        assert_eq!(at(Place::Row(17)).to_string(), "train.jsonl: row 17: `image` is null");
        assert_eq!(at(Place::File).to_string(), "train.jsonl: `image` is null");
    }

    #[test]
    fn missing_columns_are_listed_with_their_other_names_and_what_is_there() {
        let missing = MissingColumns {
            expected: vec![&["question", "problem"], &["answer"]],
            found: vec!["img".into(), "q".into()],
        };
        assert_eq!(missing.to_string(), "no column `question` or `problem` and no column `answer`; found `img`, `q`");
    }
}
