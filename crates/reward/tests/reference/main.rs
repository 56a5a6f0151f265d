//! Every reference vector of this crate, all under `rl/`: what is taken out of transcripts, the judge, rewards, groups,
//! advantages and logged numbers.
//!
//! The folder is `VISIONTHINK_REFERENCE`, else the project's fixtures. Files that are not there are skipped, files that
//! are there are read whole. Of `rollout` only the fields `format` and `tool_calls` are checked here, of `prompts` the
//! judge's; the rest belongs to the protocol.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

mod groups;
mod judge;
mod metrics;
mod transcripts;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde_json::Value;
use visionthink_reward::{FirstTurn, Format, FormatCheck, FormatFault, RewardBreakdown};

type Outcome = Result<(), String>;

/// Relative tolerance of numbers recorded in f64, and in f32: what the README of the vectors asks for.
const F64: f64 = 1e-10;
const F32: f64 = 1e-5;

/// The folder of vectors, and whether it is the project's own.
fn folder() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

/// The text of `rl/FILE`; `None` when it is not there and need not be.
fn file(name: &str) -> Option<String> {
    let (folder, own) = folder();
    let path = folder.join("rl").join(name);
    (own || path.is_file()).then(|| fs_err::read_to_string(path).unwrap())
}

/// Runs every row of `rl/NAME.jsonl` and prints the line that the summary is made of.
fn check(name: &str, run: impl Fn(&Value) -> Outcome) {
    check_some(name, "", |_| true, run);
}

/// Runs the rows that have what is checked, with a remark on what that is.
fn check_some(name: &str, remark: &str, has: impl Fn(&Value) -> bool, run: impl Fn(&Value) -> Outcome) {
    let Some(text) = file(&format!("{name}.jsonl")) else {
        return;
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut rows: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty(), "{name}: no case in it");
    rows.retain(has);
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| run(row).err().map(|difference| format!("{name}: {}: {difference}", row["id"])))
        .collect();
    let passed = rows.len() - failures.len();
    println!("reference rl/{name}.jsonl{remark}: {} cases, {passed} passed", rows.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `Ok` when equal, otherwise both.
fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, expected {expected:?}")) }
}

/// `Ok` when within the relative tolerance; near 0 a ten-thousandth of it, absolute, for numbers of the order of 1.
fn near(what: &str, found: f64, expected: f64, tolerance: f64) -> Outcome {
    let bound = tolerance * found.abs().max(expected.abs()).max(1e-4);
    if (found - expected).abs() <= bound || (found.is_nan() && expected.is_nan()) {
        Ok(())
    } else {
        Err(format!("{what} is {found}, expected {expected}, difference {}", (found - expected).abs()))
    }
}

fn all_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> Outcome {
    same(&format!("number of {what}"), &found.len(), &expected.len())?;
    let mut pairs = found.iter().zip(expected).enumerate();
    pairs.try_for_each(|(index, (&found, &expected))| near(&format!("{what}[{index}]"), found, expected, tolerance))
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or_else(|| panic!("{value} is no number")),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn bits(value: &Value) -> Vec<bool> {
    let bit = |value: &Value| value.as_bool().unwrap_or_else(|| number(value) == 1.0);
    value.as_array().unwrap().iter().map(bit).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// A response of which only this is known.
fn response(correct: bool, well_formed: bool, called: bool) -> RewardBreakdown {
    let format = if well_formed { Format::Ok } else { Format::Broken(FormatFault::NoTurn) };
    let first_turn = if called { FirstTurn::Resized } else { FirstTurn::Direct };
    let check = FormatCheck { format, tool_calls: usize::from(called) };
    RewardBreakdown::new(visionthink_reward::judge::Verdict::from(correct).into(), check, first_turn)
}
