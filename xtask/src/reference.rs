//! `cargo xtask reference [DIR]`: every reference-vector test against one folder of vectors.
//!
//! The tests are the integration tests whose file is called `reference…`. They take the folder from
//! `VISIONTHINK_REFERENCE` and print, per file of vectors, one line that [`Line::parse`] reads:
//!
//! ```text
//! reference rl/tool_parse.jsonl: 138 cases, 137 passed, 1 departures
//! reference rl/tool_parse.jsonl: departs tool_parse-017
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::departures::{self, Departure};
use crate::workspace::Workspace;

/// What the tests said about one file of vectors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    cases: usize,
    passed: usize,
    departures: usize,
    departing: Vec<String>,
}

/// One line that a reference test prints.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Counts { file: String, cases: usize, passed: usize, departures: usize },
    Departs { file: String, case: String },
}

/// Runs the tests, prints the table, and succeeds only if every case passed or is a listed departure.
pub(crate) fn run(workspace: &Workspace, folder: Option<&Path>) -> Result<()> {
    let folder = vectors(workspace, folder)?;
    let allowed = departures::read(&workspace.root.join("docs/paper.md"))?;
    let said = run_tests(workspace, &folder)?;
    let tallies = collect(&said.lines);

    print_table(&tallies);
    let unread = unread_files(&folder, &tallies)?;
    if !unread.is_empty() {
        println!("\nnot read yet:");
        for file in &unread {
            println!("  {file}");
        }
    }

    let mut faults = faults(&tallies, &allowed);
    if !said.succeeded {
        faults.push("a test failed; its output is above".to_owned());
    }
    if !faults.is_empty() {
        bail!("the vectors in `{}` do not hold:\n  {}", folder.display(), faults.join("\n  "));
    }
    let (cases, departures) = tallies
        .values()
        .fold((0, 0), |(cases, departures), tally| (cases + tally.cases, departures + tally.departures));
    println!("\n{} files, {cases} cases, {departures} listed departures: all hold", tallies.len());
    Ok(())
}

fn vectors(workspace: &Workspace, folder: Option<&Path>) -> Result<PathBuf> {
    let Some(folder) = folder else {
        return Ok(workspace.root.join("fixtures"));
    };
    let folder = fs_err::canonicalize(folder)?;
    if !["rl", "metrics", "models"].iter().any(|room| folder.join(room).is_dir()) {
        bail!("`{}` has none of the folders `rl`, `metrics`, `models`; expected a reference folder", folder.display());
    }
    Ok(folder)
}

struct Said {
    lines: Vec<Line>,
    succeeded: bool,
}

