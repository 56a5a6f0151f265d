//! What becomes of responses that are too long.

use serde::{Deserialize, Serialize};

/// A rule for responses that are too long.
///
/// Source: DAPO (arXiv:2503.14476), section 3.4.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlong {
    /// They are treated as any other: the reward says what an answer that never came is worth.
    #[default]
    Keep,
    /// A response that a limit cut off is compared with its group and not learned from: that it was cut says little about its tokens
    /// (overlong filtering).
    Mask,
    /// Long ones lose reward, more the longer they are (soft overlong punishment, equation 13).
    Soft(LengthPenalty),
}

/// A penalty on length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthPenalty {
    /// Sampled tokens up to which nothing is lost.
    pub expected: usize,
    /// Tokens over which the penalty grows to its full size.
    pub buffer: usize,
    /// The full size, in units of reward; 1 in the paper.
    pub penalty: f64,
}

impl Overlong {
    /// What is added to the reward of a response of `tokens` sampled tokens: 0 or less.
    ///
    /// With `e` expected, `b` the buffer and `p` the full penalty: 0 for `n <= e`, `-p (n - e) / b` up to `e + b`, then `-p`.
    ///
    /// Source: DAPO, equation 13, with `L_max = e + b`, `L_cache = b` and `p = 1`.
    pub fn reward(self, tokens: usize) -> f64 {
        match self {
            Self::Keep | Self::Mask => 0.0,
            Self::Soft(LengthPenalty { expected, buffer, penalty }) => {
                let over = tokens.saturating_sub(expected).min(buffer);
                if over == 0 && tokens > expected { -penalty } else { -penalty * over as f64 / buffer.max(1) as f64 }
            }
        }
    }

    /// Whether a response is learned from, given whether a limit cut it off.
    pub fn learns_from(self, truncated: bool) -> bool {
        !(truncated && self == Self::Mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_penalty_grows_over_the_buffer_and_then_stays() {
        let soft = Overlong::Soft(LengthPenalty { expected: 100, buffer: 20, penalty: 1.0 });
        for (tokens, expected) in [(0, 0.0), (100, 0.0), (105, -0.25), (110, -0.5), (120, -1.0), (500, -1.0)] {
            assert_eq!(soft.reward(tokens), expected, "{tokens} tokens");
        }
    }

    #[test]
    fn without_a_buffer_the_penalty_is_a_step() {
        let step = Overlong::Soft(LengthPenalty { expected: 100, buffer: 0, penalty: 0.5 });
        assert_eq!([step.reward(100), step.reward(101)], [0.0, -0.5]);
    }

    #[test]
    fn only_a_mask_keeps_truncated_responses_from_being_learned() {
        assert!(Overlong::Mask.learns_from(false) && !Overlong::Mask.learns_from(true));
        assert!(Overlong::Keep.learns_from(true));
        assert_eq!(Overlong::Mask.reward(1000), 0.0);
    }
}
