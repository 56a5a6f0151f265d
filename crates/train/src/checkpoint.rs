//! Checkpoints of a run: a Hugging Face folder, or under an adapter a PEFT folder, with the state of the trainer beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype as FileDtype, SafeTensors};
use serde::{Deserialize, Serialize};
use visionthink_model::{Adapter, Config, Dtype, LoadOptions, Model};

use crate::config::{LoraSection, OptimizerSection};
use crate::error::TrainError;
use crate::optimizer::{Moments, Optimizer};
use crate::parameters::Parameters;
use crate::replace::replace_file;

/// Files of a checkpoint folder that belong to the tokenizer and the image processor.
const SIDE_FILES: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
];

/// Says which profile a checkpoint was trained with; released checkpoints have no such file.
const CARD_FILE: &str = "visionthink.json";

const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const TRAINER_FILE: &str = "trainer.json";
const LATEST_FILE: &str = "latest";

/// What the trainer has to know to go on, beside weights and optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Steps done, skipped ones included: where the data goes on.
    pub step: u64,
    /// Steps the optimizer has taken.
    pub optimizer_steps: u64,
    /// Steps skipped.
    pub skipped: u64,
    /// Seed of the run; another one would give other data.
    pub seed: u64,
}

impl TrainerState {
    /// The state before the first step.
    pub fn new(seed: u64) -> Self {
        Self { step: 0, optimizer_steps: 0, skipped: 0, seed }
    }
}

/// The `checkpoints` folder of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in `run_folder`.
    pub fn of_run(run_folder: &Path) -> Self {
        Self { folder: run_folder.join("checkpoints") }
    }

    /// Makes the folder that holds them.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), TrainError> {
        Ok(fs_err::create_dir_all(&self.folder)?)
    }

    /// The folder of the newest checkpoint, if there is one.
    ///
    /// # Errors
    /// The file that names it cannot be read.
    pub fn latest(&self) -> Result<Option<PathBuf>, TrainError> {
        let file = self.folder.join(LATEST_FILE);
        if !file.is_file() {
            return Ok(None);
        }
        let name = fs_err::read_to_string(&file)?;
        let folder = self.folder.join(name.trim());
        if folder.is_dir() {
            return Ok(Some(folder));
        }
        Err(TrainError::Checkpoint { file, problem: format!("names `{}`, which is not there", name.trim()) })
    }

    /// Writes a checkpoint to a temporary name, flushes it, renames it, and removes the oldest beyond `keep`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self, saved: &Saved<'_>, keep: usize) -> Result<PathBuf, TrainError> {
        let span = tracing::info_span!("checkpoint", step = saved.state.step);
        let _entered = span.enter();
        let name = format!("step-{}", saved.state.step);
        let (temporary, folder) = (self.folder.join(format!(".{name}.tmp")), self.folder.join(&name));
        remove(&temporary)?;
        if let Err(error) = write(&temporary, saved) {
            // Half a checkpoint is none, and where the disk is full its room is needed. The first error is the one to report.
            let _ = remove(&temporary);
            return Err(error);
        }
        remove(&folder)?;
        fs_err::rename(&temporary, &folder)?;
        self.point_to(&name)?;
        self.prune(saved.state.step, keep)?;
        Ok(folder)
    }

    fn point_to(&self, name: &str) -> Result<(), TrainError> {
        Ok(replace_file(&self.folder.join(LATEST_FILE), &format!("{name}\n"))?)
    }

    /// Removes the oldest beyond `keep`, and what a run that was killed has left behind `newest` or half written.
    fn prune(&self, newest: u64, keep: usize) -> Result<(), TrainError> {
        let mut steps = BTreeMap::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            match name.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok()) {
                Some(step) if step <= newest => drop(steps.insert(step, path)),
                None if name.strip_prefix(".step-").and_then(|rest| rest.strip_suffix(".tmp")).is_none() => {}
                Some(_) | None => remove(&path)?,
            }
        }
        let surplus = steps.len().saturating_sub(keep);
        for folder in steps.into_values().take(surplus) {
            remove(&folder)?;
        }
        Ok(())
    }
}

/// What a checkpoint is made of.
#[derive(Debug)]
pub struct Saved<'a> {
    /// The model with the current weights.
    pub model: &'a Model,
    /// The adapter that learns, where there is one; the checkpoint then holds it in place of the weights, and names its base.
    pub lora: Option<&'a LoraSection>,
    /// The folder with tokenizer, template and processor files; under an adapter the base.
    pub side_files: &'a Path,
    /// Name of the profile that it learns.
    pub profile: &'a str,
    /// What learns.
    pub parameters: &'a Parameters,
    /// Its running means.
    pub optimizer: &'a Optimizer,
    /// Where the run is.
    pub state: TrainerState,
}

impl Saved<'_> {
    fn write_weights(&self, folder: &Path) -> Result<(), TrainError> {
        let Some(lora) = self.lora else { return Ok(self.model.save(folder, Dtype::F32)?) };
        let config = self.model.config();
        // The host's values, not the model's: they have all their digits.
        let values = self.parameters.iter().map(|one| (one.name.as_str(), one.values.as_slice()));
        let adapter = Adapter::empty(lora.settings()).with_values(config, values);
        Ok(adapter.of_base(self.side_files.to_string_lossy()).write(folder, config, Dtype::F32)?)
    }
}

