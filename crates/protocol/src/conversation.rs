//! The turn state machine: which ids come next, which of them the model sampled, and when it is over.
//!
//! It has no model and does no I/O. [`Conversation::next_step`] says what to generate, [`Conversation::push_reply`] takes
//! what was generated.

mod exact;
pub(crate) mod reference;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{ProtocolError, Result};
use crate::message::{Content, Message, Part};
use crate::profile::{Mode, Profile, Tool};
use crate::template::{ChatTemplate, RenderOptions};
use crate::tokenizer::Tokenizer;
use crate::turn::{Decision, FinishReason, ImageTokens, ImageView, Limits, Rules, Step, Turn, View};
use crate::turn_rules;

/// What every way to begin a conversation needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The tokenizer of the checkpoint.
    pub tokenizer: Arc<Tokenizer>,
    /// Prompts and tool.
    pub profile: Arc<Profile>,
    /// Which view comes first, and whether the tool is there.
    pub mode: Mode,
    /// The source images, in the order of their placeholders.
    pub images: Vec<ImageTokens>,
    /// Bounds.
    pub limits: Limits,
    /// Rules.
    pub rules: Rules,
}

impl Setup {
    fn offers_tool(&self) -> Result<bool> {
        if self.rules == Rules::Evaluation {
            // The script reads calls whatever it showed.
            return Ok(self.profile.tool.is_some());
        }
        turn_rules::offers_tool(&self.profile, self.mode, self.images.len())
    }

    fn first_view(&self) -> View {
        turn_rules::first_view(self.mode)
    }
}

/// A conversation about some images: its ids so far, where they came from, and what is next.
///
/// `ids` and `response_mask` are always of one length. With several source images a call returns all of them in full
/// size, each with its own pads.
#[derive(Clone)]
pub struct Conversation {
    tokenizer: Arc<Tokenizer>,
    profile: Arc<Profile>,
    sources: Vec<ImageTokens>,
    limits: Limits,
    rules: Rules,
    tool_offered: bool,
    stop_ids: Vec<u32>,
    prompt: String,
    prompt_tokens: usize,
    ids: Vec<u32>,
    response_mask: Vec<bool>,
    images: Vec<ImageView>,
    turns: Vec<Turn>,
    /// How many ids and images the backend has.
    ids_given: usize,
    images_given: usize,
    finished: Option<FinishReason>,
}

