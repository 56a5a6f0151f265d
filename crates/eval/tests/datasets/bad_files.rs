//! Folders, files and rows that are wrong.

use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};
use visionthink_eval::question::Task;
use visionthink_eval::{DatasetOptions, Defect, ImageCheck, Part, Sample, ShardOf};

use crate::table::Type::{self, Image, Int, Text, Texts};
use crate::table::write;
use crate::{open, refused};

const CHARTQA: &[(&str, Type)] = &[("question", Text), ("answer", Text), ("type", Text), ("image", Image)];

fn chartqa(question: &str) -> Value {
    json!({ "question": question, "answer": "7", "type": "human_test", "image": "a" })
}

fn file(folder: &Path) -> PathBuf {
    folder.join("data/test-00000-of-00001.parquet")
}

#[test]
fn missing_columns_are_listed_with_what_is_expected_and_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    write(&path, &[("query", Text), ("answer", Text), ("picture", Image)], &[json!({})], 100);
    let error = refused("chartqa", folder.path(), &DatasetOptions::default());
    assert_eq!(
        error,
        format!(
            "{}: not the data of `chartqa`: no column `question` and no column `image`; found `query`, `answer`, \
             `picture`; expected `question`, `answer`, `image`",
            path.display()
        )
    );
}

#[test]
fn a_column_of_another_type_is_named_with_both_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("validation-00000-of-00001.parquet");
    write(&path, &[("question", Text), ("answers", Text), ("image", Image)], &[json!({})], 100);
    let error = refused("docvqa", folder.path(), &DatasetOptions::default());
    assert_eq!(error, format!("{}: column `answers` is Utf8, expected a list of strings", path.display()));
    write(&path, &[("question", Int), ("answers", Texts), ("image", Image)], &[json!({})], 100);
    let error = refused("docvqa", folder.path(), &DatasetOptions::default());
    assert!(error.ends_with("column `question` is Int64, expected a string"), "{error}");
}

#[test]
fn an_empty_folder_is_named_with_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    assert_eq!(
        refused("docvqa", folder.path(), &DatasetOptions::default()),
        format!(
            "{path}: no Parquet files here for `docvqa`, such as `validation-00000-of-00001.parquet`; expected them here \
             or in `DocVQA` or `data`"
        )
    );
    let error = refused("own", folder.path(), &DatasetOptions::default());
    assert_eq!(error, format!("{path}: no Parquet files here for `own`; expected them here or in `data`"));
    let error = refused("pope", &folder.path().join("nowhere"), &DatasetOptions::default());
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn a_missing_split_is_named_with_those_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        write(&folder.path().join(format!("data/{split}-00000-of-00001.parquet")), CHARTQA, &[chartqa("?")], 100);
    }
    let error = refused("chartqa", folder.path(), &DatasetOptions::default());
    let data = folder.path().join("data");
    assert_eq!(error, format!("{}: no split `test` of `chartqa` here; found `train`, `val`", data.display()));
}

#[test]
fn a_missing_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("test-00001-of-00002.parquet"), CHARTQA, &[chartqa("?")], 100);
    let error = refused("chartqa", folder.path(), &DatasetOptions::default());
    assert!(error.contains("test-00000-of-00002.parquet: this shard is missing"), "{error}");
}

#[test]
fn what_cannot_be_read_of_a_data_set_is_refused_before_its_files_are_opened() {
    let nowhere = Path::new("nowhere");
    let options = DatasetOptions { task: Some(Task::Pope), ..Default::default() };
    let error = refused("chartqa", nowhere, &options);
    assert_eq!(error, "data set `chartqa` has no task `pope`; expected one of `chartqa`");
    let part = Part { limit: None, shard: Some(ShardOf { index: 4, of: 4 }) };
    let error = refused("chartqa", nowhere, &DatasetOptions { part, ..Default::default() });
    assert!(error.starts_with("shard 4 of 4 does not exist; expected an index below"), "{error}");
}

/// Three row groups of 20 rows, the column of the images damaged in the second.
fn damaged(folder: &Path) -> PathBuf {
    let path = file(folder);
    let rows: Vec<Value> = (0..60).map(|row| chartqa(&row.to_string())).collect();
    write(&path, CHARTQA, &rows, 20);
    let reader = SerializedFileReader::new(fs_err::File::open(&path).unwrap().into_file()).unwrap();
    let chunk = reader.metadata().row_group(1).column(3);
    assert_eq!(chunk.column_path().string(), "image.bytes");
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()) as usize;
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[start..start + chunk.compressed_size() as usize].fill(0xaa);
    fs_err::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_corrupt_page_is_named_and_the_rows_behind_it_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path());
    let dataset = open("chartqa", folder.path(), &DatasetOptions::default());
    let mut samples = dataset.samples().unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = samples.by_ref().partition(Result::is_ok);
    for sample in good.into_iter().map(Result::unwrap) {
        assert!(sample.question.starts_with(&format!("{}\n", sample.index)), "{}: {}", sample.index, sample.question);
    }
    let [error] = &bad.into_iter().map(|error| error.unwrap_err().to_string()).collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert!(error.starts_with(&format!("{}: row 20: damaged data; 20 rows are skipped: ", path.display())), "{error}");
    assert_eq!((samples.tally().samples, samples.tally().lost), (40, 20));
}

