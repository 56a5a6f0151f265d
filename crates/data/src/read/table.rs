//! Rows of tables with columns of a caller's choice, for data sets whose rows are not [`Question`](crate::Question)s.

use std::path::Path;

use arrow_schema::{DataType, Schema};
use serde_json::{Map, Value};

use crate::error::{DataError, MissingColumns, Place, RowError, RowProblem};
use crate::question::ImageSource;
use crate::read::batch::{BatchRow, BatchRows, is_images, is_text};
use crate::read::value::{has_json_form, is_number};
use crate::read::{Format, Shard, arrow, jsonl, parquet, shards};

/// A column that a caller wants, and what it should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds, beside nulls.
    pub kind: ColumnKind,
    /// Whether a table without it is refused. The values of a column that is not there are null.
    pub required: bool,
}

impl Column {
    /// A column that has to be there.
    pub const fn required(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind, required: true }
    }

    /// A column that may be missing.
    pub const fn optional(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind, required: false }
    }
}

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Texts.
    Text,
    /// Lists of texts.
    Texts,
    /// Texts or lists of texts.
    TextOrTexts,
    /// Names, which some write as text and some as a whole number.
    Name,
    /// Numbers, whole or not.
    Number,
    /// Structs of named values.
    Struct,
    /// Encoded images, or lists of them.
    Image,
}

impl ColumnKind {
    /// The words for an error message.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Texts => "a list of strings",
            Self::TextOrTexts => "a string or a list of strings",
            Self::Name => "a string or an integer",
            Self::Number => "a number",
            Self::Struct => "a struct of named values",
            Self::Image => "an image: bytes, a path, a struct of `bytes` and `path`, or a list of one of these",
        }
    }

    fn fits_json(self, value: &Value) -> bool {
        let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
        value.is_null()
            || match self {
                Self::Text => value.is_string(),
                Self::Texts => texts(value),
                Self::TextOrTexts => value.is_string() || texts(value),
                Self::Name => value.is_string() || value.is_i64() || value.is_u64(),
                Self::Number => value.is_number(),
                Self::Struct => value.is_object(),
                // A value that is no image is a matter of its row, which can be read without it.
                Self::Image => true,
            }
    }

    fn fits(self, data_type: &DataType) -> bool {
        let texts =
            || matches!(data_type, DataType::List(item) | DataType::LargeList(item) if is_text(item.data_type()));
        // A column of nulls only has the type `Null`.
        *data_type == DataType::Null
            || match self {
                Self::Text => is_text(data_type),
                Self::Texts => texts(),
                Self::TextOrTexts => is_text(data_type) || texts(),
                Self::Name => is_text(data_type) || data_type.is_integer(),
                Self::Number => is_number(data_type),
                Self::Struct => matches!(data_type, DataType::Struct(_)) && has_json_form(data_type),
                Self::Image => is_images(data_type),
            }
    }
}

/// Opens a table for reading: every path that [`open_with`](crate::open_with) takes, with `split` as its option of that name.
///
/// Every shard is opened once before this returns, so that a missing or mistyped column, a missing shard or a broken footer is
/// known at the start. A JSONL file has no schema: each of its rows has to name the required columns.
///
/// # Errors
/// [`DataError`], in particular [`DataError::UnknownFormat`], [`DataError::Split`], [`DataError::MissingShard`],
/// [`DataError::Columns`] and [`DataError::ColumnType`].
pub fn open_table(path: impl AsRef<Path>, split: Option<&str>, columns: &'static [Column]) -> Result<Table, DataError> {
    let shards = shards::find(path.as_ref(), split)?;
    let mut count = Some(0_u64);
    for shard in &shards {
        let rows = Reader::open(shard.clone(), columns)?.rows();
        count = count.zip(rows).map(|(count, rows)| count.saturating_add(rows));
    }
    Ok(Table { shards: shards.into_iter(), reader: None, columns, count, first: 0 })
}

/// The rows of a table, shard after shard, in constant memory: a line of JSONL, some rows of Parquet, or one batch of Arrow.
#[derive(Debug)]
pub struct Table {
    shards: std::vec::IntoIter<Shard>,
    reader: Option<Reader>,
    columns: &'static [Column],
    count: Option<u64>,
    /// The place in the table of the first row of the shard that is being read.
    first: u64,
}

impl Table {
    /// How many rows the footers of the Parquet files announce; `None` for other formats, which announce nothing.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// The next row, which costs nothing until its values are asked for; `None` behind the last.
    ///
    /// An `Err` is one bad row, or a damaged part whose extent it states; the rows behind it follow and keep their places.
    pub fn next_row(&mut self) -> Option<Result<TableRow<'_>, RowError>> {
        if let Err(error) = self.advance()? {
            return Some(Err(error));
        }
        let (first, columns) = (self.first, self.columns);
        let (place, record) = self.reader.as_ref()?.current()?;
        Some(Ok(TableRow { index: first.saturating_add(place), record, columns }))
    }

    /// Steps to the next row, over the borders of shards.
    fn advance(&mut self) -> Option<Result<(), RowError>> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(stepped) = reader.step(self.columns) {
                    return Some(stepped);
                }
                self.first = self.first.saturating_add(reader.rows_passed());
                self.reader = None;
            }
            let shard = self.shards.next()?;
            match Reader::open(shard.clone(), self.columns) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Err(shard.error(Place::File, RowProblem::Shard(Box::new(error))))),
            }
        }
    }
}

/// A row of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub struct TableRow<'a> {
    index: u64,
    record: Record<'a>,
    columns: &'static [Column],
}

