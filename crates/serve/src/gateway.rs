//! The engine that stands in front of other servers: it looks, they compute.
//!
//! A request with images becomes a [`Dialogue`]: the low-resolution images with the prompt that offers the tool; if the
//! reply calls it, the full images; then the answer. A request without images, or one whose reply has to follow a
//! `response_format`, which leaves no room for a call, is handed on as it came.

mod body;
mod plan;

use std::sync::Arc;

use futures_util::future::try_join_all;
use visionthink_image::{Processor, Views};
use visionthink_protocol::{
    Decision, Dialogue, DialogueSetup, DialogueTurn, ImageView, Mode, Profile, ReplySplitter, ToolCallParse, View,
};

use crate::api::{ApiError, ChatRequest, Completion, Sample, TurnReport, finish_word};
use crate::engine::Sink;
use crate::images::{Images, Picture};
use crate::looked::Looked;
use crate::upstream::{Fragment, Pool, Reply};
use crate::voice::Voice;
use plan::Plan;

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// The servers.
    pub pool: Arc<Pool>,
    /// Gets images.
    pub images: Images,
    /// The prompts that the model was trained with.
    pub profile: Profile,
    /// The mode of a request that asks for none.
    pub mode: Mode,
    /// What images cost, where the operator has said it.
    pub processor: Option<Processor>,
}

/// Turns of a request that asks for no number: the method's.
const TURNS: usize = 2;

/// Answers requests by asking other servers.
#[derive(Debug)]
pub struct Gateway {
    pool: Arc<Pool>,
    images: Images,
    profile: Arc<Profile>,
    mode: Mode,
    processor: Option<Processor>,
}

