//! Transcripts to learn from, built by the conversation that also serves: what is trained is what is asked and answered later.

use std::path::Path;
use std::sync::Arc;

use visionthink_image::{Patches, Processor, RgbImage, full_view, low_view};
use visionthink_protocol::{
    CallSyntax, ChatTemplate, Conversation, FinishReason, ImageTokens, Limits, Message, Mode, Profile, ProtocolError,
    RenderOptions, Role, Rules, Setup, TOOL_ACTION, TOOL_NAME, Tokenizer, View,
};

use crate::config::LossSection;
use crate::error::TrainError;
use crate::source::Question;

/// How a transcript shows its image, and what it does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shown {
    /// The full image at once, no tool offered.
    Full,
    /// The low-resolution image, no tool offered.
    Low,
    /// The low-resolution image; the first turn calls the tool, and the answers come behind the full image.
    Resized,
    /// The low-resolution image with the tool on offer; answered at once.
    Direct,
}

impl Shown {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Full, Self::Low, Self::Resized, Self::Direct];

    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Low => "low",
            Self::Resized => "adaptive_resized",
            Self::Direct => "adaptive_direct",
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Full => Mode::Full,
            Self::Low => Mode::Low,
            Self::Resized | Self::Direct => Mode::Adaptive,
        }
    }

    /// Whether answers are given with the full image in sight.
    fn sees_full(self) -> bool {
        matches!(self, Self::Full | Self::Resized)
    }
}

/// What a target token is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// The first token of the first reply where the tool is on offer: it decides between calling and answering.
    Decision,
    /// The rest of a tool call.
    Call,
    /// Tags around an answer and the end of the turn.
    Tag,
    /// The answer itself.
    Answer,
}

/// A token that the model learns to give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Its place in the ids; never the first.
    pub at: usize,
    /// Its id.
    pub id: u32,
    /// Its weight in the loss.
    pub weight: f32,
    /// What it is part of.
    pub kind: TargetKind,
}

/// A finished conversation about one image.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// All ids, image tokens expanded.
    pub ids: Vec<u32>,
    /// The tokens of the replies, in order: where the response mask is true.
    pub targets: Vec<Target>,
    /// The views shown, in the order of their tokens.
    pub images: Vec<Arc<Patches>>,
    /// How the image is shown.
    pub shown: Shown,
}

/// Builds transcripts with the files of one checkpoint.
#[derive(Debug)]
pub struct TranscriptBuilder {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    processor: Processor,
    profile: Arc<Profile>,
    loss: LossSection,
    max_tokens: usize,
    /// The turn with a further question, `{Question}` standing for it.
    follow_up: String,
    call: String,
}

/// Stands for a question where a turn is rendered once for all questions.
const QUESTION: &str = "{Question}";

