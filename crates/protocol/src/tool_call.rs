//! Is there a call of `resize_image` in a reply, and is it well-formed?
//!
//! The strict rules, and why they are not the reference's:
//! - The text between the tags goes through a JSON parser; layout and key order are free. (The reference cuts the JSON
//!   out with a pattern that breaks on pretty-printing.)
//! - `name` must be `resize_image`, `arguments.action` must be `resize`, and no other key may occur, not even twice the
//!   same. (The reference looks at `action` only.)
//! - Exactly one pair of tags.
//! - What stands inside a closed `<think>…</think>` is thought, not done: tags there are ignored. A `<think>` that is
//!   never closed hides nothing. (The reference executes calls in the thinking.)
//! - A turn either calls or answers: a call beside an `<answer>` is malformed. (In the reference the call wins.)
//!
//! [`Strictness::Lenient`] is the reference's behaviour, see [`crate::lenient`].

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::answer::without_thinking;
use crate::lenient::{self, ReferenceError};
use crate::special::names::{TOOL_CALL, TOOL_CALL_END};

/// The one tool.
pub const TOOL_NAME: &str = "resize_image";
/// The one thing it does.
pub const TOOL_ACTION: &str = "resize";

/// How a reply is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// The rules above.
    #[default]
    Strict,
    /// What the reference does, for parity.
    Lenient,
}

/// What a reply asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolCallParse {
    /// No call.
    None,
    /// The full image.
    Resize,
    /// Something that was meant as a call, or cannot be continued.
    Malformed(ToolCallError),
}

/// Serializes as `null`, as the call, or as `{"error": "…"}`.
impl Serialize for ToolCallParse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Resize => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("name", TOOL_NAME)?;
                map.serialize_entry("arguments", &serde_json::json!({"action": TOOL_ACTION}))?;
                map.end()
            }
            Self::Malformed(error) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("error", &error.to_string())?;
                map.end()
            }
        }
    }
}

/// Why a reply is no valid call. The text goes to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolCallError {
    /// A call was opened and not closed.
    #[error("`<tool_call>` is not closed by `</tool_call>`")]
    Unclosed,
    /// A call was closed and not opened.
    #[error("`</tool_call>` has no `<tool_call>` before it")]
    Unopened,
    /// More than one call.
    #[error("{count} calls in one reply, expected one")]
    Several {
        /// How many.
        count: usize,
    },
    /// A call and an answer.
    #[error("the reply holds both a call and an `<answer>`, expected one of them")]
    AnswerAndCall,
    /// What stands between the tags is not JSON.
    #[error("the call is not valid JSON: {reason}")]
    InvalidJson {
        /// What the JSON parser says.
        reason: String,
    },
    /// JSON, but not a call.
    #[error("the call is not `{{\"name\": …, \"arguments\": {{\"action\": …}}}}`: {reason}")]
    WrongShape {
        /// Which key is missing, unknown or of the wrong type.
        reason: String,
    },
    /// Another function.
    #[error("unknown function `{name}`, expected `resize_image`")]
    UnknownTool {
        /// Its name.
        name: String,
    },
    /// Another action.
    #[error("unknown action `{action}`, expected `resize`")]
    UnknownAction {
        /// Its name.
        action: String,
    },
    /// The full image was asked for a second time.
    #[error("the image is already shown at full size")]
    AlreadyFull,
    /// The model sampled an image or video token, behind which there are no pixels. Ends the conversation.
    #[error("the reply holds an image token")]
    ImageToken,
    /// The model sampled an id without a token. Ends the conversation.
    #[error("the reply holds id {id}, which no token has")]
    UnknownToken {
        /// The id.
        id: u32,
    },
    /// The lenient rules found this.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// Reads a reply whose call is `<tool_call>{"name": …}</tool_call>`.
///
/// Never fails: a malformed call is data.
pub fn parse_tool_call(text: &str, strictness: Strictness) -> ToolCallParse {
    match strictness {
        Strictness::Strict => parse_strict(text),
        Strictness::Lenient => lenient::parse(text),
    }
}

