//! The turn state machine over messages, for a server that takes messages and has the tokenizer to itself.
//!
//! The rules are those of [`Conversation`](crate::Conversation) under [`Rules::Exact`](crate::Rules::Exact). What differs
//! is what a chat template does between turns: the tool response becomes a user message, and the template puts its line
//! break in front of it, which [`Tool::turn_separator`](crate::Tool::turn_separator) leaves out.

use std::sync::Arc;

use serde::Serialize;

use crate::answer::without_thinking;
use crate::error::{ProtocolError, Result};
use crate::lenient::tool_call_contents;
use crate::message::{Message, Role};
use crate::profile::{Mode, Profile, Tool};
use crate::tool_call::ToolCallParse;
use crate::turn::{Decision, FinishReason, ImageView, View};
use crate::turn_rules::{self, Next};

/// How a dialogue is held.
#[derive(Debug, Clone)]
pub struct DialogueSetup {
    /// Prompts and tool.
    pub profile: Arc<Profile>,
    /// Which view comes first, and whether the tool is there.
    pub mode: Mode,
    /// Replies of the model. A call in the last one is not answered.
    pub max_turns: usize,
    /// Images in the dialogue, both views counted.
    pub max_images: usize,
    /// Functions of the caller's own: a call of one of them is an answer, for it is not ours to judge.
    pub foreign_tools: Vec<String>,
}

/// One reply, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DialogueTurn {
    /// The reply.
    pub text: String,
    /// What it asks for.
    pub tool_call: ToolCallParse,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A conversation about some images as messages: what was said so far, and what is to be asked next.
#[derive(Debug, Clone)]
pub struct Dialogue {
    setup: DialogueSetup,
    sources: usize,
    tool_offered: bool,
    messages: Vec<Message>,
    images: Vec<ImageView>,
    turns: Vec<DialogueTurn>,
    finished: Option<FinishReason>,
}

impl Dialogue {
    /// Begins with the profile's first prompt around the last user message. Each image part is a source image, in order.
    ///
    /// # Errors
    /// [`ProtocolError::NoMessages`]; [`ProtocolError::LastMessageNotUser`] where the model has spoken last or no user has
    /// (behind the user's message only calls of the caller's tools and their results may stand); [`ProtocolError::NoTool`].
    pub fn start(setup: DialogueSetup, question: &[Message]) -> Result<Self> {
        let sources = question.iter().map(Message::image_count).sum();
        let tool_offered = turn_rules::offers_tool(&setup.profile, setup.mode, sources)?;
        let tool = setup.profile.tool.as_ref().filter(|_| tool_offered);
        let prompt = tool.map_or(&setup.profile.plain, |tool| &tool.prompt);
        let last = question.last().ok_or(ProtocolError::NoMessages)?;
        let user = question.iter().rposition(|message| message.role == Role::User);
        let user = user.filter(|_| matches!(last.role, Role::User | Role::Tool));
        let (asked, rest) =
            question.split_at(user.ok_or(ProtocolError::LastMessageNotUser { role: last.role })?.saturating_add(1));
        let mut messages = setup.profile.first_messages(prompt, asked)?;
        messages.extend_from_slice(rest);
        let view = turn_rules::first_view(setup.mode);
        let images = (0..sources).map(|source| ImageView { source, view }).collect();
        Ok(Self { setup, sources, tool_offered, messages, images, turns: Vec::new(), finished: None })
    }

    /// The messages to be answered; `None` when the dialogue is over.
    pub fn next_request(&self) -> Option<&[Message]> {
        self.finished.is_none().then_some(&self.messages[..])
    }

    /// All messages so far, replies included.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The images so far, in the order of the image parts of [`Dialogue::messages`].
    pub fn images(&self) -> &[ImageView] {
        &self.images
    }

    /// Whether the reply that is asked for next ends the dialogue whatever it says.
    pub fn is_last_turn(&self) -> bool {
        !self.tool_offered || self.turns.len().saturating_add(1) >= self.setup.max_turns
    }

