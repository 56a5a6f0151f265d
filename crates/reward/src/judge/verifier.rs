//! Reading what a local verifier model replied.

use serde::{Deserialize, Serialize};

use super::prompts::{VERIFIER_SYSTEM_QWEN2_5, VERIFIER_SYSTEM_QWEN3};
use super::verdict::Verdict;
use crate::python::strip;

const YES: &str = "[[YES]]";
const NO: &str = "[[NO]]";
const THINK_END: &str = "</think>";

/// The two kinds of model that the reference verifies with.
///
/// Source: VisionThink, `verl/workers/reward_model/verifier/verifier.py`, commit 42afd8c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifierFamily {
    /// Thinks first; only what stands behind the thinking counts.
    Qwen3,
    /// Explains itself in the reply, all of which counts.
    #[serde(rename = "qwen2.5")]
    Qwen2_5,
}

/// How the part of a reply that counts is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifierReading {
    /// Our own: `[[YES]]` or `[[NO]]`, and not both; anything else is no verdict.
    #[default]
    Strict,
    /// The reference's: correct if `YES` is anywhere in it, wrong otherwise.
    Contains,
}

impl VerifierFamily {
    /// The family of a model by its name or path; `None` for others, which the reference refuses.
    pub fn from_model_name(name: &str) -> Option<Self> {
        if name.contains("Qwen2.5") { Some(Self::Qwen2_5) } else { name.contains("Qwen3").then_some(Self::Qwen3) }
    }

    /// What the verifier is told to do.
    pub fn system_prompt(self) -> &'static str {
        match self {
            Self::Qwen3 => VERIFIER_SYSTEM_QWEN3,
            Self::Qwen2_5 => VERIFIER_SYSTEM_QWEN2_5,
        }
    }

    /// The part of a reply that counts, stripped; empty where the thinking never ends.
    pub fn verdict_text(self, reply: &str) -> &str {
        match self {
            Self::Qwen3 => reply.split_once(THINK_END).map_or("", |(_, behind)| strip(behind)),
            Self::Qwen2_5 => strip(reply),
        }
    }

    /// The verdict in a reply; `None` where it cannot be read, which the reference's reading never says.
    pub fn read(self, reply: &str, reading: VerifierReading) -> Option<Verdict> {
        let text = self.verdict_text(reply);
        match reading {
            VerifierReading::Contains => Some(text.contains("YES").into()),
            VerifierReading::Strict => match (text.contains(YES), text.contains(NO)) {
                (true, false) => Some(Verdict::Correct),
                (false, true) => Some(Verdict::Wrong),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_counts_for_nothing_in_a_model_that_thinks() {
        let reply = "<think>[[YES]]?</think>\n[[NO]]";
        assert_eq!(VerifierFamily::Qwen3.read(reply, VerifierReading::Strict), Some(Verdict::Wrong));
        assert_eq!(VerifierFamily::Qwen2_5.read(reply, VerifierReading::Strict), None);
        assert_eq!(VerifierFamily::Qwen2_5.read(reply, VerifierReading::Contains), Some(Verdict::Correct));
    }

    #[test]
    fn a_reply_cut_in_its_thinking_is_no_verdict_of_ours() {
        let cut = "<think>they look the s";
        assert_eq!(VerifierFamily::Qwen3.read(cut, VerifierReading::Strict), None);
        assert_eq!(VerifierFamily::Qwen3.read(cut, VerifierReading::Contains), Some(Verdict::Wrong));
    }

    #[test]
    fn the_family_is_in_the_name() {
        assert_eq!(VerifierFamily::from_model_name("Qwen/Qwen3-1.7B"), Some(VerifierFamily::Qwen3));
        assert_eq!(VerifierFamily::from_model_name("Qwen2.5-1.5B"), Some(VerifierFamily::Qwen2_5));
        assert_eq!(VerifierFamily::from_model_name("llama"), None);
    }
}
