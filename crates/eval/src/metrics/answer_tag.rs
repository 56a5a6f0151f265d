//! The answer between `<answer>` and `</answer>`.

use serde::{Deserialize, Serialize};

use crate::python::text::strip;

const OPEN: &str = "<answer>";
const CLOSE: &str = "</answer>";

/// Which tag is looked for first. The orders differ when tags repeat, or when the thinking names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagOrder {
    /// Up to the first `</answer>`, of that what follows the last `<answer>` (README and POPE).
    CloseFirst,
    /// After the last `<answer>`, of that what precedes the first `</answer>` (RealWorldQA).
    OpenLastFirst,
}

/// The text between the tags, stripped; a missing tag cuts nothing.
///
/// Source: VisionThink, README and `scripts/eval_examples`, commit 42afd8c.
pub fn answer(text: &str, order: TagOrder) -> &str {
    let inside = match order {
        TagOrder::CloseFirst => after_open(before_close(text)),
        TagOrder::OpenLastFirst => before_close(after_open(text)),
    };
    strip(inside)
}

fn after_open(text: &str) -> &str {
    text.rsplit_once(OPEN).map_or(text, |(_, inside)| inside)
}

fn before_close(text: &str) -> &str {
    text.split_once(CLOSE).map_or(text, |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_are_told_apart_by_the_order() {
        let text = "<answer> Yes</answer><answer>No\n</answer>";
        assert_eq!(answer(text, TagOrder::CloseFirst), "Yes");
        assert_eq!(answer(text, TagOrder::OpenLastFirst), "No");
    }

    #[test]
    fn a_text_without_tags_is_its_own_answer() {
        assert_eq!(answer(" 5 ", TagOrder::CloseFirst), "5");
        assert_eq!(answer("<ANSWER>5</ANSWER>", TagOrder::OpenLastFirst), "<ANSWER>5</ANSWER>");
    }
}
