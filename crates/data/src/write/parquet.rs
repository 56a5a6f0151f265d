//! Rows as Parquet with the encoded images inside, as the Hub stores data sets with images.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::{Value, json};

use crate::error::DataError;
use crate::question::{ImageSource, Question};
use crate::selection::Selection;
use crate::write::partial::Partial;

/// A row group is what a reader with random access fetches at once; `datasets` takes 100 rows where there are images.
const GROUP_ROWS: usize = 100;

/// No row group grows much beyond this, whatever the images weigh.
const GROUP_BYTES: usize = 32 << 20;

/// Arrow counts the bytes of a batch in 31 bits; an image has to leave room for its neighbours.
const IMAGE_LIMIT_BYTES: usize = 1 << 30;

/// Writes one Parquet file with embedded images.
///
/// Columns: `id`, `image` (struct of `bytes` and `path`), `question`, `answer`, `source`, `answers`, `options`, `needs_full`,
/// `family`, `solution`, `info`, `selection`. The `huggingface` metadata makes `datasets` and the Hub's viewer show `image` as an image.
/// Nothing is there under its own name before [`ParquetWriter::finish`]; a writer that is dropped earlier leaves nothing behind.
#[derive(Debug)]
pub struct ParquetWriter {
    writer: ArrowWriter<fs_err::File>,
    schema: SchemaRef,
    group: RowGroup,
    partial: Partial,
    rows: u64,
}

impl ParquetWriter {
    /// Begins `path`, creating its folder where it is missing.
    ///
    /// # Errors
    /// [`DataError::Exists`] if the file is there already; [`DataError::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let partial = Partial::new(path.as_ref())?;
        let schema = Arc::new(schema());
        let file = fs_err::File::create(partial.path())?;
        let writer =
            ArrowWriter::try_new(file, schema.clone(), Some(properties())).map_err(|error| failed(&partial, error))?;
        Ok(Self { writer, schema, group: RowGroup::new(), partial, rows: 0 })
    }

    /// Appends a row with its image, which is read where it is a path.
    ///
    /// # Errors
    /// [`DataError::ImageTooLarge`]; [`DataError::Io`]; [`DataError::Parquet`].
    pub fn write(&mut self, question: &Question) -> Result<(), DataError> {
        let image = question.image.read()?;
        if let Some(bytes) = image.as_ref().map(|bytes| bytes.len()).filter(|bytes| *bytes > IMAGE_LIMIT_BYTES) {
            return Err(DataError::ImageTooLarge { id: question.id.clone(), bytes, limit: IMAGE_LIMIT_BYTES });
        }
        self.group.append(question, image.as_deref());
        self.rows += 1;
        if self.group.rows >= GROUP_ROWS || self.group.bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    /// Writes the footer, flushes, gives the file its name and returns the number of rows.
    pub fn finish(mut self) -> Result<u64, DataError> {
        self.end_group()?;
        let file = self.writer.into_inner().map_err(|error| failed(&self.partial, error))?;
        file.sync_all()?;
        self.partial.finish()?;
        Ok(self.rows)
    }

    fn end_group(&mut self) -> Result<(), DataError> {
        let columns = std::mem::replace(&mut self.group, RowGroup::new()).finish();
        RecordBatch::try_new(self.schema.clone(), columns)
            .and_then(|batch| Ok(self.writer.write(&batch)?))
            .and_then(|()| Ok(self.writer.flush()?))
            .map_err(|error| failed(&self.partial, error))
    }
}

/// Names the file as it will be called: the caller knows no other name.
fn failed(partial: &Partial, error: impl Into<ArrowError>) -> DataError {
    DataError::Parquet { path: partial.target().to_owned(), source: error.into() }
}

fn properties() -> WriterProperties {
    let bytes = ColumnPath::from(vec!["image".to_owned(), "bytes".to_owned()]);
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // No two images are equal, and nobody asks for the least of them.
        .set_column_dictionary_enabled(bytes.clone(), false)
        .set_column_statistics_enabled(bytes, EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), features().to_string())]))
        .build()
}

fn schema() -> Schema {
    let texts = || DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let fields = vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("image", DataType::Struct(image_fields()), true),
        Field::new("question", DataType::Utf8, true),
        Field::new("answer", DataType::Utf8, true),
        Field::new("source", DataType::Utf8, true),
        Field::new("answers", texts(), true),
        Field::new("options", texts(), true),
        Field::new("needs_full", DataType::Boolean, true),
        Field::new("family", DataType::Utf8, true),
        Field::new("solution", DataType::Utf8, true),
        Field::new("info", DataType::Struct(info_fields()), true),
        Field::new("selection", DataType::Struct(selection_fields()), true),
    ];
    Schema::new_with_metadata(fields, HashMap::from([("huggingface".to_owned(), features().to_string())]))
}

fn image_fields() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

fn info_fields() -> Fields {
    Fields::from(vec![
        Field::new("tgt_width", DataType::Int64, true),
        Field::new("tgt_height", DataType::Int64, true),
        Field::new("use_tool", DataType::Boolean, true),
    ])
}

fn selection_fields() -> Fields {
    Fields::from(vec![
        Field::new("class", DataType::Utf8, true),
        Field::new("rollouts", DataType::Int64, true),
        Field::new("right_low", DataType::Int64, true),
        Field::new("right_full", DataType::Int64, true),
    ])
}