/// Reads trainer and optimizer state of the checkpoint in `folder`; the weights are read as any other checkpoint.
///
/// # Errors
/// A missing or broken file; state of other parameters.
pub fn resume(
    folder: &Path,
    parameters: &Parameters,
    settings: OptimizerSection,
) -> Result<(Optimizer, TrainerState), TrainError> {
    let file = folder.join(TRAINER_FILE);
    let state: TrainerState = serde_json::from_str(&fs_err::read_to_string(&file)?)
        .map_err(|error| TrainError::Checkpoint { file, problem: error.to_string() })?;
    let file = folder.join(OPTIMIZER_FILE);
    let bytes = fs_err::read(&file)?;
    let wrong = |problem: String| TrainError::Checkpoint { file: file.clone(), problem };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    if tensors.len() != 2 * parameters.len() {
        let found = tensors.len();
        return Err(wrong(format!(
            "{found} tensors, expected two for each of {} learning parameters",
            parameters.len()
        )));
    }
    let read = |name: String, expected: &[usize]| {
        let tensor = tensors.tensor(&name).map_err(|_| wrong(format!("`{name}` is missing")))?;
        if tensor.shape() != expected || tensor.dtype() != FileDtype::F32 {
            return Err(wrong(format!("`{name}` is {:?}, expected {expected:?} in f32", tensor.shape())));
        }
        // The file gives no alignment, so numbers are copied one by one.
        let (numbers, _) = tensor.data().as_chunks::<4>();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let moments = parameters
        .iter()
        .map(|one| {
            let mean = read(format!("mean.{}", one.name), &one.shape)?;
            Ok(Moments { mean, square: read(format!("square.{}", one.name), &one.shape)? })
        })
        .collect::<Result<Vec<_>, TrainError>>()?;
    Ok((Optimizer::resumed(settings, state.optimizer_steps, moments), state))
}

/// Writes the weights of the checkpoint in `from` with its side files into `to`, in another dtype: what is shipped.
///
/// # Errors
/// A file cannot be read or written.
pub fn export(from: &Path, to: &Path, dtype: Dtype, device: &burn::tensor::Device) -> Result<(), TrainError> {
    let model = Model::load(from, &LoadOptions::default(), device)?;
    model.save(to, dtype)?;
    copy_side_files(from, to)
}

fn write(folder: &Path, saved: &Saved<'_>) -> Result<(), TrainError> {
    fs_err::create_dir_all(folder)?;
    saved.write_weights(folder)?;
    copy_side_files(saved.side_files, folder)?;
    let card = serde_json::json!({ "profile": saved.profile });
    fs_err::write(folder.join(CARD_FILE), format!("{card}\n"))?;
    write_optimizer(&folder.join(OPTIMIZER_FILE), saved.parameters, saved.optimizer)?;
    let state = serde_json::to_string_pretty(&saved.state).expect("numbers have a JSON form");
    fs_err::write(folder.join(TRAINER_FILE), state + "\n")?;
    flush(folder)
}

/// Writes the adapter of the checkpoint in `from`, which is for the checkpoint in `base`, in the layout of PEFT into `to`.
///
/// # Errors
/// A file cannot be read or written; the adapter does not fit its base.
pub fn export_adapter(from: &Path, base: &Path, to: &Path, dtype: Dtype) -> Result<(), TrainError> {
    let config = Config::from_folder(base)?;
    Adapter::read(from, &config)?.write(to, &config, dtype)?;
    copy_side_files(from, to)
}

/// Writes the checkpoint in `base` with the adapter in `from` merged into its weights, and its side files, into `to`.
///
/// # Errors
/// A file cannot be read or written; the adapter does not fit its base.
pub fn export_merged(
    from: &Path,
    base: &Path,
    to: &Path,
    dtype: Dtype,
    device: &burn::tensor::Device,
) -> Result<(), TrainError> {
    let adapter = Adapter::read(from, &Config::from_folder(base)?)?;
    let model = Model::load(base, &LoadOptions::default(), device)?;
    model.with_adapter(&adapter).save(to, dtype)?;
    copy_side_files(base, to)?;
    // An adapter trained here says what it was trained with; one from elsewhere has the files of its base.
    copy_side_files(from, to)
}

fn write_optimizer(file: &Path, parameters: &Parameters, optimizer: &Optimizer) -> Result<(), TrainError> {
    let mut views = Vec::with_capacity(2 * parameters.len());
    for (one, moments) in parameters.iter().zip(optimizer.moments()) {
        for (kind, values) in [("mean", &moments.mean), ("square", &moments.square)] {
            let view = TensorView::new(FileDtype::F32, one.shape.clone(), bytemuck::cast_slice(values));
            views.push((format!("{kind}.{}", one.name), view.expect("the means have the shape of the parameter")));
        }
    }
    safetensors::serialize_to_file(views, None, file)
        .map_err(|error| TrainError::Checkpoint { file: file.to_path_buf(), problem: error.to_string() })
}

fn copy_side_files(from: &Path, to: &Path) -> Result<(), TrainError> {
    for name in SIDE_FILES.into_iter().chain([CARD_FILE]) {
        let source = from.join(name);
        if source.is_file() {
            fs_err::copy(source, to.join(name))?;
        }
    }
    Ok(())
}

/// Flushes every file of a folder to the disk.
fn flush(folder: &Path) -> Result<(), TrainError> {
    for entry in fs_err::read_dir(folder)? {
        fs_err::OpenOptions::new().append(true).open(entry?.path())?.sync_all()?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    Ok(())
}
