//! The engine that runs the model in this process.
//!
//! A request becomes a [`Task`]: a conversation over its images. Its samples begin as one group, whose prompt is run
//! once, and then go their own ways, each with a sequence whose keys and values wait for the next turn. The engine is
//! stepped by a thread of its own, in `worker`; what a request holds there ends with the future of its answer.

mod admission;
mod logprobs;
mod settings;
mod stop;
mod talk;
mod turn;
mod wishes;
mod worker;

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use visionthink_engine::{EmbeddedEngine, EngineError, EngineOptions, ModelFolder, Picture, Task, TurnRequest};
use visionthink_image::Views;
use visionthink_protocol::{Conversation, Limits, Mode, Profile, Rules, Setup};

use crate::api::{ApiError, ChatRequest, Completion};
use crate::budget::{affordable, unsupported};
use crate::engine::Sink;
use crate::error::ServeError;
use crate::images::Images;
use crate::voice::Voice;
use admission::Admission;
use talk::Talk;
use worker::Worker;

pub use settings::{EngineSettings, ScheduleSettings};
pub use worker::{EngineCounts, EngineStatus};

/// Turns of a request that asks for no number: the method's.
const TURNS: usize = 2;

/// A model that is about to be loaded.
pub struct LocalModel {
    /// Everything but the weights.
    pub folder: ModelFolder,
    /// Reads the weights; called once, in the thread of the engine.
    pub load: Box<dyn FnOnce(EngineOptions) -> Result<EmbeddedEngine, EngineError> + Send>,
}

/// What the engine is made of beside the model.
#[derive(Debug)]
pub(crate) struct EmbeddedParts {
    pub(crate) images: Images,
    pub(crate) profile: Profile,
    pub(crate) mode: Mode,
    pub(crate) settings: EngineSettings,
    pub(crate) schedule: ScheduleSettings,
}

/// Answers requests with a model in this process.
#[derive(Debug)]
pub struct Embedded {
    folder: Arc<ModelFolder>,
    suppressed_ids: Arc<[u32]>,
    profile: Arc<Profile>,
    images: Images,
    mode: Mode,
    settings: EngineSettings,
    admission: Admission,
    worker: Worker,
}

/// A request that is ready to be begun.
struct Begun {
    task: Task,
    first: TurnRequest,
}

impl Embedded {
    /// Begins to load the model.
    ///
    /// # Errors
    /// [`ServeError::Io`]: the system gives no thread.
    pub(crate) fn start(model: LocalModel, parts: EmbeddedParts) -> Result<Self, ServeError> {
        let EmbeddedParts { images, profile, mode, settings, schedule } = parts;
        let LocalModel { folder, load } = model;
        Ok(Self {
            suppressed_ids: folder.suppressed_ids(),
            folder: Arc::new(folder),
            profile: Arc::new(profile),
            images,
            mode,
            settings,
            admission: Admission::new(&schedule),
            worker: Worker::start(move || load(schedule.options()))?,
        })
    }

