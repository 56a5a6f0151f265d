//! From text to a run file, with every structural problem that can be told apart.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::Problems;
use crate::error::TrainError;

/// Reads and checks a run file; files and folders that are not there are told beside it.
///
/// # Errors
/// [`TrainError::Config`] with everything else that is wrong.
pub(crate) fn checked<T: DeserializeOwned>(
    text: &str,
    file: &Path,
    check: impl FnOnce(&T) -> Problems,
) -> Result<(T, Vec<String>), TrainError> {
    let report = |problems| TrainError::Config { file: file.to_path_buf(), problems };
    let config = strict(text).map_err(report)?;
    let (problems, missing) = check(&config).into_parts();
    if problems.is_empty() { Ok((config, missing)) } else { Err(report(problems)) }
}

/// The run file alone, where everything that it names is there.
///
/// # Errors
/// [`TrainError::Config`] with what is missing.
pub(crate) fn complete<T>((config, missing): (T, Vec<String>), file: &Path) -> Result<T, TrainError> {
    if missing.is_empty() {
        return Ok(config);
    }
    Err(TrainError::Config { file: file.to_path_buf(), problems: missing })
}

/// Parses `text`. Each problem reads ``line 18: unknown key `rollout.n`…``, in the order of the lines.
pub(crate) fn strict<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let mut text = text.to_string();
    let mut problems: Vec<(usize, String)> = Vec::new();
    // The parser stops at the first problem. An unknown `key = value` can be blanked and the search go on; anything
    // else leaves the rest without a meaning.
    loop {
        let error = match toml::from_str::<T>(&text) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => error,
        };
        let Some(span) = error.span() else {
            problems.push((usize::MAX, error.message().replace("missing field", "missing key")));
            break;
        };
        let line = text[..span.start].matches('\n').count() + 1;
        let unknown = unknown_key(error.message(), &section_at(&text, span.start));
        let is_unknown = unknown.is_some();
        let message = unknown.unwrap_or_else(|| error.message().replace("missing field", "missing key"));
        problems.push((line, format!("line {line}: {message}")));
        if !is_unknown || !blank_line(&mut text, span.start) {
            break;
        }
    }
    problems.sort_by_key(|(line, _)| *line);
    Err(problems.into_iter().map(|(_, problem)| problem).collect())
}

/// The section that a place belongs to, with a dot behind it; nothing above the first section.
fn section_at(text: &str, at: usize) -> String {
    let header = text[..at].lines().rev().map(str::trim).find(|line| line.starts_with('['));
    let name = header.map_or("", |line| line.trim_matches(|letter| "[] ".contains(letter)));
    if name.is_empty() { String::new() } else { format!("{name}.") }
}

/// What is said about a key that the parser does not know; `None` where its message is about something else. The message ends with
/// the keys that it does know.
fn unknown_key(message: &str, section: &str) -> Option<String> {
    let named = message.strip_prefix("unknown field `")?;
    let (found, expected) = named.split_once('`')?;
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let nearest = known.iter().max_by(|a, b| likeness(found, a).total_cmp(&likeness(found, b)));
    Some(match nearest {
        Some(nearest) if likeness(found, nearest) > 0.7 => {
            format!("unknown key `{section}{found}`; did you mean `{section}{nearest}`?")
        }
        Some(_) => format!("unknown key `{section}{found}`, expected one of `{}`", known.join("`, `")),
        None => format!("unknown key `{section}{found}`"),
    })
}

/// 1 for equal names, 0 for names that share nothing.
fn likeness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

/// Overwrites a `key = value` line with spaces; false where the line is something else.
fn blank_line(text: &mut String, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = &text[start..end];
    let one_line_value =
        line.contains('=') && !line.trim_end().ends_with(['[', '{', '"']) || line.matches('"').count() == 2;
    if line.trim_start().starts_with('[') || !one_line_value {
        return false;
    }
    let blank = " ".repeat(line.len());
    text.replace_range(start..end, &blank);
    true
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[expect(dead_code, reason = "only read")]
        rollout: Rollout,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rollout {
        #[expect(dead_code, reason = "only read")]
        steps: u64,
        #[expect(dead_code, reason = "only read")]
        group_size: usize,
    }

    #[test]
    fn unknown_keys_are_named_with_their_section_and_the_key_that_was_meant() {
        let problems = strict::<File>("[rollout]\nsteps = 3\ngroup_sise = 8\nwide = 1\ngroup_size = 2\n").unwrap_err();
        assert_eq!(
            problems,
            [
                "line 3: unknown key `rollout.group_sise`; did you mean `rollout.group_size`?",
                "line 4: unknown key `rollout.wide`, expected one of `steps`, `group_size`",
            ]
        );
    }
}
