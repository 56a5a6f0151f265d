//! Reading question rows: one entry, [`open`], for every layout.

mod arrow;
mod batch;
mod jsonl;
mod parquet;
mod record;
mod shards;
mod table;
mod value;

use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, RowError, RowProblem};
use crate::question::{ImageSource, Question};
use crate::read::batch::columns_to_read;

pub use table::{Column, ColumnKind, Table, TableRow, open_table};

/// Whether every question must have an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Images {
    /// A missing image column is an error of the file, a null image an error of its row.
    #[default]
    Required,
    /// Both give [`crate::ImageSource::None`]: a question without an image is a text question.
    Optional,
}

/// How to read; the default reads a data set of one split whose rows all have images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether every question must have an image.
    pub images: Images,
    /// The split to read where a folder holds several.
    pub split: Option<String>,
}

/// Opens a data set for reading with the default [`ReadOptions`]. See [`open_with`].
pub fn open(path: impl AsRef<Path>) -> Result<Rows, DataError> {
    open_with(path, &ReadOptions::default())
}

/// Opens a data set for reading. `path` may be
///
/// - a `.jsonl` file: one object per line, `image` a path relative to the file;
/// - a `.parquet` file, a folder of them, or a pattern such as `data/train-*.parquet` (`*` and `?` in the last part);
/// - a folder that `datasets.save_to_disk` wrote for a `Dataset` or a `DatasetDict`, or a single `.arrow` stream of one.
///
/// Columns are this project's (`id`, `image`, `question`, `answer`, `source`, `answers`, `options`, `needs_full`, `family`) or those
/// of VisionThink-Smart and -General (`doc_id`, `images`, `problem`, `original_answer`, `solution`, `data_source`, `info`). Every
/// shard is opened once before this returns, so that a wrong column, a missing shard or a broken footer is known at the start and
/// not after hours; rows are read as they are asked for, a batch at a time.
///
/// # Errors
/// [`DataError`], in particular [`DataError::UnknownFormat`], [`DataError::Split`] where a folder holds several splits and
/// [`ReadOptions::split`] names none of them, [`DataError::MissingShard`], [`DataError::Columns`] and [`DataError::ColumnType`].
pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Rows, DataError> {
    let shards = shards::find(path.as_ref(), options.split.as_deref())?;
    for shard in &shards {
        Reader::open(shard.clone(), options.images)?;
    }
    Ok(Rows { shards: shards.into_iter(), reader: None, images: options.images })
}

/// The rows of a data set, shard after shard, in constant memory: a line of JSONL, some rows of Parquet, or one batch of Arrow.
///
/// An `Err` is one bad row, or a damaged part whose extent it states; iteration goes on behind it.
#[derive(Debug)]
pub struct Rows {
    shards: std::vec::IntoIter<Shard>,
    reader: Option<Reader>,
    images: Images,
}

impl Iterator for Rows {
    type Item = Result<Question, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(row) = reader.next(self.images) {
                    return Some(row);
                }
                self.reader = None;
            }
            let shard = self.shards.next()?;
            match Reader::open(shard.clone(), self.images) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Err(shard.error(Place::File, RowProblem::Shard(Box::new(error))))),
            }
        }
    }
}

/// One file of a data set.
#[derive(Debug, Clone)]
struct Shard {
    path: PathBuf,
    format: Format,
    /// What rows without an id are named after: the path below what was opened, without its ending.
    name: String,
    /// The source of rows that name none.
    source: String,
}

impl Shard {
    fn error(&self, place: Place, problem: RowProblem) -> RowError {
        RowError { path: self.path.clone(), place, problem: Box::new(problem) }
    }

    /// The image that a row names by a path, which is relative to the folder of this file.
    fn image_at(&self, column: &str, path: &str) -> Result<ImageSource, RowProblem> {
        if path.is_empty() {
            return Err(RowProblem::NoImage { column: column.to_owned() });
        }
        if path.starts_with("data:") || path.contains("://") {
            let url = path.chars().take(80).collect();
            return Err(RowProblem::Remote { column: column.to_owned(), url });
        }
        Ok(ImageSource::Path(self.path.parent().unwrap_or(Path::new("")).join(path)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jsonl,
    Parquet,
    Arrow,
}

#[derive(Debug)]
enum Reader {
    Jsonl(jsonl::Lines),
    Parquet(batch::BatchRows<parquet::RowGroups>),
    Arrow(batch::BatchRows<arrow::Stream>),
}

impl Reader {
    fn open(shard: Shard, images: Images) -> Result<Self, DataError> {
        Ok(match shard.format {
            Format::Jsonl => Self::Jsonl(jsonl::Lines::open(shard)?),
            Format::Parquet => {
                let groups = parquet::RowGroups::open(&shard, |schema| columns_to_read(schema, &shard, images))?;
                Self::Parquet(batch::BatchRows::new(groups, shard))
            }
            Format::Arrow => {
                let stream = arrow::Stream::open(&shard, |schema| columns_to_read(schema, &shard, images))?;
                Self::Arrow(batch::BatchRows::new(stream, shard))
            }
        })
    }

    fn next(&mut self, images: Images) -> Option<Result<Question, RowError>> {
        match self {
            Self::Jsonl(lines) => lines.next_question(images),
            Self::Parquet(rows) => rows.next_question(images),
            Self::Arrow(rows) => rows.next_question(images),
        }
    }
}
