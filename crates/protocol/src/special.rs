//! The tokens with a meaning of their own, looked up by name in the files of a checkpoint.

use crate::error::{ProtocolError, Result};

/// Names of the tokens the protocol speaks of. Their ids differ between checkpoints.
pub mod names {
    /// Begins a message.
    pub const IM_START: &str = "<|im_start|>";
    /// Ends a message; the first stop token.
    pub const IM_END: &str = "<|im_end|>";
    /// Padding; the second stop token.
    pub const ENDOFTEXT: &str = "<|endoftext|>";
    /// Stands before an image.
    pub const VISION_START: &str = "<|vision_start|>";
    /// Stands behind an image.
    pub const VISION_END: &str = "<|vision_end|>";
    /// One merged image token.
    pub const IMAGE_PAD: &str = "<|image_pad|>";
    /// One merged video token.
    pub const VIDEO_PAD: &str = "<|video_pad|>";
    /// Opens a tool call.
    pub const TOOL_CALL: &str = "<tool_call>";
    /// Closes a tool call.
    pub const TOOL_CALL_END: &str = "</tool_call>";
}

/// One image in a text, before its pad is expanded.
pub const IMAGE_PLACEHOLDER: &str = "<|vision_start|><|image_pad|><|vision_end|>";

/// Ids of the special tokens of one tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<|im_start|>`
    pub im_start: u32,
    /// `<|im_end|>`
    pub im_end: u32,
    /// `<|endoftext|>`
    pub endoftext: u32,
    /// `<|vision_start|>`
    pub vision_start: u32,
    /// `<|vision_end|>`
    pub vision_end: u32,
    /// `<|image_pad|>`
    pub image_pad: u32,
    /// `<|video_pad|>`, where the vocabulary has it.
    pub video_pad: Option<u32>,
    /// `<tool_call>`, where it is one token.
    pub tool_call_open: Option<u32>,
    /// `</tool_call>`, where it is one token.
    pub tool_call_close: Option<u32>,
}

impl SpecialTokens {
    /// Looks every token up.
    ///
    /// # Errors
    /// [`ProtocolError::SpecialTokenMissing`] for one of the six that a vision-language conversation cannot do without.
    pub(crate) fn look_up(id_of: impl Fn(&str) -> Option<u32>) -> Result<Self> {
        let required =
            |token: &str| id_of(token).ok_or_else(|| ProtocolError::SpecialTokenMissing { token: token.to_owned() });
        Ok(Self {
            im_start: required(names::IM_START)?,
            im_end: required(names::IM_END)?,
            endoftext: required(names::ENDOFTEXT)?,
            vision_start: required(names::VISION_START)?,
            vision_end: required(names::VISION_END)?,
            image_pad: required(names::IMAGE_PAD)?,
            video_pad: id_of(names::VIDEO_PAD),
            tool_call_open: id_of(names::TOOL_CALL),
            tool_call_close: id_of(names::TOOL_CALL_END),
        })
    }
}
