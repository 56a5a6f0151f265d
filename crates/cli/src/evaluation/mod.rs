//! An evaluation: the questions of a run file answered by the embedded engine, and its report.

mod answer;
mod clock;
mod cost;
mod judging;
mod manifest;
mod page;
mod prepare;
mod remote;
mod report;
mod watch;

pub(crate) use answer::{Combination, Session, Who, answer};
pub(crate) use judging::judge;
pub(crate) use manifest::{merge_manifests, write_manifest, write_prunings};
pub(crate) use prepare::here;
pub(crate) use report::{write_page, write_reports};
pub(crate) use watch::Watch;
