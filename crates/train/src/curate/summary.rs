//! What a curation found: for programs and for people.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use visionthink_data::selection::{Need, PerNeed};

use crate::curate::config::CurateConfig;
use crate::curate::progress::Line;
use crate::curate::write::Part;
use crate::error::TrainError;
use crate::replace::replace_file;
use crate::rows::{LeftOut, RowFault};

/// What a curation found. It depends on the run file, the data and the model alone, however often the run was interrupted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Questions that were asked at both resolutions and judged.
    pub questions: usize,
    /// Answers to each at each resolution.
    pub rollouts: u32,
    /// The share of right answers from the low-resolution image.
    pub right_low: f64,
    /// The share of right answers from the full image.
    pub right_full: f64,
    /// Questions of each class.
    pub classes: PerNeed<usize>,
    /// How many of each were wanted.
    pub wanted: PerNeed<usize>,
    /// How many of each were kept.
    pub selected: PerNeed<usize>,
    /// Of the rows that were kept, those in `train.parquet`.
    pub train: usize,
    /// Those in `eval.parquet`.
    pub eval: usize,
    /// Rows that were left out, by reason.
    pub left_out: BTreeMap<RowFault, u64>,
    /// Questions that the judge could not judge; a resumed run asks them again.
    pub unjudged: u64,
    /// Classes by what the source says of need, where it says so: [does not need the full image, needs it].
    pub by_label: [PerNeed<usize>; 2],
    /// Questions by right answers: `[right from the low-resolution image][right from the full image]`, 0 to n each.
    pub by_right: Vec<Vec<usize>>,
}

impl Summary {
    pub(super) fn new(
        config: &CurateConfig,
        lines: &[&Line],
        classes: &[Need],
        chosen: &[usize],
        parts: &[Part],
        left_out: &LeftOut,
        unjudged: u64,
    ) -> Self {
        let rollouts = config.rollout.rollouts;
        let answers = (lines.len() as u64 * u64::from(rollouts)).max(1) as f64;
        let right = |of: fn(&Line) -> u32| lines.iter().map(|line| u64::from(of(line))).sum::<u64>() as f64 / answers;
        let count = |keep: &dyn Fn(usize) -> bool| {
            PerNeed::from_fn(|need| (0..classes.len()).filter(|&at| classes[at] == need && keep(at)).count())
        };
        let there = count(&|_| true);
        let mut by_right = vec![vec![0; rollouts as usize + 1]; rollouts as usize + 1];
        for Line { tries, .. } in lines {
            by_right[tries.right_low as usize][tries.right_full as usize] += 1;
        }
        Self {
            questions: lines.len(),
            rollouts,
            right_low: right(|line| line.tries.right_low),
            right_full: right(|line| line.tries.right_full),
            classes: there,
            wanted: config.balance.wanted(there),
            selected: PerNeed::from_fn(|need| chosen.iter().filter(|at| classes[**at] == need).count()),
            train: parts.iter().filter(|part| **part == Part::Train).count(),
            eval: parts.iter().filter(|part| **part == Part::Eval).count(),
            left_out: left_out.counts().clone(),
            unjudged,
            by_label: [false, true].map(|label| count(&|at| lines[at].needs_full == Some(label))),
            by_right,
        }
    }

    /// Writes `summary.json` and `summary.md`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), TrainError> {
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        replace_file(&folder.join("summary.json"), &format!("{json}\n"))?;
        replace_file(&folder.join("summary.md"), &self.markdown())?;
        Ok(())
    }

    /// The table that people read.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| {
            text.push_str(&args.to_string());
            text.push('\n');
        };
        line(format_args!(
            "{} questions, {} answers each at each resolution; right from the low-resolution image {:.1} %, from the full one {:.1} %.",
            self.questions,
            self.rollouts,
            100.0 * self.right_low,
            100.0 * self.right_full
        ));
        line(format_args!(""));
        line(format_args!("| class | questions | wanted | kept | said not to need the full image | said to need it |"));
        line(format_args!("| --- | --- | --- | --- | --- | --- |"));
        for need in Need::ALL {
            line(format_args!(
                "| {need} | {} | {} | {} | {} | {} |",
                self.classes.of(need),
                self.wanted.of(need),
                self.selected.of(need),
                self.by_label[0].of(need),
                self.by_label[1].of(need)
            ));
        }
        line(format_args!(""));
        line(format_args!("{} rows in `train.parquet`, {} in `eval.parquet`.", self.train, self.eval));
        for (fault, rows) in &self.left_out {
            line(format_args!("Left out: {rows} rows {}.", fault.words()));
        }
        if self.unjudged > 0 {
            line(format_args!("{} questions were not judged; a resumed run asks them again.", self.unjudged));
        }
        text
    }
}
