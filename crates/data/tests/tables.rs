//! Tables with columns of a caller's choice.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use serde_json::json;
use visionthink_data::{Column, ColumnKind, DataError, ImageSource, ParquetWriter, Question, Table, open_table};

static SMART: [Column; 5] = [
    Column::required("doc_id", ColumnKind::Name),
    Column::required("problem", ColumnKind::Text),
    Column::required("images", ColumnKind::Image),
    Column::required("info", ColumnKind::Struct),
    Column::optional("nowhere", ColumnKind::Number),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data").join(name)
}

fn indices(mut table: Table) -> Vec<u64> {
    let mut indices = Vec::new();
    while let Some(row) = table.next_row() {
        indices.push(row.unwrap().index());
    }
    indices
}

#[test]
fn a_folder_of_arrow_shards_is_one_table() {
    let mut table = open_table(fixture("smart"), None, &SMART).unwrap();
    assert_eq!(table.count(), None);
    let row = table.next_row().unwrap().unwrap();
    let values = serde_json::Value::Object(row.values());
    assert_eq!(
        values,
        json!({
            "doc_id": 100, "problem": "<image>\nWhat is the code of picture 0?",
            "info": { "tgt_width": 56, "tgt_height": 28, "use_tool": true }, "nowhere": null,
        })
    );
    assert_eq!(row.images("images").unwrap().len(), 1);
    assert_eq!(row.images("nowhere").unwrap(), []);
    assert_eq!(indices(table), [1, 2, 3, 4]);
}

#[test]
fn the_rows_of_several_parquet_files_are_counted_through() {
    static COLUMNS: [Column; 2] =
        [Column::required("id", ColumnKind::Name), Column::required("options", ColumnKind::Texts)];
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in [("a", 0..130), ("b", 130..150)] {
        let mut writer = ParquetWriter::create(folder.path().join(format!("{name}.parquet"))).unwrap();
        for row in rows {
            let image = ImageSource::Bytes(b"picture".to_vec());
            writer.write(&Question { id: row.to_string(), image, ..Question::default() }).unwrap();
        }
        writer.finish().unwrap();
    }
    let mut table = open_table(folder.path(), None, &COLUMNS).unwrap();
    assert_eq!(table.count(), Some(150));
    let row = table.next_row().unwrap().unwrap();
    assert_eq!(serde_json::Value::Object(row.values()), json!({ "id": "0", "options": [] }));
    assert_eq!(indices(table), (1..150).collect::<Vec<_>>());
}

#[test]
fn a_missing_column_and_one_of_another_type_are_refused() {
    static MISSING: [Column; 1] = [Column::required("question", ColumnKind::Text)];
    static MISTYPED: [Column; 1] = [Column::required("problem", ColumnKind::Texts)];
    let error = open_table(fixture("smart"), None, &MISSING).unwrap_err();
    assert!(matches!(error, DataError::Columns { .. }), "{error}");
    let error = open_table(fixture("smart"), None, &MISTYPED).unwrap_err();
    assert!(error.to_string().ends_with("column `problem` is Utf8, expected a list of strings"), "{error}");
}
