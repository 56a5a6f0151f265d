//! What is known already: one line of JSON a question, written as soon as it is judged.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use visionthink_data::selection::Tries;

use crate::error::TrainError;
use crate::training_run::Start;

const FILE: &str = "progress.jsonl";

/// One question that is through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Its place in the source.
    pub(super) place: u64,
    /// Its name.
    pub(super) id: String,
    /// What its rollouts were.
    pub(super) tries: Tries,
    /// What the source says of need, for the summary alone.
    pub(super) needs_full: Option<bool>,
}

/// The lines of a run folder, and the file that takes further ones. One process at a time has it.
#[derive(Debug)]
pub(super) struct Progress {
    file: fs_err::File,
    pub(super) lines: BTreeMap<u64, Line>,
}

impl Progress {
    /// Opens the file of a run folder, which is there. A last line that was cut off by the end of an earlier run is cut away: its question
    /// is asked again.
    ///
    /// # Errors
    /// [`TrainError::CurationExists`] for a fresh start where there is something, [`TrainError::NothingToResume`] for the opposite,
    /// [`TrainError::CurationRuns`], and [`TrainError::Checkpoint`] for a line that no curation wrote.
    pub(super) fn open(folder: &Path, start: Start) -> Result<Self, TrainError> {
        let path = folder.join(FILE);
        match (start, path.exists()) {
            (Start::Fresh, true) => return Err(TrainError::CurationExists { folder: folder.to_path_buf() }),
            (Start::Resume, false) => return Err(TrainError::NothingToResume { folder: folder.to_path_buf() }),
            _ => {}
        }
        let mut options = fs_err::OpenOptions::new();
        // Of two that start at once, one makes the file.
        options.read(true).write(true).create_new(start == Start::Fresh);
        let mut file = options.open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => TrainError::CurationExists { folder: folder.to_path_buf() },
            _ => error.into(),
        })?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TrainError::CurationRuns { folder: folder.to_path_buf() }),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut lines = BTreeMap::new();
        for (number, text) in
            bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, text)| !text.is_empty())
        {
            let line: Line = serde_json::from_slice(text).map_err(|error| TrainError::Checkpoint {
                file: path.clone(),
                problem: format!("line {}: {error}", number + 1),
            })?;
            lines.insert(line.place, line);
        }
        Ok(Self { file, lines })
    }

    /// Keeps questions that are through.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn add(&mut self, lines: Vec<Line>) -> Result<(), TrainError> {
        let mut text = Vec::new();
        for line in &lines {
            serde_json::to_writer(&mut text, line).map_err(std::io::Error::from)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.lines.extend(lines.into_iter().map(|line| (line.place, line)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(place: u64) -> Line {
        let tries = Tries { rollouts: 8, right_low: 1, right_full: 7 };
        Line { place, id: format!("row {place}"), tries, needs_full: None }
    }

    #[test]
    fn lines_come_back_and_a_torn_one_is_cut_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(folder.path(), Start::Fresh).unwrap();
        progress.add(vec![line(0), line(2)]).unwrap();
        drop(progress);
        let path = folder.path().join(FILE);
        let whole = fs_err::read_to_string(&path).unwrap();
        fs_err::write(&path, format!("{whole}{{\"place\":3,\"id\":\"ro")).unwrap();
        let mut progress = Progress::open(folder.path(), Start::Resume).unwrap();
        assert_eq!(progress.lines.keys().copied().collect::<Vec<_>>(), [0, 2]);
        progress.add(vec![line(3)]).unwrap();
        drop(progress);
        assert_eq!(Progress::open(folder.path(), Start::Resume).unwrap().lines[&3], line(3));
    }

    #[test]
    fn a_folder_is_one_runs_and_one_processs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Progress::open(folder.path(), Start::Resume), Err(TrainError::NothingToResume { .. })));
        let running = Progress::open(folder.path(), Start::Fresh).unwrap();
        assert!(matches!(Progress::open(folder.path(), Start::Fresh), Err(TrainError::CurationExists { .. })));
        assert!(matches!(Progress::open(folder.path(), Start::Resume), Err(TrainError::CurationRuns { .. })));
        drop(running);
        Progress::open(folder.path(), Start::Resume).unwrap();
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(FILE), "{\"place\":0}\n").unwrap();
        let error = Progress::open(folder.path(), Start::Resume).unwrap_err().to_string();
        assert!(error.contains("progress.jsonl: line 1"), "{error}");
    }
}
