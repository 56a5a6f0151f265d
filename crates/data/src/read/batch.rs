//! Rows of Arrow record batches, which is what both Parquet and Arrow files come as.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{ArrowError, DataType, Schema};
use serde_json::Value;

use crate::error::{DataError, Place, RowError, RowProblem};
use crate::question::{ImageSource, Question, TargetSize};
use crate::read::record::{COLUMNS, Kind, Record, missing_columns, one_image, question};
use crate::read::value::value_at;
use crate::read::{Images, Shard};
use crate::selection::{Selection, Tries};

/// A piece of a file: a batch of rows, or a damaged part. Both say where in the file they begin.
pub(super) type Piece = Result<(u64, RecordBatch), (Place, RowProblem)>;

/// The pieces of a file, in order.
pub(super) trait Batches: Iterator<Item = Piece> {
    /// The row behind the last piece, counted from 0 in the file; behind the end, how many rows there were.
    fn next_row(&self) -> u64;
}

/// Runs a decoder of the Arrow or Parquet libraries (60.1), some of which panic on some damaged bytes. Such a panic is damage to
/// the file, no defect of this program; whatever the decoder was working on has to be dropped after it.
pub(super) fn guarded<T, E: Into<ArrowError>>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, ArrowError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(Into::into),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(ArrowError::ParseError(format!("the decoder gave up: {said}")))
        }
    }
}

/// The rows of a file that comes in batches.
#[derive(Debug)]
pub(super) struct BatchRows<B> {
    batches: B,
    shard: Shard,
    batch: Option<RecordBatch>,
    /// The place of `batch` in the file, and of the next row in `batch`.
    first: u64,
    row: usize,
}

impl<B: Batches> BatchRows<B> {
    pub(super) fn new(batches: B, shard: Shard) -> Self {
        Self { batches, shard, batch: None, first: 0, row: 0 }
    }

    pub(super) fn next_question(&mut self, images: Images) -> Option<Result<Question, RowError>> {
        if let Err(error) = self.step()? {
            return Some(Err(error));
        }
        let (place, record) = self.current()?;
        let question = question(&record, record.shard, place, images);
        Some(question.map_err(|problem| record.shard.error(Place::Row(place), problem)))
    }

    /// Steps to the next row; `None` behind the last.
    pub(super) fn step(&mut self) -> Option<Result<(), RowError>> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            // Drop the batch before the next one is decoded, so that one at a time is in memory.
            self.batch = None;
            match self.batches.next()? {
                Ok((first, batch)) => {
                    self.first = first;
                    self.row = 0;
                    self.batch = Some(batch);
                }
                Err((place, problem)) => return Some(Err(self.shard.error(place, problem))),
            }
        }
        self.row += 1;
        Some(Ok(()))
    }

    /// The row that [`step`](Self::step) has come to, and its place in the file.
    pub(super) fn current(&self) -> Option<(u64, BatchRow<'_>)> {
        let row = self.row.checked_sub(1)?;
        let record = BatchRow { batch: self.batch.as_ref()?, row, shard: &self.shard };
        Some((self.first + row as u64, record))
    }

    pub(super) fn batches(&self) -> &B {
        &self.batches
    }

    /// How many rows there were, once [`step`](Self::step) has come to the end.
    pub(super) fn rows_passed(&self) -> u64 {
        self.batches.next_row()
    }
}

/// Checks a file's schema once and returns the indices of the columns to read.
pub(super) fn columns_to_read(schema: &Schema, shard: &Shard, images: Images) -> Result<Vec<usize>, DataError> {
    let found = schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some(missing) = missing_columns(|name| schema.field_with_name(name).is_ok(), found, images) {
        return Err(DataError::Columns { path: shard.path.clone(), missing });
    }
    let mut indices = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let Some((_, kind)) = COLUMNS.iter().find(|(name, _)| name == field.name()) else { continue };
        if !fits(*kind, field.data_type()) {
            return Err(DataError::ColumnType {
                path: shard.path.clone(),
                column: field.name().clone(),
                found: field.data_type().to_string(),
                expected: kind.expected(),
            });
        }
        indices.push(index);
    }
    Ok(indices)
}

