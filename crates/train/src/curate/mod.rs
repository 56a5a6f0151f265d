//! Selection of training data by rollouts: which questions a model solves from the low-resolution image, and which only from the full one.
//!
//! Every question is answered n times at each resolution, without the tool, through the one rollout loop; the answers are judged, and the
//! counts put the question into a class ([`Thresholds`](visionthink_data::selection::Thresholds)). A balanced choice of the classes is
//! written as rows to train on. Read [`curate`] first.
//!
//! Source: arXiv 2507.13348, section 3.5 and appendix B.5.

mod config;
mod pool;
mod progress;
mod run;
mod summary;
mod write;

pub use config::{
    CurateConfig, CurateDataSection, CurateFiles, CurateModelSection, CurateRolloutSection, CurateSynthetic,
    OutputSection,
};
pub use run::{CurateEvent, CurateReport, curate};
pub use summary::Summary;
