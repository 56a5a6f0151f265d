//! Rows of files: those that can be asked, and a count of those that cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use visionthink_data::{ImageSource, Question as Row, RowError, RowProblem};
use visionthink_image::{DecodeOptions, RgbImage};

use crate::error::TrainError;

/// Why a row cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFault {
    /// It cannot be read.
    Unreadable,
    /// It has no image.
    NoImage,
    /// It has no answer, or an empty one.
    NoAnswer,
    /// Its image cannot be read or decoded.
    BrokenImage,
    /// The model cannot take it, for its length or the shape of its image.
    Unfit,
}

impl RowFault {
    /// The words for a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoImage => "without an image",
            Self::NoAnswer => "without an answer",
            Self::BrokenImage => "with a broken image",
            Self::Unfit => "that do not fit the model",
        }
    }
}

/// Counts the rows of a file that are left out, and stops at a ceiling: beyond it, the file is not what it is taken for.
#[derive(Debug, Clone)]
pub struct LeftOut {
    path: PathBuf,
    ceiling: u64,
    counts: BTreeMap<RowFault, u64>,
}

impl LeftOut {
    /// Nothing is left out yet of the file at `path`; up to `ceiling` rows may be.
    pub fn new(path: &Path, ceiling: u64) -> Self {
        Self { path: path.to_path_buf(), ceiling, counts: BTreeMap::new() }
    }

    /// How many rows are left out for each reason.
    pub fn counts(&self) -> &BTreeMap<RowFault, u64> {
        &self.counts
    }

    /// How many rows are left out.
    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Leaves out `rows` rows; `why` names the row and what is wrong with it.
    ///
    /// # Errors
    /// [`TrainError::BadRows`] beyond the ceiling.
    pub fn add(&mut self, fault: RowFault, rows: u64, why: &str) -> Result<(), TrainError> {
        let count = self.counts.entry(fault).or_default();
        *count = count.saturating_add(rows);
        tracing::warn!("{why}; left out");
        if self.total() <= self.ceiling {
            return Ok(());
        }
        let counts: Vec<String> = self.counts.iter().map(|(fault, rows)| format!("{rows} {}", fault.words())).collect();
        Err(TrainError::BadRows {
            path: self.path.clone(),
            left_out: self.total(),
            counts: counts.join(", "),
            ceiling: self.ceiling,
            last: why.to_owned(),
        })
    }
}

/// What keeps a row from being asked, as far as can be told without its image: the reason, how many rows it costs, and words.
pub(crate) fn fault(row: &Result<Row, RowError>) -> Option<(RowFault, u64, String)> {
    match row {
        Ok(row) if matches!(row.image, ImageSource::None) => {
            Some((RowFault::NoImage, 1, format!("row `{}` has no image", row.id)))
        }
        Ok(row) if row.answer.trim().is_empty() => {
            Some((RowFault::NoAnswer, 1, format!("row `{}` has no answer", row.id)))
        }
        Ok(_) => None,
        Err(error) => {
            let (fault, rows) = match error.problem.as_ref() {
                RowProblem::NoImage { .. } => (RowFault::NoImage, 1),
                RowProblem::Null { column } if column.starts_with("image") => (RowFault::NoImage, 1),
                RowProblem::Null { column } if column.contains("answer") || column == "solution" => {
                    (RowFault::NoAnswer, 1)
                }
                RowProblem::Damaged { lost: Some(lost), .. } => (RowFault::Unreadable, *lost),
                _ => (RowFault::Unreadable, 1),
            };
            Some((fault, rows, error.to_string()))
        }
    }
}

/// The picture of a row.
///
/// # Errors
/// It cannot be read or decoded.
pub(crate) fn picture(row: &Row) -> Result<RgbImage, TrainError> {
    let bytes = row.image.read()?.unwrap_or_default();
    visionthink_image::decode(&bytes, &DecodeOptions::default())
        .map_err(|source| TrainError::RowImage { id: row.id.clone(), source })
}

/// The rows of a file, in memory.
#[derive(Debug)]
pub struct FileRows {
    path: PathBuf,
    rows: Vec<Row>,
    /// Loader threads share the rows, and each may be the one to find out that a picture is broken.
    faults: Mutex<Faults>,
}

#[derive(Debug)]
struct Faults {
    left_out: LeftOut,
    broken: BTreeSet<usize>,
}

impl FileRows {
    /// Reads all rows with an image and an answer. Pictures are decoded when they are asked for.
    ///
    /// # Errors
    /// A file that cannot be opened; [`TrainError::BadRows`]; [`TrainError::NoQuestions`].
    pub fn open(path: &Path, ceiling: u64) -> Result<Self, TrainError> {
        let mut rows = Vec::new();
        let mut left_out = LeftOut::new(path, ceiling);
        for row in visionthink_data::open(path)? {
            match (fault(&row), row) {
                (None, Ok(row)) => rows.push(row),
                (Some((fault, lost, why)), _) => left_out.add(fault, lost, &why)?,
                (None, Err(_)) => {}
            }
        }
        if rows.is_empty() {
            return Err(TrainError::NoQuestions { path: path.to_path_buf() });
        }
        Ok(Self { path: path.to_path_buf(), rows, faults: Mutex::new(Faults { left_out, broken: BTreeSet::new() }) })
    }

