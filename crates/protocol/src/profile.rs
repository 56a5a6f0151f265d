//! Profiles: everything that differs between families of checkpoints, as data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ProtocolError, Result};
use crate::message::{Content, Message, Part, Role};
use crate::prompts;
use crate::special::{IMAGE_PLACEHOLDER, names};
use crate::tool_call::{Strictness, ToolCallParse, parse_tag_call, parse_tool_call};
use crate::turn_rules;

/// Which image the model sees, and whether it may ask for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The low-resolution image first, the full one on request.
    #[default]
    Adaptive,
    /// The full image, no tool.
    Full,
    /// The low-resolution image, no tool.
    Low,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adaptive => "adaptive",
            Self::Full => "full",
            Self::Low => "low",
        })
    }
}

impl FromStr for Mode {
    type Err = ProtocolError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "adaptive" => Ok(Self::Adaptive),
            "full" => Ok(Self::Full),
            "low" => Ok(Self::Low),
            _ => Err(ProtocolError::UnknownMode { name: name.to_owned() }),
        }
    }
}

/// The profiles that come with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// What the released VisionThink checkpoints expect.
    Visionthink,
    /// The general recipe: full image, no tool.
    General,
    /// Ablation of the paper: a tag instead of a tool schema.
    SimpleResize,
    /// Ablation of the paper: a tag instead of a tool schema, with thinking.
    SimpleThinkResize,
    /// Few tokens, for the embedded model.
    Compact,
}

impl ProfileName {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Visionthink, Self::General, Self::SimpleResize, Self::SimpleThinkResize, Self::Compact];
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Visionthink => "visionthink",
            Self::General => "general",
            Self::SimpleResize => "simple-resize",
            Self::SimpleThinkResize => "simple-think-resize",
            Self::Compact => "compact",
        })
    }
}

impl FromStr for ProfileName {
    type Err = ProtocolError;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|profile| profile.to_string() == name);
        found.ok_or_else(|| ProtocolError::UnknownProfile { name: name.to_owned() })
    }
}

/// A first prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstPrompt {
    /// System message; without one the chat template may put its own.
    pub system: Option<String>,
    /// User message, `{Question}` standing for images and question.
    pub user: String,
}

/// How a call is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallSyntax {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`
    Json,
    /// This tag, written out.
    Tag(String),
}

/// The offer of `resize_image`, and the turns that follow a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// First prompt when the tool is offered.
    pub prompt: FirstPrompt,
    /// How the model calls.
    pub syntax: CallSyntax,
    /// How its calls are read.
    pub strictness: Strictness,
    /// The tool in the OpenAI format, for clients; the prompt has its own wording.
    pub schema: Value,
    /// What stands between `<|im_end|>` of the call and the next turn. Empty in every known profile, where a chat template
    /// would put a line break: the models were trained on ids appended without one.
    pub turn_separator: String,
    /// The turn that returns the full images, up to the opening of the next reply; `{images}` stands for them.
    pub response_turn: String,
    /// The turn after a malformed call; `{error}` stands for the reason, if it is given.
    pub error_turn: String,
}

impl Tool {
    /// Reads a reply.
    pub fn parse(&self, text: &str) -> ToolCallParse {
        match &self.syntax {
            CallSyntax::Json => parse_tool_call(text, self.strictness),
            CallSyntax::Tag(tag) => parse_tag_call(text, tag, self.strictness),
        }
    }
}

/// A family of checkpoints, seen from the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, for messages.
    pub name: String,
    /// The tool, if the family knows one.
    pub tool: Option<Tool>,
    /// First prompt when no tool is offered: modes `full` and `low`, and questions without an image.
    pub plain: FirstPrompt,
    /// What follows each image, in the first prompt and in the tool response.
    pub image_suffix: String,
    /// Tokens that end a reply.
    pub stop_tokens: Vec<String>,
}

impl Profile {
    /// A profile by its name.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownProfile`].
    pub fn by_name(name: &str) -> Result<Self> {
        Ok(name.parse::<ProfileName>()?.into())
    }

