//! Yes or no from a judge's reply.

use serde::{Deserialize, Serialize};

use crate::python::text::strip;

/// How a reply is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyRule {
    /// The harness's judge, asked for `0` or `1`.
    #[serde(rename = "binary_0/1")]
    Digit,
    /// The harness's judge, asked for `Yes` or `No`.
    #[serde(rename = "binary_yes/no")]
    Word,
    /// VisionThink's judge, asked for `Score: 0 or 1`.
    #[serde(rename = "visionthink")]
    VisionThink,
}

/// Whether a reply says that the prediction is right.
///
/// A reply to a question for digits is a yes if the character `1` occurs anywhere, so `0.1`, `10` and `0, not 1` are.
///
/// Source: lmms-eval, `llm_judge/utils`, reference; VisionThink, `scripts/llm-as-judge.py`, commit 42afd8c.
pub fn says_right(reply: &str, rule: ReplyRule) -> bool {
    match rule {
        ReplyRule::Digit | ReplyRule::VisionThink => reply.contains('1'),
        ReplyRule::Word => strip(reply).to_lowercase().starts_with("yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_one_is_a_yes_where_digits_were_asked_for() {
        for rule in [ReplyRule::Digit, ReplyRule::VisionThink] {
            assert!(says_right("The score is 0 (not 1).", rule));
            assert!(!says_right("Yes", rule));
        }
    }

    #[test]
    fn a_word_has_to_begin_the_reply() {
        assert!(says_right(" Yesterday", ReplyRule::Word));
        assert!(!says_right("The answer is yes", ReplyRule::Word));
    }
}
