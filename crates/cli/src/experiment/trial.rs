//! One run of an experiment: trained, measured, and written down once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use visionthink_engine::EngineOptions;
use visionthink_protocol::Mode;
use visionthink_train::config::ModelSection;
use visionthink_train::grpo::train_policy;
use visionthink_train::{Checkpoints, Start, TrainError, train};

use super::definition::{Experiment, RunFile, Trial};
use crate::args::ModelArguments;
use crate::commands::demo::{Asking, measure};
use crate::demo::result::Row;
use crate::device::DeviceChoice;
use crate::model::ModelSource;

const RESULT_FILE: &str = "result.json";

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrialResult {
    /// The seed.
    pub(crate) seed: u64,
    /// The commit of the working tree that ran it, where there is one.
    pub(crate) commit: Option<String>,
    /// Steps done.
    pub(crate) steps: u64,
    /// Why it ended before its last step, if it did.
    pub(crate) ended_early: Option<String>,
    /// Held-out questions, in modes `adaptive` and `full`.
    pub(crate) rows: Vec<Measured>,
}

/// Held-out questions of one family, need and mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The kind of picture.
    pub(crate) family: String,
    /// Whether the question needs the full image.
    pub(crate) needs_full: bool,
    /// The mode.
    pub(crate) mode: Mode,
    /// How many.
    pub(crate) questions: usize,
    /// Right answers.
    pub(crate) correct: usize,
    /// First turns that asked for the full image.
    pub(crate) resize_calls: usize,
    /// Image tokens shown.
    pub(crate) visual_tokens: usize,
}

impl From<&Row> for Measured {
    fn from(row: &Row) -> Self {
        Self {
            family: row.family.to_owned(),
            needs_full: row.needs_full,
            mode: row.mode,
            questions: row.sums.questions,
            correct: row.sums.correct,
            resize_calls: row.sums.resize_calls,
            visual_tokens: row.sums.visual_tokens,
        }
    }
}

/// The result of a trial that is done; `None` where it is still to run.
pub(crate) fn read_result(trial: &Trial) -> anyhow::Result<Option<TrialResult>> {
    let file = trial.folder().join(RESULT_FILE);
    if !file.is_file() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&fs_err::read_to_string(file)?)?))
}

/// Trains and measures, from wherever an earlier attempt ended. `None` where `stop` ended it before its last step.
pub(crate) fn run(
    trial: &Trial,
    experiment: &Experiment,
    device: &DeviceChoice,
    commit: Option<&str>,
    stop: &AtomicBool,
) -> anyhow::Result<Option<TrialResult>> {
    let (plain, _) = device.open()?;
    let folder = trial.folder();
    let start = if Checkpoints::of_run(&folder).latest()?.is_some() { Start::Resume } else { Start::Fresh };
    let trained = match &trial.run {
        RunFile::Imitation(config) => {
            train(config, &plain, start, stop, &mut |_| {}).map(|report| (report.step, report.checkpoint))
        }
        RunFile::Reinforcement(config) => {
            train_policy(config, &plain, start, stop, &mut |_| {}).map(|report| (report.step, report.checkpoint))
        }
    };
    let (steps, checkpoint, ended_early) = match trained {
        Ok((steps, checkpoint)) => (steps, checkpoint, None),
        // Where all answers of all groups are worth the same there is nothing left to learn, which is a result.
        Err(TrainError::NoSpread { step, .. }) => match Checkpoints::of_run(&folder).latest()? {
            Some(checkpoint) => (step - 1, checkpoint, Some("no group differed any more".to_owned())),
            None => (0, start_of(trial), Some("no group differed from the start".to_owned())),
        },
        Err(error) => return Err(error.into()),
    };
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let rows = held_out(trial, checkpoint, experiment, device)?;
    let result = TrialResult { seed: trial.seed, commit: commit.map(str::to_owned), steps, ended_early, rows };
    fs_err::write(folder.join(RESULT_FILE), serde_json::to_string_pretty(&result)? + "\n")?;
    Ok(Some(result))
}

fn model_section(trial: &Trial) -> &ModelSection {
    match &trial.run {
        RunFile::Imitation(config) => &config.model,
        RunFile::Reinforcement(config) => &config.model,
    }
}

/// The checkpoint that a run starts from.
fn start_of(trial: &Trial) -> PathBuf {
    model_section(trial).checkpoint.clone().unwrap_or_default()
}

fn held_out(
    trial: &Trial,
    checkpoint: PathBuf,
    experiment: &Experiment,
    device: &DeviceChoice,
) -> anyhow::Result<Vec<Measured>> {
    // A run that learns an adapter saves nothing else; one that learned nothing has none.
    let start = start_of(trial);
    let (model, adapter) = if model_section(trial).lora.is_some() && checkpoint != start {
        (start, Some(checkpoint))
    } else {
        (checkpoint, None)
    };
    let model =
        ModelArguments { model: ModelSource::Named(model.display().to_string()), device: device.clone(), adapter };
    let mut opened = model.open(EngineOptions { max_rows: 32, ..EngineOptions::default() })?;
    let asking = Asking {
        questions: experiment.questions,
        seed: experiment.questions_seed,
        modes: &[Mode::Adaptive, Mode::Full],
    };
    let (rows, _) = measure(&mut opened, asking, &mut || {})?;
    Ok(rows.iter().map(Measured::from).collect())
}

/// The commit of the working tree, where there is one.
pub(crate) fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
/// Numbers of one key of `metrics.jsonl`, by step.
pub(crate) fn curve(folder: &Path, key: &str) -> anyhow::Result<BTreeMap<u64, f64>> {
    let text = fs_err::read_to_string(folder.join("metrics.jsonl"))?;
    let mut points = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        if let (Some(step), Some(value)) = (line["step"].as_u64(), line.get(key).and_then(serde_json::Value::as_f64)) {
            points.insert(step, value);
        }
    }
    Ok(points)
}
