//! Is a transcript laid out as the method asks: think, then call or answer?

use serde::{Deserialize, Serialize};
use visionthink_protocol::lenient::tool_call_contents;
use visionthink_protocol::names::{TOOL_CALL, TOOL_CALL_END};
use visionthink_protocol::{Strictness, ToolCallParse, parse_tool_call};

use crate::python::{is_space, strip};

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";

/// Which rules a transcript is held against.
///
/// Source: VisionThink, commit 42afd8c: `general_qa_tool.py` (`Tool`), `general_qa_gpt.py` (`Joined`); the paper's B.2
/// asks for valid JSON in the call, which only `Strict` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormatRules {
    /// Our own: as `Tool`, with every turn stripped, and every turn but the last holding exactly one valid call.
    #[default]
    Strict,
    /// The reference's with the tool: tags only. The last turn is `<think>…</think>…<answer>…</answer>`, stripped only
    /// where it is the only one; every turn before it, stripped, is `<think>…</think>…<tool_call>…</tool_call>`. Each tag
    /// once, except that one of the two tool tags may come more often; no tag of the other kind.
    Tool,
    /// Our own without thinking, as the embedded model answers: the last turn, stripped, is `<answer>…</answer>` with both
    /// tags once, and every turn before it is one valid call.
    AnswerOnly,
    /// The reference's without the tool: the turns joined with one space are `<think>…</think> <answer>…</answer>`,
    /// nothing but white space around and between. Tags may repeat inside.
    Joined,
}

/// Whether the rules hold, or which one broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// They hold.
    Ok,
    /// This one does not.
    Broken(FormatFault),
}

/// The first rule that broke. Turns count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum FormatFault {
    /// The model said nothing.
    #[error("there is no turn")]
    NoTurn,
    /// A tag is missing, doubled or out of place.
    #[error("turn {turn}: `{tag}` occurs {found} times, expected {expected}")]
    TagCount {
        /// The turn.
        turn: usize,
        /// The tag.
        tag: &'static str,
        /// How often it occurs.
        found: usize,
        /// How often it should.
        expected: usize,
    },
    /// A turn does not begin with its thinking, does not end with its call or answer, or has them in another order.
    #[error("turn {turn} is not `<think>…</think>…{open}…{close}`")]
    Layout {
        /// The turn.
        turn: usize,
        /// The tag that should open its second block.
        open: &'static str,
        /// The tag that should end it.
        close: &'static str,
    },
    /// [`FormatRules::AnswerOnly`]: a turn has something around its answer.
    #[error("turn {turn} is not `<answer>…</answer>` and nothing else")]
    AnswerLayout {
        /// The turn.
        turn: usize,
    },
    /// The tags are right and the call between them is not.
    #[error("turn {turn}: {reason}")]
    InvalidCall {
        /// The turn.
        turn: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// [`FormatRules::Joined`] broke.
    #[error("the transcript is not `<think>…</think> <answer>…</answer>` and nothing else")]
    JoinedLayout,
}

/// What the rules say about one transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatCheck {
    /// Whether they hold.
    pub format: Format,
    /// Turns that hold a pair of tool tags, as the reference counts calls: of a single turn, or of all but the last, up
    /// to and including the first that breaks a rule. Always 0 for [`FormatRules::Joined`].
    pub tool_calls: usize,
}

impl FormatRules {
    /// Checks the assistant turns of one transcript, special tokens left out.
    pub fn check(self, turns: &[impl AsRef<str>]) -> FormatCheck {
        let turns: Vec<&str> = turns.iter().map(AsRef::as_ref).collect();
        let (outcome, tool_calls) = match self {
            Self::Joined => (joined(&turns.join(" ")), 0),
            Self::AnswerOnly => answer_only(&turns),
            Self::Strict | Self::Tool => self.by_turn(&turns),
        };
        FormatCheck { format: outcome.map_or_else(Format::Broken, |()| Format::Ok), tool_calls }
    }

    fn by_turn(self, turns: &[&str]) -> (Result<(), FormatFault>, usize) {
        let Some((last, before)) = turns.split_last() else {
            return (Err(FormatFault::NoTurn), 0);
        };
        if before.is_empty() {
            let text = strip(last);
            return (answer_turn(0, text), usize::from(has_call(text)));
        }
        let mut tool_calls = 0;
        for (turn, text) in before.iter().enumerate() {
            let text = strip(text);
            tool_calls += usize::from(has_call(text));
            if let Err(fault) = self.tool_turn(turn, text) {
                return (Err(fault), tool_calls);
            }
        }
        let last = if self == Self::Strict { strip(last) } else { last };
        (answer_turn(before.len(), last), tool_calls)
    }

