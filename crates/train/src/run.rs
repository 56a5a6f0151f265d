//! A training run, from the run file to the last checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use visionthink_protocol::names::TOOL_CALL;

use crate::batch::ImageTokens;
use crate::checkpoint::{Checkpoints, Saved, TrainerState, resume};
use crate::config::{StageSection, TrainConfig};
use crate::curriculum::Curriculum;
use crate::error::TrainError;
use crate::evaluate::{Evaluation, HeldOut, Share};
use crate::init::{side_files, start_model};
use crate::loader::Loader;
use crate::log::{MetricsLog, Record};
use crate::manifest::{check_unchanged, write_manifest};
use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, check_lr_factors};
use crate::schedule::learning_rate_factor;
use crate::source::Source;
use crate::step::{StepOutcome, step};
use crate::transcript::{Shown, TranscriptBuilder};
use crate::workers::Workers;

/// Sequences in one pass of an evaluation.
const EVAL_BATCH: usize = 32;

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At step 0; the run folder must have no checkpoints.
    Fresh,
    /// Behind the newest checkpoint.
    Resume,
}

/// What happens in a run, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// Everything is loaded.
    Started {
        /// Steps done already.
        from_step: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// Numbers that learn.
        parameters: usize,
    },
    /// A step is done.
    Step {
        /// Steps done.
        step: u64,
        /// The stage it belongs to.
        stage: &'a StageSection,
        /// What it did.
        outcome: &'a StepOutcome,
    },
    /// A line was written to the metrics.
    Logged(&'a Record),
    /// Held-out questions were asked.
    Evaluated(&'a Evaluation),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run; more than `step` where it was stopped.
    pub total_steps: u64,
    /// The newest checkpoint. With `step < total_steps`, start the same run file with [`Start::Resume`] to go on.
    pub checkpoint: PathBuf,
    /// Loss of every step done, in order.
    pub losses: Vec<f64>,
    /// Steps skipped for a loss or gradient that is not finite.
    pub skipped: u64,
    /// The last evaluation, if there was one.
    pub evaluation: Option<Evaluation>,
    /// Time spent, in seconds.
    pub seconds: f64,
}

/// Trains as the run file says. `device` is a plain device; `stop` ends the run behind the current step; `observe` is told what happens.
///
/// # Errors
/// Anything that keeps the run from starting, a batch that cannot be made, a checkpoint that cannot be written, or
/// [`TrainError::Diverged`].
pub fn train(
    config: &TrainConfig,
    device: &Device,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report, TrainError> {
    let began = Instant::now();
    let mut run = Run::prepare(config, device, start)?;
    let (from, total) = (run.state.step, config.total_steps());
    observe(Event::Started { from_step: from, total_steps: total, parameters: run.parameters.count() });
    let mut loader = run.loader(from, total)?;
    let mut losses = Vec::new();
    while run.state.step < total && !stop.load(Ordering::Relaxed) {
        let stage = config.stage_at(run.state.step);
        let lr_factor = learning_rate_factor(&config.schedule, run.state.step, total);
        let batches = match loader.next_step() {
            Ok(batches) => batches,
            Err(error) => {
                // What is learned so far is kept, whatever the data has come to.
                if run.saved_step != Some(run.state.step) && run.state.step > from {
                    observe(Event::Saved(run.save()?));
                }
                return Err(error);
            }
        };
        let outcome =
            step(&mut run.workers, &mut run.parameters, &mut run.optimizer, &batches, lr_factor, &config.step)?;
        run.count(&outcome)?;
        losses.push(outcome.loss);
        run.interval.add(&outcome);
        observe(Event::Step { step: run.state.step, stage, outcome: &outcome });
        let last = run.state.step == total;
        if last || run.state.step.is_multiple_of(config.log.every) {
            observe(Event::Logged(&run.log_interval(lr_factor * config.optimizer.lr)?));
        }
        if last || run.state.step.is_multiple_of(config.log.eval_every) {
            observe(Event::Evaluated(run.evaluate()?));
        }
        if last || run.state.step.is_multiple_of(config.checkpoint.every) {
            observe(Event::Saved(run.save()?));
        }
    }
    if run.saved_step != Some(run.state.step) {
        observe(Event::Saved(run.save()?));
    }
    Ok(run.report(losses, began.elapsed().as_secs_f64()))
}

/// A run between two steps.
struct Run<'a> {
    config: &'a TrainConfig,
    workers: Workers,
    parameters: Parameters,
    optimizer: Optimizer,
    state: TrainerState,
    skipped_in_a_row: u32,
    source: Arc<Source>,
    builder: Arc<TranscriptBuilder>,
    image_tokens: ImageTokens,
    held_out: HeldOut,
    evaluation: Option<Evaluation>,
    side_files: PathBuf,
    checkpoints: Checkpoints,
    saved_step: Option<u64>,
    checkpoint: PathBuf,
    log: MetricsLog,
    interval: Interval,
}

impl<'a> Run<'a> {
    fn prepare(config: &'a TrainConfig, device: &Device, start: Start) -> Result<Self, TrainError> {
        let folder = config.folder();
        let checkpoints = Checkpoints::of_run(&folder);
        let latest = checkpoints.latest()?;
        let mut model_section = config.model.clone();
        match (start, &latest) {
            (Start::Fresh, Some(_)) => return Err(TrainError::RunExists { folder }),
            (Start::Resume, None) => return Err(TrainError::NothingToResume { folder }),
            (Start::Resume, Some(latest)) => {
                check_unchanged(&folder, config)?;
                model_section.checkpoint = Some(latest.clone());
            }
            (Start::Fresh, None) => {}
        }
        let side_files = side_files(&config.model);
        let model = start_model(&model_section, config.run.seed, &device.clone().autodiff())?;
        let parameters = Parameters::of(&model, &config.model.trainable)?;
        check_lr_factors(&model, &config.optimizer)?;
        let (optimizer, state) = match (start, &latest) {
            (Start::Resume, Some(latest)) => resume(latest, &parameters, config.optimizer.clone())?,
            _ => (Optimizer::new(config.optimizer.clone(), &parameters), TrainerState::new(config.run.seed)),
        };
        if state.seed != config.run.seed {
            let problem = format!("the run has seed {}, `run.seed` is {}", state.seed, config.run.seed);
            return Err(TrainError::Checkpoint { file: latest.unwrap_or(folder), problem });
        }
        let sizes = model.config();
        let merge = sizes.vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
        let image_tokens = ImageTokens { id: sizes.image_token_id(), merge };
        let max_tokens = sizes.text.max_position_embeddings;
        let builder = TranscriptBuilder::new(&side_files, &config.data.profile, config.loss, max_tokens)?;
        let source = Source::open(config.data.synthetic.as_ref(), config.data.files.as_ref())?;
        let views = views_of(&config.stages);
        let held_out = HeldOut::new(&source, &builder, &views, config.log.eval_questions, EVAL_BATCH, image_tokens)?;
        let workers = Workers::new(parameters.write_into(model), config.step.workers)?;
        write_manifest(config, config.run.seed, &folder)?;
        Ok(Self {
            config,
            workers,
            parameters,
            optimizer,
            state,
            skipped_in_a_row: 0,
            source: Arc::new(source),
            builder: Arc::new(builder),
            image_tokens,
            held_out,
            evaluation: None,
            side_files,
            checkpoints,
            saved_step: latest.is_some().then_some(state.step),
            checkpoint: latest.unwrap_or_default(),
            log: MetricsLog::open(&folder, state.step)?,
            interval: Interval::new(),
        })
    }

    fn loader(&self, from: u64, to: u64) -> Result<Loader, TrainError> {
        let curriculum =
            Curriculum::new(self.config.clone(), self.source.clone(), self.builder.clone(), self.image_tokens);
        Ok(Loader::start(from, to, self.config.data.threads, move |step| curriculum.batches(step))?)
    }

    /// Counts a step, and gives up where too many in a row were skipped.
    fn count(&mut self, outcome: &StepOutcome) -> Result<(), TrainError> {
        self.state.step += 1;
        self.state.optimizer_steps = self.optimizer.steps();
        if !outcome.skipped {
            self.skipped_in_a_row = 0;
            return Ok(());
        }
        self.state.skipped += 1;
        self.skipped_in_a_row += 1;
        tracing::warn!(step = self.state.step, loss = outcome.loss, norm = outcome.gradient_norm, "step skipped");
        if self.skipped_in_a_row > self.config.step.max_skipped {
            return Err(TrainError::Diverged { step: self.state.step, skipped: self.skipped_in_a_row });
        }
        Ok(())
    }

    fn log_interval(&mut self, lr: f64) -> Result<Record, TrainError> {
        let mut record = std::mem::replace(&mut self.interval, Interval::new()).record(self.state.step);
        record.put("train/lr", lr);
        record.put("train/skipped", self.state.skipped as f64);
        self.log.write(&record)?;
        Ok(record)
    }

    fn evaluate(&mut self) -> Result<&Evaluation, TrainError> {
        let call_id = self.builder.tokenizer().token_to_id(TOOL_CALL);
        let evaluation = self.held_out.evaluate(&self.workers, call_id, self.state.step)?;
        self.log.write(&evaluation.record())?;
        Ok(self.evaluation.insert(evaluation))
    }

    fn save(&mut self) -> Result<&Path, TrainError> {
        let saved = Saved {
            model: self.workers.model(),
            side_files: &self.side_files,
            profile: &self.config.data.profile,
            parameters: &self.parameters,
            optimizer: &self.optimizer,
            state: self.state,
        };
        self.checkpoint = self.checkpoints.save(&saved, self.config.checkpoint.keep)?;
        self.saved_step = Some(self.state.step);
        Ok(&self.checkpoint)
    }

    fn report(self, losses: Vec<f64>, seconds: f64) -> Report {
        Report {
            step: self.state.step,
            total_steps: self.config.total_steps(),
            checkpoint: self.checkpoint,
            losses,
            skipped: self.state.skipped,
            evaluation: self.evaluation,
            seconds,
        }
    }
}

/// The views that any stage draws.
fn views_of(stages: &[StageSection]) -> Vec<Shown> {
    let drawn = |weight: fn(&StageSection) -> f64| stages.iter().any(|stage| weight(stage) > 0.0);
    let mut views = Vec::new();
    if drawn(|stage| stage.mixture.full) {
        views.push(Shown::Full);
    }
    if drawn(|stage| stage.mixture.low) {
        views.push(Shown::Low);
    }
    if drawn(|stage| stage.mixture.adaptive) {
        views.extend([Shown::Resized, Shown::Direct]);
    }
    views
}

/// Sums over the steps between two lines of the metrics.
struct Interval {
    began: Instant,
    steps: u64,
    loss: f64,
    gradient_norm: f64,
    hits: BTreeMap<Shown, Share>,
    tokens: usize,
    images: usize,
}

impl Interval {
    fn new() -> Self {
        let (steps, loss, gradient_norm, tokens, images) = (0, 0.0, 0.0, 0, 0);
        Self { began: Instant::now(), steps, loss, gradient_norm, hits: BTreeMap::new(), tokens, images }
    }

    fn add(&mut self, outcome: &StepOutcome) {
        self.tokens += outcome.tokens;
        self.images += outcome.images;
        for (shown, share) in &outcome.answer_hits {
            let sum = self.hits.entry(*shown).or_default();
            sum.right += share.right;
            sum.of += share.of;
        }
        if !outcome.skipped {
            self.steps += 1;
            self.loss += outcome.loss;
            self.gradient_norm += outcome.gradient_norm;
        }
    }

    fn record(self, step: u64) -> Record {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut record = Record::new(step);
        record.put("train/loss", self.loss / self.steps as f64);
        record.put("train/gradient_norm", self.gradient_norm / self.steps as f64);
        for (shown, share) in self.hits {
            record.put(format!("train/answer_tokens/{}", shown.name()), share.value());
        }
        record.put("speed/tokens_per_second", self.tokens as f64 / seconds);
        record.put("speed/images_per_second", self.images as f64 / seconds);
        record.put("speed/seconds", seconds);
        record
    }
}