/// Whether a column of this type can hold such values. A column of nulls only has the type `Null`.
fn fits(kind: Kind, data_type: &DataType) -> bool {
    let item_fits = |kind| match data_type {
        DataType::List(item) | DataType::LargeList(item) => fits(kind, item.data_type()),
        _ => false,
    };
    if *data_type == DataType::Null {
        return true;
    }
    match kind {
        Kind::Text => is_text(data_type),
        Kind::Identifier => is_text(data_type) || data_type.is_integer(),
        Kind::Texts => item_fits(Kind::Text),
        Kind::Flag => *data_type == DataType::Boolean,
        Kind::Image => is_images(data_type),
        // Columns of such common names are read only if they are what VisionThink, or this project, has there.
        Kind::Target | Kind::Selection => true,
    }
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// An image, or a list of images.
pub(super) fn is_images(data_type: &DataType) -> bool {
    is_image(data_type)
        || matches!(data_type, DataType::List(item) | DataType::LargeList(item) if is_image(item.data_type()))
}

/// The Hub's struct with one of `bytes` and `path` or both, bytes alone, or a path alone.
fn is_image(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else {
        return is_bytes(data_type) || is_text(data_type) || *data_type == DataType::Null;
    };
    let typed = |name: &str, right: fn(&DataType) -> bool| {
        fields.find(name).map(|(_, field)| *field.data_type() == DataType::Null || right(field.data_type()))
    };
    matches!((typed("bytes", is_bytes), typed("path", is_text)), (Some(true), None | Some(true)) | (None, Some(true)))
}

/// One row of a batch whose columns have passed [`columns_to_read`].
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchRow<'a> {
    batch: &'a RecordBatch,
    row: usize,
    shard: &'a Shard,
}

impl BatchRow<'_> {
    /// The value of a column of any type, null where it is null or not there.
    pub(super) fn value(&self, column: &str) -> Value {
        self.array(column).map_or(Value::Null, |array| value_at(array, self.row))
    }

    /// The images of a column, none where it is null or not there.
    pub(super) fn images(&self, column: &str) -> Result<Vec<ImageSource>, RowProblem> {
        self.array(column).map_or_else(|| Ok(Vec::new()), |array| self.images_in(column, array, self.row))
    }

    fn array(&self, column: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(column).filter(|array| !is_null(array, self.row))
    }

    fn images_in(&self, column: &str, array: &dyn Array, row: usize) -> Result<Vec<ImageSource>, RowProblem> {
        let Some(images) = list_at(array, row) else {
            return self.image_in(column, array, row).map(|image| image.into_iter().collect());
        };
        (0..images.len()).filter_map(|item| self.image_in(column, &images, item).transpose()).collect()
    }

    fn image_in(&self, column: &str, array: &dyn Array, row: usize) -> Result<Option<ImageSource>, RowProblem> {
        if is_null(array, row) {
            return Ok(None);
        }
        let (bytes, path) = match array.as_struct_opt() {
            Some(image) => (field(image, "bytes", row), field(image, "path", row)),
            None => (Some(array), Some(array)),
        };
        if let Some(bytes) = bytes.and_then(|array| bytes_at(array, row)).filter(|bytes| !bytes.is_empty()) {
            return Ok(Some(ImageSource::Bytes(bytes.to_vec())));
        }
        match path.and_then(|array| text_at(array, row)) {
            Some(path) => self.shard.image_at(column, path).map(Some),
            None => Err(RowProblem::NoImage { column: column.to_owned() }),
        }
    }
}

