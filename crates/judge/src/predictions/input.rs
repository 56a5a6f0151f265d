//! Reading predictions.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::Result;

/// What is wrong with one line. Its text is one line with file and number, because such lines are listed by the hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineProblem {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is not a JSON object.
    NotAnObject {
        /// What the parser says.
        why: String,
    },
    /// A column is missing or null.
    Missing {
        /// Which.
        column: &'static str,
    },
    /// A column holds something else than text.
    NotText {
        /// Which.
        column: &'static str,
        /// What is expected there.
        expected: &'static str,
    },
    /// The `id` stands in an earlier line, which is the one that counts.
    Duplicate {
        /// The id, as JSON.
        id: String,
        /// The earlier line.
        first: u64,
    },
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject { why } => write!(f, "not a JSON object: {why}"),
            Self::Missing { column } => write!(f, "`{column}` is missing"),
            Self::NotText { column, expected } => write!(f, "`{column}` is expected to be {expected}"),
            Self::Duplicate { id, first } => write!(f, "`id` {id} stands in line {first} already"),
        }
    }
}

impl Serialize for LineProblem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One prediction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// As JSON, so that `1` and `"1"` differ.
    pub(crate) id: String,
    pub(crate) question: String,
    /// The right answer; several are joined with `or`.
    pub(crate) ground_truth: String,
    pub(crate) prediction: String,
    /// The whole line.
    pub(crate) columns: Map<String, Value>,
}

/// All rows of a file in order, ids unique, and what is wrong with other lines.
pub(super) fn read(path: &Path) -> Result<(Vec<Row>, Vec<LineProblem>)> {
    let mut reader = BufReader::new(fs_err::File::open(path)?);
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        if reader.read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        // Some editors begin a file with a byte order mark.
        let text = buffer.strip_prefix(b"\xef\xbb\xbf").filter(|_| line == 1).unwrap_or(&buffer);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row = row(text).and_then(|row| match seen.insert(row.id.clone(), line) {
            None => Ok(row),
            Some(first) => {
                seen.insert(row.id.clone(), first);
                Err(Problem::Duplicate { id: row.id, first })
            }
        });
        match row {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(LineProblem { path: path.into(), line, problem }),
        }
    }
    Ok((rows, problems))
}

fn row(line: &[u8]) -> Result<Row, Problem> {
    let columns: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| Problem::NotAnObject { why: error.to_string() })?;
    let id = id(&columns)?;
    let question = text(&columns, "question")?;
    let ground_truth = ground_truth(&columns)?;
    let prediction = text(&columns, "prediction")?;
    Ok(Row { id, question, ground_truth, prediction, columns })
}

/// The `id` of a row as JSON.
pub(super) fn id(columns: &Map<String, Value>) -> Result<String, Problem> {
    match column(columns, "id") {
        Some(id) if id.is_string() || id.is_number() => Ok(id.to_string()),
        Some(_) => Err(Problem::NotText { column: "id", expected: "a text or a number" }),
        None => Err(Problem::Missing { column: "id" }),
    }
}

/// `answer` and `answers`, each once.
fn ground_truth(columns: &Map<String, Value>) -> Result<String, Problem> {
    let wrong = Problem::NotText { column: "answers", expected: "a list of texts or numbers" };
    let more = match column(columns, "answers") {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().map(plain).collect::<Option<_>>().ok_or(wrong)?,
        Some(_) => return Err(wrong),
    };
    let mut answers = match text(columns, "answer") {
        Ok(answer) => vec![answer],
        Err(Problem::Missing { .. }) if !more.is_empty() => Vec::new(),
        Err(problem) => return Err(problem),
    };
    for answer in more {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    Ok(answers.join(" or "))
}

fn text(columns: &Map<String, Value>, name: &'static str) -> Result<String, Problem> {
    let value = column(columns, name).ok_or(Problem::Missing { column: name })?;
    plain(value).ok_or(Problem::NotText { column: name, expected: "a text or a number" })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn column<'a>(columns: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    columns.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[u8]) -> (Vec<Row>, Vec<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), lines).unwrap();
        let (rows, problems) = read(file.path()).unwrap();
        let shown = |problem: LineProblem| problem.to_string().replace(&*file.path().to_string_lossy(), "FILE");
        (rows, problems.into_iter().map(shown).collect())
    }

    #[test]
    fn broken_lines_and_duplicates_are_named_and_the_rest_is_read() {
        let (rows, problems) = read_lines(
            b"\xef\xbb\xbf{\"id\": 1, \"question\": \"q\", \"answer\": 7, \"prediction\": \"p\"}\n\
              \n\
              {\"id\": 2, \"question\": \n\
              [1]\n\
              {\"id\": \"1\", \"question\": \"q\", \"answer\": \"a\", \"prediction\": \"p\"}\n\
              {\"id\": 1, \"question\": \"q\", \"answer\": \"a\", \"prediction\": \"p\"}\n\
              {\"id\": 3, \"question\": \"q\", \"answer\": \"a\", \"prediction\": null}\n\
              {\"id\": 4, \"question\": \"q\", \"answer\": \"a\", \"answers\": \"b\", \"prediction\": \"\"}\n\
              {\"id\": [], \"question\": \"q\"}\n\
              {\"id\": 5, \"question\": \"\xff\"}\n\
              {\"id\": 1, \"question\": \"q\", \"answer\": \"a\", \"prediction\": \"p\"}",
        );
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["1", "\"1\""]);
        assert_eq!(rows[0].ground_truth, "7");
        assert!(problems[0].starts_with("FILE:3: not a JSON object: EOF"), "{problems:?}");
        assert!(problems[1].starts_with("FILE:4: not a JSON object: "), "{problems:?}");
        assert!(problems[6].starts_with("FILE:10: not a JSON object: "), "{problems:?}");
        let (others, expected) = (
            [&problems[2..6], &problems[7..]].concat(),
            [
                "FILE:6: `id` 1 stands in line 1 already",
                "FILE:7: `prediction` is missing",
                "FILE:8: `answers` is expected to be a list of texts or numbers",
                "FILE:9: `id` is expected to be a text or a number",
                "FILE:11: `id` 1 stands in line 1 already",
            ],
        );
        assert_eq!(others, expected);
    }

    #[test]
    fn any_of_several_answers_is_right() {
        let (rows, problems) = read_lines(
            b"{\"id\": 1, \"question\": \"q\", \"answer\": \"grey\", \"answers\": [\"gray\", \"grey\", 7], \"prediction\": \"p\"}\n\
              {\"id\": 2, \"question\": \"q\", \"answers\": [\"gray\"], \"prediction\": \"p\"}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let answers: Vec<&str> = rows.iter().map(|row| row.ground_truth.as_str()).collect();
        assert_eq!(answers, ["grey or gray or 7", "gray"]);
    }
}
