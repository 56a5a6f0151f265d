//! What every training run has: a folder, a step, a newest checkpoint, and the rhythm of logging, measuring and saving.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use serde::Serialize;
use visionthink_model::Model;

use crate::batch::ImageTokens;
use crate::checkpoint::{Checkpoints, Saved, TrainerState, resume};
use crate::config::{CheckpointSection, LoraSection, ModelSection, OptimizerSection, RunSection, StepSection};
use crate::error::TrainError;
use crate::init::{StartingModel, learning_model, side_files};
use crate::log::MetricsLog;
use crate::manifest::{check_unchanged, write_manifest};
use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, check_lr_factors};
use crate::workers::Workers;

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At step 0; the run folder must have no checkpoints.
    Fresh,
    /// Behind the newest checkpoint.
    Resume,
}

/// The parts of a run file that every kind of training has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunFile<'a> {
    pub(crate) run: &'a RunSection,
    pub(crate) model: &'a ModelSection,
    pub(crate) profile: &'a str,
    pub(crate) optimizer: &'a OptimizerSection,
    pub(crate) step: &'a StepSection,
    pub(crate) checkpoint: &'a CheckpointSection,
    pub(crate) total_steps: u64,
}

/// What learns.
#[derive(Debug)]
pub(crate) struct Learning {
    /// Replicas of the model.
    pub(crate) workers: Workers,
    /// Its weights.
    pub(crate) parameters: Parameters,
    /// Its optimizer.
    pub(crate) optimizer: Optimizer,
    /// Under an adapter, the model with the adapter off, on the plain device.
    pub(crate) base: Option<Model>,
}

/// Updates of one step that were left out, because a loss or gradient was not finite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skipped {
    /// How many.
    pub(crate) updates: u32,
    /// Of how many.
    pub(crate) of: u32,
    /// How many in a row are the last ones.
    pub(crate) at_end: u32,
}

impl Skipped {
    /// Of a step with one update.
    pub(crate) fn one(skipped: bool) -> Self {
        let updates = u32::from(skipped);
        Self { updates, of: 1, at_end: updates }
    }
}

/// A run between two steps.
#[derive(Debug)]
pub(crate) struct TrainingRun {
    /// Steps done and skipped.
    pub(crate) state: TrainerState,
    /// Both logs.
    pub(crate) log: MetricsLog,
    /// The folder with tokenizer, template and processor files.
    pub(crate) side_files: PathBuf,
    /// The run folder.
    pub(crate) folder: PathBuf,
    /// The newest checkpoint; empty before the first.
    pub(crate) checkpoint: PathBuf,
    total_steps: u64,
    saved_step: Option<u64>,
    skipped_in_a_row: u32,
    max_skipped: u32,
    checkpoints: Checkpoints,
    keep: usize,
    profile: String,
    lora: Option<LoraSection>,
}

impl TrainingRun {
    /// Reads what the run starts from, its newest checkpoint or the model that its run file names, and opens its folder. `whole` is the
    /// run file with everything that is in it, which the folder keeps and a resumed run is held against.
    ///
    /// # Errors
    /// [`TrainError::RunExists`], [`TrainError::NothingToResume`], [`TrainError::ResumeDiffers`], or a file that cannot be used.
    pub(crate) fn prepare(
        file: RunFile<'_>,
        whole: &impl Serialize,
        device: &Device,
        start: Start,
    ) -> Result<(Self, Learning), TrainError> {
        let folder = file.run.out.join(&file.run.name);
        let checkpoints = Checkpoints::of_run(&folder);
        let latest = checkpoints.latest()?;
        match (start, &latest) {
            (Start::Fresh, Some(_)) => return Err(TrainError::RunExists { folder }),
            (Start::Resume, None) => return Err(TrainError::NothingToResume { folder }),
            (Start::Resume, Some(_)) => check_unchanged(&folder, whole)?,
            (Start::Fresh, None) => {}
        }
        let autodiff = device.clone().autodiff();
        let StartingModel { model, parameters, base } =
            learning_model(file.model, file.run.seed, latest.as_deref(), &autodiff)?;
        check_lr_factors(&model, file.optimizer)?;
        let (optimizer, state) = match (start, &latest) {
            (Start::Resume, Some(latest)) => resume(latest, &parameters, file.optimizer.clone())?,
            _ => (Optimizer::new(file.optimizer.clone(), &parameters), TrainerState::new(file.run.seed)),
        };
        if state.seed != file.run.seed {
            let problem = format!("the run has seed {}, `run.seed` is {}", state.seed, file.run.seed);
            return Err(TrainError::Checkpoint { file: latest.unwrap_or(folder), problem });
        }
        let workers = Workers::new(parameters.write_into(model), file.step.workers)?;
        write_manifest(whole, file.run.seed, &folder)?;
        // A folder that cannot take checkpoints is told before anything is trained.
        checkpoints.create()?;
        let run = Self {
            state,
            log: MetricsLog::open(&folder, state.step)?,
            side_files: side_files(file.model),
            folder,
            total_steps: file.total_steps,
            saved_step: latest.is_some().then_some(state.step),
            checkpoint: latest.unwrap_or_default(),
            skipped_in_a_row: 0,
            max_skipped: file.step.max_skipped,
            checkpoints,
            keep: file.checkpoint.keep,
            profile: file.profile.to_owned(),
            lora: file.model.lora.clone(),
        };
        Ok((run, Learning { workers, parameters, optimizer, base }))
    }

