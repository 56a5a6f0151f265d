//! Writing verdicts, and knowing those of earlier runs.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use visionthink_reward::judge::Verdict;

use super::input::{Row, id};
use crate::error::{JudgeError, Result};
use crate::judgement::Judgement;
use crate::respondent::Identity;

/// Columns that a verdict depends on.
const JUDGED: [&str; 4] = ["question", "answer", "answers", "prediction"];
/// Columns that are written here.
const WRITTEN: [&str; 4] = ["accuracy", "reply", "judge", "fault"];

/// A file that grows row by row.
#[derive(Debug)]
pub(super) struct Output {
    file: fs_err::File,
    judge: Value,
}

/// What earlier runs left.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Verdicts by the ids of rows.
    pub(super) judged: HashMap<String, Verdict>,
    /// Verdicts on rows that read otherwise now.
    pub(super) changed: usize,
}

impl Output {
    /// Opens a file, made where it is missing. Of what is there, verdicts on rows as they are now stay, and those on rows
    /// that are not in this input; the rest goes: rows without a verdict, a row that was cut off by a kill.
    ///
    /// The file is replaced in one piece, so that a kill in between costs nothing.
    pub(super) fn open(path: &Path, judge: &Identity, rows: &[Row]) -> Result<(Self, Earlier)> {
        let judge = json!(judge);
        let mut earlier = Earlier::default();
        if path.exists() {
            let bytes = fs_err::read(path)?;
            let kept = earlier.sift(path, &bytes, &judge, rows)?;
            if kept.len() < bytes.len() {
                replace(path, &kept)?;
            }
        }
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        Ok((Self { file, judge }, earlier))
    }

    /// Writes one row as one line, at once: what is judged survives a kill.
    pub(super) fn write(&mut self, row: &Row, judgement: &Judgement) -> Result<()> {
        let mut columns = row.columns.clone();
        for name in WRITTEN {
            columns.shift_remove(name);
        }
        columns.insert("accuracy".to_owned(), json!(judgement.accuracy));
        columns.insert("reply".to_owned(), json!(judgement.reply));
        columns.insert("judge".to_owned(), self.judge.clone());
        if let Some(fault) = &judgement.fault {
            columns.insert("fault".to_owned(), json!(fault.to_string()));
        }
        self.file.write_all(format!("{}\n", Value::Object(columns)).as_bytes())?;
        Ok(())
    }
}

impl Earlier {
    /// Takes in the lines of an output and returns those that stay.
    fn sift(&mut self, path: &Path, bytes: &[u8], judge: &Value, rows: &[Row]) -> Result<Vec<u8>> {
        let rows: HashMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let mut kept = Vec::new();
        let whole = bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        for (line, text) in (1..).zip(whole) {
            let foreign = || JudgeError::ForeignOutput { path: path.into(), line };
            let columns: Map<String, Value> = serde_json::from_slice(text).map_err(|_| foreign())?;
            let (id, found) = (id(&columns).map_err(|_| foreign())?, columns.get("judge").ok_or_else(foreign)?);
            if found != judge {
                let (found, expected) = (found.to_string(), judge.to_string());
                return Err(JudgeError::OtherJudge { path: path.into(), line, found, expected });
            }
            let accuracy = columns.get("accuracy").ok_or_else(foreign)?;
            if accuracy == "unjudged" {
                continue;
            }
            let verdict = serde_json::from_value(accuracy.clone()).map_err(|_| foreign())?;
            match rows.get(id.as_str()) {
                Some(row) if !is_same(row, &columns) => self.changed += 1,
                Some(_) if self.judged.contains_key(&id) => {}
                known => {
                    kept.extend_from_slice(text);
                    if known.is_some() {
                        self.judged.insert(id, verdict);
                    }
                }
            }
        }
        Ok(kept)
    }
}

/// Whether a verdict still is about the row.
fn is_same(row: &Row, columns: &Map<String, Value>) -> bool {
    JUDGED.iter().all(|name| row.columns.get(*name) == columns.get(*name))
}

/// Writes a file under another name, flushes it, and gives it the name.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let mut file = fs_err::File::create(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(&name, path)?;
    Ok(())
}