/// The images of a request, with their costs where they are known.
struct Shown {
    pictures: Vec<Arc<Picture>>,
    costs: Option<Vec<Views>>,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: GatewayParts) -> Self {
        let GatewayParts { pool, images, profile, mode, processor } = parts;
        Self { pool, images, profile: Arc::new(profile), mode, processor }
    }

    /// The servers.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Where images come from.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Answers a request.
    ///
    /// # Errors
    /// An image that cannot be had, messages that are no conversation, and whatever the servers do instead of replying.
    pub async fn answer(&self, request: &ChatRequest, sink: &Sink) -> Result<Completion, ApiError> {
        let shown = self.load(request).await?;
        let plan = Plan::of(request, &self.profile, self.mode, shown.costs.as_deref())?;
        let shown = &shown;
        let samples = (0..request.samples).map(|index| async move {
            let voice = Voice::new(index, sink, request.vision.show_turns);
            match plan {
                Plan::HandOn { view } => self.hand_on(request, shown, view, voice).await,
                Plan::Look { mode } => self.look(request, shown, mode, voice).await,
            }
        });
        let samples = try_join_all(samples).await?;
        let mode = match plan {
            Plan::HandOn { view: View::Low } => Some(Mode::Low),
            Plan::HandOn { view: View::Full } => (!request.messages.images.is_empty()).then_some(Mode::Full),
            Plan::Look { mode } => Some(mode),
        };
        Ok(Completion { mode, samples })
    }

    /// Hands a request on as it came, its images in full, whatever the mode: for a program that has its own prompts.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn complete(&self, request: &ChatRequest) -> Result<Completion, ApiError> {
        let (shown, sink) = (&self.load(request).await?, &Sink::silent());
        let samples =
            (0..request.samples).map(|index| self.hand_on(request, shown, View::Full, Voice::new(index, sink, false)));
        Ok(Completion { mode: None, samples: try_join_all(samples).await? })
    }

    async fn load(&self, request: &ChatRequest) -> Result<Shown, ApiError> {
        let loads = request.messages.images.iter().map(|image| async move {
            let loaded = self.images.load(&image.url).await;
            loaded.map_err(|source| ApiError::Image { path: image.path.clone(), source })
        });
        let pictures = try_join_all(loads).await?;
        let Some(processor) = &self.processor else { return Ok(Shown { pictures, costs: None }) };
        let cost = |(picture, image): (&Arc<Picture>, &crate::api::ImageRef)| {
            let (width, height) = picture.size();
            processor
                .view_costs(width, height)
                .map_err(|error| ApiError::Image { path: image.path.clone(), source: error.into() })
        };
        let costs = pictures.iter().zip(&request.messages.images).map(cost).collect::<Result<_, _>>()?;
        Ok(Shown { pictures, costs: Some(costs) })
    }

    /// The `data:` URLs of views.
    async fn urls(&self, request: &ChatRequest, shown: &Shown, views: &[ImageView]) -> Result<Vec<Arc<str>>, ApiError> {
        let mut urls = Vec::with_capacity(views.len());
        for view in views {
            let picture = shown.pictures.get(view.source).zip(request.messages.images.get(view.source));
            let (picture, image) =
                picture.ok_or(ApiError::Internal { reason: "a view of an image that is not there" })?;
            let url = picture.url(view.view).await;
            urls.push(url.map_err(|source| ApiError::Image { path: image.path.clone(), source })?);
        }
        Ok(urls)
    }

    /// One turn, the messages as they came.
    async fn hand_on(
        &self,
        request: &ChatRequest,
        shown: &Shown,
        view: View,
        mut voice: Voice<'_>,
    ) -> Result<Sample, ApiError> {
        let views: Vec<ImageView> = (0..shown.pictures.len()).map(|source| ImageView { source, view }).collect();
        let urls = self.urls(request, shown, &views).await?;
        let messages = body::raw_messages(&request.messages.raw, &urls);
        let mut call = self.pool.ask(&body::of(request, messages, voice.index()), None).await?;
        voice.begin_turn(&views).await?;
        while let Some(fragments) = call.next().await? {
            for fragment in fragments {
                match fragment {
                    Fragment::Content(text) => voice.say(text).await?,
                    Fragment::Reasoning(text) => voice.think(text).await?,
                }
            }
        }
        let reply = call.into_reply();
        let turn = DialogueTurn { text: reply.text(), tool_call: ToolCallParse::None, finish_reason: reply.finish() };
        let turns = vec![TurnReport::new(turn, &reply)];
        let finish_reason = reply.finish_reason.clone().unwrap_or_else(|| "stop".to_owned());
        let looked = Looked {
            decision: Decision::None,
            views,
            turns,
            tool_calls: reply.tool_calls,
            finish_reason,
            logprobs: reply.logprobs,
        };
        Ok(looked.into_sample(request, shown.costs.as_deref(), voice))
    }

    /// The conversation of the method.
    async fn look(
        &self,
        request: &ChatRequest,
        shown: &Shown,
        mode: Mode,
        mut voice: Voice<'_>,
    ) -> Result<Sample, ApiError> {
        let setup = DialogueSetup {
            profile: self.profile.clone(),
            mode,
            max_turns: request.vision.max_turns.unwrap_or(TURNS),
            max_images: usize::MAX,
            foreign_tools: request.tool_names.clone(),
        };
        let mut dialogue = Dialogue::start(setup, &request.messages.typed)?;
        let mut turns = Vec::new();
        let mut last = Reply::default();
        let mut server = None;
        let mut calls = Vec::new();
        while let Some(messages) = dialogue.next_request() {
            let urls = self.urls(request, shown, dialogue.images()).await?;
            let messages = body::typed_messages(messages, &urls)?;
            let body = body::of(request, messages, voice.index());
            last = self.turn(&body, &dialogue, &mut server, &mut voice).await?;
            calls = last.foreign_calls();
            // The client's own calls are its to answer: what else the reply asks for has to wait for that.
            let text = if calls.is_empty() { last.text() } else { last.without_calls() };
            dialogue.push_reply(&text, last.finish())?;
            if let Some(turn) = dialogue.turns().last() {
                turns.push(TurnReport::new(turn.clone(), &last));
            }
            if !calls.is_empty() {
                break;
            }
        }
        if voice.is_silent() {
            voice.say(dialogue.answer().unwrap_or_default().to_owned()).await?;
        }
        let finish_reason = match (calls.is_empty(), finish_word(dialogue.finish_reason())) {
            (false, _) => "tool_calls".to_owned(),
            (true, "stop") => last.finish_reason.clone().unwrap_or_else(|| "stop".to_owned()),
            (true, word) => word.to_owned(),
        };
        let looked = Looked {
            decision: dialogue.decision(),
            views: dialogue.images().to_vec(),
            turns,
            tool_calls: calls,
            finish_reason,
            logprobs: last.logprobs,
        };
        Ok(looked.into_sample(request, shown.costs.as_deref(), voice))
    }

    /// One reply, of the server that gave the last one where it can. Thoughts are told at once, an answer only where no
    /// further turn can take it back.
    async fn turn(
        &self,
        body: &serde_json::Map<String, serde_json::Value>,
        dialogue: &Dialogue,
        server: &mut Option<usize>,
        voice: &mut Voice<'_>,
    ) -> Result<Reply, ApiError> {
        let mut call = self.pool.ask(body, *server).await?;
        *server = Some(call.server());
        let (mut splitter, is_last) = (ReplySplitter::default(), dialogue.is_last_turn());
        voice.begin_turn(dialogue.images()).await?;
        while let Some(fragments) = call.next().await? {
            for fragment in fragments {
                match fragment {
                    Fragment::Reasoning(text) => voice.think(text).await?,
                    Fragment::Content(text) => voice.tell(splitter.push(&text), is_last).await?,
                }
            }
        }
        voice.tell(splitter.end(), is_last).await?;
        Ok(call.into_reply())
    }
}

impl TurnReport {
    fn new(turn: DialogueTurn, reply: &Reply) -> Self {
        let (prompt_token_ids, token_ids) = (reply.prompt_token_ids.clone(), reply.token_ids.clone());
        Self { turn, usage: reply.usage, prompt_token_ids, token_ids }
    }
}
