//! A training run, from the run file to the last checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use visionthink_protocol::names::TOOL_CALL;

use crate::batch::ImageTokens;
use crate::config::{StageSection, TrainConfig};
use crate::curriculum::Curriculum;
use crate::error::TrainError;
use crate::evaluate::{Evaluation, HeldOut, Share};
use crate::loader::Loader;
use crate::log::Record;
use crate::schedule::learning_rate_factor;
use crate::source::Source;
use crate::step::{StepOutcome, step};
use crate::training_run::{Learning, RunFile, Skipped, Start, TrainingRun, image_tokens};
use crate::transcript::{Shown, TranscriptBuilder};

/// Sequences in one pass of an evaluation.
const EVAL_BATCH: usize = 32;

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
        /// The checkpoint that the run goes on from.
        checkpoint: Option<&'a Path>,
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
    let mut imitation = Imitation::prepare(config, device, start)?;
    observe(Event::Started {
        from_step: imitation.run.state.step,
        total_steps: config.total_steps(),
        parameters: imitation.learning.parameters.count(),
        checkpoint: imitation.run.newest(),
    });
    let ended = imitation.steps(stop, observe);
    // What is learned so far is kept, whatever the data or the disk has come to.
    let saved = if imitation.run.is_unsaved(&ended) { imitation.save(observe) } else { Ok(()) };
    ended.and(saved)?;
    Ok(imitation.report(began.elapsed().as_secs_f64()))
}

/// A run between two steps.
struct Imitation<'a> {
    config: &'a TrainConfig,
    run: TrainingRun,
    learning: Learning,
    loader: Loader,
    builder: Arc<TranscriptBuilder>,
    held_out: HeldOut,
    evaluation: Option<Evaluation>,
    losses: Vec<f64>,
    interval: Interval,
}

impl<'a> Imitation<'a> {
    fn prepare(config: &'a TrainConfig, device: &Device, start: Start) -> Result<Self, TrainError> {
        let file = RunFile {
            run: &config.run,
            model: &config.model,
            profile: &config.data.profile,
            optimizer: &config.optimizer,
            step: &config.step,
            checkpoint: &config.checkpoint,
            total_steps: config.total_steps(),
        };
        let (run, learning) = TrainingRun::prepare(file, config, device, start)?;
        let image_tokens = image_tokens(&learning.workers);
        let max_tokens = learning.workers.model().config().text.max_position_embeddings;
        let builder = TranscriptBuilder::new(&run.side_files, &config.data.profile, config.loss, max_tokens)?;
        let source = Source::open(config.data.synthetic.as_ref(), config.data.files.as_ref())?;
        let views = views_of(&config.stages);
        let held_out = HeldOut::new(&source, &builder, &views, config.log.eval_questions, EVAL_BATCH, image_tokens)?;
        let builder = Arc::new(builder);
        let loader = loader(config, run.state.step, Arc::new(source), builder.clone(), image_tokens)?;
        let (evaluation, losses, interval) = (None, Vec::new(), Interval::new());
        Ok(Self { config, run, learning, loader, builder, held_out, evaluation, losses, interval })
    }

    fn steps(&mut self, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let config = self.config;
        while self.run.goes_on(stop) {
            let stage = config.stage_at(self.run.state.step);
            let lr_factor = learning_rate_factor(&config.schedule, self.run.state.step, config.total_steps());
            let batches = self.loader.next_step()?;
            let Learning { workers, parameters, optimizer, .. } = &mut self.learning;
            let outcome = step(workers, parameters, optimizer, &batches, lr_factor, &config.step)?;
            self.run.count(Skipped::one(outcome.skipped), optimizer)?;
            self.losses.push(outcome.loss);
            self.interval.add(&outcome);
            observe(Event::Step { step: self.run.state.step, stage, outcome: &outcome });
            if self.run.is_due(config.log.every) {
                observe(Event::Logged(&self.log_interval(lr_factor * config.optimizer.lr)?));
            }
            if self.run.is_due(config.log.eval_every) {
                observe(Event::Evaluated(self.evaluate()?));
            }
            if self.run.is_due(config.checkpoint.every) {
                self.save(observe)?;
            }
        }
        Ok(())
    }

    fn log_interval(&mut self, lr: f64) -> Result<Record, TrainError> {
        let mut record = std::mem::replace(&mut self.interval, Interval::new()).record(self.run.state.step);
        record.put("train/lr", lr);
        record.put("train/skipped", self.run.state.skipped as f64);
        self.run.log.write(&record)?;
        Ok(record)
    }

    fn evaluate(&mut self) -> Result<&Evaluation, TrainError> {
        let call_id = self.builder.tokenizer().token_to_id(TOOL_CALL);
        let evaluation = self.held_out.evaluate(&self.learning.workers, call_id, self.run.state.step)?;
        self.run.log.write(&evaluation.record())?;
        Ok(self.evaluation.insert(evaluation))
    }

    fn save(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let Learning { workers, parameters, optimizer, .. } = &self.learning;
        observe(Event::Saved(self.run.save(workers, parameters, optimizer)?));
        Ok(())
    }

    fn report(self, seconds: f64) -> Report {
        Report {
            step: self.run.state.step,
            total_steps: self.config.total_steps(),
            checkpoint: self.run.checkpoint,
            losses: self.losses,
            skipped: self.run.state.skipped,
            evaluation: self.evaluation,
            seconds,
        }
    }
}

/// Draws the batches of the steps behind `from`.
fn loader(
    config: &TrainConfig,
    from: u64,
    source: Arc<Source>,
    builder: Arc<TranscriptBuilder>,
    image_tokens: ImageTokens,
) -> Result<Loader, TrainError> {
    let curriculum = Curriculum::new(config.clone(), source, builder, image_tokens);
    Ok(Loader::start(from, config.total_steps(), config.data.threads, move |step| curriculum.batches(step))?)
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