    /// The same profile with the tool schema of the system prompt as valid JSON: the line break inside a JSON string,
    /// which the released checkpoints saw, becomes `\n`.
    #[must_use]
    pub fn with_valid_schema(mut self) -> Self {
        if let Some(system) = self.tool.as_mut().and_then(|tool| tool.prompt.system.as_mut()) {
            *system = system.replace("actions are:\n*", "actions are:\\n*");
        }
        self
    }

    /// A user message of `images` images, each with the suffix of this profile, and a question.
    pub fn question(&self, text: &str, images: usize) -> Message {
        if images == 0 {
            return Message::new(Role::User, text);
        }
        let mut parts = Vec::with_capacity(2 * images + 1);
        for _ in 0..images {
            parts.push(Part::Image { url: None });
            if !self.image_suffix.is_empty() {
                parts.push(Part::Text { text: self.image_suffix.clone() });
            }
        }
        parts.push(Part::Text { text: text.to_owned() });
        Message::new(Role::User, parts)
    }

    /// The messages of the first prompt: the system message goes in front (before a system message that is there), the
    /// last message is put into the user template.
    pub(crate) fn first_messages(&self, prompt: &FirstPrompt, question: &[Message]) -> Result<Vec<Message>> {
        let last = question.last().ok_or(ProtocolError::NoMessages)?;
        if last.role != Role::User {
            return Err(ProtocolError::LastMessageNotUser { role: last.role });
        }
        let mut messages = question.to_vec();
        if let Some(message) = messages.last_mut() {
            message.content = self.wrap(prompt, &last.content)?;
        }
        let Some(system) = &prompt.system else {
            return Ok(messages);
        };
        match messages.first_mut().filter(|message| message.role == Role::System) {
            Some(own) => prepend(&mut own.content, &format!("{system}\n\n")),
            None => messages.insert(0, Message::new(Role::System, system.as_str())),
        }
        Ok(messages)
    }

    fn wrap(&self, prompt: &FirstPrompt, content: &Content) -> Result<Content> {
        let (before, after) = self.placeholder(&prompt.user, "user", "{Question}")?;
        let text = |text: &str| Part::Text { text: text.to_owned() };
        Ok(match content {
            Content::Text(question) => Content::Text(format!("{before}{question}{after}")),
            Content::Parts(parts) => {
                let pieces = [text(before)].into_iter().chain(parts.iter().cloned()).chain([text(after)]);
                Content::Parts(pieces.filter(|part| *part != text("")).collect())
            }
        })
    }

    /// The turn that returns `images` full images.
    pub(crate) fn response_turn(&self, tool: &Tool, images: usize) -> Result<String> {
        let (before, after) = self.placeholder(&tool.response_turn, "tool.response_turn", "{images}")?;
        let shown = format!("{IMAGE_PLACEHOLDER}{}", self.image_suffix).repeat(images);
        Ok(format!("{before}{shown}{after}"))
    }

    /// [`Profile::response_turn`] as a message, for whoever has the chat template.
    pub(crate) fn response_message(&self, tool: &Tool, images: usize) -> Result<Message> {
        let turn = self.body_of_turn(&tool.response_turn, "tool.response_turn")?;
        let (before, after) = self.placeholder(turn, "tool.response_turn", "{images}")?;
        let text = |text: &str| Part::Text { text: text.to_owned() };
        let shown = (0..images).flat_map(|_| [Part::Image { url: None }, text(&self.image_suffix)]);
        let parts = [text(before)].into_iter().chain(shown).chain([text(after)]).filter(|part| *part != text(""));
        Ok(Message::new(Role::User, parts.collect::<Vec<_>>()))
    }

    /// The turn that follows a malformed call, as a message.
    pub(crate) fn error_message(&self, tool: &Tool, error: &str) -> Result<Message> {
        let turn = self.body_of_turn(&tool.error_turn, "tool.error_turn")?;
        Ok(Message::new(Role::User, turn.replace("{error}", &turn_rules::harmless(error))))
    }