/// What `datasets` keeps beside an Arrow schema: its own types, in the order of the columns. Lists are called `Sequence`, which
/// every version understands; `List` came with 4.0.
fn features() -> Value {
    let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
    let texts = || json!({"feature": value("string"), "_type": "Sequence"});
    json!({"info": {"features": {
        "id": value("string"),
        "image": {"_type": "Image"},
        "question": value("string"),
        "answer": value("string"),
        "source": value("string"),
        "answers": texts(),
        "options": texts(),
        "needs_full": value("bool"),
        "family": value("string"),
        "solution": value("string"),
        "info": {"tgt_width": value("int64"), "tgt_height": value("int64"), "use_tool": value("bool")},
        "selection": {
            "class": value("string"),
            "rollouts": value("int64"),
            "right_low": value("int64"),
            "right_full": value("int64"),
        },
    }}})
}

/// The rows that will be the next row group.
#[derive(Debug)]
struct RowGroup {
    id: StringBuilder,
    image: StructBuilder,
    question: StringBuilder,
    answer: StringBuilder,
    source: StringBuilder,
    answers: ListBuilder<StringBuilder>,
    options: ListBuilder<StringBuilder>,
    needs_full: BooleanBuilder,
    family: StringBuilder,
    solution: StringBuilder,
    info: StructBuilder,
    selection: StructBuilder,
    rows: usize,
    /// Bytes of images and text, nearly all of what the group weighs.
    bytes: usize,
}

impl RowGroup {
    fn new() -> Self {
        Self {
            id: StringBuilder::new(),
            image: StructBuilder::new(
                image_fields(),
                vec![Box::new(BinaryBuilder::new()), Box::new(StringBuilder::new())],
            ),
            question: StringBuilder::new(),
            answer: StringBuilder::new(),
            source: StringBuilder::new(),
            answers: ListBuilder::new(StringBuilder::new()),
            options: ListBuilder::new(StringBuilder::new()),
            needs_full: BooleanBuilder::new(),
            family: StringBuilder::new(),
            solution: StringBuilder::new(),
            info: StructBuilder::new(
                info_fields(),
                vec![Box::new(Int64Builder::new()), Box::new(Int64Builder::new()), Box::new(BooleanBuilder::new())],
            ),
            selection: StructBuilder::new(
                selection_fields(),
                vec![
                    Box::new(StringBuilder::new()),
                    Box::new(Int64Builder::new()),
                    Box::new(Int64Builder::new()),
                    Box::new(Int64Builder::new()),
                ],
            ),
            rows: 0,
            bytes: 0,
        }
    }

    fn append(&mut self, question: &Question, image: Option<&[u8]>) {
        let name = match &question.image {
            ImageSource::Path(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            _ => None,
        };
        child::<BinaryBuilder>(&mut self.image, 0).append_option(image);
        child::<StringBuilder>(&mut self.image, 1).append_option(name);
        self.image.append(image.is_some());
        self.id.append_value(&question.id);
        self.question.append_value(&question.question);
        self.answer.append_value(&question.answer);
        self.source.append_value(&question.source);
        self.answers.append_value(question.answers.iter().map(Some));
        self.options.append_value(question.options.iter().map(Some));
        self.needs_full.append_option(question.needs_full);
        self.family.append_option(question.family.as_deref());
        self.solution.append_option(question.solution.as_deref());
        child::<Int64Builder>(&mut self.info, 0).append_option(question.target.map(|target| target.width_px.into()));
        child::<Int64Builder>(&mut self.info, 1).append_option(question.target.map(|target| target.height_px.into()));
        child::<BooleanBuilder>(&mut self.info, 2).append_option(question.target.map(|target| target.use_tool));
        self.info.append(question.target.is_some());
        self.append_selection(question.selection);
        self.rows += 1;
        self.bytes += image.map_or(0, <[u8]>::len) + question.question.len() + question.answer.len();
    }

    fn append_selection(&mut self, selection: Option<Selection>) {
        let tries = selection.map(|selection| selection.tries);
        child::<StringBuilder>(&mut self.selection, 0).append_option(selection.map(|selection| selection.class.name()));
        let counts = [tries.map(|tries| tries.rollouts), tries.map(|t| t.right_low), tries.map(|t| t.right_full)];
        for (at, count) in counts.into_iter().enumerate() {
            child::<Int64Builder>(&mut self.selection, at + 1).append_option(count.map(i64::from));
        }
        self.selection.append(selection.is_some());
    }

    /// The columns in the order of [`schema`].
    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.image.finish()),
            Arc::new(self.question.finish()),
            Arc::new(self.answer.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.answers.finish()),
            Arc::new(self.options.finish()),
            Arc::new(self.needs_full.finish()),
            Arc::new(self.family.finish()),
            Arc::new(self.solution.finish()),
            Arc::new(self.info.finish()),
            Arc::new(self.selection.finish()),
        ]
    }
}

fn child<T: ArrayBuilder>(parent: &mut StructBuilder, index: usize) -> &mut T {
    parent.field_builder(index).expect("`RowGroup::new` made the children with these types")
}