/// Reads a reply whose call is a bare tag, as in the paper's ablations: strict counts it outside the thinking and
/// wants exactly one and no answer, lenient is content with any.
pub fn parse_tag_call(text: &str, tag: &str, strictness: Strictness) -> ToolCallParse {
    if strictness == Strictness::Lenient {
        return if text.contains(tag) { ToolCallParse::Resize } else { ToolCallParse::None };
    }
    let visible = without_thinking(text);
    match visible.matches(tag).count() {
        0 => ToolCallParse::None,
        1 if visible.contains("<answer>") => ToolCallParse::Malformed(ToolCallError::AnswerAndCall),
        1 => ToolCallParse::Resize,
        count => ToolCallParse::Malformed(ToolCallError::Several { count }),
    }
}

fn parse_strict(text: &str) -> ToolCallParse {
    let visible = without_thinking(text);
    match find_call(&visible) {
        Ok(None) => ToolCallParse::None,
        Ok(Some(content)) => match check_call(content) {
            Ok(()) => ToolCallParse::Resize,
            Err(error) => ToolCallParse::Malformed(error),
        },
        Err(error) => ToolCallParse::Malformed(error),
    }
}

/// The text between the only pair of tags.
fn find_call(visible: &str) -> Result<Option<&str>, ToolCallError> {
    let opened = visible.matches(TOOL_CALL).count();
    let closed = visible.matches(TOOL_CALL_END).count();
    match (opened, closed) {
        (0, 0) => return Ok(None),
        (0, _) => return Err(ToolCallError::Unopened),
        (_, 0) => return Err(ToolCallError::Unclosed),
        (1, 1) => {}
        _ => return Err(ToolCallError::Several { count: opened.max(closed) }),
    }
    let (_, tail) = visible.split_once(TOOL_CALL).ok_or(ToolCallError::Unopened)?;
    let (content, _) = tail.split_once(TOOL_CALL_END).ok_or(ToolCallError::Unclosed)?;
    if visible.contains("<answer>") {
        return Err(ToolCallError::AnswerAndCall);
    }
    Ok(Some(content))
}

