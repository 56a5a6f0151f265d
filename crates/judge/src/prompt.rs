//! What is sent for a question, how the reply is read, and under which key the verdict is kept.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use visionthink_reward::judge::{
    CallOutcome, JUDGE_SYSTEM, Question, Verdict, VerdictReading, VerifierFamily, VerifierReading,
};

use crate::respondent::Identity;

/// Which of the paper's two kinds of judge is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Variant {
    /// Replies `Score: 0` or `Score: 1`.
    Judge {
        /// How its reply is read.
        #[serde(default)]
        reading: VerdictReading,
    },
    /// Replies `[[YES]]` or `[[NO]]`.
    Verifier {
        /// Whose prompt it gets.
        family: VerifierFamily,
        /// How its reply is read.
        #[serde(default)]
        reading: VerifierReading,
    },
}

impl Default for Variant {
    /// The judge, read strictly.
    fn default() -> Self {
        Self::Judge { reading: VerdictReading::Strict }
    }
}

impl Variant {
    /// The messages for a question.
    pub(crate) fn prompt(self, question: &Question<'_>) -> Prompt {
        match self {
            Self::Judge { .. } => Prompt { system: JUDGE_SYSTEM, user: question.judge_prompt() },
            Self::Verifier { family, .. } => {
                Prompt { system: family.system_prompt(), user: question.verifier_prompt() }
            }
        }
    }

    /// How the retries read a judge's reply; a verifier's they do not read.
    pub(crate) fn reading(self) -> VerdictReading {
        match self {
            Self::Judge { reading } => reading,
            Self::Verifier { .. } => VerdictReading::Strict,
        }
    }

    /// A reply as the retries take it.
    pub(crate) fn outcome(self, reply: &str) -> CallOutcome<'_> {
        match self {
            Self::Judge { .. } => CallOutcome::Reply(reply),
            Self::Verifier { family, reading } => {
                family.read(reply, reading).map_or(CallOutcome::Failed, CallOutcome::Verdict)
            }
        }
    }

    /// The verdict in a reply, if there is one.
    pub(crate) fn verdict(self, reply: &str) -> Option<Verdict> {
        match self.outcome(reply) {
            CallOutcome::Reply(reply) => self.reading().read(reply),
            CallOutcome::Verdict(verdict) => Some(verdict),
            CallOutcome::Failed | CallOutcome::RateLimited => None,
        }
    }

    /// Whether the verdict stands behind thinking that has to be part of the reply.
    pub(crate) fn needs_thinking(self) -> bool {
        matches!(self, Self::Verifier { family: VerifierFamily::Qwen3, .. })
    }
}

/// What is sent. Text only: the judge never sees the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// System message.
    pub system: &'static str,
    /// User message. Question and prediction are in it, whatever they say.
    pub user: String,
}

/// What a verdict depends on, in 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// SHA-256 of kind of judge, model, prompt, variant and reading, written as one JSON list so that no two differ
    /// only in where one part ends.
    pub(crate) fn new(judge: &Identity, prompt: &Prompt) -> Self {
        let parts = serde_json::json!([1, judge.kind, judge.model, prompt.system, prompt.user, judge.variant]);
        Self(Sha256::digest(parts.to_string()).into())
    }

    pub(crate) fn to_hex(self) -> String {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{EndpointKind, JudgeEndpoint};

    const QUESTION: Question<'_> = Question { question: "How many?", ground_truth: "2", prediction: "two" };

    fn key(endpoint: &JudgeEndpoint) -> String {
        Key::new(&endpoint.identity(), &endpoint.variant.prompt(&QUESTION)).to_hex()
    }

    #[test]
    fn a_verdict_belongs_to_kind_model_prompt_and_reading_and_not_to_an_address() {
        let one = JudgeEndpoint::new(EndpointKind::OpenAi, "http://localhost/v1", "m");
        let elsewhere = JudgeEndpoint::new(EndpointKind::OpenAi, "https://example.org/v1", "m");
        assert_eq!(key(&one), key(&elsewhere));
        assert_eq!(key(&one).len(), 64);

        let lenient = JudgeEndpoint { variant: Variant::Judge { reading: VerdictReading::AnyOne }, ..one.clone() };
        let verifier = Variant::Verifier { family: VerifierFamily::Qwen3, reading: VerifierReading::Strict };
        let verifier = JudgeEndpoint { variant: verifier, ..one.clone() };
        let azure = JudgeEndpoint { kind: EndpointKind::Azure, ..one.clone() };
        let other = JudgeEndpoint { model: "n".to_owned(), ..one.clone() };
        let mut keys = [&one, &lenient, &verifier, &azure, &other].map(key);
        keys.sort();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn a_verifier_is_written_as_a_table() {
        let written = "kind = \"verifier\"\nfamily = \"qwen3\"";
        let expected = Variant::Verifier { family: VerifierFamily::Qwen3, reading: VerifierReading::Strict };
        assert_eq!(toml::from_str::<Variant>(written).unwrap(), expected);
        assert!(toml::from_str::<Variant>("kind = \"judge\"\nfamily = \"qwen3\"").is_err());
    }
}
