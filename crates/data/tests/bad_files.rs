//! Damaged files: an error that says what is lost, and every row that is not.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use proptest::prelude::*;
use visionthink_data::{DataError, ImageSource, ParquetWriter, Place, Question, RowError, RowProblem, open};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data").join(name)
}

fn jsonl(lines: &[u8]) -> (tempfile::TempDir, Vec<Result<Question, RowError>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs_err::write(&path, lines).unwrap();
    let rows = open(&path).unwrap().collect();
    (folder, rows)
}

fn message(row: &Result<Question, RowError>) -> String {
    let message = row.as_ref().unwrap_err().to_string();
    let (_, tail) = message.split_once("rows.jsonl:").unwrap();
    tail.to_owned()
}

#[test]
fn each_bad_line_is_an_error_with_its_number_and_the_others_are_read() {
    let (folder, rows) = jsonl(
        b"\xef\xbb\xbf{\"question\": \"q\", \"answer\": \"a\", \"image\": \"sub/1.png\", \"id\": 7}\r\n\
          \n\
          {\"question\": 5, \"answer\": \"a\", \"image\": \"1.png\"}\n\
          {\"question\": \"q\", \"answer\": \"a\", \"image\": null}\n\
          {\"question\": \"q\", \"answer\": \"a\"}\n\
          [1, 2]\n\
          {\"question\": \"\xff\", \"answer\": \"a\", \"image\": \"1.png\"}\n\
          {\"question\": \"q\", \"answer\": \"a\", \"image\": \"https://example.org/1.png\"}\n\
          {\"question\": \"q\", \"answer\": \"a\", \"image\": [\"1.png\", \"2.png\"]}\n\
          {\"question\": \"q\", \"answer\": \"a\", \"image\": \"\"}\n\
          {\"question\": \"q\", \"answer\": \"a\", \"image\": \"1.png\", \"needs_full\": \"yes\"}\n\
          {\"problem\": \"<image>q\", \"original_answer\": \"a\", \"images\": [\"/2.png\"]}\n\
          {\"question\": \"q\", \"answer\": \"a",
    );
    let first = rows[0].as_ref().unwrap();
    assert_eq!((first.id.as_str(), first.source.as_str()), ("7", "rows"));
    assert_eq!(first.image, ImageSource::Path(folder.path().join("sub/1.png")));
    assert_eq!(message(&rows[1]), "3: `question` is the number 5, expected a string");
    assert_eq!(message(&rows[2]), "4: `image` is null");
    assert_eq!(message(&rows[3]), "5: no column `image` or `images`; found `question`, `answer`");
    assert_eq!(message(&rows[4]), "6: not a JSON object: invalid type: sequence, expected a map");
    assert!(message(&rows[5]).starts_with("7: not a JSON object: "), "{}", message(&rows[5]));
    assert_eq!(
        message(&rows[6]),
        "8: `image` is the URL `https://example.org/1.png`, expected a path; download the images first"
    );
    assert_eq!(message(&rows[7]), "9: `image` holds 2 images, a question takes one");
    assert_eq!(message(&rows[8]), "10: `image` holds neither the bytes nor the path of an image");
    assert_eq!(message(&rows[9]), "11: `needs_full` is a string, expected a boolean");
    let twelfth = rows[10].as_ref().unwrap();
    assert_eq!((twelfth.id.as_str(), twelfth.question.as_str()), ("rows:11", "q"));
    assert_eq!(twelfth.image, ImageSource::Path("/2.png".into()));
    assert_eq!(message(&rows[11]), "13: the line ends inside its JSON object; the file may have been cut off");
    assert_eq!(rows.len(), 12);
}

#[test]
fn a_line_without_end_is_skipped_without_being_held() {
    let mut lines = vec![b'x'; 40 << 20];
    lines.extend_from_slice(b"\n{\"question\": \"q\", \"answer\": \"a\", \"image\": \"1.png\"}");
    let (_folder, rows) = jsonl(&lines);
    let problem = &*rows[0].as_ref().unwrap_err().problem;
    assert!(matches!(problem, RowProblem::LongLine { .. }), "{problem:?}");
    assert_eq!(rows[1].as_ref().unwrap().question, "q");
    assert_eq!(rows.len(), 2);
}

/// A file of three row groups: 100, 100 and 50 rows.
fn parquet(folder: &Path) -> PathBuf {
    let path = folder.join("rows.parquet");
    let mut writer = ParquetWriter::create(&path).unwrap();
    for row in 0..250 {
        let image = ImageSource::Bytes(format!("picture {row:03} ").repeat(20).into_bytes());
        writer.write(&Question { id: row.to_string(), image, ..Question::default() }).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn a_corrupt_page_costs_its_row_group_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = parquet(folder.path());
    let file =
        parquet::file::reader::SerializedFileReader::new(fs_err::File::open(&path).unwrap().into_file()).unwrap();
    let chunk = parquet::file::reader::FileReader::metadata(&file).row_group(1).column(1);
    assert_eq!(chunk.column_path().string(), "image.bytes");
    let (start, length) = (chunk.data_page_offset() as usize, chunk.compressed_size() as usize);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[start..start + length].fill(0xaa);
    fs_err::write(&path, bytes).unwrap();

    let (good, bad): (Vec<_>, Vec<_>) = open(&path).unwrap().partition(Result::is_ok);
    let ids: Vec<usize> = good.into_iter().map(|row| row.unwrap().id.parse().unwrap()).collect();
    assert_eq!(ids, (0..100).chain(200..250).collect::<Vec<_>>());
    assert_eq!(bad.len(), 1);
    let error = bad.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.place, Place::Row(100));
    assert!(matches!(*error.problem, RowProblem::Damaged { lost: Some(100), .. }), "{error}");
    assert!(error.to_string().contains("row 100: damaged data; 100 rows are skipped: "), "{error}");
}

