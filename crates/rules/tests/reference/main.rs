//! Every reference vector of this crate: `rule_based`, `grade_answer` and `boxed_content` under `rl/`.
//!
//! The folder is `VISIONTHINK_REFERENCE`, else the project's fixtures. Files that are not there are skipped, files that
//! are there are read whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use visionthink_rules::{AnswerTags, boxed_content, grade_answer, math_verify, rule_based};

/// Cases answered differently on purpose; each is a row of the table in `docs/paper.md`.
const DEPARTURES: [&str; 0] = [];

/// The folder of vectors, and whether it is the project's own.
fn folder() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

/// Runs every case of `rl/NAME.jsonl` and prints the lines that the summary is made of.
fn run(name: &str, case: impl Fn(&Value) -> Result<(), String>) {
    let (folder, own) = folder();
    let file = format!("rl/{name}.jsonl");
    let path = folder.join(&file);
    if !own && !path.is_file() {
        return;
    }
    let text = fs_err::read_to_string(path).unwrap();
    let rows: Vec<Value> =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty(), "{file}: no case in it");
    let mut differences = Vec::new();
    let mut departures = Vec::new();
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        match case(row) {
            Err(_) if DEPARTURES.contains(&id) => departures.push(id),
            Err(difference) => differences.push(format!("{file}: {id}: {difference}")),
            Ok(()) => {}
        }
    }
    let passed = rows.len() - differences.len() - departures.len();
    let departing = if departures.is_empty() { String::new() } else { format!(", {} departures", departures.len()) };
    println!("reference {file}: {} cases, {passed} passed{departing}", rows.len());
    for id in departures {
        println!("reference {file}: departs {id}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, expected {expected:?}")) }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap()
}

#[test]
fn rule_based_rewards_are_the_references() {
    run("rule_based", |row| {
        let turns: Vec<&str> = row["turns"].as_array().unwrap().iter().map(|turn| turn.as_str().unwrap()).collect();
        let solution = text(row, "solution");
        let tags = text(row, "extract_answer_tags").parse::<AnswerTags>();
        let reply = turns.join(" ");
        // The stages were recorded for the mode that does not exist too, on what `split` takes.
        let prediction = tags.as_ref().unwrap_or(&AnswerTags::Split).prediction(&reply);
        if let Some(expected) = row["math_verify"].as_bool() {
            let prediction = prediction.ok_or("no prediction")?;
            same("math_verify", math_verify(solution, prediction), expected)?;
            let boxed = boxed_content(prediction).unwrap_or("None");
            same("boxed", boxed, text(row, "boxed"))?;
            same("grade_answer", grade_answer(boxed, solution), row["grade_answer"].as_bool().unwrap())?;
        }
        let error = tags.as_ref().err().map(|_| "ValueError");
        same("error", error, row["error"].as_str())?;
        let reward = tags.ok().map(|tags| rule_based(&turns, solution, tags).reward());
        same("reward", reward, row["reward"].as_f64())
    });
}

#[test]
fn answers_are_graded_as_the_reference_grades_them() {
    run("grade_answer", |row| {
        same("error", None, row["error"].as_str())?;
        let equal = grade_answer(text(row, "given"), text(row, "truth"));
        same("equal", Some(equal), row["equal"].as_bool())
    });
}

#[test]
fn boxes_hold_what_the_reference_finds_in_them() {
    run("boxed_content", |row| {
        same("content", boxed_content(text(row, "text")).unwrap_or("None"), text(row, "content"))
    });
}
