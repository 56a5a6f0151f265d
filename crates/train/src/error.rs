//! What can go wrong in training.

use std::path::PathBuf;
use std::sync::Arc;

use visionthink_data::DataError;
use visionthink_engine::EngineError;
use visionthink_image::ImageError;
use visionthink_judge::JudgeError;
use visionthink_model::ModelError;
use visionthink_protocol::ProtocolError;

use crate::answer_judge::NoVerdicts;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Reading or writing failed; the message names the file.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// The run file has problems; all of them are listed.
    #[error("{}: {}", file.display(), problems.join(&format!("\n{}: ", file.display())))]
    Config {
        /// The run file.
        file: PathBuf,
        /// One sentence each.
        problems: Vec<String>,
    },

    /// The model and the tokenizer do not belong together.
    #[error("{}: `{key}` is {found}, the tokenizer in {} has {expected}", config.display(), tokenizer.display())]
    Tokenizer {
        /// The model's configuration.
        config: PathBuf,
        /// The key that disagrees.
        key: String,
        /// Its value.
        found: String,
        /// The tokenizer's folder.
        tokenizer: PathBuf,
        /// What the tokenizer asks for.
        expected: String,
    },

    /// A name-prefix in the run file matches nothing.
    #[error("`{key}`: no parameter name begins with `{prefix}`; names are like `{example}`")]
    NoParameter {
        /// The key with the prefix.
        key: &'static str,
        /// The prefix.
        prefix: String,
        /// A name that exists.
        example: String,
    },

    /// A data file holds nothing to train on.
    #[error("{}: no question with an image and an answer", path.display())]
    NoQuestions {
        /// The file or folder.
        path: PathBuf,
    },

    /// More rows of a file are unusable than the run file allows.
    #[error(
        "{}: {left_out} rows cannot be used ({counts}), `max_bad_rows` allows {ceiling}; the last one: {last}",
        path.display()
    )]
    BadRows {
        /// The file or folder.
        path: PathBuf,
        /// How many.
        left_out: u64,
        /// By reason.
        counts: String,
        /// How many may be.
        ceiling: u64,
        /// The row that was one too many, and what is wrong with it.
        last: String,
    },

    /// A row says nothing about which image its question needs.
    #[error(
        "row `{id}` {found}; `resize_share = \"by-class\"` takes rows of the classes `solvable_low` and `needs_full`, which \
         `visionthink curate` writes"
    )]
    NoClass {
        /// The row.
        id: String,
        /// What it says instead.
        found: &'static str,
    },

    /// A curation is in the folder already.
    #[error("{}: a curation is there already; resume it, remove it or change `run.name`", folder.display())]
    CurationExists {
        /// The run folder.
        folder: PathBuf,
    },

    /// Another process is curating into the folder.
    #[error("{}: a curation is running there; wait for its end, or change `run.name`", folder.display())]
    CurationRuns {
        /// The run folder.
        folder: PathBuf,
    },

    /// The source is not the one that a curation began with.
    #[error(
        "{}: question {place} was `{was}` when the curation began and is `{is}`; the data has changed, so start another `run.name`",
        folder.display()
    )]
    DataChanged {
        /// The run folder.
        folder: PathBuf,
        /// Its place in the source, from 0.
        place: u64,
        /// The row that was there.
        was: String,
        /// The row that is there.
        is: String,
    },

    /// No question is of a class that is wanted.
    #[error(
        "{}: no question is kept; `summary.md` there has the classes that were found, and `[classes]` and `[balance]` may be changed \
         before the curation is resumed",
        folder.display()
    )]
    NothingSelected {
        /// The run folder.
        folder: PathBuf,
    },

    /// Every rollout of a batch failed.
    #[error(transparent)]
    AllFailed(Arc<EngineError>),

    /// Losses or gradients are not finite, again and again.
    #[error(
        "step {step}: loss or gradient is not finite in {skipped} steps in a row; lower `optimizer.lr` or `step.clip_norm`"
    )]
    Diverged {
        /// The last of these steps.
        step: u64,
        /// How many.
        skipped: u32,
    },

    /// No question had answers of different worth.
    #[error(
        "step {step}: {rollouts} rollouts in {generations} generations, and in no group do the rewards differ; the questions are too easy or too hard for the model, or `rollout.temperature` is too low"
    )]
    NoSpread {
        /// The step that could not be made.
        step: u64,
        /// Generations it was tried with.
        generations: usize,
        /// Rollouts in all of them.
        rollouts: usize,
    },

    /// No question had all its answers judged.
    #[error(
        "step {step}: {unjudged} of {rollouts} rollouts have no verdict, and no group is without one; the judge's replies are in the log with `-vv`"
    )]
    Unjudged {
        /// The step that could not be made.
        step: u64,
        /// Rollouts without a verdict.
        unjudged: usize,
        /// Rollouts in all generations.
        rollouts: usize,
    },

    /// The judge is of no use.
    #[error("step {step}: {source}")]
    Judge {
        /// The step that could not be made, or whose policy could not be measured.
        step: u64,
        /// Why.
        source: NoVerdicts,
    },

    /// The answers of a curation cannot be judged.
    #[error(transparent)]
    NoVerdicts(#[from] NoVerdicts),

    /// The judge cannot be opened.
    #[error(transparent)]
    OpenJudge(#[from] JudgeError),

    /// The checkpoint cannot see.
    #[error("{}: the checkpoint takes text only; questions about images need a vision-language model", checkpoint.display())]
    TextOnly {
        /// The checkpoint.
        checkpoint: PathBuf,
    },

    /// The image of a row cannot be used.
    #[error("row `{id}`: {source}")]
    RowImage {
        /// The row.
        id: String,
        /// Why.
        source: ImageError,
    },

    /// A run is resumed with other settings than it began with.
    #[error("{}: the run began with other settings: {}; change them back, or start another `run.name`", folder.display(), keys.join(", "))]
    ResumeDiffers {
        /// The run folder.
        folder: PathBuf,
        /// Keys, each with both values.
        keys: Vec<String>,
    },

    /// A run folder exists already and resuming was not asked for.
    #[error("{}: the run has checkpoints already; resume it, remove it or change `run.name`", folder.display())]
    RunExists {
        /// The run folder.
        folder: PathBuf,
    },

    /// Resuming was asked for and there is nothing to resume.
    #[error("{}: no checkpoint to resume from", folder.display())]
    NothingToResume {
        /// The run folder.
        folder: PathBuf,
    },

    /// A checkpoint does not fit the run.
    #[error("{}: {problem}", file.display())]
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },

    /// A file of sampled rollouts holds something else.
    #[error("{}:{line}: {problem}", file.display())]
    Rollouts {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// A transcript cannot be built.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),

    /// Question rows cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),

    /// An image cannot be decoded or prepared.
    #[error(transparent)]
    Image(#[from] ImageError),

    /// Weights cannot be read, made or written.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// The policy cannot be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
