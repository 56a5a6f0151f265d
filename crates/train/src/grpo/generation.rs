//! Questions, and the rollouts that answer them.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use visionthink_engine::{
    CancelToken, EmbeddedEngine, EngineOptions, ModelFolder, Picture, Rollout, Sampling, Task, run as roll_out,
};
use visionthink_image::Processor;
use visionthink_model::Model;
use visionthink_protocol::{Mode, Profile};

use crate::error::TrainError;
use crate::grpo::config::GrpoConfig;
use crate::prompter::Prompter;
use crate::source::{Question, Source, pick_questions};

/// Groups of a generation, and generations of a step, that a picture's number has room for.
pub(crate) const MOST_NUMBERED: usize = 1 << 10;

/// A question about a picture.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The question with its answer.
    pub question: Question,
    /// The kind of picture.
    pub family: String,
    /// The picture.
    pub picture: Arc<Picture>,
}

/// Questions with the rollouts of each.
#[derive(Debug)]
pub struct Generation {
    /// The questions.
    pub asked: Vec<Asked>,
    /// The rollouts of each question, sample by sample.
    pub rollouts: Vec<Vec<Rollout>>,
}

/// Asks the policy. Which questions a step asks, and the seeds of their samples, depend on the run file and the step alone.
#[derive(Debug)]
pub struct Questioner {
    config: GrpoConfig,
    source: Source,
    prompter: Prompter,
    processor: Arc<Processor>,
    engine: EmbeddedEngine,
}

impl Questioner {
    /// An engine with the files of `folder` around `model`, which is on a plain device.
    ///
    /// # Errors
    /// A data file or profile that cannot be read, or a checkpoint without an image processor.
    pub fn new(config: &GrpoConfig, folder: ModelFolder, model: Model) -> Result<Self, TrainError> {
        let processor =
            folder.processor.clone().ok_or_else(|| TrainError::TextOnly { checkpoint: folder.path.clone() })?;
        let options = EngineOptions { max_rows: config.rollout.max_rows, ..EngineOptions::default() };
        Ok(Self {
            source: Source::open(config.data.synthetic.as_ref(), config.data.files.as_ref())?,
            engine: EmbeddedEngine::new(model, Some(folder.tokenizer.clone()), options),
            prompter: Prompter {
                folder,
                profile: Arc::new(Profile::by_name(&config.data.profile)?),
                max_new_tokens: config.rollout.max_new_tokens,
            },
            config: config.clone(),
            processor,
        })
    }

    /// The engine, with its counters.
    pub fn engine(&self) -> &EmbeddedEngine {
        &self.engine
    }

    /// Answers with these weights from now on.
    pub fn follow(&mut self, model: Model) {
        self.engine.replace_model(model);
    }

    /// The questions and rollouts of the `draw`-th generation of a step (both from 0).
    ///
    /// # Errors
    /// A picture that cannot be read, or a question that does not fit the context.
    pub fn generate(&mut self, step: u64, draw: usize) -> Result<Generation, TrainError> {
        let mut asked = Vec::with_capacity(self.config.rollout.groups);
        let mut tasks = Vec::with_capacity(asked.capacity());
        for slot in 0..self.config.rollout.groups {
            let mut random = slot_stream(self.config.run.seed, step, draw, slot);
            // Draws of a step and slots of a draw have ten bits each: no picture is drawn twice.
            let index = step << 20 | (draw as u64) << 10 | slot as u64;
            let example = self.source.train(index, 0.0, &mut random)?;
            let mut questions = pick_questions(example.questions, 1, self.config.data.hard_share, &mut random);
            let picture = Arc::new(Picture::new(example.image, self.processor.clone())?);
            let one = Asked { question: questions.swap_remove(0), family: example.family, picture };
            let sampling = self.config.sampling(random.next_u64());
            tasks.push(self.task(&one, self.config.rollout.mode, sampling, self.config.rollout.group_size)?);
            asked.push(one);
        }
        Ok(Generation { rollouts: by_task(self.answer(tasks), asked.len()), asked })
    }

    /// The greedy rollout of every question in a mode.
    ///
    /// # Errors
    /// A question that does not fit the context.
    pub fn ask(&mut self, asked: &[Asked], mode: Mode) -> Result<Vec<Rollout>, TrainError> {
        let tasks: Result<Vec<Task>, TrainError> =
            asked.iter().map(|one| self.task(one, mode, Sampling::greedy(), 1)).collect();
        Ok(self.answer(tasks?))
    }

    /// An easy and a hard question about each of the first `pictures` held-out pictures, where they have them.
    ///
    /// # Errors
    /// A picture that cannot be read.
    pub fn held_out(&self, pictures: usize) -> Result<Vec<Asked>, TrainError> {
        let mut asked = Vec::new();
        for index in 0..self.source.held_out_count().map_or(pictures, |count| pictures.min(count)) {
            let example = self.source.held_out(index)?;
            let picture = Arc::new(Picture::new(example.image, self.processor.clone())?);
            let mut random = ChaCha8Rng::seed_from_u64(index as u64);
            for needs_full in [false, true] {
                let of_kind: Vec<Question> =
                    example.questions.iter().filter(|one| one.needs_full == needs_full).cloned().collect();
                if !of_kind.is_empty() {
                    let picked = pick_questions(of_kind, 1, f64::from(u8::from(needs_full)), &mut random);
                    asked.extend(picked.into_iter().map(|question| Asked {
                        question,
                        family: example.family.clone(),
                        picture: picture.clone(),
                    }));
                }
            }
        }
        Ok(asked)
    }

    fn answer(&mut self, tasks: Vec<Task>) -> Vec<Rollout> {
        roll_out(&mut self.engine, tasks, &CancelToken::new(), |_| {})
    }

    fn task(&self, asked: &Asked, mode: Mode, sampling: Sampling, samples: usize) -> Result<Task, TrainError> {
        self.prompter.task(&asked.picture, &asked.question.text, mode, sampling, samples)
    }
}

/// Rollouts come in the order of the tasks.
pub(crate) fn by_task(rollouts: Vec<Rollout>, tasks: usize) -> Vec<Vec<Rollout>> {
    let mut groups: Vec<Vec<Rollout>> = (0..tasks).map(|_| Vec::new()).collect();
    for rollout in rollouts {
        if let Some(group) = groups.get_mut(rollout.task) {
            group.push(rollout);
        }
    }
    groups
}

fn slot_stream(seed: u64, step: u64, draw: usize, slot: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..20].copy_from_slice(&(draw as u32).to_le_bytes());
    key[20..24].copy_from_slice(&(slot as u32).to_le_bytes());
    key[24..].copy_from_slice(b"vt-grpo ");
    ChaCha8Rng::from_seed(key)
}
