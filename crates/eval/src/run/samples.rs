//! `samples.jsonl`: a line a sample, written at once, so that a run that was killed goes on behind its last line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::record::{Outcome, Record, Source};
use crate::error::{EvalError, Result};

/// The records of a run, on disk and in memory.
#[derive(Debug)]
pub struct SampleLog {
    path: PathBuf,
    file: fs_err::File,
    records: BTreeMap<Source, Record>,
}

impl SampleLog {
    /// Opens or begins the file. A last line without an end was being written when the run was killed: it is cut off, and its sample
    /// asked again. Of several records of one sample the last counts.
    ///
    /// # Errors
    /// [`EvalError::Record`] for a line that is no record anywhere else; [`EvalError::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = fs_err::read(path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.file_mut().set_len(whole as u64)?;
        }
        let records = parse(&bytes[..whole], path)?;
        Ok(Self { path: path.to_owned(), file, records })
    }

    /// Whether a sample needs no asking: it was answered, or cannot be asked at all. One that failed is asked again.
    pub fn is_done(&self, source: &Source) -> bool {
        self.records.get(source).is_some_and(|record| !matches!(record.outcome, Outcome::Failed { .. }))
    }

    /// Adds a record, in one write.
    ///
    /// # Errors
    /// [`EvalError::Asked`] for a sample that is done; [`EvalError::Io`].
    pub fn write(&mut self, record: Record) -> Result<()> {
        if self.is_done(&record.source) {
            return Err(EvalError::Asked { path: self.path.clone(), sample: Box::new(record.source) });
        }
        let mut line = serde_json::to_vec(&record).map_err(std::io::Error::from)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.records.insert(record.source.clone(), record);
        Ok(())
    }

    /// All records, sorted by model, method, benchmark and place: the same however often the run was interrupted.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }
}

/// The records in the bytes of a file, what stands behind the last line break left out.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<BTreeMap<Source, Record>> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut records = BTreeMap::new();
    let lines = bytes[..whole].split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
    for (line, number) in lines {
        let record: Record = serde_json::from_slice(line).map_err(|source| EvalError::Record {
            path: path.to_owned(),
            line: number,
            source,
        })?;
        records.insert(record.source.clone(), record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use visionthink_protocol::Decision;

    use super::*;
    use crate::run::record::{Answer, Ledger, Seconds};

    fn record(index: u64, outcome: Outcome) -> Record {
        let [model, method, benchmark] = ["m", "full", "b"].map(str::to_owned);
        let source = Source { model, method, benchmark, index };
        Record { source, id: index.to_string(), question: "What?".into(), row: json!({ "answer": "x" }), outcome }
    }

    fn answered(index: u64) -> Record {
        let answer = Answer {
            text: format!("answer {index}"),
            decision: Decision::Direct,
            turns: vec![format!("answer {index}")],
            ledger: Ledger { visual_tokens: index, ..Ledger::default() },
            seconds: Seconds::default(),
        };
        record(index, Outcome::Answered { answer })
    }

    /// Asks what is not done, and dies behind so many answers.
    fn run(path: &Path, dies_behind: usize) -> usize {
        let mut log = SampleLog::open(path).unwrap();
        let open: Vec<_> =
            (0..6).map(answered).filter(|record| !log.is_done(&record.source)).take(dies_behind).collect();
        let asked = open.len();
        for record in open {
            log.write(record).unwrap();
        }
        asked
    }

    #[test]
    fn a_killed_run_goes_on_and_ends_as_an_uninterrupted_one_without_asking_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, killed) = (folder.path().join("whole.jsonl"), folder.path().join("killed.jsonl"));
        assert_eq!(run(&whole, 6), 6);
        for dies_behind in 0..6 {
            let _ = fs_err::remove_file(&killed);
            let before = run(&killed, dies_behind);
            // Killed while it wrote.
            let mut file = fs_err::OpenOptions::new().append(true).open(&killed).unwrap();
            file.write_all(br#"{"source":{"model":"m"#).unwrap();
            assert_eq!(before + run(&killed, 6), 6);
            assert_eq!(fs_err::read(&killed).unwrap(), fs_err::read(&whole).unwrap());
        }
    }

    #[test]
    fn what_failed_is_asked_again_and_what_is_defective_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let mut log = SampleLog::open(&path).unwrap();
        let (failed, defective) = (
            record(0, Outcome::Failed { problem: "no memory".into() }),
            record(1, Outcome::Defective { problem: "no image".into() }),
        );
        log.write(failed.clone()).unwrap();
        log.write(defective.clone()).unwrap();
        assert!(!log.is_done(&failed.source) && log.is_done(&defective.source));
        log.write(answered(0)).unwrap();
        assert!(log.write(answered(0)).unwrap_err().to_string().contains("sample 0 of `b` by `m`, `full`"));
        let again = SampleLog::open(&path).unwrap();
        assert_eq!(again.records().cloned().collect::<Vec<_>>(), [answered(0), defective]);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        run(&path, 2);
        let text = fs_err::read_to_string(&path).unwrap().replacen("\"source\"", "\"sauce\"", 1);
        fs_err::write(&path, text).unwrap();
        let error = SampleLog::open(&path).unwrap_err().to_string();
        assert!(error.contains("samples.jsonl:1: not a record"), "{error}");
    }
}
