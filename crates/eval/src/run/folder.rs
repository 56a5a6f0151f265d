//! A run folder: the run file it began with, its samples, its verdicts.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::file::RunFile;
use super::lock::RunLock;
use super::record::Record;
use super::samples::{self, SampleLog};
use super::verdicts::Verdicts;
use crate::error::{EvalError, Result};

const CONFIG: &str = "config.toml";
const SAMPLES: &str = "samples.jsonl";
const PLAN: &str = "plan.json";

/// Sections that change how answers are judged, scored or shown, and none of the answers.
const FREE_SECTIONS: [&str; 3] = ["bootstrap", "judge", "scoring"];

/// A run folder that is written to, by one process at a time.
#[derive(Debug)]
pub struct RunFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Its samples.
    pub log: SampleLog,
    _lock: RunLock,
}

impl RunFolder {
    /// Opens or begins a folder: a run that was interrupted goes on where its last line ends.
    ///
    /// # Errors
    /// [`EvalError::Locked`], [`EvalError::Changed`] with every key that differs from what the run began with, and those of
    /// [`SampleLog::open`].
    pub fn open(run: &RunFile, path: &Path) -> Result<Self> {
        fs_err::create_dir_all(path)?;
        let lock = RunLock::take(path)?;
        check_unchanged(run, path)?;
        let resolved = toml::to_string_pretty(run).map_err(std::io::Error::other)?;
        replace(&path.join(CONFIG), resolved.as_bytes())?;
        Ok(Self { path: path.to_owned(), log: SampleLog::open(&path.join(SAMPLES))?, _lock: lock })
    }

    /// Writes down how many samples each benchmark has, so that reports know what is missing.
    ///
    /// # Errors
    /// [`EvalError::Io`].
    pub fn plan(&self, planned: &BTreeMap<String, u64>) -> Result<()> {
        replace(&self.path.join(PLAN), &serde_json::to_vec(planned).map_err(std::io::Error::from)?)
    }
}

/// What a run folder holds, read without changing it.
#[derive(Debug)]
pub struct RunRecords {
    /// The run file as it was understood.
    pub run: RunFile,
    /// Sorted by model, method, benchmark and place.
    pub records: Vec<Record>,
    /// What a judge said.
    pub verdicts: Verdicts,
    /// How many samples each benchmark has.
    pub planned: BTreeMap<String, u64>,
}

impl RunRecords {
    /// Reads a folder, also one that is being written to: a line without an end is not counted.
    ///
    /// # Errors
    /// [`EvalError::NoRun`], [`EvalError::RunFile`], [`EvalError::Record`], [`EvalError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let config = path.join(CONFIG);
        if !config.is_file() {
            return Err(EvalError::NoRun { folder: path.to_owned() });
        }
        let file = path.join(SAMPLES);
        let bytes = if file.is_file() { fs_err::read(&file)? } else { Vec::new() };
        let plan = path.join(PLAN);
        let planned = if plan.is_file() {
            serde_json::from_slice(&fs_err::read(&plan)?).map_err(|source| EvalError::Record {
                path: plan,
                line: 1,
                source,
            })?
        } else {
            BTreeMap::new()
        };
        Ok(Self {
            run: RunFile::from_file(&config)?,
            records: samples::parse(&bytes, &file)?.into_values().collect(),
            verdicts: Verdicts::read(path)?,
            planned,
        })
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`EvalError::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    let mut file = fs_err::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(&part, path)?;
    Ok(())
}

/// The keys in which two run files differ, those that may differ left out: key, first value, second value; `None` where a file does
/// not have it.
pub fn differing_keys(first: &RunFile, second: &RunFile) -> Vec<(String, Option<String>, Option<String>)> {
    let (first, mut second) = (flat(first), flat(second));
    let mut found = Vec::new();
    for (key, value) in first {
        let other = second.remove(&key);
        if other.as_ref() != Some(&value) {
            found.push((key, Some(value), other));
        }
    }
    found.extend(second.into_iter().map(|(key, value)| (key, None, Some(value))));
    found
}

fn check_unchanged(run: &RunFile, folder: &Path) -> Result<()> {
    let file = folder.join(CONFIG);
    if !file.is_file() {
        return Ok(());
    }
    let began = RunFile::from_file(&file)?;
    let shown = |value: Option<String>| value.map_or_else(|| "not given".to_owned(), |value| format!("`{value}`"));
    let keys: Vec<String> = differing_keys(&began, run)
        .into_iter()
        .map(|(key, was, is)| format!("`{key}` was {} and is {}", shown(was), shown(is)))
        .collect();
    if keys.is_empty() { Ok(()) } else { Err(EvalError::Changed { folder: folder.to_owned(), keys }) }
}

/// Values by dotted key; lists of sections by their names.
fn flat(run: &RunFile) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(run) {
        let sections = table.iter().filter(|(key, _)| !FREE_SECTIONS.contains(&key.as_str()));
        sections.for_each(|(key, value)| flatten(key, value, &mut found));
    }
    found
}

fn flatten(key: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    let named = |item: &toml::Value| item.get("name").and_then(toml::Value::as_str).map(str::to_owned);
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(below, value)| flatten(&format!("{key}.{below}"), value, found));
        }
        toml::Value::Array(items) if items.iter().all(|item| named(item).is_some()) => {
            for item in items {
                flatten(&format!("{key}.{}", named(item).unwrap_or_default()), item, found);
            }
        }
        other => {
            found.insert(key.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{answered, run_file};

    #[test]
    fn a_run_goes_on_with_the_file_it_began_with_and_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let run = run_file();
        drop(RunFolder::open(&run, folder.path()).unwrap());
        drop(RunFolder::open(&run, folder.path()).unwrap());
        let mut other = run.clone();
        other.methods[0].mode = visionthink_protocol::Mode::Low;
        other.run.seed = 9;
        other.bootstrap.resamples = 5;
        let error = RunFolder::open(&other, folder.path()).unwrap_err().to_string();
        assert!(error.contains("`method.full.mode` was `\"full\"` and is `\"low\"`"), "{error}");
        assert!(error.contains("`run.seed` was `1` and is `9`"), "{error}");
        assert!(!error.contains("resamples"), "{error}");
        let free = RunFile { bootstrap: other.bootstrap, ..run };
        RunFolder::open(&free, folder.path()).unwrap();
        assert_eq!(RunRecords::read(folder.path()).unwrap().run, free);
    }

    #[test]
    fn a_folder_is_read_while_it_is_written_and_a_torn_line_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = RunFolder::open(&run_file(), folder.path()).unwrap();
        written.log.write(answered("full", 0, "x")).unwrap();
        let file = folder.path().join(SAMPLES);
        let mut torn = fs_err::OpenOptions::new().append(true).open(&file).unwrap();
        torn.write_all(b"{\"source\"").unwrap();
        let before = fs_err::read(&file).unwrap();
        assert_eq!(RunRecords::read(folder.path()).unwrap().records, [answered("full", 0, "x")]);
        assert_eq!(fs_err::read(&file).unwrap(), before);
        let error = RunRecords::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("`config.toml`"), "{error}");
    }
}
