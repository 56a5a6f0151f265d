//! Every reference vector of this crate: prompt strings, conversations, tool calls, rollouts (of training and of the
//! evaluation) and masks under `rl/`, prompts, tokenizer and case ids under `models/`.
//!
//! The folder is `VISIONTHINK_REFERENCE`, else the project's fixtures. Files that are not there are skipped, files that
//! are there are read whole. Not checked here, because it belongs to the rewards: the judge's prompts, and the fields
//! `format` and `tool_calls` of `rollout`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

mod evaluation;
mod models;
mod rl;
mod toy;

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The folder of vectors, and whether it is the project's own.
fn folder() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

/// Counts the cases of one file and prints the line that the summary is made of.
struct Report {
    file: String,
    cases: usize,
    failures: Vec<String>,
}

impl Report {
    fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), cases: 0, failures: Vec::new() }
    }

    /// Runs one case; an `Err` says how it differs.
    fn case<E: Display>(&mut self, name: &str, run: impl FnOnce() -> Result<(), E>) {
        self.cases += 1;
        if let Err(difference) = run() {
            self.failures.push(format!("{}: {name}: {difference}", self.file));
        }
    }

    fn finish(self) {
        let passed = self.cases - self.failures.len();
        println!("reference {}: {} cases, {passed} passed", self.file, self.cases);
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert!(self.cases > 0, "{}: no case in it", self.file);
    }
}

/// `Ok` when equal; otherwise both, shortened to where they part.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    let common = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| text.chars().skip(common.saturating_sub(40)).take(120).collect::<String>();
    Err(format!("{what} differs at character {common}: found …{}, expected …{}", part(&found), part(&expected)))
}

fn read_json(path: &Path) -> serde_json::Value {
    let bytes = fs_err::read(path).unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of `rl/NAME.jsonl`; empty when the file is not there and need not be.
fn rows(name: &str) -> Vec<serde_json::Value> {
    let (folder, own) = folder();
    let path = folder.join("rl").join(format!("{name}.jsonl"));
    if !own && !path.is_file() {
        return Vec::new();
    }
    let text = fs_err::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}