#[test]
fn a_file_that_is_cut_off_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    write(&path, CHARTQA, &[chartqa("?")], 100);
    let bytes = fs_err::read(&path).unwrap();
    fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = refused("chartqa", folder.path(), &DatasetOptions::default());
    assert_eq!(error, format!("{}: cannot be read or written as Parquet", path.display()));
}

fn all(dataset: &str, folder: &Path, check: ImageCheck) -> Vec<Sample> {
    let dataset = open(dataset, folder, &DatasetOptions { check, ..Default::default() });
    dataset.samples().unwrap().map(Result::unwrap).collect()
}

fn said(sample: &Sample) -> String {
    sample.defects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_broken_row_is_a_marked_and_counted_sample() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        chartqa("good"),
        json!({ "question": "broken", "answer": "7", "image": "broken" }),
        json!({ "question": "none", "answer": "7", "image": null }),
        json!({ "question": "unanswered", "answer": null, "image": "a" }),
        json!({ "question": null, "answer": "", "image": "a" }),
        chartqa("good"),
    ];
    write(&file(folder.path()), CHARTQA, &rows, 100);
    let dataset = open("chartqa", folder.path(), &DatasetOptions::default());
    let mut samples = dataset.samples().unwrap();
    let read: Vec<Sample> = samples.by_ref().map(Result::unwrap).collect();
    let askable: Vec<bool> = read.iter().map(Sample::can_be_asked).collect();
    assert_eq!(askable, [true, false, false, true, false, true]);
    let scorable: Vec<bool> = read.iter().map(Sample::can_be_scored).collect();
    assert_eq!(scorable, [true, false, false, false, false, true]);
    assert!(said(&read[1]).starts_with("image in `image`: "), "{}", said(&read[1]));
    assert!(read[1].images.is_empty());
    assert_eq!(said(&read[2]), "image in `image`: there is no image");
    assert_eq!(said(&read[3]), "no answer in `answer`");
    assert_eq!(said(&read[4]), "cannot be asked: row 5: field `question` is missing; no answer in `answer`");
    let tally = samples.tally();
    assert_eq!((tally.samples, tally.broken_images, tally.unanswered, tally.unaskable, tally.lost), (6, 2, 2, 1, 0));
}

#[test]
fn a_picture_that_only_a_header_is_left_of_passes_where_only_headers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    write(&file(folder.path()), CHARTQA, &[json!({ "question": "q", "answer": "7", "image": "broken" })], 100);
    assert!(!all("chartqa", folder.path(), ImageCheck::Whole)[0].can_be_asked());
    assert!(all("chartqa", folder.path(), ImageCheck::Header)[0].can_be_asked());
}

#[test]
fn a_picture_of_mmmu_that_is_marked_and_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["id", "question", "options", "answer", "question_type"].map(|name| (name, Text));
    let schema: Vec<_> = texts.into_iter().chain([("image_1", Image), ("image_2", Image)]).collect();
    let rows = ["<image 2>", "<image 9>"].map(|mark| {
        json!({
            "id": "validation_Art_1", "question": format!("<image 1> {mark}?"), "options": "[]", "answer": "7",
            "question_type": "open", "image_1": "a",
        })
    });
    write(&folder.path().join("validation.parquet"), &schema, &rows, 100);
    let said: Vec<String> = all("mmmu", folder.path(), ImageCheck::Whole).iter().map(said).collect();
    assert_eq!(said, ["image in `image_2`: there is no image", "image in `image_9`: there is no image"]);
}

#[test]
fn bad_lines_of_jsonl_are_named_and_bad_pictures_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.jsonl");
    fs_err::write(
        &path,
        "{\"question\": \"q\", \"answer\": \"a\", \"image\": \"nowhere.png\"}\n\
         {\"question\": 5, \"answer\": \"a\"}\n\
         {\"problem\": \"q\", \"answer\": \"a\"}\n\
         {\"question\": \"q\", \"answer\": null, \"image\": \"https://example.org/1.png\"}\n\
         {\"question\": \"q\", \"answ",
    )
    .unwrap();
    let dataset = open("own", &path, &DatasetOptions::default());
    let mut samples = dataset.samples().unwrap();
    let read: Vec<_> = samples.by_ref().collect();
    let error = |row: usize| read[row].as_ref().unwrap_err().to_string().replace(&path.display().to_string(), "mine");
    let sample = |row: usize| read[row].as_ref().unwrap();
    assert!(matches!(sample(0).defects[..], [Defect::Image { .. }]) && said(sample(0)).contains("nowhere.png"));
    assert_eq!(error(1), "mine:2: `question` is the number 5, expected a string");
    assert_eq!(error(2), "mine:3: no column `question`; found `problem`, `answer`");
    assert!(said(sample(3)).starts_with("image in `image`: `image` is the URL"), "{}", said(sample(3)));
    assert_eq!(sample(3).index, 3);
    assert_eq!(error(4), "mine:5: the line ends inside its JSON object; the file may have been cut off");
    assert_eq!((samples.tally().samples, samples.tally().broken_images, samples.tally().unanswered), (2, 2, 1));
    assert_eq!(samples.tally().lost, 3);
}