    fn tool_turn(self, turn: usize, text: &str) -> Result<(), FormatFault> {
        expect_tags(turn, text, &[THINK, THINK_END], 1)?;
        expect_tags(turn, text, &[ANSWER, ANSWER_END], 0)?;
        // The reference writes `and` where it means `or`: one right count is enough.
        let opened = expect_tags(turn, text, &[TOOL_CALL], 1);
        if opened.is_err() {
            expect_tags(turn, text, &[TOOL_CALL_END], 1).or(opened)?;
        }
        expect_layout(turn, text, TOOL_CALL, TOOL_CALL_END)?;
        if self == Self::Tool {
            return Ok(());
        }
        expect_valid_call(turn, text)
    }
}

fn answer_only(turns: &[&str]) -> (Result<(), FormatFault>, usize) {
    let Some((last, before)) = turns.split_last() else {
        return (Err(FormatFault::NoTurn), 0);
    };
    let mut tool_calls = 0;
    for (turn, text) in before.iter().enumerate() {
        tool_calls += usize::from(has_call(text));
        if let Err(fault) = expect_valid_call(turn, text) {
            return (Err(fault), tool_calls);
        }
    }
    let (turn, text) = (before.len(), strip(last));
    let tags = expect_tags(turn, text, &[ANSWER, ANSWER_END], 1);
    let bare = text.starts_with(ANSWER) && text.ends_with(ANSWER_END);
    (tags.and(if bare { Ok(()) } else { Err(FormatFault::AnswerLayout { turn }) }), tool_calls)
}

fn expect_valid_call(turn: usize, text: &str) -> Result<(), FormatFault> {
    match parse_tool_call(text, Strictness::Strict) {
        ToolCallParse::Resize => Ok(()),
        ToolCallParse::None => Err(FormatFault::InvalidCall { turn, reason: "it holds no call".to_owned() }),
        ToolCallParse::Malformed(error) => Err(FormatFault::InvalidCall { turn, reason: error.to_string() }),
    }
}

fn has_call(text: &str) -> bool {
    !tool_call_contents(text).is_empty()
}

fn answer_turn(turn: usize, text: &str) -> Result<(), FormatFault> {
    expect_tags(turn, text, &[THINK, THINK_END, ANSWER, ANSWER_END], 1)?;
    expect_tags(turn, text, &[TOOL_CALL, TOOL_CALL_END], 0)?;
    // Python's `$` also matches before one final line break.
    expect_layout(turn, text.strip_suffix('\n').unwrap_or(text), ANSWER, ANSWER_END)
}

