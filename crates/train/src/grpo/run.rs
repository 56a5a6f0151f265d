//! A run of reinforcement learning, from the run file to the last checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use visionthink_engine::{Backend, ModelFolder};
use visionthink_judge::Counts;
use visionthink_protocol::{FinishReason, Mode};
use visionthink_reward::{BatchFilter, FilterConfig, FilterCounts, FilterStep};

use crate::answer_judge::{AnswerJudge, NoVerdicts};
use crate::batch::ImageTokens;
use crate::error::TrainError;
use crate::grpo::config::GrpoConfig;
use crate::grpo::experience::Experience;
use crate::grpo::generation::{Asked, Generation, Questioner};
use crate::grpo::measure::{PolicyEvaluation, Tally};
use crate::grpo::samples::{Answered, write_samples};
use crate::grpo::scoring::{judge_rollouts, score_group};
use crate::grpo::update::{Learner, PolicyOutcome, UpdateSettings, update};
use crate::init::start_model;
use crate::log::Record;
use crate::schedule::learning_rate_factor;
use crate::training_run::{Learning, RunFile, Skipped, Start, TrainingRun, image_tokens};

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
        /// The checkpoint that the run goes on from.
        checkpoint: Option<&'a Path>,
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
    /// Some rollouts of the step were written to this file, see [`crate::grpo::read_samples`].
    Sampled(&'a Path),
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
/// Anything that keeps the run from starting, data that gives no groups to learn from, a judge that cannot be asked, a checkpoint that
/// cannot be written, or [`TrainError::Diverged`].
pub fn train_policy(
    config: &GrpoConfig,
    device: &Device,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(GrpoEvent<'_>),
) -> Result<GrpoReport, TrainError> {
    let began = Instant::now();
    let mut reinforcement = Reinforcement::prepare(config, device, start)?;
    observe(GrpoEvent::Started {
        from_step: reinforcement.run.state.step,
        total_steps: config.rollout.steps,
        parameters: reinforcement.learner.parameters.count(),
        checkpoint: reinforcement.run.newest(),
    });
    let ended = match reinforcement.steps(stop, observe) {
        // Told to end while the judge was asked or waited for: the step is begun anew by whoever goes on.
        Err(TrainError::Judge { source: NoVerdicts::CalledOff, .. }) => Ok(()),
        ended => ended,
    };
    // What is learned so far is kept, whatever the data, the judge or the disk has come to.
    let saved = if reinforcement.run.is_unsaved(&ended) { reinforcement.save(observe) } else { Ok(()) };
    ended.and(saved)?;
    Ok(reinforcement.report(began.elapsed().as_secs_f64()))
}

/// The rollouts of a step: those to learn from, and counts over all that were generated.
struct StepBatch {
    experiences: Vec<Experience>,
    answered: Vec<Answered>,
    tally: Tally,
    counts: FilterCounts,
    generations: usize,
    rollout_seconds: f64,
    judge_seconds: f64,
}

/// A run between two steps.
struct Reinforcement<'a> {
    config: &'a GrpoConfig,
    run: TrainingRun,
    questioner: Questioner,
    learner: Learner,
    image_tokens: ImageTokens,
    judge: AnswerJudge,
    /// What the records have told of the judge.
    judge_told: Option<Counts>,
    held_out: Vec<Asked>,
    evaluation: Option<PolicyEvaluation>,
    rewards: Vec<f64>,
    update_seconds: f64,
}

impl<'a> Reinforcement<'a> {
    fn prepare(config: &'a GrpoConfig, device: &Device, start: Start) -> Result<Self, TrainError> {
        let file = RunFile {
            run: &config.run,
            model: &config.model,
            profile: &config.data.profile,
            optimizer: &config.optimizer,
            step: &config.step,
            checkpoint: &config.checkpoint,
            total_steps: config.rollout.steps,
        };
        let (run, learning) = TrainingRun::prepare(file, config, device, start)?;
        let Learning { workers, parameters, optimizer, base } = learning;
        // Always the model that the run began with, whatever it goes on from: under an adapter its base, else a copy.
        let reference = match base {
            _ if config.policy.kl_coefficient == 0.0 => None,
            Some(base) => Some(base),
            None => Some(start_model(&config.model, config.run.seed, device)?),
        };
        let image_tokens = image_tokens(&workers);
        let questioner = Questioner::new(config, ModelFolder::open(&run.side_files)?, workers.model().valid())?;
        let held_out = questioner.held_out(config.log.eval_questions)?;
        let learner = Learner { workers, parameters, optimizer, reference };
        let judge = AnswerJudge::open(&config.reward.judge, &config.verdicts(), device)?;
        Ok(Self {
            config,
            run,
            questioner,
            learner,
            image_tokens,
            judge_told: judge.counts(),
            judge,
            held_out,
            evaluation: None,
            rewards: Vec::new(),
            update_seconds: 0.0,
        })
    }

    fn steps(&mut self, stop: &AtomicBool, observe: &mut dyn FnMut(GrpoEvent<'_>)) -> Result<(), TrainError> {
        let config = self.config;
        while self.run.goes_on(stop) {
            let batch = self.collect(stop)?;
            let outcome = self.learn(&batch)?;
            self.rewards.push(batch.tally.mean_reward());
            observe(GrpoEvent::Step { step: self.run.state.step, outcome: &outcome, tally: &batch.tally });
            if self.run.is_due(config.log.every) {
                observe(GrpoEvent::Logged(&self.log_step(&batch, &outcome)?));
            }
            if self.run.is_due(config.log.sample_every) {
                let (folder, step) = (&self.run.folder, self.run.state.step);
                let file = write_samples(folder, step, &batch.answered, &config.reward.weights)?;
                observe(GrpoEvent::Sampled(&file));
            }
            if config.log.eval_questions > 0 && self.run.is_due(config.log.eval_every) {
                observe(GrpoEvent::Evaluated(&self.evaluate(stop)?));
            }
            if self.run.is_due(config.checkpoint.every) {
                self.save(observe)?;
            }
        }
        Ok(())
    }

    /// Generates until there are enough groups with a spread.
    fn collect(&mut self, stop: &AtomicBool) -> Result<StepBatch, TrainError> {
        let began = Instant::now();
        let mut judge_seconds = 0.0;
        let rollout = &self.config.rollout;
        let filter = FilterConfig {
            groups_per_batch: rollout.groups,
            max_generations: Some(rollout.max_generations),
            reject: true,
            limit_empty_generations: true,
        };
        let mut filter = BatchFilter::new(filter, self.config.reward.weights);
        let mut tally = Tally::default();
        let mut scored: Vec<Answered> = Vec::new();
        loop {
            let Generation { asked, rollouts } = self.questioner.generate(self.run.state.step, filter.generations())?;
            let judging_began = Instant::now();
            let answered = asked.iter().zip(&rollouts);
            let each = answered.flat_map(|(one, rollouts)| rollouts.iter().map(|rollout| (rollout, &one.question)));
            let verdicts = judge_rollouts(&mut self.judge, each, self.run.state.step + 1, stop)?;
            judge_seconds += judging_began.elapsed().as_secs_f64();
            let mut verdicts = verdicts.as_slice();
            let mut generation = Vec::with_capacity(asked.len());
            for (one, rollouts) in asked.into_iter().zip(rollouts) {
                let (of_group, rest) = verdicts.split_at(rollouts.len());
                verdicts = rest;
                let group = score_group(&rollouts, of_group, &self.config.reward, &self.config.advantage);
                tally.add_group(&one, &rollouts, &group);
                generation.push(group.scored(scored.len(), &self.config.reward));
                scored.push((one, rollouts, group));
            }
            let ready = match filter.push(generation) {
                FilterStep::Generate => continue,
                FilterStep::Ready(groups) => groups,
                FilterStep::LimitReached if filter.counts().judged == 0 => {
                    return Err(TrainError::Unjudged {
                        step: self.run.state.step + 1,
                        unjudged: tally.unjudged,
                        rollouts: tally.rollouts,
                    });
                }
                FilterStep::LimitReached if filter.held() == 0 => {
                    return Err(TrainError::NoSpread {
                        step: self.run.state.step + 1,
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
                answered: scored,
                tally,
                counts: filter.counts(),
                generations: filter.generations(),
                rollout_seconds: began.elapsed().as_secs_f64() - judge_seconds,
                judge_seconds,
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
            generation: self.run.state.step,
        };
        let lr_factor = learning_rate_factor(&self.config.schedule, self.run.state.step, self.config.rollout.steps);
        let outcome = update(&mut self.learner, &batch.experiences, &settings, lr_factor)?;
        self.questioner.follow(self.learner.workers.model().valid());
        self.update_seconds = began.elapsed().as_secs_f64();
        let skipped = Skipped { updates: outcome.skipped, of: outcome.updates, at_end: outcome.skipped_at_end };
        self.run.count(skipped, &self.learner.optimizer)?;
        Ok(outcome)
    }

    fn log_step(&mut self, batch: &StepBatch, outcome: &PolicyOutcome) -> Result<Record, TrainError> {
        let mut record = Record::new(self.run.state.step);
        let rollouts = batch.tally.rollouts as f64;
        record.put("train/reward", batch.tally.mean_reward());
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
        record.put("seconds/judge", batch.judge_seconds);
        record.put("seconds/update", self.update_seconds);
        record.put("tokens/sampled", batch.tally.completion_tokens as f64);
        record.put("tokens/learned_from", outcome.tokens as f64);
        let counters = self.questioner.engine().counters();
        record.put("tokens/prefilled_total", counters.prefilled_tokens as f64);
        record.put("tokens/reused_total", counters.reused_tokens as f64);
        record.put("train/skipped", self.run.state.skipped as f64);
        self.put_judge(&mut record, "judge");
        self.run.log.write(&record)?;
        Ok(record)
    }

    fn evaluate(&mut self, stop: &AtomicBool) -> Result<PolicyEvaluation, TrainError> {
        let mut evaluation = PolicyEvaluation { step: self.run.state.step, ..PolicyEvaluation::default() };
        for (mode, tally) in [(Mode::Adaptive, &mut evaluation.adaptive), (Mode::Full, &mut evaluation.full)] {
            // A policy that learns from full images alone is offered no tool, and its profile may have none.
            if mode == Mode::Adaptive && self.config.rollout.mode == Mode::Full {
                continue;
            }
            let rollouts = self.questioner.ask(&self.held_out, mode)?;
            let each = rollouts.iter().map(|rollout| (rollout, &self.held_out[rollout.task].question));
            let verdicts = judge_rollouts(&mut self.judge, each, self.run.state.step, stop)?;
            *tally = PolicyEvaluation::tally(&self.held_out, &rollouts, &verdicts);
        }
        let mut record = evaluation.record();
        self.put_judge(&mut record, "eval/judge");
        self.run.log.write(&record)?;
        self.evaluation = Some(evaluation);
        Ok(evaluation)
    }

    /// What a language model that judges has done since a record last said so.
    fn put_judge(&mut self, record: &mut Record, prefix: &str) {
        let (Some(counts), Some(told)) = (self.judge.counts(), self.judge_told) else { return };
        self.judge_told = Some(counts);
        let done = counts.since(&told);
        let mut put = |name: &str, value: f64| record.put(format!("{prefix}/{name}"), value);
        put("calls", done.requests as f64);
        put("cached", done.cache_hits as f64);
        put("failed", done.unjudged as f64);
        put("prompt_tokens", done.usage.prompt_tokens as f64);
        put("completion_tokens", done.usage.completion_tokens as f64);
        if let Some(prices) = self.config.reward.judge.prices() {
            put("cost", done.cost(prices));
        }
    }

    fn save(&mut self, observe: &mut dyn FnMut(GrpoEvent<'_>)) -> Result<(), TrainError> {
        let Learner { workers, parameters, optimizer, .. } = &self.learner;
        observe(GrpoEvent::Saved(self.run.save(workers, parameters, optimizer)?));
        Ok(())
    }

    fn report(self, seconds: f64) -> GrpoReport {
        GrpoReport {
            step: self.run.state.step,
            total_steps: self.config.rollout.steps,
            checkpoint: self.run.checkpoint,
            rewards: self.rewards,
            evaluation: self.evaluation,
            seconds,
        }
    }
}
