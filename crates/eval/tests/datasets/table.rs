//! Parquet files as the Hub has them, from rows of JSON.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

/// A type of the Hub's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    Text,
    Texts,
    Int,
    Float,
    /// A struct of `bytes` and `path`. In a row: the name of a picture, `"broken"` for one that ends too early, or null.
    Image,
    Struct(&'static [(&'static str, Type)]),
}

/// Writes rows, a number of them to a row group.
pub(crate) fn write(path: &Path, schema: &[(&str, Type)], rows: &[Value], group: usize) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let columns = schema.iter().map(|(name, kind)| (*name, array(name, *kind, rows)));
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let file = fs_err::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A picture that differs from those of other names.
pub(crate) fn picture(name: &str) -> Vec<u8> {
    let shade = name.bytes().fold(7, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let image = RgbImage::from_pixel(6, 4, Rgb([shade, 255 - shade, 90]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn array(name: &str, kind: Type, rows: &[Value]) -> ArrayRef {
    let values = || rows.iter().map(|row| &row[name]);
    match kind {
        Type::Text => Arc::new(values().map(Value::as_str).collect::<StringArray>()),
        Type::Int => Arc::new(values().map(Value::as_i64).collect::<Int64Array>()),
        Type::Float => Arc::new(values().map(Value::as_f64).collect::<Float64Array>()),
        Type::Texts => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for value in values() {
                lists.append_option(value.as_array().map(|items| items.iter().map(Value::as_str).collect::<Vec<_>>()));
            }
            Arc::new(lists.finish())
        }
        Type::Image => images(&values().map(Value::as_str).collect::<Vec<_>>()),
        Type::Struct(fields) => {
            let inner: Vec<Value> = values().cloned().collect();
            let columns = fields.iter().map(|(name, kind)| {
                let column = array(name, *kind, &inner);
                (Arc::new(Field::new(*name, column.data_type().clone(), true)), column)
            });
            Arc::new(StructArray::from(columns.collect::<Vec<_>>()))
        }
    }
}

fn images(names: &[Option<&str>]) -> ArrayRef {
    let bytes: Vec<Option<Vec<u8>>> = names
        .iter()
        .map(|name| {
            let mut bytes = picture((*name)?);
            // Without its end mark and the last bytes before it.
            bytes.truncate(if *name == Some("broken") { bytes.len() - 20 } else { bytes.len() });
            Some(bytes)
        })
        .collect();
    let bytes: BinaryArray = bytes.iter().map(Option::as_deref).collect();
    let paths: StringArray = names.iter().map(|name| name.map(|name| format!("{name}.png"))).collect();
    let nulls = names.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
    Arc::new(StructArray::new(fields.into(), vec![Arc::new(bytes), Arc::new(paths)], Some(nulls)))
}
