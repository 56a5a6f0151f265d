//! From text to a run file, with every structural problem that can be told apart.

use serde::de::DeserializeOwned;

/// Parses `text`. Each problem reads ``line 18: unknown key `n`, …``.
pub(crate) fn strict<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let mut text = text.to_string();
    let mut problems = Vec::new();
    // The parser stops at the first problem. An unknown `key = value` can be blanked and the search go on; anything
    // else leaves the rest without a meaning.
    loop {
        let error = match toml::from_str::<T>(&text) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let message = error.message().replace("unknown field", "unknown key").replace("missing field", "missing key");
        let Some(span) = error.span() else {
            problems.push(message);
            return Err(problems);
        };
        let line = text[..span.start].matches('\n').count() + 1;
        problems.push(format!("line {line}: {message}"));
        if !message.starts_with("unknown key") || !blank_line(&mut text, span.start) {
            return Err(problems);
        }
    }
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