impl TableRow<'_> {
    /// Its place in the table, counted from 0 over all shards; damaged rows count.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The values of the columns that were asked for and hold no images, in that order; null where nothing is there.
    pub fn values(&self) -> Map<String, Value> {
        let columns = self.columns.iter().filter(|column| column.kind != ColumnKind::Image);
        columns.map(|column| (column.name.to_owned(), self.value(column.name))).collect()
    }

    /// The images of one column, none where it is null or not there.
    ///
    /// # Errors
    /// [`RowProblem::NoImage`], [`RowProblem::Remote`] and [`RowProblem::Type`] for a value that is no image.
    pub fn images(&self, column: &str) -> Result<Vec<ImageSource>, RowProblem> {
        match self.record {
            Record::Batch(row) => row.images(column),
            Record::Object(object) => object.images(column),
        }
    }

    fn value(&self, column: &str) -> Value {
        match self.record {
            Record::Batch(row) => row.value(column),
            Record::Object(object) => object.object.get(column).cloned().unwrap_or_default(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Record<'a> {
    Batch(BatchRow<'a>),
    Object(jsonl::Object<'a>),
}

/// The reader of one shard.
#[derive(Debug)]
enum Reader {
    Lines(Objects),
    Parquet(BatchRows<parquet::RowGroups>),
    Arrow(BatchRows<arrow::Stream>),
}

impl Reader {
    fn open(shard: Shard, columns: &'static [Column]) -> Result<Self, DataError> {
        let select = |schema: &Schema| columns_of(schema, &shard, columns);
        Ok(match shard.format {
            Format::Jsonl => Self::Lines(Objects { lines: jsonl::Lines::open(shard)?, object: Map::new(), rows: 0 }),
            Format::Parquet => Self::Parquet(BatchRows::new(parquet::RowGroups::open(&shard, select)?, shard)),
            Format::Arrow => Self::Arrow(BatchRows::new(arrow::Stream::open(&shard, select)?, shard)),
        })
    }

    fn step(&mut self, columns: &'static [Column]) -> Option<Result<(), RowError>> {
        match self {
            Self::Lines(objects) => objects.step(columns),
            Self::Parquet(rows) => rows.step(),
            Self::Arrow(rows) => rows.step(),
        }
    }

    fn current(&self) -> Option<(u64, Record<'_>)> {
        let batch = |(place, row)| (place, Record::Batch(row));
        match self {
            Self::Lines(objects) => objects.current(),
            Self::Parquet(rows) => rows.current().map(batch),
            Self::Arrow(rows) => rows.current().map(batch),
        }
    }

    /// How many rows a footer announces.
    fn rows(&self) -> Option<u64> {
        match self {
            Self::Parquet(rows) => Some(rows.batches().rows()),
            Self::Lines(_) | Self::Arrow(_) => None,
        }
    }

    /// How many rows there were, once the end is reached.
    fn rows_passed(&self) -> u64 {
        match self {
            Self::Lines(objects) => objects.rows,
            Self::Parquet(rows) => rows.rows_passed(),
            Self::Arrow(rows) => rows.rows_passed(),
        }
    }
}

/// The objects of a JSONL file.
#[derive(Debug)]
struct Objects {
    lines: jsonl::Lines,
    object: Map<String, Value>,
    /// How many lines with something on them were read, bad ones included.
    rows: u64,
}

impl Objects {
    fn step(&mut self, columns: &'static [Column]) -> Option<Result<(), RowError>> {
        let object = self.lines.next_object()?;
        self.rows += 1;
        Some(object.and_then(|object| {
            let found = || object.keys().cloned().collect();
            let missing = missing(columns, |name| object.contains_key(name), found);
            if let Some(missing) = missing {
                return Err(self.lines.error(RowProblem::Columns(missing)));
            }
            for column in columns {
                let value = object.get(column.name).filter(|value| !column.kind.fits_json(value));
                if let Some(value) = value {
                    return Err(self.lines.error(jsonl::wrong(column.name, value, column.kind.expected())));
                }
            }
            self.object = object;
            Ok(())
        }))
    }

    fn current(&self) -> Option<(u64, Record<'_>)> {
        let object = jsonl::Object { object: &self.object, shard: self.lines.shard() };
        Some((self.rows.checked_sub(1)?, Record::Object(object)))
    }
}

/// Checks a schema and returns the indices of the columns to read.
fn columns_of(schema: &Schema, shard: &Shard, columns: &'static [Column]) -> Result<Vec<usize>, DataError> {
    let found = || schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some(missing) = missing(columns, |name| schema.field_with_name(name).is_ok(), found) {
        return Err(DataError::Columns { path: shard.path.clone(), missing });
    }
    let mut indices = Vec::new();
    for column in columns {
        let Some((index, field)) = schema.column_with_name(column.name) else { continue };
        if !column.kind.fits(field.data_type()) {
            return Err(DataError::ColumnType {
                path: shard.path.clone(),
                column: column.name.to_owned(),
                found: field.data_type().to_string(),
                expected: column.kind.expected(),
            });
        }
        indices.push(index);
    }
    indices.sort_unstable();
    Ok(indices)
}

/// The required columns that are not there.
fn missing(
    columns: &'static [Column],
    has: impl Fn(&str) -> bool,
    found: impl FnOnce() -> Vec<String>,
) -> Option<MissingColumns> {
    let required = columns.iter().filter(|column| column.required && !has(column.name));
    let expected: Vec<&[&str]> = required.map(|column| std::slice::from_ref(&column.name)).collect();
    (!expected.is_empty()).then(|| MissingColumns { expected, found: found() })
}
