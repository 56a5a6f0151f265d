//! The run file: one typed TOML, every key required unless it says otherwise.

mod check;
pub(crate) mod read;

use std::path::{Path, PathBuf};

pub(crate) use check::Problems;
use serde::{Deserialize, Serialize};
use visionthink_data::world::Family;
use visionthink_model::{Dtype, LoraSettings, Scaling};

use crate::error::TrainError;

/// A training run by imitation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Where it is written and from which seed it is drawn.
    pub run: RunSection,
    /// What is trained.
    pub model: ModelSection,
    /// What it is trained on.
    pub data: DataSection,
    /// Weights of the target tokens.
    pub loss: LossSection,
    /// The optimizer.
    pub optimizer: OptimizerSection,
    /// The learning rate over the steps of all stages.
    pub schedule: ScheduleSection,
    /// How a step is cut into passes.
    pub step: StepSection,
    /// When training is saved.
    pub checkpoint: CheckpointSection,
    /// When training is measured.
    pub log: LogSection,
    /// The curriculum, run from first to last.
    #[serde(rename = "stage")]
    pub stages: Vec<StageSection>,
}

/// Where a run is written and from which seed it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSection {
    /// Name of the run folder.
    pub name: String,
    /// Seed of the random weights and of the order of the data.
    pub seed: u64,
    /// The folder that holds run folders.
    pub out: PathBuf,
}

/// What is trained: either `init` or `checkpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Which parameters learn; with `lora` those that learn in full beside the adapter, and there may be none.
    pub trainable: Trainable,
    /// Learn a low-rank adapter of a frozen checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSection>,
    /// Element type of the weights, f32 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<WeightType>,
    /// Start from the weights of this Hugging Face folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// Start from random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitSection>,
}

/// A low-rank adapter: `x W + scale (x A) B` with `W` frozen. A starts uniform within `1 / sqrt(in)`, B at zero.
///
/// Source: Hu et al. 2021 (arXiv:2106.09685), with the names of PEFT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSection {
    /// Columns of A and rows of B.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Its denominator: the rank (`standard`), or its root (`rank-stabilised`).
    pub scaling: Scaling,
    /// PEFT's name for dropping inputs of A. Only 0, which is what is done without the key: dropping is not implemented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// The modules, as [`Adapter::adapted`](visionthink_model::Adapter::adapted) knows them: `q_proj`, `visual.attn.qkv`.
    pub target_modules: Vec<String>,
}

impl LoraSection {
    /// The numbers that all pairs of factors share.
    pub fn settings(&self) -> LoraSettings {
        LoraSettings { rank: self.rank, alpha: self.alpha, scaling: self.scaling }
    }
}

/// Element type of weights in memory. The values that learn are f32 on the host whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// Single precision.
    F32,
    /// Half the memory, for a GPU; only under an adapter, whose checkpoints keep every digit of what learns.
    Bf16,
}

impl ModelSection {
    /// Element type of the weights in memory.
    pub fn dtype(&self) -> Dtype {
        match self.dtype {
            None | Some(WeightType::F32) => Dtype::F32,
            Some(WeightType::Bf16) => Dtype::Bf16,
        }
    }
}

/// Random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitSection {
    /// A `config.json` with the sizes.
    pub config: PathBuf,
    /// A folder with the tokenizer, chat template and image processor files.
    pub tokenizer: PathBuf,
    /// How the filters of the patch embedding are drawn.
    pub patch_embed: PatchEmbed,
    /// How widely the other matrices are drawn.
    pub scale: InitScale,
}

/// How widely random matrices are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitScale {
    /// Standard deviation `initializer_range` of `config.json` for all, as released models start.
    Config,
    /// Standard deviation `1 / sqrt(inputs)`, half of it for matrices that write into the residual stream: narrow models learn
    /// sooner. The embedding keeps `initializer_range`; of zero-mean filters, those that carry mean colour are made small.
    FanIn,
}

