//! The reference's evaluation: what it asks, how it samples, and the turns behind a call.
//!
//! A conversation under [`Rules::Evaluation`](crate::Rules::Evaluation) with [`profile`] and [`question`] repeats it, defects
//! included. Beside the training rollout ([`Rules::Reference`](crate::Rules::Reference)):
//!
//! - The error of a malformed call is told bare, without a tool response around it.
//! - A call returns every original, again for every further call, while there are fewer than `max_images` images.
//! - Placeholders are not counted: `<image>` is put in front once, however many images there are, and an image without a
//!   placeholder has no pads.
//! - Calls are read whatever the prompt offers, of a model that was shown the full image too.
//! - The replies are joined without a separator, see
//!   [`Conversation::evaluation_response`](crate::Conversation::evaluation_response).
//!
//! The views are those of `visionthink_image::low_size` and `full_size`; where the script does not halve, both are the full
//! one. Departure: the script samples a whole batch by the settings of its last request, and where a task has no pictures it
//! shows those of the request before, or fails; here each request stands alone.
//!
//! Source: VisionThink, `scripts/vllm_tool.py`, commit 42afd8c.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{ProtocolError, Result};
use crate::message::{IMAGE_MARK, Message};
use crate::profile::{Profile, ProfileName};
use crate::prompts;
use crate::tool_call::Strictness;

/// Sampled tokens per reply, whatever a task asks for.
pub const MAX_NEW_TOKENS: usize = 8192;

/// `top_p` where a task gives none strictly between 0 and 1.
pub const TOP_P: f64 = 0.95;

/// Which first prompt the script was started with, by its own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// The system prompt that offers the tool.
    ToolCall,
    /// The same user template under a system prompt that does not.
    RawPrompt,
}

impl FromStr for Prompt {
    type Err = ProtocolError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "tool_call" => Ok(Self::ToolCall),
            "raw_prompt" => Ok(Self::RawPrompt),
            _ => Err(ProtocolError::UnknownEvaluationPrompt { name: name.to_owned() }),
        }
    }
}

/// The released profile as the script writes it.
pub fn profile(prompt: Prompt) -> Profile {
    let mut profile = Profile::from(ProfileName::Visionthink);
    "visionthink-evaluation".clone_into(&mut profile.name);
    if let Some(tool) = &mut profile.tool {
        tool.strictness = Strictness::Lenient;
        prompts::TURN_ERROR_EVALUATION.clone_into(&mut tool.error_turn);
        if prompt == Prompt::RawPrompt {
            tool.prompt.system = Some(prompts::SYSTEM_SHORT.to_owned());
        }
    }
    profile
}

/// The question as the script asks it: with `<image>` and a line break in front unless it places images itself.
pub fn question(text: &str) -> Message {
    if text.contains(IMAGE_MARK) {
        Message::from_problem(text)
    } else {
        Message::from_problem(&format!("{IMAGE_MARK}\n{text}"))
    }
}

/// How the script samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sampling {
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// Sampled tokens per reply.
    pub max_new_tokens: usize,
}

impl Sampling {
    /// The settings for a task: its temperature, else 0; its `top_p` where it lies strictly between 0 and 1, else
    /// [`TOP_P`]; always [`MAX_NEW_TOKENS`].
    pub fn for_task(temperature: Option<f64>, top_p: Option<f64>) -> Self {
        Self {
            temperature: temperature.unwrap_or(0.0),
            top_p: top_p.filter(|&share| share > 0.0 && share < 1.0).unwrap_or(TOP_P),
            max_new_tokens: MAX_NEW_TOKENS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nucleus_is_taken_from_the_task_only_strictly_between_0_and_1() {
        for (given, taken) in [(None, 0.95), (Some(0.0), 0.95), (Some(1.0), 0.95), (Some(-1.0), 0.95), (Some(0.5), 0.5)]
        {
            assert_eq!(Sampling::for_task(Some(0.7), given).top_p.to_bits(), f64::to_bits(taken), "{given:?}");
        }
        assert_eq!(Sampling::for_task(None, None), Sampling { temperature: 0.0, top_p: 0.95, max_new_tokens: 8192 });
    }

    #[test]
    fn an_unknown_prompt_is_refused_by_name() {
        let error = "tool".parse::<Prompt>().unwrap_err().to_string();
        assert_eq!(error, "unknown prompt `tool` of the evaluation; expected `tool_call` or `raw_prompt`");
    }
}
