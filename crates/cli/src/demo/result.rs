//! What the demo counts.

use std::ops::AddAssign;

use serde::Serialize;
use visionthink_protocol::Mode;

/// Sums over questions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sums {
    pub(crate) questions: usize,
    pub(crate) correct: usize,
    pub(crate) resize_calls: usize,
    pub(crate) visual_tokens: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) seconds: f64,
}

impl AddAssign<&Self> for Sums {
    fn add_assign(&mut self, other: &Self) {
        self.questions += other.questions;
        self.correct += other.correct;
        self.resize_calls += other.resize_calls;
        self.visual_tokens += other.visual_tokens;
        self.completion_tokens += other.completion_tokens;
        self.seconds += other.seconds;
    }
}

/// One family, need and mode.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) family: &'static str,
    pub(crate) needs_full: bool,
    pub(crate) mode: Mode,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// One mode over all families.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Total {
    pub(crate) mode: Mode,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// What made the numbers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Manifest {
    pub(crate) model: String,
    pub(crate) seed: u64,
    pub(crate) device: String,
    pub(crate) version: &'static str,
    pub(crate) questions: u64,
}

/// The whole result; `demo --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Demo {
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: Vec<Total>,
    pub(crate) manifest: Manifest,
}

impl Demo {
    /// Sums rows by mode, modes in the order of first appearance.
    pub(crate) fn new(mut rows: Vec<Row>, manifest: Manifest) -> Self {
        let mut totals: Vec<Total> = Vec::new();
        for row in &rows {
            match totals.iter_mut().find(|total| total.mode == row.mode) {
                Some(total) => total.sums += &row.sums,
                None => totals.push(Total { mode: row.mode, sums: row.sums.clone() }),
            }
        }
        // Modes side by side within a family: what differs is what is compared. The sort is stable, so modes keep their order.
        rows.sort_by_key(|row| (family_order(row.family), row.needs_full));
        Self { rows, totals, manifest }
    }
}

fn family_order(name: &str) -> usize {
    visionthink_data::world::Family::ALL.iter().position(|family| family.name() == name).unwrap_or(usize::MAX)
}