    /// Takes a reply and works out what follows it.
    ///
    /// # Errors
    /// [`ProtocolError::ConversationOver`], [`ProtocolError::ProfileInvalid`].
    pub fn push_reply(&mut self, text: &str, finish_reason: FinishReason) -> Result<()> {
        if self.finished.is_some() {
            return Err(ProtocolError::ConversationOver { turns: self.turns.len() });
        }
        self.messages.push(Message::new(Role::Assistant, text));
        let tool_call = self.read(text);
        self.turns.push(DialogueTurn { text: text.to_owned(), tool_call: tool_call.clone(), finish_reason });
        if finish_reason == FinishReason::Cancelled {
            self.finished = Some(finish_reason);
            return Ok(());
        }
        let turns_left = self.setup.max_turns.saturating_sub(self.turns.len());
        let next = turn_rules::next(self.tool_offered, &tool_call, finish_reason, turns_left);
        let Some(tool) = self.tool() else {
            self.finished = Some(finish_reason);
            return Ok(());
        };
        match next {
            Next::End(reason) => self.finished = Some(reason),
            Next::Error(error) => {
                let message = self.setup.profile.error_message(tool, &error.to_string())?;
                self.messages.push(message);
            }
            Next::Images if self.images.len().saturating_add(self.sources) > self.setup.max_images => {
                self.finished = Some(FinishReason::Length);
            }
            Next::Images => {
                let message = self.setup.profile.response_message(tool, self.sources)?;
                self.messages.push(message);
                self.images.extend((0..self.sources).map(|source| ImageView { source, view: View::Full }));
            }
        }
        Ok(())
    }

    /// The replies so far.
    pub fn turns(&self) -> &[DialogueTurn] {
        &self.turns
    }

    /// Whether the model was told of the tool.
    pub fn tool_offered(&self) -> bool {
        self.tool_offered
    }

