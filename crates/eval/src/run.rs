//! A run of an evaluation: its file, and what it has written.
//!
//! Read [`RunFile`] first. What a model answers comes from the caller; see ARCHITECTURE.md, "An evaluation".

mod changes;
mod compare;
pub mod export;
mod file;
mod folder;
mod lock;
mod merge;
mod page;
mod questions;
mod record;
mod result;
mod samples;
mod sheet;
mod summary;
#[cfg(test)]
mod testing;
mod verdicts;

pub use changes::{Change, Changes};
pub use compare::{Difference, compare};
pub use file::{
    BenchmarkSection, EngineSection, GenerationSection, JudgeSection, MethodSection, ModelSection, RunFile, RunSection,
    ScoringSection, SyntheticSection,
};
pub use folder::{RunFolder, RunRecords, differing_keys, replace};
pub use lock::RunLock;
pub use merge::merge;
pub use page::{covered, headline, markdown, mean_of_vanilla};
pub use questions::{Pictures, Question, Questions};
pub use record::{Answer, Ledger, Outcome, Record, Seconds, Source};
pub use result::{Coverage, sample_scores, scored};
pub use samples::SampleLog;
pub use sheet::Scoring;
pub use summary::{Cell, Means, POOLED, Scope, SeedScore, Summary, Versus, scoring};
pub use verdicts::Verdicts;