fn check_call(content: &str) -> Result<(), ToolCallError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Call {
        name: String,
        arguments: Arguments,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        action: String,
    }
    let call: Call = serde_json::from_str(content).map_err(|error| {
        let reason = error.to_string();
        match error.classify() {
            serde_json::error::Category::Data => ToolCallError::WrongShape { reason },
            _ => ToolCallError::InvalidJson { reason },
        }
    })?;
    if call.name != TOOL_NAME {
        return Err(ToolCallError::UnknownTool { name: call.name });
    }
    if call.arguments.action != TOOL_ACTION {
        return Err(ToolCallError::UnknownAction { action: call.arguments.action });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALL: &str = r#"<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>"#;

    fn strict(text: &str) -> ToolCallParse {
        parse_tool_call(text, Strictness::Strict)
    }

    fn error(text: &str) -> ToolCallError {
        match strict(text) {
            ToolCallParse::Malformed(error) => error,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn layout_and_key_order_do_not_matter() {
        assert_eq!(strict(CALL), ToolCallParse::Resize);
        let pretty = "<tool_call>\n{\n  \"arguments\": {\n    \"action\": \"resize\"\n  },\n  \"name\": \"resize_image\" }\n</tool_call>";
        assert_eq!(strict(pretty), ToolCallParse::Resize);
        assert_eq!(strict("it is 7"), ToolCallParse::None);
    }

    #[test]
    fn a_call_in_the_thinking_is_only_a_thought() {
        assert_eq!(strict(&format!("<think>{CALL}</think><answer>7</answer>")), ToolCallParse::None);
        assert_eq!(strict(&format!("<think>small</think>{CALL}")), ToolCallParse::Resize);
        assert_eq!(strict(&format!("<think>small {CALL}")), ToolCallParse::Resize);
    }

    #[test]
    fn a_turn_answers_or_calls_but_not_both() {
        assert_eq!(error(&format!("<answer>7</answer>{CALL}")), ToolCallError::AnswerAndCall);
        assert_eq!(strict(&format!("<think><answer></think>{CALL}")), ToolCallParse::Resize);
    }

    #[test]
    fn two_calls_and_half_calls_are_malformed() {
        assert_eq!(error(&format!("{CALL}{CALL}")), ToolCallError::Several { count: 2 });
        assert_eq!(error("<tool_call>{"), ToolCallError::Unclosed);
        assert_eq!(error("{}</tool_call>"), ToolCallError::Unopened);
        assert_eq!(error("</tool_call><tool_call>"), ToolCallError::Unclosed);
    }

    #[test]
    fn each_wrong_call_says_what_is_wrong() {
        let call = |json: &str| error(&format!("<tool_call>{json}</tool_call>"));
        let ok = r#"{"name": "resize_image", "arguments": {"action": "resize"}}"#;
        for broken in ["", "resize", "{'name': 1}", &format!("{ok}{ok}"), &format!("```{ok}```"), r#"{"name": NaN}"#] {
            assert!(matches!(call(broken), ToolCallError::InvalidJson { .. }), "{broken}: {:?}", call(broken));
        }
        for wrong in [
            "null",
            r#"["resize_image"]"#,
            r#"{"name": "resize_image"}"#,
            r#"{"name": "resize_image", "arguments": "resize"}"#,
            r#"{"name": "resize_image", "arguments": {"action": "resize", "times": 2}}"#,
            r#"{"name": "resize_image", "name": "resize_image", "arguments": {"action": "resize"}}"#,
            r#"{"name": "resize_image", "arguments": {"action": ["resize"]}}"#,
        ] {
            assert!(matches!(call(wrong), ToolCallError::WrongShape { .. }), "{wrong}: {:?}", call(wrong));
        }
        let tool = call(r#"{"name": "zoom", "arguments": {"action": "resize"}}"#);
        assert_eq!(tool, ToolCallError::UnknownTool { name: "zoom".to_owned() });
        let action = call(r#"{"name": "resize_image", "arguments": {"action": "crop"}}"#);
        assert_eq!(action.to_string(), "unknown action `crop`, expected `resize`");
    }

    #[test]
    fn a_bare_tag_can_be_the_call() {
        let parse = |text: &str| parse_tag_call(text, "<resize></resize>", Strictness::Strict);
        assert_eq!(parse("too small <resize></resize>"), ToolCallParse::Resize);
        assert_eq!(parse("<answer>7</answer>"), ToolCallParse::None);
        assert!(matches!(parse("<resize></resize><answer>7</answer>"), ToolCallParse::Malformed(_)));
        assert!(matches!(parse("<resize></resize><resize></resize>"), ToolCallParse::Malformed(_)));
    }

    #[test]
    fn a_parsed_call_serializes_for_the_transcript() {
        let json = |parse: &ToolCallParse| serde_json::to_string(parse).unwrap();
        assert_eq!(json(&ToolCallParse::None), "null");
        assert_eq!(json(&ToolCallParse::Resize), r#"{"name":"resize_image","arguments":{"action":"resize"}}"#);
        let malformed = ToolCallParse::Malformed(ToolCallError::AlreadyFull);
        assert_eq!(json(&malformed), r#"{"error":"the image is already shown at full size"}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            for strictness in [Strictness::Strict, Strictness::Lenient] {
                let _ = parse_tool_call(&text, strictness);
                let _ = parse_tag_call(&text, "<resize>", strictness);
            }
        }

        #[test]
        fn any_pile_of_tags_and_json_is_read_without_a_panic(pieces in prop::collection::vec(prop_oneof![
            Just("<tool_call>"), Just("</tool_call>"), Just("<think>"), Just("</think>"), Just("<answer>"), Just("{"),
            Just("}"), Just("}}"), Just("["), Just("\""), Just("\\"), Just("\\u12"), Just("\\ud800"), Just("\"arguments\""),
            Just(":"), Just(","), Just("\"action\""), Just("\"resize\""), Just("\n"), Just("-"), Just("1e"), Just("0.5"),
            Just("NaN"), Just("é"), Just("null"),
        ], 0..40)) {
            let text = pieces.concat();
            for strictness in [Strictness::Strict, Strictness::Lenient] {
                let _ = parse_tool_call(&text, strictness);
            }
        }

        #[test]
        fn free_text_around_a_call_changes_nothing(before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
            prop_assert_eq!(strict(&format!("{before}{CALL}{after}")), ToolCallParse::Resize);
        }
    }
}
