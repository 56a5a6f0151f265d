//! The rules: one file per benchmark, or per family that several benchmarks share.
//!
//! A function that takes a `prediction` or `response` strips white space from both ends first, as the harness does with
//! every output; where the recorded rule sees the raw text the function says so. Lengths, positions and distances count
//! code points. Faults of the rules are kept: a score is only comparable if it is wrong in the same way.

pub mod anls;
pub mod answer_tag;
pub mod chartqa;
mod edit_distance;
pub mod hallusion;
pub mod judge;
pub mod mathverse;
pub mod mathvista;
pub mod mcq;
pub mod mmbench;
pub mod mme;
pub mod mmmu;
pub mod mmvet;
pub mod ocrbench;
pub mod own;
pub mod pope;
pub mod realworldqa;
pub mod reasoning;
pub mod textvqa;
mod yes_no;

use serde::{Deserialize, Serialize};

pub use yes_no::YesNo;

/// Which state of the harness a rule follows, where they differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// lmms-eval at commit 75571cf, 2026-08-06.
    #[default]
    Reference,
    /// lmms-eval v0.3.2, the state that the paper's own examples fit.
    #[serde(rename = "v0.3.2")]
    V032,
}

/// `right / total`, 0 of nothing.
fn ratio(right: usize, total: usize) -> f64 {
    if total == 0 { 0.0 } else { right as f64 / total as f64 }
}
