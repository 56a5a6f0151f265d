//! Benchmarks: the texts they ask, the rules they score by, per-sample scores and aggregates.
//!
//! Read [`score()`] first: rows with predictions in, a [`Report`] out. The rules themselves are pure functions under
//! [`metrics`], one file per benchmark or family; [`question`] writes the text that a benchmark asks.
//!
//! The published scores come from Python programs, and some of their values hang on what Python does to text and
//! numbers: what counts as white space, how a number is read, printed and rounded. That lives in `python`.
//!
//! This crate knows nothing of models, images or servers. A judge's reply is a text that a row brings along.
//!
//! Source: lmms-eval, *reference* = commit 75571cf (2026-08-06) and *v0.3.2* = commit 4abf677 (2025-04-06);
//! VisionThink, `scripts`, commit 42afd8c.

mod benchmark;
mod error;
pub mod metrics;
mod python;
pub mod question;
mod row;
pub mod score;

pub use benchmark::Benchmark;
pub use error::{EvalError, Result};
pub use metrics::Edition;
pub use row::Row;
pub use score::{Aggregate, Options, Report, Sample, score};
