//! What comes of a request: samples, how they were looked at, and what they cost.

use serde::Serialize;
use serde_json::Value;
use visionthink_protocol::{Decision, DialogueTurn, FinishReason, Mode, View};

/// Token counts of a request: what the engine has really read and written, over all turns and samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Tokens of prompts. A second turn has the first one's in it and counts them again: they were sent again.
    pub prompt_tokens: u64,
    /// Tokens sampled.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// What of the prompts was known already.
    pub prompt_tokens_details: PromptDetails,
}

/// Part of [`Usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PromptDetails {
    /// Prompt tokens that were not computed again.
    pub cached_tokens: u64,
}

impl Usage {
    /// Counts of one turn.
    pub fn new(prompt_tokens: u64, completion_tokens: u64, cached_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails { cached_tokens },
        }
    }

    /// Adds the counts of another turn or sample.
    pub fn add(&mut self, other: Self) {
        let sum = |one: u64, two: u64| one.saturating_add(two);
        *self = Self::new(
            sum(self.prompt_tokens, other.prompt_tokens),
            sum(self.completion_tokens, other.completion_tokens),
            sum(self.prompt_tokens_details.cached_tokens, other.prompt_tokens_details.cached_tokens),
        );
    }
}

/// What became of one sample: the message, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The answer; nothing where the model gave none.
    pub content: String,
    /// What was thought, over all turns.
    pub reasoning: String,
    /// Calls of the caller's own functions, in OpenAI's shape.
    pub tool_calls: Vec<Value>,
    /// Why the last reply ended, in OpenAI's words.
    pub finish_reason: String,
    /// OpenAI's `logprobs` of the whole last reply, its thinking and its tags included.
    pub logprobs: Option<Value>,
    /// Token counts.
    pub usage: Usage,
    /// How it was looked at.
    pub report: SampleReport,
}

/// Entry of `visionthink.samples`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleReport {
    /// Which sample.
    pub index: usize,
    /// What the first turn turned out to be.
    pub decision: Decision,
    /// Replies of the model.
    pub turns: usize,
    /// The views that were shown, in order.
    pub views: Vec<View>,
    /// Tokens of these views, where the server knows what images cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<usize>,
    /// Tokens the images take in full, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_image_tokens: Option<usize>,
    /// Token counts.
    pub usage: Usage,
    /// Every turn, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Vec<TurnReport>>,
}

/// One turn of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnReport {
    /// Text, call and end.
    #[serde(flatten)]
    pub turn: DialogueTurn,
    /// Token counts of this turn.
    pub usage: Usage,
    /// Ids of the prompt, images expanded, where the engine gives them. Clients are not told: it is in no message.
    #[serde(skip)]
    pub prompt_token_ids: Vec<u32>,
    /// Ids of the reply, where the engine gives them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_ids: Vec<u32>,
}

/// The `visionthink` object of a reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisionReport {
    /// The mode the request was answered in; nothing where it was handed on as it came.
    pub mode: Option<Mode>,
    /// One entry a sample.
    pub samples: Vec<SampleReport>,
}

/// Everything that answers a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The mode the request was answered in; nothing where it was handed on as it came.
    pub mode: Option<Mode>,
    /// In the order of their indices, at least one.
    pub samples: Vec<Sample>,
}

impl Completion {
    /// Counts of all samples.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.samples.iter().for_each(|sample| usage.add(sample.usage));
        usage
    }

    /// The `visionthink` object.
    pub fn report(&self) -> VisionReport {
        VisionReport { mode: self.mode, samples: self.samples.iter().map(|sample| sample.report.clone()).collect() }
    }
}

/// OpenAI's word for the end of a conversation.
pub fn finish_word(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::Length) => "length",
        _ => "stop",
    }
}