    /// Decodes every picture once and keeps only rows whose picture is whole.
    ///
    /// # Errors
    /// As [`FileRows::open`].
    pub fn checked(self) -> Result<Self, TrainError> {
        let mut whole = Vec::with_capacity(self.rows.len());
        for at in 0..self.rows.len() {
            whole.push(self.at(at)?.is_some());
        }
        let mut whole = whole.into_iter();
        let rows: Vec<Row> = self.rows.into_iter().filter(|_| whole.next() == Some(true)).collect();
        if rows.is_empty() {
            return Err(TrainError::NoQuestions { path: self.path });
        }
        let Faults { left_out, .. } = self.faults.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { path: self.path, rows, faults: Mutex::new(Faults { left_out, broken: BTreeSet::new() }) })
    }

    /// The error for a picture that was whole and is no longer.
    pub(crate) fn gone(&self) -> TrainError {
        TrainError::NoQuestions { path: self.path.clone() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none; a file that was opened has one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Row `at` with its picture; `None` where the picture is broken, which is counted once.
    ///
    /// # Errors
    /// [`TrainError::BadRows`]; [`TrainError::NoQuestions`] where no picture is whole.
    pub fn at(&self, at: usize) -> Result<Option<(&Row, RgbImage)>, TrainError> {
        let Some(row) = self.rows.get(at) else { return Ok(None) };
        let error = match picture(row) {
            Ok(image) => return Ok(Some((row, image))),
            Err(error) => error,
        };
        // Nothing panics while the lock is held.
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.broken.insert(at) {
            faults.left_out.add(RowFault::BrokenImage, 1, &error.to_string())?;
        }
        if faults.broken.len() == self.rows.len() {
            return Err(TrainError::NoQuestions { path: self.path.clone() });
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jsonl(folder: &Path, rows: &[(&str, &str)]) -> PathBuf {
        let image = RgbImage::new(32, 32, vec![128; 32 * 32 * 3]).unwrap();
        fs_err::write(folder.join("whole.png"), image.encode_png().unwrap()).unwrap();
        fs_err::write(folder.join("cut.png"), &image.encode_png().unwrap()[..60]).unwrap();
        let line = |(image, answer): &(&str, &str)| {
            serde_json::json!({"image": image, "question": "What?", "answer": answer}).to_string()
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        let path = folder.join("rows.jsonl");
        fs_err::write(&path, lines.join("\n")).unwrap();
        path
    }

    const MIXED: [(&str, &str); 6] =
        [("whole.png", "7"), ("", "7"), ("whole.png", " "), ("cut.png", "7"), ("nowhere.png", "7"), ("whole.png", "8")];

    #[test]
    fn rows_that_cannot_be_asked_are_counted_by_reason() {
        let folder = tempfile::tempdir().unwrap();
        let rows = FileRows::open(&jsonl(folder.path(), &MIXED), 4).unwrap();
        assert_eq!(rows.len(), 4, "those whose picture is broken are not known yet");
        for _ in 0..2 {
            let whole: Vec<bool> = (0..4).map(|at| rows.at(at).unwrap().is_some()).collect();
            assert_eq!(whole, [true, false, false, true]);
        }
        let counts = rows.faults.lock().unwrap().left_out.counts().clone();
        let expected = [(RowFault::NoImage, 1), (RowFault::NoAnswer, 1), (RowFault::BrokenImage, 2)];
        assert_eq!(counts, expected.into(), "a broken picture counts once, however often it is drawn");
        assert_eq!(rows.checked().unwrap().len(), 2);
    }

    #[test]
    fn more_bad_rows_than_allowed_end_the_reading_with_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = jsonl(folder.path(), &MIXED);
        let error = FileRows::open(&path, 1).unwrap_err().to_string();
        assert!(error.contains("2 rows cannot be used (1 without an image, 1 without an answer)"), "{error}");
        assert!(error.contains("`max_bad_rows` allows 1"), "{error}");
        let error = FileRows::open(&path, 3).unwrap().checked().unwrap_err().to_string();
        assert!(error.contains("2 with a broken image"), "{error}");
    }

    #[test]
    fn a_file_whose_pictures_are_all_broken_has_no_question() {
        let folder = tempfile::tempdir().unwrap();
        let rows = FileRows::open(&jsonl(folder.path(), &[("cut.png", "7")]), 9).unwrap();
        assert!(matches!(rows.at(0), Err(TrainError::NoQuestions { .. })));
    }
}
