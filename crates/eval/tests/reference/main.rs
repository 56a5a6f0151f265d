//! Every reference vector under `metrics/`: the recorded results of the harness's own functions.
//!
//! The folder is `VISIONTHINK_REFERENCE`, else the project's fixtures. Files that are not there are skipped, files that
//! are there are read whole. The vectors have no ids: a case is named by its line.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

mod aggregates;
mod choices;
mod questions;
mod tags;
mod texts;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Scores are averages of few numbers, computed in the same doubles; sums may be in another order. Relative above 1:
/// the JSON reader gets the last bit of a large number wrong.
const TOLERANCE: f64 = 1e-6;

/// The folder of vectors, and whether it is the project's own.
fn folder() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

/// Runs every case of `metrics/NAME.jsonl` and prints the line that the summary is made of.
///
/// `run` gets a case's input and what is expected of it; an `Err` says how it differs.
fn check(name: &str, run: impl Fn(&Value, &Value) -> Result<(), String>) {
    let (folder, own) = folder();
    let file = format!("metrics/{name}.jsonl");
    let path = folder.join(&file);
    if !own && !path.is_file() {
        return;
    }
    let text = fs_err::read_to_string(path).unwrap();
    let mut cases = 0;
    let mut failures = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: line {number}: {error}"));
        cases += 1;
        if let Err(difference) = run(&case["input"], &case["expected"]) {
            failures.push(format!("{file}: line {number}: {difference}; input {}", case["input"]));
        }
    }
    println!("reference {file}: {cases} cases, {} passed", cases - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases > 0, "{file}: no case in it");
}

/// A field of a case, of the type that the function under test takes.
fn field<T: DeserializeOwned>(value: &Value, name: &str) -> T {
    T::deserialize(&value[name]).unwrap_or_else(|error| panic!("`{name}`: {error}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("`{name}` is not a text"))
}

/// A text, or a list of texts.
fn texts(value: &Value, name: &str) -> Vec<String> {
    match &value[name] {
        Value::String(text) => vec![text.clone()],
        _ => field(value, name),
    }
}

fn items(input: &Value) -> &[Value] {
    input["items"].as_array().unwrap()
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, expected {expected:?}")) }
}

fn near(what: &str, found: f64, expected: &Value) -> Result<(), String> {
    let expected = expected.as_f64().ok_or_else(|| format!("{what}: {expected} is not a number"))?;
    if found.is_finite() && (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0) {
        return Ok(());
    }
    Err(format!("{what} is {found}, expected {expected}"))
}

/// Two objects of numbers: the same names, and each number near the other.
fn near_all(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    let mut names: Vec<_> = found.keys().collect();
    let mut wanted: Vec<_> = expected.keys().collect();
    names.sort();
    wanted.sort();
    same(&format!("the names of {what}"), names, wanted)?;
    found.iter().try_for_each(|(name, number)| {
        let number = number.as_f64().ok_or_else(|| format!("{what}: `{name}` is not a number"))?;
        near(&format!("{what}: `{name}`"), number, &expected[name])
    })
}
