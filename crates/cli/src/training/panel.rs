//! The live view of a run: a few rows at the bottom of a terminal, drawn again in place.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use visionthink_train::Record;

use crate::progress;

/// Numbers that a curve shows.
const CURVE: usize = 24;

/// A row of the panel.
pub(crate) struct Row {
    /// What it is about.
    pub(crate) name: &'static str,
    /// What it shows, from left to right; what a record does not hold is left out.
    pub(crate) shows: &'static [Shows],
}

/// A number of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shows {
    /// The number of this key after this name.
    Number(&'static str, &'static str),
    /// The same as a percentage.
    Percent(&'static str, &'static str),
    /// What is left of it to one, as a percentage.
    Saved(&'static str, &'static str),
    /// Its last values as a curve.
    Curve(&'static str),
}

/// The rows on the terminal.
pub(crate) struct Panel {
    rows: Vec<(&'static Row, ProgressBar)>,
    held_out: ProgressBar,
    bar: ProgressBar,
    history: BTreeMap<&'static str, Vec<f64>>,
    began: Instant,
    from_step: u64,
    total_steps: u64,
}

impl Panel {
    pub(crate) fn new(name: &str, total_steps: u64, rows: &'static [Row]) -> Self {
        let dim = if progress::colours() { ".dim" } else { "" };
        let style =
            |template: String| ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let row = |prefix: &'static str| {
            let row = progress::row().with_style(style(format!("{{prefix:10{dim}}} {{wide_msg}}")));
            row.with_prefix(prefix)
        };
        Self {
            rows: rows.iter().map(|one| (one, row(one.name))).collect(),
            held_out: row("held out"),
            bar: progress::row()
                .with_style(style(format!("{{prefix:10{dim}}} {{bar:24}} {{wide_msg}}")))
                .with_prefix(shortened(name)),
            history: BTreeMap::new(),
            began: Instant::now(),
            from_step: 0,
            total_steps,
        }
    }

    /// Everything is loaded: from now on steps take time.
    pub(crate) fn started(&mut self, from_step: u64) {
        (self.began, self.from_step) = (Instant::now(), from_step);
        self.bar.set_length(self.total_steps);
        self.step(from_step);
    }

    pub(crate) fn step(&mut self, step: u64) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.bar.set_position(step);
        let (done, ahead) = (step - self.from_step, self.total_steps - step);
        let left = if done == 0 || ahead == 0 {
            String::new()
        } else {
            format!(", about {} left", clock(seconds / done as f64 * ahead as f64))
        };
        self.bar.set_message(format!("step {step} of {}, {}{left}", self.total_steps, clock(seconds)));
    }

    pub(crate) fn logged(&mut self, record: &Record) {
        for (row, line) in &self.rows {
            for shown in row.shows {
                if let Shows::Curve(key) = shown
                    && let Some(value) = record.get(key)
                {
                    self.history.entry(key).or_default().push(value);
                }
            }
            let parts: Vec<String> = row.shows.iter().filter_map(|shown| self.part(*shown, record)).collect();
            line.set_message(parts.join("  "));
        }
    }

    pub(crate) fn evaluated(&mut self, line: &str) {
        self.held_out.set_message(line.to_owned());
    }

    /// Leaves the rows as they are.
    pub(crate) fn end(self) {
        for row in self.rows.iter().map(|(_, row)| row).chain([&self.held_out, &self.bar]) {
            row.abandon();
        }
    }

    fn part(&self, shown: Shows, record: &Record) -> Option<String> {
        let named = |name: &str, value: String| {
            if name.is_empty() { value } else { format!("{name} {value}") }
        };
        match shown {
            Shows::Number(key, name) => record.get(key).map(|value| named(name, number(value))),
            Shows::Percent(key, name) => record.get(key).map(|value| named(name, percent(value))),
            Shows::Saved(key, name) => record.get(key).map(|value| named(name, percent(1.0 - value))),
            Shows::Curve(key) => self.history.get(key).map(|values| curve(values)),
        }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(10).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 10.0 => format!("{value:.3}"),
        size if size < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The last values between their own lowest and highest.
fn curve(values: &[f64]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = &values[values.len().saturating_sub(CURVE)..];
    let low = last.iter().copied().fold(f64::INFINITY, f64::min);
    let high = last.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let height = |value: &f64| if high > low { ((value - low) / (high - low) * 7.0).round() as usize } else { 3 };
    last.iter().map(|value| HEIGHTS[height(value).min(7)]).collect()
}

/// Hours, minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_lies_between_its_lowest_and_its_highest_value() {
        assert_eq!(curve(&[0.0, 7.0, 3.0]), "▁█▄");
        assert_eq!(curve(&[2.0, 2.0]), "▄▄");
        assert_eq!(curve(&vec![1.0; 100]).chars().count(), CURVE);
        assert_eq!(curve(&[]), "");
    }

    #[test]
    fn times_and_numbers_are_short() {
        assert_eq!([clock(59.6), clock(3599.0), clock(3661.0)], ["1:00", "59:59", "1:01:01"]);
        assert_eq!(
            [number(0.0), number(4e-4), number(0.5), number(12.34), number(1234.5)],
            ["0", "4.0e-4", "0.500", "12.3", "1234"]
        );
    }
}
