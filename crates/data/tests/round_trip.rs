//! What a writer wrote, the reader gives back.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use proptest::prelude::*;
use visionthink_data::selection::{Need, Selection, Tries};
use visionthink_data::{
    DataError, ImageSource, Images, JsonlWriter, ParquetWriter, Question, ReadOptions, TargetSize, open, open_with,
};

/// A PNG of one colour.
fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(8, 6, image::Rgb(colour)).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn questions() -> Vec<Question> {
    vec![
        Question {
            id: "a/1".into(),
            image: ImageSource::Bytes(png([200, 30, 30])),
            question: "Which of \"these\" is it?\nThink, <image> and 名前".into(),
            answer: "red".into(),
            source: "synthetic".into(),
            answers: vec!["red".into(), "a red".into()],
            options: vec!["red".into(), String::new()],
            needs_full: Some(true),
            family: Some("scene".into()),
            solution: Some("<answer>red</answer>".into()),
            target: Some(TargetSize { width_px: 56, height_px: 28, use_tool: false }),
            selection: Some(Selection {
                class: Need::NeedsFull,
                tries: Tries { rollouts: 8, right_low: 1, right_full: 7 },
            }),
        },
        Question {
            id: "a/1".into(),
            image: ImageSource::Bytes(png([1, 2, 3])),
            question: "An id may come twice".into(),
            needs_full: Some(false),
            ..Question::default()
        },
        Question { id: "text".into(), question: "No image?".into(), answer: "none".into(), ..Question::default() },
    ]
}

fn read(path: &Path) -> Vec<Question> {
    let options = ReadOptions { images: Images::Optional, ..ReadOptions::default() };
    open_with(path, &options).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The same questions with every image in memory.
fn loaded(questions: Vec<Question>) -> Vec<Question> {
    let load = |image: ImageSource| match image.read().unwrap() {
        Some(bytes) => ImageSource::Bytes(bytes.into_owned()),
        None => ImageSource::None,
    };
    questions.into_iter().map(|row| Question { image: load(row.image), ..row }).collect()
}

fn write_jsonl(path: &Path, questions: &[Question]) -> u64 {
    let mut writer = JsonlWriter::create(path).unwrap();
    for question in questions {
        writer.write(question).unwrap();
    }
    writer.finish().unwrap()
}

fn write_parquet(path: &Path, questions: &[Question]) -> u64 {
    let mut writer = ParquetWriter::create(path).unwrap();
    for question in questions {
        writer.write(question).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn jsonl_gives_back_what_was_written_and_names_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/train.jsonl");
    assert_eq!(write_jsonl(&path, &questions()), 3);
    let rows = read(&path);
    assert_eq!(rows[0].image, ImageSource::Path(folder.path().join("new/images/train/000000.png")));
    assert_eq!(loaded(rows), questions());
    let line = fs_err::read_to_string(&path).unwrap();
    assert!(line.starts_with(r#"{"id":"a/1","image":"images/train/000000.png","question":"#), "{line}");
}

#[test]
fn parquet_gives_back_what_was_written_with_the_images_inside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/train.parquet");
    assert_eq!(write_parquet(&path, &questions()), 3);
    assert_eq!(read(&path), questions());
}

#[test]
fn rows_go_from_one_form_to_the_other_and_back_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) =
        (folder.path().join("1.parquet"), folder.path().join("2.jsonl"), folder.path().join("3.parquet"));
    write_parquet(&first, &questions());
    write_jsonl(&second, &read(&first));
    write_parquet(&third, &read(&second));
    assert_eq!(read(&third), questions());
}

#[test]
fn an_image_keeps_its_bytes_and_gets_the_ending_of_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = b"\xff\xd8\xff\xe0 the rest does not matter".to_vec();
    let other = b"no image at all".to_vec();
    let row = |bytes: &Vec<u8>| Question { image: ImageSource::Bytes(bytes.clone()), ..Question::default() };
    let path = folder.path().join("mixed.jsonl");
    write_jsonl(&path, &[row(&jpeg), row(&other)]);
    assert_eq!(fs_err::read(folder.path().join("images/mixed/000000.jpg")).unwrap(), jpeg);
    assert_eq!(fs_err::read(folder.path().join("images/mixed/000001.bin")).unwrap(), other);
}