    /// The newest checkpoint, if there is one.
    pub(crate) fn newest(&self) -> Option<&Path> {
        self.saved_step.map(|_| self.checkpoint.as_path())
    }

    /// Whether there is another step to do, and nobody asked for the end.
    pub(crate) fn goes_on(&self, stop: &AtomicBool) -> bool {
        self.state.step < self.total_steps && !stop.load(Ordering::Relaxed)
    }

    /// Whether something that is done every `every` steps, and behind the last one, is due.
    pub(crate) fn is_due(&self, every: u64) -> bool {
        self.state.step == self.total_steps || self.state.step.is_multiple_of(every)
    }

    /// Counts a step, and gives up where too many updates in a row were skipped.
    ///
    /// # Errors
    /// [`TrainError::Diverged`].
    pub(crate) fn count(&mut self, skipped: Skipped, optimizer: &Optimizer) -> Result<(), TrainError> {
        self.state.step += 1;
        self.state.optimizer_steps = optimizer.steps();
        let before = if skipped.updates == skipped.of { self.skipped_in_a_row } else { 0 };
        self.skipped_in_a_row = before + skipped.at_end;
        if skipped.updates == 0 {
            return Ok(());
        }
        self.state.skipped += u64::from(skipped.updates);
        let Skipped { updates, of, .. } = skipped;
        tracing::warn!(step = self.state.step, updates, of, "updates skipped: loss or gradient is not finite");
        if self.skipped_in_a_row > self.max_skipped {
            return Err(TrainError::Diverged { step: self.state.step, skipped: self.skipped_in_a_row });
        }
        Ok(())
    }

    /// Whether a run that ended like this has learned something that no checkpoint holds. Weights that diverged are not worth one: it
    /// would push out an older, better checkpoint.
    pub(crate) fn is_unsaved(&self, ended: &Result<(), TrainError>) -> bool {
        let worth_it = match ended {
            Ok(()) => true,
            Err(TrainError::Diverged { .. }) => false,
            Err(_) => self.state.step > 0,
        };
        worth_it && self.saved_step != Some(self.state.step)
    }

    /// Writes a checkpoint and returns its folder.
    ///
    /// # Errors
    /// A file cannot be written; the checkpoints before it stand.
    pub(crate) fn save(
        &mut self,
        workers: &Workers,
        parameters: &Parameters,
        optimizer: &Optimizer,
    ) -> Result<&Path, TrainError> {
        let saved = Saved {
            model: workers.model(),
            lora: self.lora.as_ref(),
            side_files: &self.side_files,
            profile: &self.profile,
            parameters,
            optimizer,
            state: self.state,
        };
        self.checkpoint = self.checkpoints.save(&saved, self.keep)?;
        self.saved_step = Some(self.state.step);
        Ok(&self.checkpoint)
    }
}

/// What stands for an image in the sequences of the workers' model.
pub(crate) fn image_tokens(workers: &Workers) -> ImageTokens {
    let sizes = workers.model().config();
    let merge = sizes.vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
    ImageTokens { id: sizes.image_token_id(), merge }
}
