//! How the reference reads a tool call, defects included.
//!
//! Source: VisionThink, `vLLMRollout_MultiTurn_ToolCall`, commit 42afd8c. Two patterns and Python's JSON reader:
//! `<tool_call>(.*?)</tool_call>` over the whole reply (the dot matching line breaks), then `\{.*?\}\}` over each content
//! (the dot not matching them), then `obj["arguments"]["action"]` of every object. Neither `name` nor other keys are
//! looked at; thinking and answers are not told apart from anything else. The words of the errors reach the model; they
//! are Python 3.11's.

use crate::python_json::{self, PythonValue};
use crate::special::names::{TOOL_CALL, TOOL_CALL_END};
use crate::tool_call::{TOOL_ACTION, ToolCallParse};

/// The Python exception that a call ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceErrorKind {
    /// Not JSON.
    JsonDecode,
    /// A key is missing.
    Key,
    /// Something without keys was asked for one.
    Type,
    /// An unknown action, or more than one call.
    Assertion,
    /// No object at all: a variable was never set.
    UnboundLocal,
    /// Nested too deeply.
    Recursion,
}

impl ReferenceErrorKind {
    /// Name of the exception class.
    pub fn class(self) -> &'static str {
        match self {
            Self::JsonDecode => "JSONDecodeError",
            Self::Key => "KeyError",
            Self::Type => "TypeError",
            Self::Assertion => "AssertionError",
            Self::UnboundLocal => "UnboundLocalError",
            Self::Recursion => "RecursionError",
        }
    }
}

/// An exception of the reference: its class and its text, which goes to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ReferenceError {
    /// The class.
    pub kind: ReferenceErrorKind,
    /// The text.
    pub text: String,
}

impl ReferenceError {
    pub(crate) fn new(kind: ReferenceErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// The texts between `<tool_call>` and the nearest `</tool_call>`, in order.
pub fn tool_call_contents(text: &str) -> Vec<&str> {
    let mut contents = Vec::new();
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once(TOOL_CALL) {
        let Some((content, after)) = tail.split_once(TOOL_CALL_END) else {
            break;
        };
        contents.push(content);
        rest = after;
    }
    contents
}

/// What the pattern `\{.*?\}\}` finds in a content: from a brace to the nearest `}}` on the same line.
pub fn json_strings(content: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = content;
    while let Some(start) = rest.find('{') {
        let line_end = rest[start..].find('\n').map_or(rest.len(), |offset| start + offset);
        rest = match rest[start + 1..line_end].find("}}") {
            Some(offset) => {
                let end = start + 1 + offset + 2;
                found.push(&rest[start..end]);
                &rest[end..]
            }
            None => &rest[start + 1..],
        };
    }
    found
}

/// Reads a reply as the reference does.
pub(crate) fn parse(text: &str) -> ToolCallParse {
    let contents = tool_call_contents(text);
    if contents.is_empty() {
        return ToolCallParse::None;
    }
    match check(&contents) {
        Ok(()) => ToolCallParse::Resize,
        Err(error) => ToolCallParse::Malformed(error.into()),
    }
}

fn check(contents: &[&str]) -> Result<(), ReferenceError> {
    let mut objects = Vec::new();
    for json in contents.iter().flat_map(|content| json_strings(content)) {
        objects.push(python_json::parse(json)?);
    }
    // Only the first object decides: it is right and alone, or an error is raised.
    let Some(first) = objects.first() else {
        let text = "cannot access local variable 'action_type' where it is not associated with a value";
        return Err(ReferenceError::new(ReferenceErrorKind::UnboundLocal, text));
    };
    let action = first.item("arguments")?.item("action")?;
    if !matches!(action, PythonValue::Text(text) if text == TOOL_ACTION) {
        let text = format!("Unknown Tool Type: {action}. Available function tools are: `resize`");
        return Err(ReferenceError::new(ReferenceErrorKind::Assertion, text));
    }
    if objects.len() != 1 {
        let text = "You should only call function `resize` once per function call.";
        return Err(ReferenceError::new(ReferenceErrorKind::Assertion, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_pattern_stays_on_one_line_and_stops_early() {
        assert_eq!(json_strings("{\"a\": {}}"), ["{\"a\": {}}"]);
        assert_eq!(json_strings("{\n{\"a\": {}}"), ["{\"a\": {}}"]);
        assert_eq!(json_strings("{{{}}}}"), ["{{{}}"]);
        assert_eq!(json_strings("{}}{}}}"), ["{}}", "{}}"]);
        assert_eq!(json_strings("{é\n}}"), [""; 0]);
    }

    #[test]
    fn the_reference_calls_from_its_thoughts_and_despite_an_answer() {
        let text = r#"<think><tool_call>{"arguments": {"action": "resize"}}</tool_call></think><answer>7</answer>"#;
        assert_eq!(parse(text), ToolCallParse::Resize);
    }
}