/// Without the ids, which are too long to be shown.
impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("prompt", &self.prompt)
            .field("tokens", &self.ids.len())
            .field("turns", &self.turns)
            .field("images", &self.images)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl Conversation {
    /// Begins with the profile's first prompt around `question`: usually one user message (see [`Profile::question`]), or a
    /// chat whose last message is the user's. Each image part is a source image, in order.
    ///
    /// # Errors
    /// Everything that keeps a prompt from being made: see [`ProtocolError`].
    pub fn start(setup: Setup, template: &ChatTemplate, question: &[Message]) -> Result<Self> {
        let tool_offered = setup.offers_tool()?;
        let tool = setup.profile.tool.as_ref().filter(|_| tool_offered);
        let prompt = tool.map_or(&setup.profile.plain, |tool| &tool.prompt);
        let messages = setup.profile.first_messages(prompt, question)?;
        Self::from_messages(setup, template, &messages)
    }

    /// Begins with messages as they are, rendered by the chat template.
    ///
    /// # Errors
    /// As [`Conversation::start`].
    pub fn from_messages(setup: Setup, template: &ChatTemplate, messages: &[Message]) -> Result<Self> {
        if messages.is_empty() {
            return Err(ProtocolError::NoMessages);
        }
        if messages.iter().any(has_video) {
            return Err(ProtocolError::VideoPart);
        }
        let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
        let prompt = template.render(messages, &options)?;
        Self::from_prompt(setup, &prompt)
    }

    /// Begins with raw text that has one `<|image_pad|>` per image; no template is applied.
    ///
    /// # Errors
    /// [`ProtocolError::ImageCount`], [`ProtocolError::PromptTooLong`], [`ProtocolError::NoTool`].
    pub fn from_prompt(setup: Setup, prompt: &str) -> Result<Self> {
        let tool_offered = setup.offers_tool()?;
        let view = setup.first_view();
        let images: Vec<ImageView> = (0..setup.images.len()).map(|source| ImageView { source, view }).collect();
        let Setup { tokenizer, profile, images: sources, limits, rules, .. } = setup;
        let stop_ids = stop_ids(&tokenizer, &profile)?;
        let counts: Vec<usize> = sources.iter().map(|image| image.of(view)).collect();
        let ids = match rules {
            Rules::Exact | Rules::Reference => encode_with_images(&tokenizer, prompt, &counts)?,
            Rules::Evaluation => expand_images(&tokenizer, &tokenizer.encode(prompt)?, &counts),
        };
        if ids.len() >= limits.max_total_tokens {
            return Err(ProtocolError::PromptTooLong {
                tokens: ids.len(),
                image_tokens: counts.iter().sum(),
                limit: limits.max_total_tokens,
            });
        }
        Ok(Self {
            tokenizer,
            profile,
            sources,
            limits,
            rules,
            tool_offered,
            stop_ids,
            prompt: prompt.to_owned(),
            prompt_tokens: ids.len(),
            response_mask: vec![false; ids.len()],
            ids,
            images,
            turns: Vec::new(),
            ids_given: 0,
            images_given: 0,
            finished: None,
        })
    }

    /// What to do next.
    pub fn next_step(&self) -> Step<'_> {
        if self.finished.is_some() {
            return Step::Done;
        }
        let room = self.limits.max_total_tokens.saturating_sub(self.ids.len());
        Step::Generate {
            new_ids: &self.ids[self.ids_given..],
            start: self.ids_given,
            new_images: &self.images[self.images_given..],
            max_new_tokens: self.limits.max_new_tokens_per_turn.min(room).max(1),
            stop_ids: &self.stop_ids,
        }
    }

    /// Takes a reply: the ids as sampled, with the stop token that ended it, and why it ended.
    ///
    /// Whatever the ids are, this is a defined outcome: an image token or an id without a token makes the turn
    /// malformed and ends the conversation; a broken call is answered with an error turn while turns are left.
    ///
    /// # Errors
    /// [`ProtocolError::ConversationOver`]; under the rules of the reference also [`ProtocolError::EmptyReply`] and, in
    /// training, [`ProtocolError::SampledImageToken`], where the reference crashes.
    pub fn push_reply(&mut self, ids: &[u32], finish_reason: FinishReason) -> Result<()> {
        if self.finished.is_some() {
            return Err(ProtocolError::ConversationOver { turns: self.turns.len() });
        }
        match self.rules {
            Rules::Exact => self.push_exact(ids, finish_reason),
            Rules::Reference | Rules::Evaluation => self.push_reference(ids, finish_reason),
        }
    }

    /// All ids so far, images expanded.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// True where the model sampled the id, false where the prompt or a tool response put it.
    pub fn response_mask(&self) -> &[bool] {
        &self.response_mask
    }

    /// Number of ids of the first prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// The first prompt as text, one `<|image_pad|>` per image.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// What bounds it.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The images so far, in the order of their pads.
    pub fn images(&self) -> &[ImageView] {
        &self.images
    }

    /// Image tokens so far.
    pub fn image_tokens(&self) -> usize {
        self.images.iter().map(|image| self.tokens_of(*image)).sum()
    }

    /// The replies so far.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Whether the model was told of the tool.
    pub fn tool_offered(&self) -> bool {
        self.tool_offered
    }

    /// Whether the reply that comes next ends the conversation whatever it says.
    pub fn is_last_turn(&self) -> bool {
        !self.tool_offered || self.turns.len().saturating_add(1) >= self.limits.max_turns
    }

    /// Why the conversation ended: [`FinishReason::Stop`] when the model had its say, [`FinishReason::Length`] when a limit
    /// cut a reply or left a call unanswered. `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finished
    }

    /// What the first turn turned out to be.
    pub fn decision(&self) -> Decision {
        turn_rules::decision(self.tool_offered, self.turns.first().map(|turn| &turn.tool_call))
    }

    /// The final answer, if the last turn gave one: what its answer tags hold, else its text without the thinking.
    pub fn answer(&self) -> Option<&str> {
        let turn = self.turns.last()?;
        turn_rules::answer(&turn.text, &turn.tool_call)
    }

    /// Ids below `rows` that a sampler should never give, see [`Tokenizer::suppressed_ids`].
    pub fn suppressed_ids(&self, rows: usize) -> Vec<u32> {
        self.tokenizer.suppressed_ids(rows)
    }

    /// The whole conversation as text, special tokens written out, one `<|image_pad|>` per image.
    ///
    /// # Errors
    /// [`ProtocolError::Decode`].
    pub fn text(&self) -> Result<String> {
        let pad = self.tokenizer.special().image_pad;
        let mut ids = self.ids.clone();
        ids.dedup_by(|next, previous| *next == pad && *previous == pad);
        self.tokenizer.decode(&ids, false)
    }

    /// Everything a report shows.
    ///
    /// # Errors
    /// [`ProtocolError::Decode`].
    pub fn transcript(&self) -> Result<Transcript<'_>> {
        Ok(Transcript {
            text: self.text()?,
            answer: self.answer(),
            decision: self.decision(),
            finish_reason: self.finished,
            turns: &self.turns,
            images: &self.images,
        })
    }

    fn tool(&self) -> Option<&Tool> {
        self.profile.tool.as_ref().filter(|_| self.tool_offered)
    }

    fn tokens_of(&self, image: ImageView) -> usize {
        self.sources[image.source].of(image.view)
    }

    /// All source images in full size.
    fn full_images(&self) -> Vec<ImageView> {
        (0..self.sources.len()).map(|source| ImageView { source, view: View::Full }).collect()
    }

    /// The ids of the turn that returns the full images, and these images.
    fn response_turn(&self, tool: &Tool) -> Result<(Vec<u32>, Vec<ImageView>)> {
        let images = self.full_images();
        let text = self.profile.response_turn(tool, images.len())?;
        let counts: Vec<usize> = images.iter().map(|image| self.tokens_of(*image)).collect();
        Ok((encode_with_images(&self.tokenizer, &format!("{}{text}", tool.turn_separator), &counts)?, images))
    }

    /// The ids of the turn that follows a malformed call.
    fn error_turn(&self, tool: &Tool, error: &str) -> Result<Vec<u32>> {
        if self.rules == Rules::Evaluation {
            return self.tokenizer.encode(&tool.error_turn.replace("{error}", error));
        }
        let text = tool.error_turn.replace("{error}", &turn_rules::harmless(error));
        encode_with_images(&self.tokenizer, &format!("{}{text}", tool.turn_separator), &[])
    }

    fn append(&mut self, ids: &[u32], sampled: bool) {
        self.ids.extend_from_slice(ids);
        self.response_mask.resize(self.ids.len(), sampled);
    }
}