    /// Why the dialogue ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finished
    }

    /// What the first turn turned out to be.
    pub fn decision(&self) -> Decision {
        turn_rules::decision(self.tool_offered, self.turns.first().map(|turn| &turn.tool_call))
    }

    /// The final answer, if the last turn gave one.
    pub fn answer(&self) -> Option<&str> {
        let turn = self.turns.last()?;
        turn_rules::answer(&turn.text, &turn.tool_call)
    }

    fn tool(&self) -> Option<&Tool> {
        self.setup.profile.tool.as_ref().filter(|_| self.tool_offered)
    }

    fn read(&self, text: &str) -> ToolCallParse {
        let shows_full = self.images.iter().any(|image| image.view == View::Full);
        match turn_rules::read(self.tool(), text, shows_full) {
            ToolCallParse::Malformed(_) if self.calls_foreign_tool(text) => ToolCallParse::None,
            other => other,
        }
    }

    /// Whether a call in the reply names one of the caller's functions, whose arguments are not ours to check.
    fn calls_foreign_tool(&self, text: &str) -> bool {
        let visible = without_thinking(text);
        tool_call_contents(&visible).into_iter().any(|content| {
            let call = serde_json::from_str::<serde_json::Value>(content).unwrap_or_default();
            call["name"].as_str().is_some_and(|name| self.setup.foreign_tools.iter().any(|tool| tool == name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Content, Part};
    use crate::profile::ProfileName;

    const CALL: &str =
        r#"<think>too small</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>"#;

    fn begin(profile: ProfileName, mode: Mode) -> Dialogue {
        let profile = Arc::new(Profile::from(profile));
        let question = profile.question("What?", 2);
        let setup = DialogueSetup {
            profile,
            mode,
            max_turns: 3,
            max_images: usize::MAX,
            foreign_tools: vec!["weather".to_owned()],
        };
        Dialogue::start(setup, &[question]).unwrap()
    }

    fn shown(dialogue: &Dialogue) -> Vec<View> {
        dialogue.images().iter().map(|image| image.view).collect()
    }

    #[test]
    fn a_call_is_answered_with_every_image_in_full() {
        let mut dialogue = begin(ProfileName::Visionthink, Mode::Adaptive);
        assert_eq!(dialogue.next_request().unwrap().len(), 2);
        dialogue.push_reply(CALL, FinishReason::Stop).unwrap();
        assert_eq!(shown(&dialogue), [View::Low, View::Low, View::Full, View::Full]);
        let asked = dialogue.next_request().unwrap();
        assert_eq!(asked.iter().map(|message| message.role).collect::<Vec<_>>()[2..], [Role::Assistant, Role::User]);
        assert_eq!(asked.iter().map(Message::image_count).sum::<usize>(), dialogue.images().len());
        let Content::Parts(parts) = &asked[3].content else { panic!("{asked:?}") };
        let text = |part: &Part| matches!(part, Part::Text { text } if text.contains("<|im_"));
        assert!(!parts.iter().any(text), "{parts:?}");
        assert_eq!(parts[0], Part::Text { text: "<tool_response>\nThe resized image is shown below:\n".to_owned() });
        dialogue.push_reply("<think>a</think><answer>7</answer>", FinishReason::Stop).unwrap();
        assert_eq!((dialogue.decision(), dialogue.answer()), (Decision::Resize, Some("7")));
        assert_eq!(dialogue.finish_reason(), Some(FinishReason::Stop));
        assert!(matches!(
            dialogue.push_reply("", FinishReason::Stop),
            Err(ProtocolError::ConversationOver { turns: 2 })
        ));
    }

    #[test]
    fn a_broken_call_is_told_and_a_second_one_too_many_ends_it() {
        let mut dialogue = begin(ProfileName::Compact, Mode::Adaptive);
        dialogue.push_reply("<tool_call>{", FinishReason::Stop).unwrap();
        assert_eq!(dialogue.messages().last().unwrap().content, Content::from("<tool_response>error</tool_response>"));
        dialogue.push_reply(CALL, FinishReason::Stop).unwrap();
        assert!(dialogue.is_last_turn());
        dialogue.push_reply(CALL, FinishReason::Stop).unwrap();
        assert_eq!(dialogue.finish_reason(), Some(FinishReason::Length));
        assert_eq!((dialogue.decision(), dialogue.answer()), (Decision::Malformed, None));
    }

    #[test]
    fn without_the_tool_the_first_reply_is_the_last() {
        for (mode, view) in [(Mode::Full, View::Full), (Mode::Low, View::Low)] {
            let mut dialogue = begin(ProfileName::Visionthink, mode);
            assert!(dialogue.is_last_turn() && !dialogue.tool_offered());
            assert_eq!(shown(&dialogue), [view; 2]);
            dialogue.push_reply(CALL, FinishReason::Stop).unwrap();
            assert_eq!((dialogue.decision(), dialogue.next_request()), (Decision::None, None));
        }
    }

    #[test]
    fn the_callers_own_function_is_an_answer_and_an_unknown_one_is_not() {
        let call = |name: &str| {
            format!("<tool_call>{{\"name\": \"{name}\", \"arguments\": {{\"city\": \"Bern\"}}}}</tool_call>")
        };
        let mut dialogue = begin(ProfileName::Visionthink, Mode::Adaptive);
        dialogue.push_reply(&call("weather"), FinishReason::Stop).unwrap();
        assert_eq!(dialogue.decision(), Decision::Direct);
        let mut dialogue = begin(ProfileName::Visionthink, Mode::Adaptive);
        dialogue.push_reply(&call("zoom"), FinishReason::Stop).unwrap();
        assert_eq!(dialogue.decision(), Decision::Malformed);
    }

    #[test]
    fn full_images_beyond_the_limit_are_not_shown() {
        let mut dialogue = begin(ProfileName::Visionthink, Mode::Adaptive);
        dialogue.setup.max_images = 3;
        dialogue.push_reply(CALL, FinishReason::Stop).unwrap();
        assert_eq!(dialogue.finish_reason(), Some(FinishReason::Length));
        assert_eq!(shown(&dialogue), [View::Low, View::Low]);
    }

    #[test]
    fn results_of_the_callers_tools_may_stand_last_and_the_models_words_may_not() {
        let profile = Arc::new(Profile::from(ProfileName::Visionthink));
        let setup = DialogueSetup {
            profile: profile.clone(),
            mode: Mode::Adaptive,
            max_turns: 2,
            max_images: 9,
            foreign_tools: Vec::new(),
        };
        let user = profile.question("What?", 1);
        let mut question = vec![user, Message::new(Role::Assistant, ""), Message::new(Role::Tool, "sunny")];
        let dialogue = Dialogue::start(setup.clone(), &question).unwrap();
        assert_eq!(dialogue.messages().len(), 4);
        assert_eq!(dialogue.messages()[3], question[2]);
        question.pop();
        let error = Dialogue::start(setup.clone(), &question).unwrap_err();
        assert!(matches!(error, ProtocolError::LastMessageNotUser { role: Role::Assistant }));
        assert!(matches!(Dialogue::start(setup, &[]), Err(ProtocolError::NoMessages)));
    }
}
