//! The rules of a conversation that ask neither for ids nor for messages: when the tool is offered, how a reply is
//! read, what follows it. [`Conversation`](crate::Conversation) and [`Dialogue`](crate::Dialogue) both go by them.

use crate::answer::{extract_answer, final_answer};
use crate::error::{ProtocolError, Result};
use crate::profile::{Mode, Profile, Tool};
use crate::tool_call::{ToolCallError, ToolCallParse};
use crate::turn::{Decision, FinishReason, View};

/// What follows a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Nothing.
    End(FinishReason),
    /// A turn that tells the model what is wrong with its call.
    Error(&'a ToolCallError),
    /// A turn that shows the full images.
    Images,
}

/// The tool is offered in mode `adaptive` when there is an image. A question without one is answered as text.
pub(crate) fn offers_tool(profile: &Profile, mode: Mode, images: usize) -> Result<bool> {
    if mode != Mode::Adaptive || images == 0 {
        return Ok(false);
    }
    match profile.tool {
        Some(_) => Ok(true),
        None => Err(ProtocolError::NoTool { profile: profile.name.clone(), mode }),
    }
}

/// How the images of the first prompt are shown.
pub(crate) fn first_view(mode: Mode) -> View {
    match mode {
        Mode::Full => View::Full,
        Mode::Adaptive | Mode::Low => View::Low,
    }
}

/// Reads a reply; `tool` where it was offered. The full images are given once.
pub(crate) fn read(tool: Option<&Tool>, text: &str, shows_full: bool) -> ToolCallParse {
    match tool.map(|tool| tool.parse(text)) {
        None => ToolCallParse::None,
        Some(ToolCallParse::Resize) if shows_full => ToolCallParse::Malformed(ToolCallError::AlreadyFull),
        Some(other) => other,
    }
}

/// What follows a reply that ended for `finish_reason`, with so many turns left. A call that was cut off inside is not
/// answered: the reply has no room to be mended.
pub(crate) fn next(
    tool_offered: bool,
    tool_call: &ToolCallParse,
    finish_reason: FinishReason,
    turns_left: usize,
) -> Next<'_> {
    let cut_inside =
        finish_reason == FinishReason::Length && *tool_call == ToolCallParse::Malformed(ToolCallError::Unclosed);
    match tool_call {
        _ if !tool_offered || cut_inside => Next::End(finish_reason),
        ToolCallParse::None => Next::End(finish_reason),
        _ if turns_left == 0 => Next::End(FinishReason::Length),
        ToolCallParse::Malformed(error) => Next::Error(error),
        ToolCallParse::Resize => Next::Images,
    }
}

/// What the first reply, if there is one, turned out to be.
pub(crate) fn decision(tool_offered: bool, first: Option<&ToolCallParse>) -> Decision {
    match first {
        Some(ToolCallParse::Malformed(_)) => Decision::Malformed,
        None => Decision::None,
        Some(_) if !tool_offered => Decision::None,
        Some(ToolCallParse::Resize) => Decision::Resize,
        Some(ToolCallParse::None) => Decision::Direct,
    }
}

/// The answer in the last reply: what its answer tags hold, else its text without the thinking.
pub(crate) fn answer<'a>(text: &'a str, tool_call: &ToolCallParse) -> Option<&'a str> {
    let answer = match tool_call {
        ToolCallParse::None => final_answer(text),
        ToolCallParse::Resize => return None,
        ToolCallParse::Malformed(_) => extract_answer(text)?,
    };
    (!answer.is_empty()).then_some(answer)
}

/// The reason of a malformed call as the model may read it: it can quote the reply, and special tokens spelled out in the
/// quote must stay text.
pub(crate) fn harmless(error: &str) -> String {
    error.replace("<|", "< |")
}