#[test]
fn many_rows_become_row_groups_of_bounded_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.parquet");
    let rows: Vec<Question> = (0..250)
        .map(|row| Question {
            id: row.to_string(),
            image: ImageSource::Bytes(vec![row as u8; 10]),
            ..Question::default()
        })
        .collect();
    write_parquet(&path, &rows);
    let file =
        parquet::file::reader::SerializedFileReader::new(fs_err::File::open(&path).unwrap().into_file()).unwrap();
    let sizes: Vec<i64> = parquet::file::reader::FileReader::metadata(&file)
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::num_rows)
        .collect();
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(read(&path), rows);
}

#[test]
fn heavy_rows_end_a_row_group_early() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heavy.parquet");
    let rows: Vec<Question> =
        (0..5).map(|row| Question { image: ImageSource::Bytes(vec![row; 12 << 20]), ..Question::default() }).collect();
    write_parquet(&path, &rows);
    let file =
        parquet::file::reader::SerializedFileReader::new(fs_err::File::open(&path).unwrap().into_file()).unwrap();
    assert_eq!(parquet::file::reader::FileReader::metadata(&file).num_row_groups(), 2);
    assert_eq!(read(&path).len(), 5);
}

#[test]
fn a_data_set_without_rows_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["none.jsonl", "none.parquet"] {
        let path = folder.path().join(name);
        let rows = if name.ends_with("jsonl") { write_jsonl(&path, &[]) } else { write_parquet(&path, &[]) };
        assert_eq!((rows, open(&path).unwrap().count()), (0, 0), "{name}");
    }
}

#[test]
fn an_unfinished_writer_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut jsonl = JsonlWriter::create(folder.path().join("a.jsonl")).unwrap();
    let mut parquet = ParquetWriter::create(folder.path().join("a.parquet")).unwrap();
    for question in &questions() {
        jsonl.write(question).unwrap();
        parquet.write(question).unwrap();
    }
    drop((jsonl, parquet));
    let files =
        |folder: &Path| fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(files(folder.path()), [folder.path().join("images")]);
    assert!(files(&folder.path().join("images")).is_empty());
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jsonl", "a.parquet"] {
        fs_err::write(folder.path().join(name), "mine").unwrap();
    }
    fs_err::create_dir_all(folder.path().join("images/b")).unwrap();
    let exists = |error| matches!(error, Err(DataError::Exists { .. }));
    assert!(exists(JsonlWriter::create(folder.path().join("a.jsonl")).map(drop)));
    assert!(exists(ParquetWriter::create(folder.path().join("a.parquet")).map(drop)));
    assert!(exists(JsonlWriter::create(folder.path().join("b.jsonl")).map(drop)));
    assert_eq!(fs_err::read_to_string(folder.path().join("a.jsonl")).unwrap(), "mine");
}

#[test]
fn writing_a_row_whose_image_is_gone_names_the_file_and_keeps_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Question { image: ImageSource::Path("gone.png".into()), ..Question::default() };
    let mut writer = ParquetWriter::create(folder.path().join("a.parquet")).unwrap();
    let error = writer.write(&gone).unwrap_err();
    assert!(error.to_string().contains("gone.png"), "{error}");
    writer.write(&questions()[0]).unwrap();
    assert_eq!(writer.finish().unwrap(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_text_survives_both_forms(
        text in prop::collection::vec(any::<String>(), 5),
        list in prop::collection::vec(any::<String>(), 0..4),
        flag in any::<Option<bool>>(),
        size in any::<Option<(u32, u32, bool)>>(),
        bytes in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let question = Question {
            id: text[0].clone(),
            image: ImageSource::Bytes(bytes),
            question: text[1].clone(),
            answer: text[2].clone(),
            source: text[3].clone(),
            answers: list.clone(),
            options: list,
            needs_full: flag,
            family: flag.map(|_| text[4].clone()),
            solution: size.map(|_| text[4].clone()),
            target: size.map(|(width_px, height_px, use_tool)| TargetSize { width_px, height_px, use_tool }),
            selection: size.map(|(right_low, right_full, _)| Selection {
                class: Need::SolvableLow,
                tries: Tries { rollouts: 8, right_low, right_full },
            }),
        };
        let (jsonl, parquet) = (folder.path().join("a.jsonl"), folder.path().join("a.parquet"));
        write_jsonl(&jsonl, std::slice::from_ref(&question));
        write_parquet(&parquet, std::slice::from_ref(&question));
        prop_assert_eq!(loaded(read(&jsonl)), vec![question.clone()]);
        prop_assert_eq!(read(&parquet), vec![question]);
    }
}
