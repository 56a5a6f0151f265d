//! The words a conversation is described with: views of images, limits, turns, decisions, steps.

use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use crate::tool_call::ToolCallParse;

/// Which rendition of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Half the width and height.
    Low,
    /// As it came.
    Full,
}

/// Token counts of one source image, in merged image tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTokens {
    /// Of the low-resolution view.
    pub low: usize,
    /// Of the full view.
    pub full: usize,
}

impl ImageTokens {
    /// Of one view.
    pub fn of(self, view: View) -> usize {
        match view {
            View::Low => self.low,
            View::Full => self.full,
        }
    }
}

/// One image in a conversation: a view of a source image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageView {
    /// Index of the source image in the request.
    pub source: usize,
    /// How it is shown.
    pub view: View,
}

/// Bounds of one conversation. Reaching one ends it with [`FinishReason::Length`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Replies of the model. A call in the last one is not answered.
    pub max_turns: usize,
    /// Images in the conversation, both views counted.
    pub max_images: usize,
    /// Sampled tokens per reply.
    pub max_new_tokens_per_turn: usize,
    /// All tokens, images expanded: the context of the model, or less.
    pub max_total_tokens: usize,
}

impl Limits {
    /// Two turns, as many images as it takes, and replies bounded by the context alone.
    pub fn for_context(max_total_tokens: usize) -> Self {
        Self { max_turns: 2, max_images: usize::MAX, max_new_tokens_per_turn: max_total_tokens, max_total_tokens }
    }
}

/// Which rules a conversation follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Sampled ids stay as they are, and the response mask is exactly the sampled ids.
    #[default]
    Exact,
    /// The reference's training rollout, defects included; see [`crate::ReferenceResponse`].
    Reference,
    /// The reference's evaluation, defects included; see [`crate::evaluation`].
    Evaluation,
}

/// Why a reply, or the conversation, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model stopped by itself.
    Stop,
    /// A limit was reached.
    Length,
    /// The caller cancelled.
    Cancelled,
}

/// What the first turn turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It answered from the low-resolution image.
    Direct,
    /// It asked for the full image.
    Resize,
    /// It was a broken call, or ids that cannot be continued.
    Malformed,
    /// No tool was offered, or there is no turn yet.
    None,
}

/// One reply of the model.
///
/// Serializes as `{text, tool_call, finish_reason, completion_tokens}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The reply, special tokens left out.
    pub text: String,
    /// The ids as they stand in the conversation, the end token included where it was sampled.
    pub ids: Vec<u32>,
    /// What it asks for; always [`ToolCallParse::None`] for a well-formed reply where no tool is offered.
    pub tool_call: ToolCallParse,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl Serialize for Turn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut turn = serializer.serialize_struct("Turn", 4)?;
        turn.serialize_field("text", &self.text)?;
        turn.serialize_field("tool_call", &self.tool_call)?;
        turn.serialize_field("finish_reason", &self.finish_reason)?;
        turn.serialize_field("completion_tokens", &self.ids.len())?;
        turn.end()
    }
}

/// What a conversation wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Sample a reply and hand it to [`crate::Conversation::push_reply`].
    Generate {
        /// Ids that the backend does not have yet. It has everything before: what it was given and what it sampled.
        new_ids: &'a [u32],
        /// Where `new_ids` begin in [`crate::Conversation::ids`]. Under the exact rules the end of what the backend has;
        /// under the reference rules it can lie before that, and the backend forgets what is behind.
        start: usize,
        /// The images whose pads are in `new_ids`, in order.
        new_images: &'a [ImageView],
        /// Upper bound on the reply, at least 1.
        max_new_tokens: usize,
        /// Ids that end the reply; the one that did belongs to it.
        stop_ids: &'a [u32],
    },
    /// Nothing: the conversation is over.
    Done,
}
