//! Data sets that the `datasets` library wrote (`fixtures/data/make.py`), and the variants of their columns.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BinaryViewArray, Int32Array, LargeBinaryArray, LargeStringArray, ListArray, RecordBatch,
    StringArray, StringViewArray, StructArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use visionthink_data::{
    DataError, ImageSource, Images, Place, Question, ReadOptions, RowError, RowProblem, TargetSize, open, open_with,
};

/// The colours of `make.py`.
const COLOURS: [[u8; 3]; 5] = [[200, 30, 30], [30, 160, 60], [40, 60, 200], [240, 200, 20], [90, 90, 90]];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data").join(name)
}

fn all(path: &Path) -> Vec<Question> {
    open(path).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The colour that fills an embedded image.
fn colour(question: &Question) -> [u8; 3] {
    let ImageSource::Bytes(bytes) = &question.image else { panic!("{:?} is not embedded", question.image) };
    let image = image::load_from_memory(bytes).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), (8, 6));
    assert!(image.pixels().all(|pixel| pixel == image.get_pixel(0, 0)));
    image.get_pixel(0, 0).0
}

#[test]
fn a_visionthink_smart_folder_is_read_shard_after_shard() {
    let rows = all(&fixture("smart"));
    assert_eq!(rows.len(), 5);
    for (row, question) in rows.iter().enumerate() {
        assert_eq!(colour(question), COLOURS[row]);
        let without_image = Question { image: ImageSource::None, ..question.clone() };
        let source = if row % 2 == 0 { "open_source_require_high" } else { "open_source_no_require_high" };
        let expected = Question {
            id: (100 + row).to_string(),
            question: format!("What is the code of picture {row}?"),
            answer: format!("code {row}"),
            source: source.into(),
            solution: Some(format!("<answer>code {row}</answer>")),
            target: Some(TargetSize { width_px: 56, height_px: 28, use_tool: row % 2 == 0 }),
            ..Question::default()
        };
        assert_eq!(without_image, expected);
    }
}

#[test]
fn a_dictionary_of_splits_is_opened_by_split_and_never_mixed() {
    let Err(DataError::Split { splits, .. }) = open(fixture("splits")) else { panic!("splits were mixed") };
    assert_eq!(splits, ["train", "test"]);
    let options = ReadOptions { split: Some("train".into()), ..ReadOptions::default() };
    let by_option: Vec<Question> = open_with(fixture("splits"), &options).unwrap().map(Result::unwrap).collect();
    assert_eq!(by_option, all(&fixture("splits/train")));
    for (row, question) in by_option.iter().enumerate() {
        assert_eq!(question.id, format!("doc-{row}"));
        assert_eq!(question.question, format!("Which colour is picture {row}?"));
        assert_eq!(colour(question), COLOURS[row]);
    }
}

#[test]
fn a_row_without_a_picture_is_an_error_of_that_row_only() {
    let rows: Vec<_> = open(fixture("hub.parquet")).unwrap().collect();
    assert_eq!(rows.len(), 5);
    for (row, question) in rows.iter().enumerate() {
        match question {
            Ok(question) => {
                assert_eq!(question.id, format!("hub-{row}"));
                assert_eq!(colour(question), COLOURS[row]);
                assert_eq!(question.options, ["yes", "no"]);
                assert_eq!(question.needs_full, (row != 1).then_some(false));
            }
            Err(error) => {
                assert_eq!((row, error.place), (3, Place::Row(3)));
                assert!(error.to_string().ends_with("hub.parquet: row 3: `image` is null"), "{error}");
            }
        }
    }
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
}

#[test]
fn a_null_in_a_list_of_pictures_is_an_error_of_that_row_only() {
    let rows: Vec<_> = open(fixture("splits/test")).unwrap().collect();
    assert_eq!(colour(rows[0].as_ref().unwrap()), COLOURS[3]);
    let RowError { place, problem, .. } = rows[1].as_ref().unwrap_err();
    assert!(matches!((place, &**problem), (Place::Row(1), RowProblem::Null { .. })), "{problem:?}");
    assert_eq!(rows.len(), 2);
}

#[test]
fn rows_without_pictures_are_text_questions_where_asked_for() {
    let options = ReadOptions { images: Images::Optional, ..ReadOptions::default() };
    let rows: Vec<Question> = open_with(fixture("hub.parquet"), &options).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows[3].image, ImageSource::None);
    assert_eq!(rows[3].question, "Is picture 3 plain?");
}

/// Writes one batch as `Dataset.save_to_disk` lays it out.
fn save_to_disk(folder: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs_err::File::create(folder.join("data-00000-of-00001.arrow")).unwrap();
    let mut writer = StreamWriter::try_new(file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let state = r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "0"}"#;
    fs_err::write(folder.join("state.json"), state).unwrap();
    fs_err::write(folder.join("dataset_info.json"), "{}").unwrap();
}

