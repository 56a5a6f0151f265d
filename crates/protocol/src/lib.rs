//! Text in, ids out: tokenizer, chat template, profiles, tool calls, turns and the response mask.
//!
//! Read [`Conversation`] first: it is a state machine without I/O that trades in ids; [`Dialogue`] is its sister over messages. [`Tokenizer`] and [`ChatTemplate`]
//! come from the files of a checkpoint, a [`Profile`] says what to write, [`parse_tool_call`] reads what the model wrote.
//!
//! This crate knows nothing of tensors, devices or pixels; an image is a number of tokens to it.
//!
//! Source: arXiv 2507.13348 and its repository (VisionThink, commit 42afd8c); the tokenizer and template rules are
//! those of transformers for Qwen2.5-VL.

mod answer;
mod byte_level;
mod conversation;
mod dialogue;
mod error;
pub mod evaluation;
pub mod lenient;
mod mask;
mod message;
mod profile;
pub mod prompts;
mod python_json;
mod reply_splitter;
mod special;
mod template;
mod tokenizer;
mod tool_call;
mod turn;
mod turn_rules;

pub use answer::{extract_answer, final_answer};
pub use conversation::reference::ReferenceResponse;
pub use conversation::{Conversation, Setup, Transcript};
pub use dialogue::{Dialogue, DialogueSetup, DialogueTurn};
pub use error::{ProtocolError, Result};
pub use mask::{first_end_mask, last_im_end_mask};
pub use message::{Content, FunctionCall, Message, Part, Role, ToolCall};
pub use profile::{CallSyntax, FirstPrompt, Mode, Profile, ProfileName, Tool};
pub use reply_splitter::{Piece, ReplySplitter};
pub use special::{IMAGE_PLACEHOLDER, SpecialTokens, names};
pub use template::{ChatTemplate, RenderOptions};
pub use tokenizer::{DecodeStream, Tokenizer};
pub use tool_call::{
    Strictness, TOOL_ACTION, TOOL_NAME, ToolCallError, ToolCallParse, parse_tag_call, parse_tool_call,
};
pub use turn::{Decision, FinishReason, ImageTokens, ImageView, Limits, Rules, Step, Turn, View};