    /// What a user says in a turn that is written out with its markup.
    fn body_of_turn<'a>(&self, turn: &'a str, field: &'static str) -> Result<&'a str> {
        const OPEN: &str = "<|im_start|>user\n";
        let missing = |placeholder| ProtocolError::ProfileInvalid { profile: self.name.clone(), field, placeholder };
        let body = turn.strip_prefix(OPEN).ok_or_else(|| missing(OPEN))?;
        body.split_once(names::IM_END).map(|(body, _)| body).ok_or_else(|| missing(names::IM_END))
    }

    fn placeholder<'a>(
        &self,
        text: &'a str,
        field: &'static str,
        placeholder: &'static str,
    ) -> Result<(&'a str, &'a str)> {
        let missing = || ProtocolError::ProfileInvalid { profile: self.name.clone(), field, placeholder };
        text.split_once(placeholder).ok_or_else(missing)
    }
}

fn prepend(content: &mut Content, text: &str) {
    match content {
        Content::Text(own) => own.insert_str(0, text),
        Content::Parts(parts) => parts.insert(0, Part::Text { text: text.to_owned() }),
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        let prompt =
            |system: Option<&str>, user: &str| FirstPrompt { system: system.map(str::to_owned), user: user.to_owned() };
        let tag = |tag: &str| CallSyntax::Tag(tag.to_owned());
        let plain = prompt(Some(prompts::SYSTEM_GENERAL), prompts::USER_PLAIN);
        let (tool, plain, image_suffix) = match name {
            ProfileName::Visionthink => {
                let offer = prompt(Some(prompts::SYSTEM_TOOL), prompts::USER_TOOL);
                (Some(released_tool(offer, CallSyntax::Json)), plain, "\n")
            }
            ProfileName::General => (None, plain, "\n"),
            // The paper prints the first prompts of the ablations only; the turns behind a call are the released ones.
            ProfileName::SimpleResize => {
                let offer = prompt(Some(prompts::SYSTEM_SHORT), prompts::USER_SIMPLE_RESIZE);
                (Some(released_tool(offer, tag("<resize></resize>"))), plain, "\n")
            }
            ProfileName::SimpleThinkResize => {
                let offer = prompt(Some(prompts::SYSTEM_SIMPLE_THINK_RESIZE), prompts::USER_SIMPLE_THINK_RESIZE);
                (Some(released_tool(offer, tag("<resize>"))), plain, "\n")
            }
            ProfileName::Compact => {
                let offer = prompt(Some(prompts::SYSTEM_COMPACT), prompts::USER_PLAIN);
                let tool = Tool {
                    response_turn: prompts::TURN_RESIZED_COMPACT.to_owned(),
                    error_turn: prompts::TURN_ERROR_COMPACT.to_owned(),
                    ..released_tool(offer, CallSyntax::Json)
                };
                (Some(tool), prompt(None, prompts::USER_PLAIN), "")
            }
        };
        Self {
            name: name.to_string(),
            tool,
            plain,
            image_suffix: image_suffix.to_owned(),
            stop_tokens: vec![names::IM_END.to_owned(), names::ENDOFTEXT.to_owned()],
        }
    }
}

fn released_tool(prompt: FirstPrompt, syntax: CallSyntax) -> Tool {
    Tool {
        prompt,
        syntax,
        strictness: Strictness::Strict,
        schema: resize_schema(),
        turn_separator: String::new(),
        response_turn: prompts::TURN_RESIZED.to_owned(),
        error_turn: prompts::TURN_ERROR.to_owned(),
    }
}

