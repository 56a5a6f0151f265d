//! The cases that the project knowingly answers differently, as `docs/paper.md` lists them.

use std::path::Path;

use anyhow::{Result, bail};

/// One row of the table of departures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Path of the vector file in the reference folder, such as `rl/rollout.jsonl`.
    pub(crate) file: String,
    /// The case's `id`, or its name where the file has no ids.
    pub(crate) case: String,
}

/// Reads the table whose header is `| file | case id | reason |`; a page without one lists no departure.
///
/// # Errors
/// A row without a reason, or without all three columns: a departure nobody can explain is a fault.
pub(crate) fn read(page: &Path) -> Result<Vec<Departure>> {
    if !page.exists() {
        return Ok(Vec::new());
    }
    parse(&fs_err::read_to_string(page)?)
}

fn parse(page: &str) -> Result<Vec<Departure>> {
    let mut departures = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        let cells = cells(line);
        let words: Vec<&str> = cells.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["file", "case id", "reason"] => inside = true,
            [] => inside = false,
            _ if !inside => {}
            [rule, ..] if !rule.is_empty() && rule.chars().all(|c| matches!(c, '-' | ':')) => {}
            [file, case, reason] if !file.is_empty() && !case.is_empty() && !reason.is_empty() => {
                departures.push(Departure { file: (*file).to_owned(), case: (*case).to_owned() });
            }
            _ => bail!("docs/paper.md:{}: a departure needs a file, a case id and a reason", index + 1),
        }
    }
    Ok(departures)
}

/// The cells of a table row without the backticks around them; empty for a line that is not one.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
        return Vec::new();
    };
    row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_other_tables_are_not() {
        let page = "\
# Paper

| equation | function | test |
| --- | --- | --- |
| 5 | `control` | `penalty` |

| file | case id | reason |
| --- | --- | --- |
| `rl/rollout.jsonl` | `rollout-012` | the reference cuts inside an image |

after
";
        let expected = Departure { file: "rl/rollout.jsonl".to_owned(), case: "rollout-012".to_owned() };
        assert_eq!(parse(page).unwrap(), vec![expected]);
    }

    #[test]
    fn a_departure_without_a_reason_is_refused_with_its_line() {
        let page = "| file | case id | reason |\n|---|---|---|\n| rl/a.jsonl | a-1 | |\n";
        let error = parse(page).unwrap_err().to_string();
        assert!(error.contains("docs/paper.md:3"), "{error}");
    }
}
