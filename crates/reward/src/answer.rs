//! Which part of a transcript is the prediction that the judge sees.

use serde::{Deserialize, Serialize};

use crate::python::strip;

const OPEN: &str = "<answer>";
const CLOSE: &str = "</answer>";

/// What the reference's local verifier is shown instead of a missing answer.
pub const INVALID_ANSWER: &str = "Invalid Answer. Please output [[NO]].";

/// How the answer is taken out of the turns of the model, which are joined with one space.
///
/// Source: VisionThink, commit 42afd8c: `general_qa_tool.py` (`Split`, `Strict`, `Whole`), `general_qa_gpt.py` (`Split`),
/// `verifier.py` (`Verifier`), `eval_examples/utils_pope.py` (`LastOfFirst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerReading {
    /// After the last `<answer>`, before the next `</answer>`, stripped; everything where there are no tags, so that
    /// the judge reads the thinking too.
    Split,
    /// Inside the first `<answer>…</answer>`, as it stands; nothing where there is none.
    Strict,
    /// Everything.
    Whole,
    /// As `Strict`, stripped; [`INVALID_ANSWER`] where that leaves nothing.
    Verifier,
    /// In lower case: before the first `</answer>`, in that after the last `<answer>`, stripped. The post-processing of
    /// POPE.
    LastOfFirst,
}

impl AnswerReading {
    /// The prediction in the turns of one transcript; `None` where the judge need not be asked, because there is no
    /// answer that could be right.
    pub fn read(self, turns: &[impl AsRef<str>]) -> Option<String> {
        let turns: Vec<&str> = turns.iter().map(AsRef::as_ref).collect();
        let text = turns.join(" ");
        match self {
            Self::Split => Some(strip(before_first(after_last(&text, OPEN), CLOSE)).to_owned()),
            Self::Strict => first_pair(&text).map(str::to_owned),
            Self::Whole => Some(text),
            Self::Verifier => {
                let answer = first_pair(&text).map(strip).filter(|answer| !answer.is_empty());
                Some(answer.unwrap_or(INVALID_ANSWER).to_owned())
            }
            Self::LastOfFirst => {
                let text = text.to_lowercase();
                Some(strip(after_last(before_first(&text, CLOSE), OPEN)).to_owned())
            }
        }
    }
}

fn after_last<'a>(text: &'a str, tag: &str) -> &'a str {
    text.rsplit_once(tag).map_or(text, |(_, after)| after)
}

fn before_first<'a>(text: &'a str, tag: &str) -> &'a str {
    text.split_once(tag).map_or(text, |(before, _)| before)
}

/// The text between the first `<answer>` that is closed at all and the nearest `</answer>`.
fn first_pair(text: &str) -> Option<&str> {
    let (_, tail) = text.split_once(OPEN)?;
    tail.split_once(CLOSE).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READINGS: [AnswerReading; 5] = [
        AnswerReading::Split,
        AnswerReading::Strict,
        AnswerReading::Whole,
        AnswerReading::Verifier,
        AnswerReading::LastOfFirst,
    ];

    #[test]
    fn two_answers_are_read_from_either_end() {
        let turns = ["<answer> A </answer>", "<answer> B </answer>"];
        let read = READINGS.map(|reading| reading.read(&turns).unwrap());
        assert_eq!(read, ["B", " A ", "<answer> A </answer> <answer> B </answer>", "A", "a"]);
    }

    #[test]
    fn without_tags_only_strict_spares_the_judge() {
        let read = READINGS.map(|reading| reading.read(&[" seven "]));
        let shown = read.each_ref().map(|prediction| prediction.as_deref());
        assert_eq!(shown, [Some("seven"), None, Some(" seven "), Some(INVALID_ANSWER), Some("seven")]);
    }

    #[test]
    fn an_answer_may_begin_in_one_turn_and_end_in_the_next() {
        assert_eq!(AnswerReading::Strict.read(&["<answer>a", "b</answer>"]).as_deref(), Some("a b"));
    }

    proptest! {
        #[test]
        fn any_turns_are_read_without_a_panic(turns in prop::collection::vec("(<answer>|</answer>|\\PC|\n){0,6}", 0..4)) {
            for reading in READINGS {
                let prediction = reading.read(&turns);
                prop_assert!(prediction.is_some() || reading == AnswerReading::Strict);
            }
        }
    }
}