impl TranscriptBuilder {
    /// Reads tokenizer, chat template and image processor of the checkpoint in `folder`. Transcripts have at most `max_tokens` tokens.
    ///
    /// # Errors
    /// A missing or broken file, or an unknown profile.
    pub fn new(folder: &Path, profile: &str, loss: LossSection, max_tokens: usize) -> Result<Self, TrainError> {
        let tokenizer = Arc::new(Tokenizer::from_dir(folder)?);
        let template = ChatTemplate::from_dir(folder)?;
        let processor = Processor::from_dir(folder)?;
        let profile = Arc::new(Profile::by_name(profile)?);
        let follow_up = follow_up(&template)?;
        let call = match profile.tool.as_ref().map(|tool| &tool.syntax) {
            Some(CallSyntax::Tag(tag)) => tag.clone(),
            Some(CallSyntax::Json) | None => {
                format!(r#"<tool_call>{{"name":"{TOOL_NAME}","arguments":{{"action":"{TOOL_ACTION}"}}}}</tool_call>"#)
            }
        };
        Ok(Self { tokenizer, template, processor, profile, loss, max_tokens, follow_up, call })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A transcript about `image` that answers `questions` in turn; the first one decides about the tool.
    ///
    /// # Errors
    /// An image that cannot be prepared; a transcript longer than the context.
    ///
    /// # Panics
    /// Without questions.
    pub fn build(&self, image: &RgbImage, questions: &[Question], shown: Shown) -> Result<Transcript, TrainError> {
        let (first, rest) = questions.split_first().expect("a transcript has a question");
        let low = if shown == Shown::Full { None } else { Some(self.processor.process(&low_view(image)?)?) };
        let full = if shown.sees_full() { Some(self.processor.process(full_view(image)?.as_ref())?) } else { None };
        let tokens =
            |view: &Option<Patches>| view.as_ref().map_or(0, |patches| patches.grid.tokens(self.processor.merge_size));
        let setup = Setup {
            tokenizer: self.tokenizer.clone(),
            profile: self.profile.clone(),
            mode: shown.mode(),
            images: vec![ImageTokens { low: tokens(&low), full: tokens(&full) }],
            limits: Limits::for_context(self.max_tokens),
            rules: Rules::Exact,
        };
        let mut conversation = Conversation::start(setup, &self.template, &[self.profile.question(&first.text, 1)])?;
        let mut targets = Vec::new();
        if shown == Shown::Resized {
            let call = self.call_reply()?;
            reply(&mut conversation, &mut targets, &call)?;
        }
        let answer = self.answer_reply(first, shown)?;
        reply(&mut conversation, &mut targets, &answer)?;
        if shown.mode() == Mode::Adaptive
            && let Some(decision) = targets.first_mut()
        {
            decision.kind = TargetKind::Decision;
        }
        let views: Vec<View> = conversation.images().iter().map(|image| image.view).collect();
        let mut transcript = Transcript { ids: conversation.ids().to_vec(), targets, images: Vec::new(), shown };
        for question in rest {
            self.follow_up(&mut transcript, question)?;
        }
        let (mut low, mut full) = (low, full);
        let mut taken = |view| if view == View::Low { low.take() } else { full.take() };
        transcript.images = views.into_iter().filter_map(&mut taken).map(Arc::new).collect();
        if transcript.ids.len() > self.max_tokens {
            let (tokens, limit) = (transcript.ids.len(), self.max_tokens);
            let image_tokens = transcript.images.iter().map(|image| image.grid.tokens(self.processor.merge_size)).sum();
            return Err(ProtocolError::PromptTooLong { tokens, image_tokens, limit }.into());
        }
        Ok(transcript)
    }

    fn follow_up(&self, transcript: &mut Transcript, question: &Question) -> Result<(), TrainError> {
        transcript.ids.extend(self.tokenizer.encode(&self.follow_up.replace(QUESTION, &question.text))?);
        let reply = self.answer_reply(question, transcript.shown)?;
        add_targets(&mut transcript.targets, transcript.ids.len(), &reply);
        transcript.ids.extend(reply.iter().map(|(id, ..)| *id));
        Ok(())
    }

    /// The tool call and the end of the turn.
    fn call_reply(&self) -> Result<Vec<(u32, TargetKind, f32)>, TrainError> {
        let mut ids = self.tokenizer.encode(&self.call)?;
        ids.push(self.tokenizer.special().im_end);
        Ok(ids.into_iter().map(|id| (id, TargetKind::Call, self.loss.tag_weight as f32)).collect())
    }

    /// The answer in its tags and the end of the turn, tokenised as a whole.
    fn answer_reply(&self, question: &Question, shown: Shown) -> Result<Vec<(u32, TargetKind, f32)>, TrainError> {
        let mut ids = self.tokenizer.encode(&format!("<answer>{}</answer>", question.answer))?;
        let (before, behind) = (self.tokenizer.encode("<answer>")?, self.tokenizer.encode("</answer>")?);
        let opening = ids.iter().zip(&before).take_while(|(a, b)| a == b).count();
        let closing = ids.iter().rev().zip(behind.iter().rev()).take_while(|(a, b)| a == b).count();
        let content = opening..ids.len().saturating_sub(closing).max(opening);
        let blind = question.needs_full && !shown.sees_full();
        let answer_weight = if blind { self.loss.blind_weight } else { self.loss.answer_weight };
        ids.push(self.tokenizer.special().im_end);
        let target = |(at, id)| {
            if content.contains(&at) {
                (id, TargetKind::Answer, answer_weight as f32)
            } else {
                (id, TargetKind::Tag, self.loss.tag_weight as f32)
            }
        };
        Ok(ids.into_iter().enumerate().map(target).collect())
    }
}

/// Hands a reply to the conversation, as if it had been sampled.
fn reply(
    conversation: &mut Conversation,
    targets: &mut Vec<Target>,
    reply: &[(u32, TargetKind, f32)],
) -> Result<(), TrainError> {
    let start = conversation.ids().len();
    let ids: Vec<u32> = reply.iter().map(|(id, ..)| *id).collect();
    conversation.push_reply(&ids, FinishReason::Stop)?;
    add_targets(targets, start, reply);
    Ok(())
}

fn add_targets(targets: &mut Vec<Target>, start: usize, reply: &[(u32, TargetKind, f32)]) {
    let target = |(at, &(id, kind, weight))| Target { at: start + at, id, weight, kind };
    targets.extend(reply.iter().enumerate().map(target));
}

/// What the chat template puts between the end of a reply and the next one: the turn of a further question.
fn follow_up(template: &ChatTemplate) -> Result<String, TrainError> {
    const REPLY: &str = "a reply";
    let messages = [
        Message::new(Role::User, "a question"),
        Message::new(Role::Assistant, REPLY),
        Message::new(Role::User, QUESTION),
    ];
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let text = template.render(&messages, &options)?;
    let behind = text.split_once(REPLY).map_or(text.as_str(), |(_, behind)| behind);
    // The end of the reply is sampled by the model, so it is part of the reply already.
    Ok(behind.strip_prefix(visionthink_protocol::names::IM_END).unwrap_or(behind).to_string())
}