#[test]
fn a_parquet_file_cut_off_anywhere_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = parquet(folder.path());
    let bytes = fs_err::read(&path).unwrap();
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        fs_err::write(&path, &bytes[..length]).unwrap();
        let Err(error) = open(&path) else { panic!("{length} bytes were opened") };
        assert!(matches!(error, DataError::Parquet { .. }), "{length}: {error:?}");
    }
}

#[test]
fn an_arrow_stream_cut_off_anywhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs_err::read(fixture("smart/data-00000-of-00002.arrow")).unwrap();
    let path = folder.path().join("rows.arrow");
    let whole = open(fixture("smart/data-00000-of-00002.arrow")).unwrap().count();
    assert!(whole > 0);
    // Messages begin at multiples of 8: every border between two, and places inside of them.
    for length in (0..bytes.len()).filter(|length| length % 8 == 0 || length % 11 == 0) {
        fs_err::write(&path, &bytes[..length]).unwrap();
        match open(&path) {
            Err(error) => assert!(matches!(error, DataError::Arrow { .. }), "{length}: {error:?}"),
            Ok(rows) => {
                let rows: Vec<_> = rows.collect();
                let last = rows.last().unwrap_or_else(|| panic!("{length} bytes passed for an empty stream"));
                let error = last.as_ref().unwrap_err();
                assert!(matches!(*error.problem, RowProblem::Cut), "{error}");
                assert!(rows.len() <= whole + 1);
            }
        }
    }
}

#[test]
fn a_corrupt_batch_of_an_arrow_stream_costs_its_rows_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.arrow");
    let batch = |first: usize| {
        let column = |word: &str| {
            let texts = (first..first + 4).map(|row| format!("{word} {row:02}"));
            Arc::new(StringArray::from_iter_values(texts)) as ArrayRef
        };
        let columns = [("question", column("question")), ("answer", column("answer")), ("image", column("picture"))];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch(0).schema()).unwrap();
    for first in [0, 4, 8] {
        writer.write(&batch(first)).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    let place = bytes.windows(11).position(|window| window == b"question 06").unwrap();
    bytes[place] = 0xff;
    fs_err::write(&path, bytes).unwrap();

    let rows: Vec<_> = open(&path).unwrap().collect();
    let questions: Vec<_> = rows.iter().flatten().map(|row| row.question.as_str()).collect();
    assert_eq!(questions[..4], ["question 00", "question 01", "question 02", "question 03"]);
    assert_eq!(questions[4..], ["question 08", "question 09", "question 10", "question 11"]);
    assert_eq!(rows[5].as_ref().unwrap().id, "rows:8");
    let error = rows[4].as_ref().unwrap_err();
    assert!(error.to_string().contains("rows.arrow: row 4: damaged data; 4 rows are skipped: "), "{error}");
}

#[test]
fn a_bad_shard_does_not_stop_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow", "state.json", "dataset_info.json"] {
        fs_err::copy(fixture("smart").join(name), folder.path().join(name)).unwrap();
    }
    let first = folder.path().join("data-00000-of-00002.arrow");
    let bytes = fs_err::read(&first).unwrap();
    fs_err::write(&first, &bytes[..bytes.len() - 200]).unwrap();
    let rows: Vec<_> = open(folder.path()).unwrap().collect();
    assert!(matches!(*rows[0].as_ref().unwrap_err().problem, RowProblem::Cut));
    let ids: Vec<_> = rows[1..].iter().map(|row| row.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids, ["103", "104"]);

    fs_err::remove_file(&first).unwrap();
    let Err(DataError::MissingShard { path }) = open(folder.path()) else { panic!("not noticed") };
    assert_eq!(path, first);
}

#[test]
fn descriptions_and_other_kinds_of_arrow_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("a.arrow"), b"ARROW1\0\0\xff\xff\xff\xff").unwrap();
    assert!(matches!(open(folder.path().join("a.arrow")), Err(DataError::ArrowFile { .. })));
    fs_err::write(folder.path().join("state.json"), "{}").unwrap();
    assert!(matches!(open(folder.path()), Err(DataError::Description { .. })));
}

/// Reads whatever can be read; the point is that it returns.
fn read_all(path: &Path) -> usize {
    open(path).map_or(0, Iterator::count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_to_a_file_makes_reading_panic(
        name in prop::sample::select(vec!["hub.parquet", "smart/data-00000-of-00002.arrow", "splits/train/data-00000-of-00001.arrow"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = fs_err::read(fixture(name)).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let path = folder.path().join("rows").with_extension(Path::new(name).extension().unwrap());
        fs_err::write(&path, bytes).unwrap();
        read_all(&path);
    }

    #[test]
    fn no_text_makes_reading_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_folder, rows) = jsonl(&text);
        prop_assert!(rows.len() <= text.len());
    }
}