fn run_tests(workspace: &Workspace, folder: &Path) -> Result<Said> {
    let mut command = workspace.cargo(&["test", "--workspace", "--no-fail-fast", "--test", "reference*"]);
    command.args(["--", "--nocapture"]).env("VISIONTHINK_REFERENCE", folder).stdout(Stdio::piped());
    let mut child = command.spawn().context("`cargo test` did not start")?;
    let stdout = child.stdout.take().context("`cargo test` has no output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("the tests' output could not be read")?;
        match Line::parse(&line) {
            Some(parsed) => lines.push(parsed),
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait().context("`cargo test` could not be waited for")?;
    Ok(Said { lines, succeeded: status.success() })
}

impl Line {
    /// Reads a line of a test, which may follow libtest's own `test NAME ... ` on the same line.
    fn parse(line: &str) -> Option<Self> {
        let start = if line.starts_with("reference ") { 0 } else { line.find(" reference ")? + 1 };
        let (file, rest) = line[start..].strip_prefix("reference ")?.split_once(": ")?;
        let file = file.trim_matches('`').to_owned();
        if let Some(case) = rest.strip_prefix("departs ") {
            return Some(Self::Departs { file, case: case.trim().trim_matches('`').to_owned() });
        }
        let mut counts = rest.split(", ");
        let cases = count(counts.next()?, &["cases", "case"])?;
        let passed = count(counts.next()?, &["passed"])?;
        let departures = match counts.next() {
            Some(last) => count(last, &["departures", "departure"])?,
            None => 0,
        };
        Some(Self::Counts { file, cases, passed, departures })
    }
}

/// The number in `12 cases`.
fn count(text: &str, units: &[&str]) -> Option<usize> {
    let (number, unit) = text.trim().split_once(' ')?;
    if units.contains(&unit) { number.parse().ok() } else { None }
}

/// Two tests may read one file (its sizes here, its text there); their counts are added.
fn collect(lines: &[Line]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for line in lines {
        match line {
            Line::Counts { file, cases, passed, departures } => {
                let tally = tallies.entry(file.clone()).or_default();
                tally.cases += cases;
                tally.passed += passed;
                tally.departures += departures;
            }
            Line::Departs { file, case } => tallies.entry(file.clone()).or_default().departing.push(case.clone()),
        }
    }
    tallies
}

fn print_table(tallies: &BTreeMap<String, Tally>) {
    let width = tallies.keys().map(String::len).max().unwrap_or(0).max("file".len());
    println!("{:width$}  {:>6}  {:>6}  {:>10}", "file", "cases", "passed", "departures");
    for (file, tally) in tallies {
        println!("{file:width$}  {:>6}  {:>6}  {:>10}", tally.cases, tally.passed, tally.departures);
    }
}

fn faults(tallies: &BTreeMap<String, Tally>, allowed: &[Departure]) -> Vec<String> {
    let mut faults = Vec::new();
    if tallies.values().all(|tally| tally.cases == 0) {
        faults.push("no test read any case".to_owned());
    }
    for (file, tally) in tallies {
        if tally.passed + tally.departures != tally.cases {
            faults.push(format!("`{file}`: {} of {} cases passed", tally.passed, tally.cases));
        }
        for case in &tally.departing {
            if !allowed.iter().any(|row| row.file == *file && row.case == *case) {
                faults.push(format!("`{file}`: `{case}` departs and `docs/paper.md` does not list it"));
            }
        }
        let listed = allowed.iter().filter(|row| row.file == *file).count();
        if tally.departures > listed {
            faults.push(format!("`{file}`: {} departures, and `docs/paper.md` lists {listed}", tally.departures));
        }
    }
    faults
}

/// Files of vectors in the folder that no line of any test named.
fn unread_files(folder: &Path, tallies: &BTreeMap<String, Tally>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    list_files(folder, "", &mut files)?;
    files.retain(|file| holds_vectors(file) && !tallies.keys().any(|read| covers(read, file)));
    files.sort();
    Ok(files)
}

fn list_files(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}

/// Whether a file states expected values. Weights, pictures and pages are what the vectors are about; lists of images,
/// of windows and of tolerances describe vectors that stand beside them.
fn holds_vectors(file: &str) -> bool {
    let vectors = [".json", ".jsonl", ".safetensors"].iter().any(|ending| file.ends_with(ending));
    let room = file.starts_with("rl/")
        || file.starts_with("metrics/")
        || file.starts_with("models/image_processing/")
        || (file.starts_with("models/") && file.contains("/cases/"));
    let description = ["/images.json", "/tolerances.json", "/windows.json"].iter().any(|name| file.ends_with(name));
    vectors && room && !description
}

/// Whether a test's name for what it read covers a file: the file itself, perhaps with a remark as in
/// `grad.safetensors (bfloat16)`, or a folder above it. `case.json` and `case.safetensors` are two files: a crate may
/// read the text of a case and not its numbers.
fn covers(read: &str, file: &str) -> bool {
    let read = read.split(" (").next().unwrap_or(read).trim_end_matches('/');
    file.strip_prefix(read).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(file: &str, cases: usize, passed: usize, departures: usize) -> Line {
        Line::Counts { file: file.to_owned(), cases, passed, departures }
    }

    #[test]
    fn a_line_is_read_with_and_without_departures_and_after_the_name_of_a_test() {
        assert_eq!(
            Line::parse("reference rl/tool_parse.jsonl: 138 cases, 138 passed"),
            Some(counts("rl/tool_parse.jsonl", 138, 138, 0))
        );
        assert_eq!(
            Line::parse("test masks_match ... reference rl/rollout.jsonl: 35 cases, 34 passed, 1 departures"),
            Some(counts("rl/rollout.jsonl", 35, 34, 1))
        );
        assert_eq!(
            Line::parse("reference rl/rollout.jsonl: departs rollout-003"),
            Some(Line::Departs { file: "rl/rollout.jsonl".to_owned(), case: "rollout-003".to_owned() })
        );
        assert_eq!(Line::parse("test reference ... ok"), None);
        assert_eq!(Line::parse("running 3 tests"), None);
    }

    #[test]
    fn a_case_that_neither_passed_nor_is_listed_is_a_fault() {
        let listed = Departure { file: "a".to_owned(), case: "a-1".to_owned() };
        let held = collect(&[counts("a", 3, 2, 1)]);
        assert!(faults(&held, std::slice::from_ref(&listed)).is_empty());
        assert_eq!(faults(&held, &[]).len(), 1);
        assert_eq!(faults(&collect(&[counts("a", 3, 2, 0)]), &[listed]).len(), 1);
    }

    #[test]
    fn a_departing_case_has_to_be_listed_by_its_id() {
        let said = [counts("a", 1, 0, 1), Line::Departs { file: "a".to_owned(), case: "a-2".to_owned() }];
        let other = Departure { file: "a".to_owned(), case: "a-1".to_owned() };
        assert!(faults(&collect(&said), &[other])[0].contains("`a-2`"));
    }

    #[test]
    fn a_folder_without_any_case_is_a_fault() {
        assert_eq!(faults(&BTreeMap::new(), &[]).len(), 1);
    }

    #[test]
    fn files_nobody_read_are_named_and_material_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "rl/README.md",
            "rl/kl_penalty.jsonl",
            "rl/tool_parse.jsonl",
            "models/a/config.json",
            "models/a/cases/grad.json",
            "models/a/cases/grad.safetensors",
            "models/a/cases/text_only.json",
            "models/a/cases/tolerances.json",
            "models/images/images.json",
        ] {
            let path = folder.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        let read = collect(&[
            counts("rl/tool_parse.jsonl", 1, 1, 0),
            counts("models/a/cases/grad.safetensors (bfloat16)", 1, 1, 0),
        ]);
        let unread = unread_files(folder.path(), &read).unwrap();
        assert_eq!(unread, ["models/a/cases/grad.json", "models/a/cases/text_only.json", "rl/kl_penalty.jsonl"]);
    }
}