/// The schema of [`prompts::SYSTEM_TOOL`] as valid JSON, without the keys that are not the OpenAI format's.
fn resize_schema() -> Value {
    serde_json::json!({"type": "function", "function": {
        "name": "resize_image",
        "description": "Resize the image resolution.",
        "parameters": {
            "type": "object",
            "properties": {"action": {
                "type": "string",
                "enum": ["resize"],
                "description": "The action to perform. The available actions are:\n* `resize`: Double the resolution of the current image. You should only use this tool if you are unable to obtain the critical information needed to answer the question from the current resolution.",
            }},
            "required": ["action"],
        },
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: ProfileName) -> Profile {
        name.into()
    }

    #[test]
    fn names_read_back_and_unknown_ones_are_refused() {
        for name in ProfileName::ALL {
            assert_eq!(name.to_string().parse::<ProfileName>().unwrap(), name);
            assert_eq!(serde_json::to_value(name).unwrap(), name.to_string());
            assert_eq!(Profile::by_name(&name.to_string()).unwrap().name, name.to_string());
        }
        assert!(matches!(Profile::by_name("vision"), Err(ProtocolError::UnknownProfile { .. })));
        for mode in [Mode::Adaptive, Mode::Full, Mode::Low] {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!(matches!("half".parse::<Mode>(), Err(ProtocolError::UnknownMode { .. })));
    }

    #[test]
    fn a_profile_is_data_that_survives_a_round_trip() {
        for name in ProfileName::ALL {
            let json = serde_json::to_string(&profile(name)).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile(name));
        }
    }

    #[test]
    fn the_schema_can_be_made_valid_json() {
        let schema = |profile: &Profile| {
            let system = profile.tool.as_ref().unwrap().prompt.system.clone().unwrap();
            let (_, tail) = system.split_once("<tools>\n").unwrap();
            serde_json::from_str::<Value>(tail.split_once("\n</tools>").unwrap().0).ok()
        };
        let released = profile(ProfileName::Visionthink);
        assert_eq!(schema(&released), None);
        let valid = schema(&released.clone().with_valid_schema()).unwrap();
        let ours = &released.tool.unwrap().schema["function"];
        assert_eq!(valid["function"]["parameters"]["properties"], ours["parameters"]["properties"]);
    }

    #[test]
    fn a_question_goes_into_the_user_template_with_its_images() {
        let profile = profile(ProfileName::Visionthink);
        let tool = profile.tool.as_ref().unwrap();
        let messages = profile.first_messages(&tool.prompt, &[profile.question("What?", 1)]).unwrap();
        assert_eq!(messages[0].content, Content::from(prompts::SYSTEM_TOOL));
        let Content::Parts(parts) = &messages[1].content else { panic!("{messages:?}") };
        assert!(matches!(&parts[0], Part::Text { text } if text.ends_with("question:\n")));
        assert_eq!(parts[1], Part::Image { url: None });
        assert_eq!(parts[2..].len(), 2);
    }

    #[test]
    fn a_callers_system_message_stands_behind_the_profiles() {
        let profile = profile(ProfileName::General);
        let messages = [Message::new(Role::System, "Be brief."), Message::new(Role::User, "Hi")];
        let first = profile.first_messages(&profile.plain, &messages).unwrap();
        assert_eq!(first[0].content, Content::from(format!("{}\n\nBe brief.", prompts::SYSTEM_GENERAL)));
        assert_eq!(first.len(), 2);
    }

    #[test]
    fn only_a_user_message_can_be_answered() {
        let profile = profile(ProfileName::Compact);
        assert!(matches!(profile.first_messages(&profile.plain, &[]), Err(ProtocolError::NoMessages)));
        let reply = [Message::new(Role::Assistant, "Hi")];
        let error = profile.first_messages(&profile.plain, &reply).unwrap_err();
        assert_eq!(error.to_string(), "the last message has role `assistant`, expected `user`");
    }

    #[test]
    fn every_full_image_of_a_response_has_its_own_pad() {
        let compact = profile(ProfileName::Compact);
        let turn = compact.response_turn(compact.tool.as_ref().unwrap(), 2).unwrap();
        assert_eq!(
            turn,
            format!(
                "<|im_start|>user\n<tool_response>{IMAGE_PLACEHOLDER}{IMAGE_PLACEHOLDER}</tool_response><|im_end|>\n<|im_start|>assistant\n"
            )
        );
        let mut broken = compact;
        broken.tool.as_mut().unwrap().response_turn.clear();
        let error = broken.response_turn(broken.tool.as_ref().unwrap(), 1).unwrap_err();
        assert_eq!(error.to_string(), "profile `compact`: `tool.response_turn` has no `{images}`");
    }
}
