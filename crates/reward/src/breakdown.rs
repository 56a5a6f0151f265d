//! What a response is worth, and why: the meaning first, the numbers from it.

use serde::{Deserialize, Serialize};
use visionthink_protocol::Decision;

use crate::format::{Format, FormatCheck};
use crate::judge::Verdict;

/// Whether the answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accuracy {
    /// It is.
    Correct,
    /// It is not, or there is none.
    Wrong,
    /// Nobody could say. No reward is known; a group with such a response should not be trained on.
    Unjudged,
}

impl From<Verdict> for Accuracy {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Correct => Self::Correct,
            Verdict::Wrong => Self::Wrong,
        }
    }
}

/// `None` is a judge that was given up.
impl From<Option<Verdict>> for Accuracy {
    fn from(verdict: Option<Verdict>) -> Self {
        verdict.map_or(Self::Unjudged, Self::from)
    }
}

/// What the first turn turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstTurn {
    /// It answered from the low-resolution image, or no tool was offered.
    Direct,
    /// It asked for the full image.
    Resized,
    /// It was meant as a call and was none.
    Malformed,
}

impl From<Decision> for FirstTurn {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Direct | Decision::None => Self::Direct,
            Decision::Resize => Self::Resized,
            Decision::Malformed => Self::Malformed,
        }
    }
}

/// A penalty for how the answer was reached, in units of reward, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(tag = "on", rename_all = "lowercase")]
pub enum Penalty {
    /// None.
    #[default]
    None,
    /// For answering without the full image.
    Direct {
        /// How much.
        amount: f64,
    },
    /// For calling for the full image.
    Resize {
        /// How much.
        amount: f64,
    },
}

impl Penalty {
    /// How much is taken off the reward.
    pub fn amount(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Direct { amount } | Self::Resize { amount } => amount,
        }
    }
}

/// How the answer was reached, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Control {
    /// The decision of the first turn.
    pub first_turn: FirstTurn,
    /// Pairs of tool tags, see [`FormatCheck::tool_calls`]: what the reference takes for a call.
    pub counted_calls: usize,
    /// What a [`crate::PenaltyRule`] put on it; none before.
    pub penalty: Penalty,
}

/// The reward of one response, in meaning: R = R_acc + R_format − P.
///
/// Source: arXiv 2507.13348, Eq. 4. The reference keeps one number and reads the meaning back out of it by comparing
/// floats; here the number is derived last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardBreakdown {
    /// Whether the answer is right.
    pub accuracy: Accuracy,
    /// Whether the transcript is laid out as asked, or which rule broke.
    pub format: Format,
    /// How the answer was reached.
    pub control: Control,
}

/// What each part of the reward weighs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// A right answer.
    pub accuracy: f64,
    /// A format that holds.
    pub format: f64,
    /// A counted call; part of the format score. The reference has this and never uses it.
    pub call_bonus: f64,
}

impl Weights {
    /// 1.0 and 0.5, as the paper trains.
    pub fn paper() -> Self {
        Self { accuracy: 1.0, format: 0.5, call_bonus: 0.0 }
    }
}

/// The reward of one response in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// R_acc, before the penalty.
    pub accuracy: f64,
    /// R_format.
    pub format: f64,
    /// R_acc − P + R_format.
    pub reward: f64,
}

impl RewardBreakdown {
    /// A response before any penalty.
    pub fn new(accuracy: Accuracy, check: FormatCheck, first_turn: FirstTurn) -> Self {
        let control = Control { first_turn, counted_calls: check.tool_calls, penalty: Penalty::None };
        Self { accuracy, format: check.format, control }
    }

    /// Whether the answer is known to be right.
    pub fn is_correct(&self) -> bool {
        self.accuracy == Accuracy::Correct
    }

    /// The numbers; `None` where nobody judged the answer.
    pub fn scores(&self, weights: &Weights) -> Option<Scores> {
        if self.accuracy == Accuracy::Unjudged {
            return None;
        }
        let accuracy = if self.is_correct() { weights.accuracy } else { 0.0 };
        let mut format = if self.format == Format::Ok { weights.format } else { 0.0 };
        if self.control.counted_calls > 0 {
            format += weights.call_bonus;
        }
        Some(Scores { accuracy, format, reward: accuracy - self.control.penalty.amount() + format })
    }

    /// The reward alone; 0 where nobody judged the answer, as the reference has it.
    pub fn reward(&self, weights: &Weights) -> f64 {
        self.scores(weights).map_or(0.0, |scores| scores.reward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FormatRules;

    #[test]
    fn a_right_answer_in_format_is_worth_both_weights() {
        let check = FormatRules::Strict.check(&["<think>a</think><answer>7</answer>"]);
        let mut response = RewardBreakdown::new(Accuracy::Correct, check, Decision::Direct.into());
        assert_eq!(response.reward(&Weights::paper()), 1.5);
        response.control.penalty = Penalty::Direct { amount: 0.25 };
        let scores = Scores { accuracy: 1.0, format: 0.5, reward: 1.25 };
        assert_eq!(response.scores(&Weights::paper()), Some(scores));
    }

    #[test]
    fn an_unjudged_answer_has_no_scores() {
        let check = FormatRules::Strict.check(&["<think>a</think><answer>7</answer>"]);
        let response = RewardBreakdown::new(None.into(), check, FirstTurn::Direct);
        assert_eq!(response.scores(&Weights::paper()), None);
        assert_eq!(response.reward(&Weights::paper()), 0.0);
    }

    #[test]
    fn the_log_says_in_words_what_a_response_was() {
        let response = RewardBreakdown::new(Accuracy::Wrong, FormatRules::Strict.check(&["7"]), FirstTurn::Direct);
        let expected = r#"{"accuracy":"wrong","format":{"broken":{"rule":"tag_count","turn":0,"tag":"<think>","found":0,"expected":1}},"control":{"first_turn":"direct","counted_calls":0,"penalty":{"on":"none"}}}"#;
        assert_eq!(serde_json::to_string(&response).unwrap(), expected);
    }
}