/// How the filters of the patch embedding are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchEmbed {
    /// As every other matrix.
    Normal,
    /// Without mean per colour, most of them on luminance, rows of norm 1: white paper then excites no filter.
    ZeroMean,
}

/// Which parameters learn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Trainable {
    /// `"all"`.
    All(AllParameters),
    /// Those whose name begins with one of these, as `"visual.merger"`.
    Prefixes(Vec<String>),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllParameters {
    /// Every parameter.
    All,
}

/// What is trained on: either `synthetic` or `files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The protocol profile of the transcripts: a name that `visionthink_protocol` knows.
    pub profile: String,
    /// Threads that draw and tokenise ahead of the step; does not change results.
    pub threads: usize,
    /// The synthetic world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticSection>,
    /// Question rows from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesSection>,
}

/// Pictures drawn by `visionthink_data::world`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticSection {
    /// Families, drawn equally often.
    pub families: Vec<Family>,
    /// Seed of the training pictures.
    pub seed: u64,
    /// Seed of the held-out pictures.
    pub eval_seed: u64,
}

/// Question rows from files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSection {
    /// JSONL or Parquet files, or `save_to_disk` folders.
    pub train: PathBuf,
    /// The same for the held-out rows.
    pub eval: PathBuf,
    /// Rows of each that may be without an image, without an answer, unreadable, or have a broken image: they are left out and counted,
    /// and one more ends the run.
    pub max_bad_rows: u64,
}

/// Weights of the target tokens in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossSection {
    /// Tokens of the answer itself.
    pub answer_weight: f64,
    /// Tokens around it: tags, tool calls, the end of the turn.
    pub tag_weight: f64,
    /// Answers to questions that the image shown is too small for, which can only be guessed.
    pub blind_weight: f64,
}

/// AdamW as PyTorch defines it, with Muon beside it where asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSection {
    /// Highest learning rate.
    pub lr: f64,
    /// Decay of the running mean of gradients, and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Decoupled decay: weights are multiplied by `1 - lr * weight_decay` every step.
    pub weight_decay: f64,
    /// Whether norms and biases (parameters with one dimension) decay too.
    pub decay_norms_and_biases: bool,
    /// Parameters with a learning rate of their own; the first prefix that fits counts. May be empty.
    pub lr_factors: Vec<LrFactor>,
    /// Muon for hidden matrices, AdamW for the rest; without it AdamW for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muon: Option<MuonSection>,
}

/// Orthogonalised momentum for hidden matrices: those of the blocks and of the merger, without embeddings and head.
///
/// Its updates are scaled to those of AdamW, so that learning rate, schedule and weight decay are shared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MuonSection {
    /// Decay of the running mean of gradients.
    pub momentum: f64,
}

/// A learning rate for some parameters.
///
/// The patch embedding needs one when it learns from noise: a still image is two equal frames, so that each pixel has two weights and
/// Adam moves their sum twice as far, and on white paper almost all of that goes into the mean of the filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrFactor {
    /// Names that begin with this.
    pub prefix: String,
    /// Times `lr`.
    pub factor: f64,
}

/// The learning rate over the steps of all stages: linear warm-up, hold, decay to the end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// Steps over which the rate rises.
    pub warmup_steps: u64,
    /// Steps at the highest rate, after the warm-up.
    pub hold_steps: u64,
    /// Shape of the rest.
    pub decay: Decay,
    /// The last rate over the highest.
    pub min_ratio: f64,
}

/// Shape of the decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Half a cosine.
    Cosine,
    /// A line.
    Linear,
}

/// How a step is cut into passes. A stage's `batch_size / micro_batch` passes are accumulated into one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSection {
    /// Sequences in one forward and backward pass.
    pub micro_batch: usize,
    /// Passes that run at the same time, each on one thread; 1 gives one pass all threads.
    pub workers: usize,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// Steps in a row that may be skipped for a loss or gradient that is not finite.
    pub max_skipped: u32,
    /// Targets whose logits are in memory at a time, in one pass; does not change results beyond rounding.
    #[serde(default = "logit_chunk")]
    pub logit_chunk: usize,
    /// Whether passes keep the inputs of blocks alone and compute the rest again on the way back: less memory, a third more time, the
    /// same gradients.
    #[serde(default)]
    pub activation_checkpointing: bool,
}

