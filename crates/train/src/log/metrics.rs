//! `metrics.jsonl`: one JSON object a line.

use std::io::Write;
use std::path::Path;

use fs_err::{File, OpenOptions};
use serde_json::{Map, Value};

use super::EventWriter;
use crate::error::TrainError;
use crate::replace::replace_file;

/// Numbers of one step, in the order they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The step, from 1: how many are done.
    pub step: u64,
    /// Names with their values; names that begin with a word and a slash are grouped by TensorBoard.
    pub scalars: Vec<(String, f64)>,
}

impl Record {
    /// An empty record.
    pub fn new(step: u64) -> Self {
        Self { step, scalars: Vec::new() }
    }

    /// Adds a number; numbers that are not finite are left out, JSON cannot hold them.
    pub fn put(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.scalars.push((name.into(), value));
        }
    }

    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.scalars.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// Both logs of a run.
#[derive(Debug)]
pub struct MetricsLog {
    lines: File,
    events: EventWriter,
}

impl MetricsLog {
    /// Opens the logs in `run_folder`. Lines of steps behind `step`, which a resumed run does again, are dropped.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn open(run_folder: &Path, step: u64) -> Result<Self, TrainError> {
        fs_err::create_dir_all(run_folder)?;
        let path = run_folder.join("metrics.jsonl");
        if path.is_file() {
            let text = fs_err::read_to_string(&path)?;
            let done = |line: &&str| step_of(line).is_some_and(|of| of <= step);
            let kept: Vec<&str> = text.split_inclusive('\n').filter(done).collect();
            replace_file(&path, &kept.concat())?;
        }
        let lines = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { lines, events: EventWriter::create(&run_folder.join("tensorboard"))? })
    }

    /// Writes a record to both.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        let mut line = Map::new();
        line.insert("step".to_string(), record.step.into());
        for (name, value) in &record.scalars {
            line.insert(name.clone(), (*value).into());
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        self.lines.write_all(text.as_bytes())?;
        self.events.scalars(record.step, record.scalars.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_drops_the_lines_it_will_write_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = MetricsLog::open(folder.path(), 0).unwrap();
        for step in [10, 20, 30] {
            let mut record = Record::new(step);
            record.put("train/loss", step as f64 / 8.0);
            record.put("train/broken", f64::NAN);
            log.write(&record).unwrap();
        }
        drop(log);
        MetricsLog::open(folder.path(), 20).unwrap();
        let text = fs_err::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text, "{\"step\":10,\"train/loss\":1.25}\n{\"step\":20,\"train/loss\":2.5}\n");
    }
}
