//! A run of reinforcement learning, from the run file to the last checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use visionthink_engine::{Backend, ModelFolder};
use visionthink_protocol::{FinishReason, Mode};
use visionthink_reward::{BatchFilter, FilterConfig, FilterCounts, FilterStep};

use crate::batch::ImageTokens;
use crate::checkpoint::{Checkpoints, Saved, TrainerState, resume};
use crate::error::TrainError;
use crate::grpo::config::GrpoConfig;
use crate::grpo::experience::Experience;
use crate::grpo::generation::{Asked, Generation, Questioner};
use crate::grpo::measure::{PolicyEvaluation, Tally};
use crate::grpo::scoring::{Group, score_group};
use crate::grpo::update::{Learner, PolicyOutcome, UpdateSettings, update};
use crate::init::{side_files, start_model};
use crate::log::{MetricsLog, Record};
use crate::manifest::{check_unchanged, write_manifest};
use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, check_lr_factors};
use crate::run::Start;
use crate::schedule::learning_rate_factor;
use crate::workers::Workers;

/// What happens in a run, as it happens.
#[derive(Debug)]
pub enum GrpoEvent<'a> {
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
        /// What it did.
        outcome: &'a PolicyOutcome,
        /// What its rollouts were.
        tally: &'a Tally,
    },
    /// A line was written to the metrics.
    Logged(&'a Record),
    /// Held-out questions were asked.
    Evaluated(&'a PolicyEvaluation),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpoReport {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run; more than `step` where it was stopped.
    pub total_steps: u64,
    /// The newest checkpoint.
    pub checkpoint: PathBuf,
    /// Mean reward of every step done, in order.
    pub rewards: Vec<f64>,
    /// The last evaluation, if there was one.
    pub evaluation: Option<PolicyEvaluation>,
    /// Time spent, in seconds.
    pub seconds: f64,
}

/// Trains as the run file says. `device` is a plain device; `stop` ends the run behind the current step; `observe` is told what happens.
///
/// # Errors
/// Anything that keeps the run from starting, data that gives no groups to learn from, a checkpoint that cannot be written, or
/// [`TrainError::Diverged`].
pub fn train_policy(
    config: &GrpoConfig,
    device: &Device,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(GrpoEvent<'_>),
) -> Result<GrpoReport, TrainError> {
    let began = Instant::now();
    let mut run = Run::prepare(config, device, start)?;
    let total_steps = config.rollout.steps;
    observe(GrpoEvent::Started { from_step: run.state.step, total_steps, parameters: run.learner.parameters.count() });
    let mut rewards = Vec::new();
    while run.state.step < total_steps && !stop.load(Ordering::Relaxed) {
        let batch = match run.collect() {
            Ok(batch) => batch,
            Err(error) => {
                // What is learned so far is kept, whatever the data has come to.
                if run.state.step > 0 && run.saved_step != Some(run.state.step) {
                    observe(GrpoEvent::Saved(run.save()?));
                }
                return Err(error);
            }
        };
        let outcome = run.learn(&batch)?;
        rewards.push(batch.tally.reward / batch.tally.rollouts as f64);
        observe(GrpoEvent::Step { step: run.state.step, outcome: &outcome, tally: &batch.tally });
        let last = run.state.step == total_steps;
        if last || run.state.step.is_multiple_of(config.log.every) {
            observe(GrpoEvent::Logged(&run.log_step(&batch, &outcome)?));
        }
        if config.log.eval_questions > 0 && (last || run.state.step.is_multiple_of(config.log.eval_every)) {
            observe(GrpoEvent::Evaluated(run.evaluate()?));
        }
        if last || run.state.step.is_multiple_of(config.checkpoint.every) {
            observe(GrpoEvent::Saved(run.save()?));
        }
    }
    if run.saved_step != Some(run.state.step) {
        observe(GrpoEvent::Saved(run.save()?));
    }
    Ok(GrpoReport {
        step: run.state.step,
        total_steps,
        checkpoint: run.checkpoint,
        rewards,
        evaluation: run.evaluation,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The rollouts of a step: those to learn from, and counts over all that were generated.
struct StepBatch {
    experiences: Vec<Experience>,
    tally: Tally,
    counts: FilterCounts,
    generations: usize,
    rollout_seconds: f64,
}

/// A run between two steps.
struct Run<'a> {
    config: &'a GrpoConfig,
    questioner: Questioner,
    learner: Learner,
    image_tokens: ImageTokens,
    held_out: Vec<Asked>,
    evaluation: Option<PolicyEvaluation>,
    state: TrainerState,
    skipped_in_a_row: u32,
    side_files: PathBuf,
    checkpoints: Checkpoints,
    checkpoint: PathBuf,
    saved_step: Option<u64>,
    log: MetricsLog,
    update_seconds: f64,
}

impl<'a> Run<'a> {
    fn prepare(config: &'a GrpoConfig, device: &Device, start: Start) -> Result<Self, TrainError> {
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
        // Always the model that the run began with, whatever it goes on from.
        let reference = if config.policy.kl_coefficient > 0.0 {
            Some(start_model(&config.model, config.run.seed, device)?)
        } else {
            None
        };
        let side_files = side_files(&config.model);
        let model = start_model(&model_section, config.run.seed, &device.clone().autodiff())?;
        let parameters = Parameters::of(&model, &config.model.trainable)?;
        check_lr_factors(&model, &config.optimizer)?;
        let (optimizer, state) = match (start, &latest) {
            (Start::Resume, Some(latest)) => resume(latest, &parameters, config.optimizer.clone())?,
            _ => (Optimizer::new(config.optimizer.clone(), &parameters), TrainerState::new(config.run.seed)),
        };
        let merge = model.config().vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
        let image_tokens = ImageTokens { id: model.config().image_token_id(), merge };
        let workers = Workers::new(parameters.write_into(model), config.step.workers)?;
        let questioner = Questioner::new(config, ModelFolder::open(&side_files)?, workers.model().valid())?;
        let held_out = questioner.held_out(config.log.eval_questions)?;
        write_manifest(config, config.run.seed, &folder)?;
        Ok(Self {
            config,
            questioner,
            learner: Learner { workers, parameters, optimizer, reference },
            image_tokens,
            held_out,
            evaluation: None,
            state,
            skipped_in_a_row: 0,
            side_files,
            checkpoints,
            checkpoint: latest.clone().unwrap_or_default(),
            saved_step: latest.is_some().then_some(state.step),
            log: MetricsLog::open(&folder, state.step)?,
            update_seconds: 0.0,
        })
    }

    /// Generates until there are enough groups with a spread.
    fn collect(&mut self) -> Result<StepBatch, TrainError> {
        let began = Instant::now();
        let rollout = &self.config.rollout;
        let filter = FilterConfig {
            groups_per_batch: rollout.groups,
            max_generations: Some(rollout.max_generations),
            reject: true,
            limit_empty_generations: true,
        };
        let mut filter = BatchFilter::new(filter, self.config.reward.weights);
        let mut tally = Tally::default();
        let mut scored: Vec<(Asked, Vec<visionthink_engine::Rollout>, Group)> = Vec::new();
        loop {
            let Generation { asked, rollouts } = self.questioner.generate(self.state.step, filter.generations())?;
            let mut generation = Vec::with_capacity(asked.len());
            for (one, rollouts) in asked.into_iter().zip(rollouts) {
                let group = score_group(&rollouts, &one.question, &self.config.reward, &self.config.advantage);
                tally.add_group(&one, &rollouts, &group);
                generation.push(group.scored(scored.len(), &self.config.reward));
                scored.push((one, rollouts, group));
            }
            let ready = match filter.push(generation) {
                FilterStep::Generate => continue,
                FilterStep::Ready(groups) => groups,
                FilterStep::LimitReached if filter.held() == 0 => {
                    return Err(TrainError::NoSpread {
                        step: self.state.step + 1,
                        generations: filter.generations(),
                        rollouts: tally.rollouts,
                    });
                }
                // Fewer groups than asked for are still worth a step.
                FilterStep::LimitReached => filter.take_held(),
            };
            let mut experiences = Vec::with_capacity(ready.len() * rollout.group_size);
            for group in ready {
                let (asked, rollouts, group) =
                    group.id.parse::<usize>().ok().and_then(|id| scored.get(id)).expect("ids are places in the list");
                for (rollout, advantages) in rollouts.iter().zip(&group.advantages) {
                    let truncated = rollout.conversation.finish_reason() == Some(FinishReason::Length);
                    if self.config.advantage.overlong.learns_from(truncated) {
                        experiences.push(Experience::new(rollout, &asked.picture, *advantages)?);
                    }
                }
            }
            return Ok(StepBatch {
                experiences,
                tally,
                counts: filter.counts(),
                generations: filter.generations(),
                rollout_seconds: began.elapsed().as_secs_f64(),
            });
        }
    }

    /// One update, and the engine follows.
    fn learn(&mut self, batch: &StepBatch) -> Result<PolicyOutcome, TrainError> {
        let began = Instant::now();
        let settings = UpdateSettings {
            policy: self.config.policy,
            temperature: self.config.rollout.temperature,
            step: self.config.step,
            image_tokens: self.image_tokens,
            seed: self.config.run.seed,
            generation: self.state.step,
        };
        let lr_factor = learning_rate_factor(&self.config.schedule, self.state.step, self.config.rollout.steps);
        let outcome = update(&mut self.learner, &batch.experiences, &settings, lr_factor)?;
        self.questioner.follow(self.learner.workers.model().valid());
        self.update_seconds = began.elapsed().as_secs_f64();
        self.state.step += 1;
        self.state.optimizer_steps = self.learner.optimizer.steps();
        let all_skipped = outcome.skipped == outcome.updates;
        self.skipped_in_a_row = outcome.skipped_at_end + if all_skipped { self.skipped_in_a_row } else { 0 };
        if outcome.skipped == 0 {
            return Ok(outcome);
        }
        self.state.skipped += u64::from(outcome.skipped);
        let (skipped, norm) = (outcome.skipped, outcome.gradient_norm);
        tracing::warn!(step = self.state.step, skipped, of = outcome.updates, norm, "optimizer steps skipped");
        if self.skipped_in_a_row > self.config.step.max_skipped {
            return Err(TrainError::Diverged { step: self.state.step, skipped: self.skipped_in_a_row });
        }
        Ok(outcome)
    }

    fn log_step(&mut self, batch: &StepBatch, outcome: &PolicyOutcome) -> Result<Record, TrainError> {
        let mut record = Record::new(self.state.step);
        let rollouts = batch.tally.rollouts as f64;
        record.put("train/reward", batch.tally.reward / rollouts);
        record.put("train/well_formed", batch.tally.well_formed as f64 / rollouts);
        batch.tally.put(&mut record, "train");
        record.put("policy/loss", outcome.policy_gradient);
        record.put("policy/clip_fraction", outcome.clip_fraction);
        record.put("policy/approximate_kl", outcome.approximate_kl);
        record.put("policy/kl", outcome.kl);
        record.put("policy/entropy", outcome.entropy);
        record.put("policy/gradient_norm", outcome.gradient_norm);
        record.put("policy/updates", f64::from(outcome.updates));
        record.put("groups/effective", batch.counts.effective as f64);
        record.put("groups/all_right", batch.counts.solve_acc_all as f64);
        record.put("groups/none_right", batch.counts.solve_acc_none as f64);
        record.put("groups/generations", batch.generations as f64);
        record.put("groups/unjudged_responses", batch.counts.unjudged_responses as f64);
        record.put("seconds/rollout", batch.rollout_seconds);
        record.put("seconds/update", self.update_seconds);
        record.put("tokens/sampled", batch.tally.completion_tokens as f64);
        record.put("tokens/learned_from", outcome.tokens as f64);
        let counters = self.questioner.engine().counters();
        record.put("tokens/prefilled_total", counters.prefilled_tokens as f64);
        record.put("tokens/reused_total", counters.reused_tokens as f64);
        record.put("train/skipped", self.state.skipped as f64);
        self.log.write(&record)?;
        Ok(record)
    }

    fn evaluate(&mut self) -> Result<&PolicyEvaluation, TrainError> {
        let mut evaluation = PolicyEvaluation { step: self.state.step, ..PolicyEvaluation::default() };
        let judge = self.config.reward.judge;
        for (mode, tally) in [(Mode::Adaptive, &mut evaluation.adaptive), (Mode::Full, &mut evaluation.full)] {
            let rollouts = self.questioner.ask(&self.held_out, mode)?;
            *tally = PolicyEvaluation::tally(&self.held_out, &rollouts, judge);
        }
        self.log.write(&evaluation.record())?;
        Ok(self.evaluation.insert(evaluation))
    }

    fn save(&mut self) -> Result<&Path, TrainError> {
        let saved = Saved {
            model: self.learner.workers.model(),
            side_files: &self.side_files,
            profile: &self.config.data.profile,
            parameters: &self.learner.parameters,
            optimizer: &self.learner.optimizer,
            state: self.state,
        };
        self.checkpoint = self.checkpoints.save(&saved, self.config.checkpoint.keep)?;
        self.saved_step = Some(self.state.step);
        Ok(&self.checkpoint)
    }
}
