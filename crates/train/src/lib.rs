//! The trainer: imitation on transcripts, and reinforcement from rollouts.
//!
//! Owns: run files ([`TrainConfig`]), transcripts to learn from ([`TranscriptBuilder`]), batches, the optimizer ([`Optimizer`]), schedule,
//! checkpoints with exact resume, metrics, and the tokenizer of the embedded model ([`micro_tokenizer`]). Must not know: HTTP,
//! benchmarks, the terminal.
//!
//! Read [`train`] first, then [`step`]; for reinforcement [`grpo::train_policy`] and [`policy`]; for the choice of data [`curate::curate`]. Weights are f32 and their master copy is on the host; see [`Parameters`].
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use burn::tensor::Device;
//! use visionthink_train::{Start, TrainConfig, train};
//!
//! let config = TrainConfig::from_file(Path::new("configs/tiny-sft.toml"))?;
//! let report = train(&config, &Device::flex(), Start::Fresh, &AtomicBool::new(false), &mut |_| {})?;
//! assert_eq!(report.step, report.total_steps);
//! # Ok::<(), visionthink_train::TrainError>(())
//! ```

mod adamw;
mod answer_judge;
mod batch;
mod checkpoint;
mod checkpoint_judge;
mod clip;
pub mod config;
pub mod curate;
mod curriculum;
mod error;
mod evaluate;
pub mod grpo;
mod init;
mod loader;
mod log;
mod manifest;
pub mod micro_tokenizer;
mod muon;
mod optimizer;
mod parameters;
mod pass;
pub mod policy;
mod prompter;
mod replace;
mod rows;
mod run;
mod schedule;
mod shared_heads;
mod source;
mod step;
mod training_run;
mod transcript;
mod workers;

pub use answer_judge::{AnswerJudge, Given, JudgeSection, NoVerdicts};
pub use batch::{ImageTokens, MicroBatch, micro_batches};
pub use checkpoint::{Checkpoints, Saved, TrainerState, export, export_adapter, export_merged, resume};
pub use checkpoint_judge::{CheckpointJudge, JudgeCheckpoint};
pub use clip::{clip, global_norm};
pub use config::TrainConfig;
pub use curriculum::Curriculum;
pub use error::TrainError;
pub use evaluate::{Evaluation, HeldOut, Share};
pub use init::{StartingModel, learning_model, side_files, start_model};
pub use loader::Loader;
pub use log::{EventWriter, MetricsLog, Record};
pub use optimizer::{Moments, Optimizer};
pub use parameters::{GradientBuffers, Parameter, Parameters};
pub use pass::{Backward, backward, target_logits};
pub use rows::{FileRows, LeftOut, RowFault};
pub use run::{Event, Report, train};
pub use schedule::learning_rate_factor;
pub use shared_heads::{Chunk, SharedHeads};
pub use source::{Example, Question, Source, pick_questions};
pub use step::{StepOutcome, step};
pub use training_run::Start;
pub use transcript::{Shown, Target, TargetKind, Transcript, TranscriptBuilder};
pub use workers::Workers;
