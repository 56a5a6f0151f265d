//! Which questions a number is about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::benchmark::Benchmark;
use crate::run::file::BenchmarkSection;
use crate::run::folder::RunRecords;
use crate::run::record::Record;

/// Benchmarks that share a rule for questions of one's own, taken together.
pub const POOLED: &str = "all";

/// Which questions a number is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Scope {
    /// Name of the benchmark, or [`POOLED`].
    pub benchmark: String,
    /// Of drawn pictures, only the questions that need the full image, or only those that do not.
    pub needs_full: Option<bool>,
}

impl Scope {
    /// All questions of a benchmark.
    pub fn benchmark(name: &str) -> Self {
        Self { benchmark: name.to_owned(), needs_full: None }
    }

    /// Whether it is one benchmark as a whole.
    pub fn is_benchmark(&self) -> bool {
        self.needs_full.is_none() && self.benchmark != POOLED
    }

    pub(super) fn has(&self, record: &Record) -> bool {
        (self.benchmark == POOLED || record.source.benchmark == self.benchmark)
            && self.needs_full.is_none_or(|need| needs_full(record) == Some(need))
    }

    /// A part of a benchmark is known by what any method has been asked of it.
    pub(super) fn planned(&self, records: &[&Record], planned: &BTreeMap<String, u64>) -> usize {
        if self.needs_full.is_some() {
            let places = records.iter().map(|record| (&record.source.benchmark, record.source.index));
            return places.collect::<BTreeSet<_>>().len();
        }
        let of = |(name, count): (&String, &u64)| {
            let counts = self.benchmark == POOLED || *name == self.benchmark;
            if counts { usize::try_from(*count).unwrap_or(usize::MAX) } else { 0 }
        };
        planned.iter().map(of).fold(0, usize::saturating_add)
    }
}

/// Whether a drawn question needs the full image.
fn needs_full(record: &Record) -> Option<bool> {
    record.row.get("needs_full")?.as_bool()
}

/// Every benchmark, the parts of those that are drawn, and all together where one rule scores them.
pub(super) fn scopes(run: &RunRecords) -> Vec<(Scope, Benchmark)> {
    let benchmarks: Vec<(&str, Benchmark, bool)> = run.run.benchmarks.iter().filter_map(of_section).collect();
    let mut found = Vec::new();
    let mut add = |name: &str, metric: Benchmark, is_drawn: bool| {
        let parts = is_drawn.then_some([Some(false), Some(true)]);
        for needs_full in [None].into_iter().chain(parts.into_iter().flatten()) {
            found.push((Scope { benchmark: name.to_owned(), needs_full }, metric));
        }
    };
    for (name, metric, is_drawn) in &benchmarks {
        add(name, *metric, *is_drawn);
    }
    if let [(_, metric @ Benchmark::Own(_), _), _, ..] = benchmarks.as_slice()
        && benchmarks.iter().all(|(_, other, is_drawn)| other == metric && *is_drawn)
    {
        add(POOLED, *metric, true);
    }
    found
}

fn of_section(section: &BenchmarkSection) -> Option<(&str, Benchmark, bool)> {
    // A run file with another metric was refused when it was read.
    Some((&section.name, section.metric.parse().ok()?, section.synthetic.is_some()))
}
