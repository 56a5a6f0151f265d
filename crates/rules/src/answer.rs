//! The answer tags, as the reference's rules read them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::RulesError;
use crate::text::strip;

const OPEN: &str = "<answer>";
const CLOSE: &str = "</answer>";

/// How the prediction is taken out of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerTags {
    /// The text after the last `<answer>`, before the next `</answer>`, trimmed; without tags the whole text.
    Split,
    /// The content of the first closed pair of tags, as it is; without one there is no prediction.
    Strict,
}

impl AnswerTags {
    /// The prediction in a reply.
    pub fn prediction(self, reply: &str) -> Option<&str> {
        match self {
            Self::Split => {
                let tail = reply.rsplit_once(OPEN).map_or(reply, |(_, tail)| tail);
                Some(strip(tail.split(CLOSE).next().unwrap_or(tail)))
            }
            Self::Strict => tagged(reply),
        }
    }
}

impl FromStr for AnswerTags {
    type Err = RulesError;

    fn from_str(name: &str) -> Result<Self, RulesError> {
        match name {
            "split" => Ok(Self::Split),
            "strict" => Ok(Self::Strict),
            _ => Err(RulesError::UnknownAnswerTags { found: name.to_owned() }),
        }
    }
}

/// The content of the first closed pair of answer tags.
pub(crate) fn tagged(text: &str) -> Option<&str> {
    let (_, tail) = text.split_once(OPEN)?;
    tail.split_once(CLOSE).map(|(content, _)| content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_takes_the_last_answer_and_strict_the_first() {
        let reply = "<answer> 1 </answer> no, <answer> 2 </answer>";
        assert_eq!(AnswerTags::Split.prediction(reply), Some("2"));
        assert_eq!(AnswerTags::Strict.prediction(reply), Some(" 1 "));
        assert_eq!(AnswerTags::Split.prediction(" 3 "), Some("3"));
        assert_eq!(AnswerTags::Strict.prediction("<answer>3"), None);
    }

    #[test]
    fn another_mode_is_an_error_that_names_both() {
        let error = "other".parse::<AnswerTags>().unwrap_err();
        assert_eq!(error.to_string(), "`extract_answer_tags` is `other`; expected `split` or `strict`");
    }
}