fn texts(values: [&str; 2]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Two rows with this image column.
fn with_images(folder: &Path, images: ArrayRef) {
    save_to_disk(
        folder,
        vec![("question", texts(["one?", "two?"])), ("answer", texts(["1", "2"])), ("images", images)],
    );
}

/// Lists of these lengths over `values`; the offsets are borrowed from a list of strings of the same shape.
fn list_of(field: DataType, lengths: [usize; 2], values: ArrayRef) -> ArrayRef {
    let mut list = ListBuilder::new(StringBuilder::new());
    for length in lengths {
        list.append_value((0..length).map(|_| Some("")));
    }
    let shape = list.finish();
    Arc::new(ListArray::new(Arc::new(Field::new_list_field(field, true)), shape.offsets().clone(), values, None))
}

#[test]
fn every_form_of_image_column_is_read() {
    let (first, second) = (b"first".as_slice(), b"second".as_slice());
    let binary: ArrayRef = Arc::new(BinaryArray::from_vec(vec![first, second]));
    let paths: ArrayRef = texts(["1.png", "2.png"]);
    let image =
        |name: &str, array: &ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array.clone());
    let large: ArrayRef = Arc::new(LargeBinaryArray::from_vec(vec![first, second]));
    let large_paths: ArrayRef = Arc::new(LargeStringArray::from_iter_values(["1.png", "2.png"]));
    let structs: ArrayRef = Arc::new(StructArray::from(vec![image("bytes", &large), image("path", &large_paths)]));
    let forms: Vec<ArrayRef> = vec![
        binary.clone(),
        large.clone(),
        Arc::new(BinaryViewArray::from_iter_values([first, second])),
        structs.clone(),
        Arc::new(StructArray::from(vec![image("path", &paths), image("bytes", &binary)])),
        Arc::new(StructArray::from(vec![image("bytes", &binary)])),
        list_of(structs.data_type().clone(), [1, 1], structs.clone()),
        list_of(DataType::Binary, [1, 1], binary.clone()),
    ];
    for form in forms {
        let folder = tempfile::tempdir().unwrap();
        let data_type = form.data_type().clone();
        with_images(folder.path(), form);
        let images: Vec<ImageSource> = all(folder.path()).into_iter().map(|row| row.image).collect();
        assert_eq!(images, [ImageSource::Bytes(first.to_vec()), ImageSource::Bytes(second.to_vec())], "{data_type}");
    }
    let by_path: Vec<ArrayRef> = vec![
        paths.clone(),
        Arc::new(StringViewArray::from_iter_values(["1.png", "2.png"])),
        Arc::new(StructArray::from(vec![image("path", &paths)])),
        list_of(DataType::Utf8, [1, 1], paths.clone()),
    ];
    for form in by_path {
        let folder = tempfile::tempdir().unwrap();
        let data_type = form.data_type().clone();
        with_images(folder.path(), form);
        let images: Vec<ImageSource> = all(folder.path()).into_iter().map(|row| row.image).collect();
        let expected = ["1.png", "2.png"].map(|name| ImageSource::Path(folder.path().join(name)));
        assert_eq!(images, expected, "{data_type}");
    }
}

#[test]
fn rows_without_id_and_source_are_named_after_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("my-set");
    fs_err::create_dir_all(&set).unwrap();
    with_images(&set, texts(["1.png", "2.png"]));
    let rows = all(&set);
    assert_eq!((rows[1].id.as_str(), rows[1].source.as_str()), ("data-00000-of-00001:1", "my-set"));
}

#[test]
fn two_pictures_in_a_row_are_refused_rather_than_one_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let pictures: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"a", b"b"]));
    with_images(folder.path(), list_of(DataType::Binary, [2, 0], pictures));
    let rows: Vec<_> = open(folder.path()).unwrap().collect();
    let problem = |row: usize| &*rows[row].as_ref().unwrap_err().problem;
    assert!(matches!(problem(0), RowProblem::ManyImages { count: 2, .. }));
    assert!(matches!(problem(1), RowProblem::Null { .. }));
}

#[test]
fn missing_columns_are_listed_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    save_to_disk(folder.path(), vec![("prompt", texts(["a", "b"])), ("answer", texts(["a", "b"]))]);
    let Err(error @ DataError::Columns { .. }) = open(folder.path()) else { panic!("not noticed") };
    assert!(
        error
            .to_string()
            .ends_with("no column `question` or `problem` and no column `image` or `images`; found `prompt`, `answer`"),
        "{error}"
    );
}

#[test]
fn a_column_of_the_wrong_type_is_known_before_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    with_images(folder.path(), Arc::new(Int32Array::from(vec![1, 2])));
    let Err(DataError::ColumnType { column, found, .. }) = open(folder.path()) else { panic!("not noticed") };
    assert_eq!((column.as_str(), found.as_str()), ("images", "Int32"));
}
