//! How a sample came about, whichever engine had the conversation, and the sample that is made of it.

use serde_json::Value;
use visionthink_image::Views;
use visionthink_protocol::{Decision, ImageView, View};

use crate::api::{ChatRequest, Sample, SampleReport, TurnReport, Usage};
use crate::voice::Voice;

/// What is known of a conversation when it is over.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) decision: Decision,
    pub(crate) views: Vec<ImageView>,
    pub(crate) turns: Vec<TurnReport>,
    /// Calls of the client's own functions.
    pub(crate) tool_calls: Vec<Value>,
    pub(crate) finish_reason: String,
    pub(crate) logprobs: Option<Value>,
}

impl Looked {
    /// The sample; `costs` of the images where they are known.
    pub(crate) fn into_sample(self, request: &ChatRequest, costs: Option<&[Views]>, voice: Voice<'_>) -> Sample {
        let mut usage = Usage::default();
        self.turns.iter().for_each(|turn| usage.add(turn.usage));
        let tokens = |costs: &[Views], view: &ImageView| match (costs.get(view.source), view.view) {
            (Some(cost), View::Low) => cost.low.tokens,
            (Some(cost), View::Full) => cost.full.tokens,
            (None, _) => 0,
        };
        let (index, content, reasoning) = voice.into_parts();
        let report = SampleReport {
            index,
            decision: self.decision,
            turns: self.turns.len(),
            views: self.views.iter().map(|view| view.view).collect(),
            image_tokens: costs.map(|costs| self.views.iter().map(|view| tokens(costs, view)).sum()),
            full_image_tokens: costs.map(|costs| costs.iter().map(|cost| cost.full.tokens).sum()),
            usage,
            transcript: request.vision.show_turns.then_some(self.turns),
        };
        let Self { tool_calls, finish_reason, logprobs, .. } = self;
        Sample { content, reasoning, tool_calls, finish_reason, logprobs, usage, report }
    }
}