    /// Where images come from.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Where the engine stands, and a way to wait for a change.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.worker.status()
    }

    /// What the engine has done, and what it holds.
    pub fn counts(&self) -> EngineCounts {
        self.worker.counts()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// A wish that the model cannot fulfil, an image that cannot be had, messages that are no conversation, a server with
    /// no room, and an engine that is not there or fails.
    pub async fn answer(&self, request: &ChatRequest, sink: &Sink) -> Result<Completion, ApiError> {
        self.worker.check_ready()?;
        let sampling = wishes::sampling(request, &self.settings)?;
        let _samples = self.admission.samples(request.samples)?;
        let (pictures, _decoded) = self.pictures(request).await?;
        let costs: Vec<Views> = pictures.iter().map(|picture| *picture.costs()).collect();
        let mode = affordable(request, Some(&costs), request.vision.mode.unwrap_or(self.mode))?;
        if mode == Mode::Adaptive && self.profile.tool.is_none() && !costs.is_empty() {
            return Err(unsupported("visionthink.mode", "the model of this server knows no tool; use `full` or `low`"));
        }
        let setup = self.setup(request, mode, &pictures);
        let most = (setup.limits, costs.iter().map(|cost| cost.full.tokens).sum());
        let begun = self.begin(setup, request, sampling, pictures).await?;
        let _tokens = self.admission.tokens(request.samples, longest(&begun.task.conversation, most))?;
        let task = Arc::new(begun.task);
        let turns = self.worker.submit(begun.first, request.samples, None)?;
        let samples = turns.into_iter().enumerate().map(|(index, turn)| {
            let talk = Talk { worker: &self.worker, tokenizer: &self.folder.tokenizer, task: &task };
            let voice = Voice::new(index, sink, request.vision.show_turns);
            let costs = &costs;
            async move { talk.have(turn, voice, request, costs).await }
        });
        let samples = try_join_all(samples).await?;
        let mode = (!costs.is_empty()).then_some(mode);
        Ok(Completion { mode, samples })
    }

    /// The images of a request, and the permit to hold them.
    async fn pictures(
        &self,
        request: &ChatRequest,
    ) -> Result<(Vec<Arc<Picture>>, Option<OwnedSemaphorePermit>), ApiError> {
        let Some(first) = request.messages.images.first() else { return Ok((Vec::new(), None)) };
        let Some(processor) = &self.folder.processor else {
            return Err(unsupported(&first.path, "the model of this server takes text only"));
        };
        let named = |path: &str, source| ApiError::Image { path: path.to_owned(), source };
        let loads = request.messages.images.iter().map(|image| async move {
            self.images.load(&image.url).await.map_err(|source| named(&image.path, source))
        });
        let loaded = try_join_all(loads).await?;
        let permit = self.admission.pictures(&loaded.iter().map(|picture| picture.size()).collect::<Vec<_>>())?;
        let decoded = loaded.iter().zip(&request.messages.images).map(|(picture, image)| async move {
            picture.decoded(processor).await.map_err(|source| named(&image.path, source))
        });
        Ok((try_join_all(decoded).await?, Some(permit)))
    }

    fn setup(&self, request: &ChatRequest, mode: Mode, pictures: &[Arc<Picture>]) -> Setup {
        let context = self.folder.config.text.max_position_embeddings;
        Setup {
            tokenizer: self.folder.tokenizer.clone(),
            profile: self.profile.clone(),
            mode,
            images: pictures.iter().map(|picture| picture.tokens()).collect(),
            limits: Limits {
                max_turns: request.vision.max_turns.unwrap_or(TURNS),
                max_new_tokens_per_turn: request.max_tokens.unwrap_or(self.settings.max_tokens),
                ..Limits::for_context(context)
            },
            rules: Rules::Exact,
        }
    }

    /// Renders the prompt and makes the views that it shows, beside the threads that serve.
    async fn begin(
        &self,
        setup: Setup,
        request: &ChatRequest,
        sampling: visionthink_engine::Sampling,
        pictures: Vec<Arc<Picture>>,
    ) -> Result<Begun, ApiError> {
        let template = self.folder.template.clone();
        let messages = request.messages.typed.clone();
        let (samples, stop_texts, logprobs) = (request.samples, request.stop.clone(), request.logprobs.is_some());
        let suppressed_ids = self.suppressed_ids.clone();
        beside(move || {
            let conversation = Conversation::start(setup, &template, &messages)?;
            let task = Task { conversation, pictures, sampling, samples, suppressed_ids, stop_texts, logprobs };
            let first = task.next_turn(&task.conversation, None).map_err(failed)?;
            let first = first.ok_or(ApiError::Internal { reason: "a conversation was over before it began" })?;
            Ok(Begun { task, first })
        })
        .await
    }
}

impl std::fmt::Debug for LocalModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalModel").field("folder", &self.folder.path).finish_non_exhaustive()
    }
}

/// What the conversation may come to in tokens, but for the markup between its turns.
fn longest(conversation: &Conversation, (limits, full_images): (Limits, usize)) -> usize {
    let (turns, images) = if conversation.tool_offered() { (limits.max_turns, full_images) } else { (1, 0) };
    let replies = turns.saturating_mul(limits.max_new_tokens_per_turn);
    conversation.prompt_tokens().saturating_add(images).saturating_add(replies).min(limits.max_total_tokens)
}

/// Does work that takes long outside the threads that serve.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, ApiError> + Send + 'static) -> Result<T, ApiError> {
    let lost = ApiError::Internal { reason: "work on a request ended early" };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(lost))
}

fn failed(error: EngineError) -> ApiError {
    match error {
        EngineError::Protocol(error) => error.into(),
        error => ApiError::EngineFailed { reason: error.to_string() },
    }
}
