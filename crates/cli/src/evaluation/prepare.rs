//! From a question of a benchmark to a task for the rollout loop; runs beside the engine.

use std::sync::Arc;

use visionthink_engine::{EngineError, ModelFolder, Picture, Sampling, Task};
use visionthink_eval::run::{BenchmarkSection, Pictures, Question, Record, RunFile, Source};
use visionthink_image::{DecodeOptions, Processor, RgbImage, decode, scaled_view};
use visionthink_protocol::{Conversation, ImageTokens, Limits, Mode, Profile, Rules, Setup, View};

use crate::model::dataset;

/// A question on its way: what is recorded of it whatever comes of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) source: Source,
    pub(crate) id: String,
    pub(crate) question: String,
    pub(crate) row: serde_json::Value,
    pub(crate) pictures: Vec<ImageTokens>,
}

impl Asked {
    pub(crate) fn record(self, outcome: visionthink_eval::run::Outcome) -> Record {
        let Self { source, id, question, row, .. } = self;
        Record { source, id, question, row, outcome }
    }
}

/// What became of a question before the engine sees it.
pub(crate) enum Prepared {
    /// It can be asked.
    Ready(Asked, Box<Task>),
    /// It cannot, and never will.
    Defective(Asked, String),
    /// Its row cannot be read.
    Unreadable(String),
}

/// What all questions of a combination have in common.
pub(crate) struct Prompter<'a> {
    pub(crate) run: &'a RunFile,
    pub(crate) folder: ModelFolder,
    pub(crate) profile: Arc<Profile>,
    pub(crate) processor: Option<Arc<Processor>>,
    pub(crate) mode: Mode,
    pub(crate) pixels: Option<f64>,
    /// The combination; each question has its place put in.
    pub(crate) source: Source,
}

/// Why a question cannot be asked.
type Unfit = Box<dyn std::error::Error>;

impl Prompter<'_> {
    pub(crate) fn prepare(&self, question: Question) -> Prepared {
        let Question { index, id, text, row, pictures, problem } = question;
        let source = Source { index, ..self.source.clone() };
        let mut asked = Asked { source, id, question: text, row, pictures: Vec::new() };
        let task = match problem {
            Some(problem) => Err(problem),
            None => self.task(&mut asked, pictures).map_err(|error| error.to_string()),
        };
        match task {
            Ok(task) => Prepared::Ready(asked, Box::new(task)),
            Err(problem) => Prepared::Defective(asked, problem),
        }
    }

    fn task(&self, asked: &mut Asked, pictures: Pictures) -> Result<Task, Unfit> {
        let images = match pictures {
            Pictures::Drawn(image) => vec![image],
            Pictures::Encoded(files) => {
                files.iter().map(|bytes| decode(bytes, &DecodeOptions::default())).collect::<Result<_, _>>()?
            }
        };
        let pictures = images.into_iter().map(|image| self.picture(image)).collect::<Result<Vec<_>, _>>()?;
        asked.pictures = pictures.iter().map(|picture| picture.tokens()).collect();
        let context = self.folder.config.text.max_position_embeddings;
        let generation = &self.run.generation;
        let setup = Setup {
            tokenizer: self.folder.tokenizer.clone(),
            profile: self.profile.clone(),
            mode: self.mode,
            images: asked.pictures.clone(),
            limits: Limits { max_new_tokens_per_turn: generation.max_new_tokens, ..Limits::for_context(context) },
            rules: Rules::Exact,
        };
        let question = self.profile.question(&asked.question, pictures.len());
        // The seed is that of the question, whatever the method: what is compared draws the same random numbers.
        let seed = self.run.run.seed.wrapping_add(asked.source.index);
        Ok(Task {
            conversation: Conversation::start(setup, &self.folder.template, &[question])?,
            pictures,
            sampling: Sampling::at_temperature(generation.temperature, seed),
            samples: 1,
            suppressed_ids: self.folder.suppressed_ids(),
            stop_texts: Vec::new(),
            logprobs: false,
        })
    }

    /// A picture whose first view is made, so that the engine need not wait for it.
    fn picture(&self, image: RgbImage) -> Result<Arc<Picture>, EngineError> {
        let processor = self.processor.clone().ok_or(visionthink_model::ModelError::NoVisionTower)?;
        let image = match self.pixels {
            Some(share) => scaled_view(&image, share)?.into_owned(),
            None => image,
        };
        let picture = Picture::new(image, processor)?;
        picture.patches(if self.mode == Mode::Full { View::Full } else { View::Low })?;
        Ok(Arc::new(picture))
    }
}

/// The section with its data on this machine.
pub(crate) fn here(section: &BenchmarkSection) -> anyhow::Result<BenchmarkSection> {
    let mut section = section.clone();
    if let Some(name) = section.data.as_ref().and_then(|data| data.to_str()).filter(|name| name.starts_with("hf:")) {
        section.data = Some(dataset(name)?);
    }
    Ok(section)
}
