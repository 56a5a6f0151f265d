//! How sure a score is, and whether two methods differ: seeded bootstrap over samples, and McNemar's exact test.
//!
//! A benchmark's own aggregate is rarely a mean (MME adds pairs, OCRBench counts points), so the bootstrap resamples places and lets
//! the caller compute the aggregate of what was drawn.

mod bootstrap;
mod mcnemar;

pub use bootstrap::{Bootstrap, Interval, Units, paired_difference};
pub use mcnemar::{Discordant, mcnemar};
