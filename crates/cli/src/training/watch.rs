//! A run as it is watched: a panel on a terminal, plain lines without one, and `report.html` in its folder.

use std::path::{Path, PathBuf};

use visionthink_train::Record;

use super::panel::{Panel, Row};
use super::{Run, report};
use crate::progress;

/// What a person watches of a kind of run; the rest is in `metrics.jsonl`.
pub(crate) struct Layout {
    /// Keys of a logged line with their names; every key without any.
    pub(crate) logged: &'static [(&'static str, &'static str)],
    /// Keys of an evaluation with their names.
    pub(crate) evaluated: &'static [(&'static str, &'static str)],
    /// Rows of the panel.
    pub(crate) rows: &'static [Row],
}

/// Shows what happens in a run.
pub(crate) struct Watch<'a> {
    run: &'a Run<'a>,
    /// `None` without a terminal.
    panel: Option<Panel>,
    checkpoint: Option<PathBuf>,
    report_failed: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(run: &'a Run<'a>) -> Self {
        let panel = progress::has_terminal().then(|| Panel::new(run.name, run.total_steps, run.layout.rows));
        Self { run, panel, checkpoint: None, report_failed: false }
    }

    /// Everything is loaded. `checkpoint` is the one that the run goes on from.
    pub(crate) fn started(&mut self, from_step: u64, parameters: usize, checkpoint: Option<&Path>) {
        self.checkpoint = checkpoint.map(Path::to_path_buf);
        if let Some(panel) = &mut self.panel {
            panel.started(from_step);
        }
        progress::tell(&format!("{parameters} parameters, {} steps", self.run.total_steps));
    }

    pub(crate) fn step(&mut self, step: u64) {
        if let Some(panel) = &mut self.panel {
            panel.step(step);
        }
    }

    pub(crate) fn logged(&mut self, record: &Record) {
        match &mut self.panel {
            Some(panel) => panel.logged(record),
            None => progress::tell(&format!("step {}: {}", record.step, line(record, self.run.layout.logged))),
        }
    }

    pub(crate) fn evaluated(&mut self, record: &Record) {
        let line = line(record, self.run.layout.evaluated);
        match &mut self.panel {
            Some(panel) => panel.evaluated(&format!("step {}: {line}", record.step)),
            None => progress::tell(&format!("step {}: held out: {line}", record.step)),
        }
    }

    pub(crate) fn saved(&mut self, checkpoint: &Path) {
        self.checkpoint = Some(checkpoint.to_path_buf());
        tracing::info!("saved {}", checkpoint.display());
    }

    /// Writes the report again. Training does not end because a page cannot be written.
    pub(crate) fn report(&mut self) {
        match report::write(&self.run.folder, self.run.name) {
            Ok(_) => self.report_failed = false,
            Err(error) if self.report_failed => tracing::debug!("no report: {error:#}"),
            Err(error) => {
                self.report_failed = true;
                tracing::warn!("no report: {error:#}");
            }
        }
    }

    /// The run is over; the panel stays as it is.
    pub(crate) fn end(&mut self) {
        if let Some(panel) = self.panel.take() {
            panel.end();
        }
        if self.run.folder.join("metrics.jsonl").is_file() {
            self.report();
        }
    }

    /// The newest checkpoint of the run, if there is one.
    pub(crate) fn checkpoint(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }
}

/// Names with their values on one line.
fn line(record: &Record, names: &[(&str, &str)]) -> String {
    let named = |(key, name): &(&str, &str)| record.get(key).map(|value| format!("{name} {value:.3}"));
    let values: Vec<String> = if names.is_empty() {
        record.scalars.iter().map(|(name, value)| format!("{name} {value:.4}")).collect()
    } else {
        names.iter().filter_map(named).collect()
    };
    values.join(", ")
}
