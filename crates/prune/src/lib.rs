//! Which visual tokens a decoder goes on without.
//!
//! This crate owns the closed choice of methods ([`Pruning`]), how many visual tokens each leaves in which layer
//! ([`Pruning::visual_tokens`]), and the selections as pure functions over scores: [`top`], [`raters`], [`cluster`],
//! [`visionzip`], [`uniform`], [`random`]. It must not know tensors, tokens' texts or devices; who has the network computes
//! scores and applies what is selected.
//!
//! Read [`Pruning`] first. Layers are counted from 0, N is the number of visual tokens of a turn, L that of layers.
//!
//! Sources: FastV (arXiv 2403.06764), SparseVLM (arXiv 2410.04417), VisionZip (arXiv 2412.04467), PyramidDrop
//! (arXiv 2410.17247); which of their variants is implemented stands at each type.

mod cluster;
mod error;
mod flops;
mod method;
mod pruning;
mod schedule;
mod select;
mod visionzip;

pub use cluster::{Clusters, cluster};
pub use error::{PruneError, Result};
pub use flops::paper_flops;
pub use method::{Choice, Method};
pub use pruning::{FastV, Pruning, PyramidDrop, Random, SparseVlm, Stage, Uniform, VisionZip};
pub use schedule::Survivors;
pub use select::{random, raters, top, uniform};
pub use visionzip::{Contextual, Zipped, visionzip};
