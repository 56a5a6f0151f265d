//! The reference's two loops, token by token, defects included: the training rollout, and the evaluation script where it
//! differs, see [`crate::evaluation`].
//!
//! Source: VisionThink, `vllm_rollout_spmd.py`, class `vLLMRollout_MultiTurn_ToolCall`, and `scripts/vllm_tool.py`, commit
//! 42afd8c. It alters what was
//! sampled: ids above the last token are deleted, and a reply without `<|im_end|>` has its last id overwritten by one,
//! inside the loss mask. It answers a call in the last round, which leaves a turn nobody replies to, and returns the
//! image again for every further call. Calls are read leniently. Here for parity only.

use super::Conversation;
use crate::error::{ProtocolError, Result};
use crate::mask::last_im_end_mask;
use crate::tool_call::{Strictness, ToolCallParse, parse_tool_call};
use crate::turn::{FinishReason, Rules, Turn};

impl Conversation {
    pub(super) fn push_reference(&mut self, ids: &[u32], finish_reason: FinishReason) -> Result<()> {
        let kept = self.altered(ids)?;
        let unchanged = kept.iter().zip(ids).take_while(|(kept, sampled)| kept == sampled).count();
        self.ids_given = self.ids.len() + unchanged;
        self.images_given = self.images.len();
        self.append(&kept, true);
        let text = self.tokenizer.decode(&kept, true)?;
        let tool_call = parse_tool_call(&text, Strictness::Lenient);
        self.turns.push(Turn { text, ids: kept, tool_call: tool_call.clone(), finish_reason });
        let open = tool_call != ToolCallParse::None && self.images.len() < self.limits.max_images;
        let Some(tool) = self.tool().filter(|_| open) else {
            self.finished = Some(finish_reason);
            return Ok(());
        };
        let (turn, images) = match &tool_call {
            ToolCallParse::Malformed(error) => (self.error_turn(tool, &error.to_string())?, Vec::new()),
            _ => self.response_turn(tool)?,
        };
        self.append(&turn, false);
        self.images.extend(images);
        if self.turns.len() >= self.limits.max_turns || self.ids.len() >= self.limits.max_total_tokens {
            self.finished = Some(FinishReason::Length);
        }
        Ok(())
    }

    /// The reply as the reference keeps it.
    fn altered(&self, ids: &[u32]) -> Result<Vec<u32>> {
        let special = self.tokenizer.special();
        let mut kept: Vec<u32> =
            ids.iter().copied().filter(|&id| (id as usize) < self.tokenizer.vocab_size()).collect();
        // The evaluation keeps no account of pads; what it does with this one is left to its engine.
        if self.rules == Rules::Reference && kept.contains(&special.image_pad) {
            return Err(ProtocolError::SampledImageToken);
        }
        let ended = kept.contains(&special.im_end);
        let last = kept.last_mut().ok_or(ProtocolError::EmptyReply)?;
        if !ended {
            *last = special.im_end;
        }
        Ok(kept)
    }

    /// What the reference's evaluation hands on to the benchmarks: the ids of all replies, decoded as one text.
    ///
    /// # Errors
    /// [`ProtocolError::Decode`].
    pub fn evaluation_response(&self) -> Result<String> {
        let sampled = self.ids.iter().zip(&self.response_mask).filter(|(_, sampled)| **sampled);
        self.tokenizer.decode(&sampled.map(|(id, _)| *id).collect::<Vec<_>>(), true)
    }

    /// The response as the reference's trainer sees it: cut to `max_response_tokens`, padding left out.
    ///
    /// # Errors
    /// [`ProtocolError::Decode`].
    pub fn reference_response(&self, max_response_tokens: usize) -> Result<ReferenceResponse> {
        let end = self.ids.len().min(self.prompt_tokens + max_response_tokens);
        let ids = self.ids[self.prompt_tokens..end].to_vec();
        let mask = self.response_mask[self.prompt_tokens..end].to_vec();
        let attended = last_im_end_mask(&ids, self.tokenizer.special().im_end);
        let mut turn_texts = Vec::new();
        let mut at = 0;
        for run in mask.chunk_by(|a, b| a == b) {
            let next = at + run.len();
            if run[0] {
                turn_texts.push(self.tokenizer.decode(&ids[at..next - 1], true)?);
            }
            at = next;
        }
        Ok(ReferenceResponse { attention: attended, turn_texts, mask, ids })
    }
}

/// The part of a conversation behind the first prompt, as the reference trains on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceResponse {
    /// Ids, images expanded.
    pub ids: Vec<u32>,
    /// True on ids of the model. The loss mask is this and `attention`.
    pub mask: Vec<bool>,
    /// True up to the last `<|im_end|>`.
    pub attention: Vec<bool>,
    /// The turns as the reward sees them: each run of the mask without its last id, decoded.
    pub turn_texts: Vec<String>,
}
