//! The default rules. Nothing sampled is altered; the response mask is true on sampled ids and nowhere else.
//!
//! - A valid call returns the full images, once; a second call is malformed ([`ToolCallError::AlreadyFull`]).
//! - A malformed call is followed by an error turn, except when the reply was cut off inside the call.
//! - An `<|im_end|>` that is missing before such a turn is put there with mask false.
//! - The conversation ends with [`FinishReason::Length`] when the turns are used up, when the full images would exceed
//!   `max_images`, or when the next turn and one token of a reply do not fit into `max_total_tokens`.

use super::Conversation;
use crate::error::Result;
use crate::tool_call::{ToolCallError, ToolCallParse};
use crate::turn::{FinishReason, ImageView, Turn, View};
use crate::turn_rules::{self, Next};

impl Conversation {
    pub(super) fn push_exact(&mut self, ids: &[u32], finish_reason: FinishReason) -> Result<()> {
        self.append(ids, true);
        self.ids_given = self.ids.len();
        self.images_given = self.images.len();
        let text = self.tokenizer.decode(ids, true)?;
        let broken = self.broken_id(ids);
        let tool_call = match &broken {
            Some(error) => ToolCallParse::Malformed(error.clone()),
            None => self.read_call(&text),
        };
        self.turns.push(Turn { text, ids: ids.to_vec(), tool_call: tool_call.clone(), finish_reason });
        if finish_reason == FinishReason::Cancelled || broken.is_some() {
            self.finished = Some(finish_reason);
            return Ok(());
        }
        self.answer_call(&tool_call, finish_reason)
    }

    /// An id that cannot be fed back: a pad without pixels, or one that is no token.
    fn broken_id(&self, ids: &[u32]) -> Option<ToolCallError> {
        let special = self.tokenizer.special();
        ids.iter().find_map(|&id| {
            if id == special.image_pad || Some(id) == special.video_pad {
                Some(ToolCallError::ImageToken)
            } else if self.tokenizer.id_to_token(id).is_none() {
                Some(ToolCallError::UnknownToken { id })
            } else {
                None
            }
        })
    }

    fn read_call(&self, text: &str) -> ToolCallParse {
        let shows_full = self.images.iter().any(|image| image.view == View::Full);
        turn_rules::read(self.tool(), text, shows_full)
    }

    /// Appends the turn that follows a call, or ends the conversation.
    fn answer_call(&mut self, tool_call: &ToolCallParse, finish_reason: FinishReason) -> Result<()> {
        let turns_left = self.limits.max_turns.saturating_sub(self.turns.len());
        let next = turn_rules::next(self.tool().is_some(), tool_call, finish_reason, turns_left);
        let (turn, images) = match (self.tool(), next) {
            (Some(tool), Next::Error(error)) => (self.error_turn(tool, &error.to_string())?, Vec::new()),
            (Some(tool), Next::Images) => self.response_turn(tool)?,
            (_, Next::End(reason)) => {
                self.finished = Some(reason);
                return Ok(());
            }
            (None, _) => {
                self.finished = Some(finish_reason);
                return Ok(());
            }
        };
        self.append_turn(&turn, images);
        Ok(())
    }

    fn append_turn(&mut self, turn: &[u32], images: Vec<ImageView>) {
        let im_end = self.tokenizer.special().im_end;
        let end = if self.ids.last() == Some(&im_end) { None } else { Some(im_end) };
        let length = self.ids.len() + usize::from(end.is_some()) + turn.len();
        let fits = length < self.limits.max_total_tokens
            && self.images.len() + images.len() <= self.limits.max_images.max(self.images.len());
        if !fits {
            self.finished = Some(FinishReason::Length);
            return;
        }
        if let Some(end) = end {
            self.append(&[end], false);
        }
        self.append(turn, false);
        self.images.extend(images);
    }
}