/// What a report shows of a conversation.
#[derive(Debug, Clone, Serialize)]
pub struct Transcript<'a> {
    /// See [`Conversation::text`].
    pub text: String,
    /// See [`Conversation::answer`].
    pub answer: Option<&'a str>,
    /// See [`Conversation::decision`].
    pub decision: Decision,
    /// See [`Conversation::finish_reason`].
    pub finish_reason: Option<FinishReason>,
    /// See [`Conversation::turns`].
    pub turns: &'a [Turn],
    /// See [`Conversation::images`].
    pub images: &'a [ImageView],
}

fn has_video(message: &Message) -> bool {
    matches!(&message.content, Content::Parts(parts) if parts.contains(&Part::Video))
}

fn stop_ids(tokenizer: &Tokenizer, profile: &Profile) -> Result<Vec<u32>> {
    let id_of = |token: &String| {
        tokenizer.token_to_id(token).ok_or_else(|| ProtocolError::SpecialTokenMissing { token: token.clone() })
    };
    profile.stop_tokens.iter().map(id_of).collect()
}

/// Ids of a text whose k-th `<|image_pad|>` becomes `counts[k]` of them.
fn encode_with_images(tokenizer: &Tokenizer, text: &str, counts: &[usize]) -> Result<Vec<u32>> {
    let pad = tokenizer.special().image_pad;
    let short = tokenizer.encode(text)?;
    let placeholders = short.iter().filter(|&&id| id == pad).count();
    if placeholders != counts.len() {
        return Err(ProtocolError::ImageCount { placeholders, images: counts.len() });
    }
    Ok(expand_images(tokenizer, &short, counts))
}

/// The k-th `<|image_pad|>` as `counts[k]` of them; one that has no image stays one.
fn expand_images(tokenizer: &Tokenizer, short: &[u32], counts: &[usize]) -> Vec<u32> {
    let pad = tokenizer.special().image_pad;
    let mut counts = counts.iter();
    let mut ids = Vec::with_capacity(short.len() + counts.clone().sum::<usize>());
    for &id in short {
        let copies = if id == pad { counts.next().copied().unwrap_or(1) } else { 1 };
        ids.extend(std::iter::repeat_n(id, copies));
    }
    ids
}
