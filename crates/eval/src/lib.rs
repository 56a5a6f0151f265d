//! Benchmarks: their data sets, the texts they ask, the rules they score by, per-sample scores and aggregates.
//!
//! Read [`Dataset`] first: a folder of the Hub's files in, [`Sample`]s out, each with its pictures and the text that is
//! asked. Then [`score()`]: rows with predictions in, a [`Report`] out. What a benchmark is stands in one file of
//! [`benchmarks`]; the rules are pure functions under [`metrics`], one file per benchmark or family; [`question`] writes
//! the text that a benchmark asks. [`run`] is an evaluation's file, its records and its results; [`statistics`] says how sure they are.
//!
//! The published scores come from Python programs, and some of their values hang on what Python does to text and
//! numbers: what counts as white space, how a number is read, printed and rounded. That lives in `python`.
//!
//! This crate knows nothing of models or servers; of images it knows whether they can be decoded. A judge's reply is a text that a row brings along.
//!
//! Source: lmms-eval, *reference* = commit 75571cf (2026-08-06) and *v0.3.2* = commit 4abf677 (2025-04-06);
//! VisionThink, `scripts`, commit 42afd8c.

mod benchmark;
pub mod benchmarks;
mod dataset;
mod error;
pub mod metrics;
mod python;
pub mod question;
mod row;
pub mod run;
pub mod score;
pub mod statistics;

pub use benchmark::Benchmark;
pub use dataset::{Dataset, DatasetOptions, Defect, ImageCheck, ImageProblem, Part, Sample, Samples, ShardOf, Tally};
pub use error::{EvalError, Result};
pub use metrics::Edition;
pub use row::Row;
pub use score::{Aggregate, Options, Report, SampleScore, score};