/// A gigabyte of logits for 150,000 words and two copies.
fn logit_chunk() -> usize {
    512
}

/// When training is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSection {
    /// Steps between checkpoints; the last step is always saved.
    pub every: u64,
    /// How many of the newest are kept.
    pub keep: usize,
}

/// When training is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// Steps between lines of `metrics.jsonl`.
    pub every: u64,
    /// Steps between evaluations; the last step is always evaluated.
    pub eval_every: u64,
    /// Held-out pictures an evaluation; each gives a question that needs the full image and one that does not.
    pub eval_questions: usize,
}

/// One stage of the curriculum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSection {
    /// Name in logs.
    pub name: String,
    /// Steps.
    pub steps: u64,
    /// Sequences a step.
    pub batch_size: usize,
    /// Questions asked about one image, as turns of one sequence.
    pub questions_per_image: usize,
    /// Which adaptive sequences call the tool.
    pub resize_share: ResizeShare,
    /// The share of close-ups among synthetic pictures; 0 for files.
    pub close_up_share: f64,
    /// How often each view is drawn, up to a common factor.
    pub mixture: PerView,
    /// The share of questions that need the full image. Rows of files that do not say count as easy.
    pub hard_share: PerView,
}

/// Which adaptive sequences call the tool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a share from 0 to 1, or `by-class`")]
pub enum ResizeShare {
    /// This share: a coin, thrown without regard to need.
    Coin(f64),
    /// Those whose rows are of the class `needs_full`; rows of `solvable_low` are answered at once. The classes come from the rollouts
    /// of a curation, never from what a row says about need.
    ByClass(ByClass),
}

/// The word `by-class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByClass {
    /// By the class of each row.
    ByClass,
}

/// A number for each way of showing an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerView {
    /// The full image at once, no tool offered.
    pub full: f64,
    /// The low-resolution image, no tool offered.
    pub low: f64,
    /// The low-resolution image with the tool on offer.
    pub adaptive: f64,
}

impl TrainConfig {
    /// Reads and checks a run file.
    ///
    /// # Errors
    /// [`TrainError::Config`] with all problems found, each with its place and what was expected.
    pub fn from_file(file: &Path) -> Result<Self, TrainError> {
        Self::from_toml(&fs_err::read_to_string(file)?, file)
    }

    /// The same for text; `file` is named in errors.
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, TrainError> {
        read::complete(Self::without_files(text, file)?, file)
    }

    /// The same, but files and folders that are not there are no error: they are told beside the run file.
    ///
    /// # Errors
    /// [`TrainError::Config`] with everything else.
    pub fn without_files(text: &str, file: &Path) -> Result<(Self, Vec<String>), TrainError> {
        read::checked(text, file, check::problems)
    }

    /// Steps of all stages.
    pub fn total_steps(&self) -> u64 {
        self.stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.steps))
    }

    /// The stage that step `step` (from 0) belongs to; the last one for steps behind the end.
    pub fn stage_at(&self, step: u64) -> &StageSection {
        let mut end = 0;
        let within = self.stages.iter().find(|stage| {
            end += stage.steps;
            step < end
        });
        within.or(self.stages.last()).expect("a checked run file has a stage")
    }

    /// The run folder.
    pub fn folder(&self) -> PathBuf {
        self.run.out.join(&self.run.name)
    }
}

impl OptimizerSection {
    /// The factor on the learning rate of the parameter `name`.
    pub fn lr_factor(&self, name: &str) -> f64 {
        self.lr_factors.iter().find(|one| name.starts_with(&one.prefix)).map_or(1.0, |one| one.factor)
    }
}

impl PerView {
    /// The three numbers with their names.
    pub(crate) fn named(&self) -> [(&'static str, f64); 3] {
        [("full", self.full), ("low", self.low), ("adaptive", self.adaptive)]
    }
}