impl Record for BatchRow<'_> {
    fn has(&self, column: &str) -> bool {
        self.batch.column_by_name(column).is_some()
    }

    fn columns(&self) -> Vec<String> {
        self.batch.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn text(&self, column: &str) -> Result<Option<String>, RowProblem> {
        let Some(array) = self.array(column) else { return Ok(None) };
        text_at(array, self.row).map(|text| Some(text.to_owned())).ok_or_else(|| wrong(column, array, Kind::Text))
    }

    fn identifier(&self, column: &str) -> Result<Option<String>, RowProblem> {
        let Some(array) = self.array(column) else { return Ok(None) };
        if let Some(text) = text_at(array, self.row) {
            return Ok(Some(text.to_owned()));
        }
        let number = integer_at(array, self.row).ok_or_else(|| wrong(column, array, Kind::Identifier))?;
        Ok(Some(number.to_string()))
    }

    fn texts(&self, column: &str) -> Result<Vec<String>, RowProblem> {
        let Some(array) = self.array(column) else { return Ok(Vec::new()) };
        let texts = list_at(array, self.row).ok_or_else(|| wrong(column, array, Kind::Texts))?;
        (0..texts.len())
            .map(|row| {
                let text = text_at(&texts, row).ok_or_else(|| RowProblem::Type {
                    column: column.to_owned(),
                    found: "a list with a null".to_owned(),
                    expected: Kind::Texts.expected(),
                })?;
                Ok(text.to_owned())
            })
            .collect()
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, RowProblem> {
        let Some(array) = self.array(column) else { return Ok(None) };
        let flags = array.as_boolean_opt().ok_or_else(|| wrong(column, array, Kind::Flag))?;
        Ok(Some(flags.value(self.row)))
    }

    fn image(&self, column: &str) -> Result<Option<ImageSource>, RowProblem> {
        one_image(column, self.images(column)?)
    }

    fn target(&self, column: &str) -> Result<Option<TargetSize>, RowProblem> {
        let Some(info) = self.array(column).and_then(|array| array.as_struct_opt()) else { return Ok(None) };
        let at = |name| field(info, name, self.row);
        let (Some(width), Some(height), Some(tool)) = (at("tgt_width"), at("tgt_height"), at("use_tool")) else {
            return Ok(None);
        };
        let pixels = |array: &dyn Array| {
            let pixels = integer_at(array, self.row).ok_or_else(|| wrong(column, info, Kind::Target))?;
            u32::try_from(pixels).map_err(|_| RowProblem::Type {
                column: column.to_owned(),
                found: format!("a side of {pixels} pixels"),
                expected: Kind::Target.expected(),
            })
        };
        let tool = tool.as_boolean_opt().ok_or_else(|| wrong(column, info, Kind::Target))?;
        let use_tool = tool.value(self.row);
        Ok(Some(TargetSize { width_px: pixels(width)?, height_px: pixels(height)?, use_tool }))
    }

    fn selection(&self, column: &str) -> Result<Option<Selection>, RowProblem> {
        let Some(selection) = self.array(column).and_then(|array| array.as_struct_opt()) else { return Ok(None) };
        let at = |name| field(selection, name, self.row);
        let (Some(class), Some(rollouts), Some(low), Some(full)) =
            (at("class"), at("rollouts"), at("right_low"), at("right_full"))
        else {
            return Ok(None);
        };
        let wrong = || wrong(column, selection, Kind::Selection);
        let count = |array: &dyn Array| {
            integer_at(array, self.row).and_then(|count| u32::try_from(count).ok()).ok_or_else(wrong)
        };
        let class = text_at(class, self.row).and_then(|class| class.parse().ok()).ok_or_else(wrong)?;
        let tries = Tries { rollouts: count(rollouts)?, right_low: count(low)?, right_full: count(full)? };
        Ok(Some(Selection { class, tries }))
    }
}

/// An array of the type `Null` has no validity of its own.
pub(super) fn is_null(array: &dyn Array, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

/// The child of a struct, where it is there and not null in this row.
fn field<'a>(array: &'a StructArray, name: &str, row: usize) -> Option<&'a dyn Array> {
    array.column_by_name(name).map(AsRef::as_ref).filter(|child| !is_null(*child, row))
}

pub(super) fn text_at(array: &dyn Array, row: usize) -> Option<&str> {
    if is_null(array, row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

fn bytes_at(array: &dyn Array, row: usize) -> Option<&[u8]> {
    if is_null(array, row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        _ => None,
    }
}

pub(super) fn integer_at(array: &dyn Array, row: usize) -> Option<i128> {
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        _ => return None,
    })
}

pub(super) fn list_at(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        _ => None,
    }
}

fn wrong(column: &str, array: &dyn Array, expected: Kind) -> RowProblem {
    RowProblem::Type { column: column.to_owned(), found: array.data_type().to_string(), expected: expected.expected() }
}