fn expect_tags(turn: usize, text: &str, tags: &[&'static str], expected: usize) -> Result<(), FormatFault> {
    for &tag in tags {
        let found = text.matches(tag).count();
        if found != expected {
            return Err(FormatFault::TagCount { turn, tag, found, expected });
        }
    }
    Ok(())
}

/// The pattern `^<think>.*</think>.*{open}.*{close}$`, where the thinking has its tags once.
fn expect_layout(turn: usize, text: &str, open: &'static str, close: &'static str) -> Result<(), FormatFault> {
    let inside = text.strip_prefix(THINK).and_then(|rest| rest.strip_suffix(close));
    let behind_thinking = inside.and_then(|inside| inside.split_once(THINK_END)).map(|(_, rest)| rest);
    if behind_thinking.is_some_and(|rest| rest.contains(open)) {
        Ok(())
    } else {
        Err(FormatFault::Layout { turn, open, close })
    }
}

/// A full match of `\s*<think>.*?</think>\s*<answer>.*?</answer>\s*`.
fn joined(text: &str) -> Result<(), FormatFault> {
    let inside = strip(text).strip_prefix(THINK).and_then(|rest| rest.strip_suffix(ANSWER_END));
    let inside = inside.ok_or(FormatFault::JoinedLayout)?;
    let answered = inside.match_indices(THINK_END).any(|(start, tag)| {
        let behind = inside.get(start + tag.len()..).unwrap_or_default();
        behind.trim_start_matches(is_space).starts_with(ANSWER)
    });
    if answered { Ok(()) } else { Err(FormatFault::JoinedLayout) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALL: &str = "<think>small</think><tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>";
    const ANSWERED: &str = "<think>clear</think> so <answer>7</answer>";

    fn fault(rules: FormatRules, turns: &[&str]) -> FormatFault {
        match rules.check(turns).format {
            Format::Broken(fault) => fault,
            Format::Ok => panic!("{turns:?} is fine by {rules:?}"),
        }
    }

    #[test]
    fn a_direct_answer_and_a_call_with_an_answer_are_fine() {
        for rules in [FormatRules::Strict, FormatRules::Tool] {
            assert_eq!(rules.check(&[ANSWERED]), FormatCheck { format: Format::Ok, tool_calls: 0 });
            assert_eq!(rules.check(&[CALL, ANSWERED]), FormatCheck { format: Format::Ok, tool_calls: 1 });
        }
    }

    #[test]
    fn without_thinking_an_answer_stands_alone() {
        let call = "<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>";
        let rules = FormatRules::AnswerOnly;
        assert_eq!(rules.check(&["<answer>7</answer>\n"]), FormatCheck { format: Format::Ok, tool_calls: 0 });
        assert_eq!(rules.check(&[call, "<answer>7</answer>"]), FormatCheck { format: Format::Ok, tool_calls: 1 });
        assert_eq!(fault(rules, &["it is <answer>7</answer>"]), FormatFault::AnswerLayout { turn: 0 });
        assert!(matches!(fault(rules, &["<answer>7"]), FormatFault::TagCount { turn: 0, .. }));
        assert!(matches!(fault(rules, &["7", "<answer>7</answer>"]), FormatFault::InvalidCall { turn: 0, .. }));
    }

    #[test]
    fn the_broken_rule_is_named() {
        assert_eq!(fault(FormatRules::Strict, &[]), FormatFault::NoTurn);
        let missing = FormatFault::TagCount { turn: 0, tag: ANSWER, found: 0, expected: 1 };
        assert_eq!(fault(FormatRules::Strict, &["<think>a</think>7</answer>"]), missing);
        let order = FormatFault::Layout { turn: 1, open: ANSWER, close: ANSWER_END };
        assert_eq!(fault(FormatRules::Strict, &[CALL, "<answer>7</answer><think>a</think>"]), order);
        assert_eq!(order.to_string(), "turn 1 is not `<think>…</think>…<answer>…</answer>`");
        assert_eq!(fault(FormatRules::Joined, &["7"]), FormatFault::JoinedLayout);
    }

    #[test]
    fn a_call_that_is_not_json_is_fine_by_the_tags_alone() {
        let broken = "<think>small</think><tool_call>resize please</tool_call>";
        assert_eq!(FormatRules::Tool.check(&[broken, ANSWERED]).format, Format::Ok);
        assert!(matches!(fault(FormatRules::Strict, &[broken, ANSWERED]), FormatFault::InvalidCall { turn: 0, .. }));
    }

    #[test]
    fn one_doubled_tool_tag_is_fine_for_the_reference_only() {
        let doubled = CALL.replace("</tool_call>", "</tool_call></tool_call>");
        assert_eq!(FormatRules::Tool.check(&[doubled.as_str(), ANSWERED]).format, Format::Ok);
        assert!(matches!(fault(FormatRules::Strict, &[&doubled, ANSWERED]), FormatFault::InvalidCall { .. }));
        let both = doubled.replace("<tool_call>", "<tool_call><tool_call>");
        let fault = fault(FormatRules::Tool, &[&both, ANSWERED]);
        assert_eq!(fault, FormatFault::TagCount { turn: 0, tag: TOOL_CALL, found: 2, expected: 1 });
    }

    #[test]
    fn white_space_before_the_last_of_two_turns_breaks_the_reference_rules_only() {
        let late = format!(" {ANSWERED}");
        assert_eq!(FormatRules::Tool.check(&[late.as_str()]).format, Format::Ok);
        assert_eq!(FormatRules::Strict.check(&[CALL, late.as_str()]).format, Format::Ok);
        assert!(matches!(fault(FormatRules::Tool, &[CALL, &late]), FormatFault::Layout { turn: 1, .. }));
    }

    proptest! {
        #[test]
        fn any_turns_are_checked_without_a_panic(
            turns in prop::collection::vec("(</?(think|answer|tool_call)>|\\{|\\PC|\n){0,8}", 0..4),
        ) {
            for rules in [FormatRules::Strict, FormatRules::Tool, FormatRules::Joined] {
                prop_assert!(rules.check(&turns).tool_calls <= turns.len());
            }
        }

        #[test]
        fn what_is_fine_by_our_rules_is_fine_by_the_references(
            turns in prop::collection::vec("(</?(think|answer|tool_call)>|a){0,6}", 1..3),
        ) {
            if FormatRules::Strict.check(&turns).format == Format::Ok {
                prop_assert_eq!(FormatRules::Tool.check(&turns).format, Format::Ok);
            }
        }
    }
}
