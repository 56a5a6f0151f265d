//! A file of predictions in, the same rows with verdicts out; what is judged is not judged again.

mod input;
mod output;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use visionthink_reward::Accuracy;
use visionthink_reward::judge::Question;

use crate::counts::Counts;
use crate::error::{JudgeError, Result};
use crate::judge::{Ended, Judge, Task};

pub use input::{LineProblem, Problem};
use output::Output;

/// Where rows come from and go to.
#[derive(Debug, Clone, Copy)]
pub struct PredictionFiles<'a> {
    /// JSONL: `id`, `question`, `answer` (the right one), `prediction`; optional `answers`, further right ones. Other
    /// columns are passed on.
    pub input: &'a Path,
    /// JSONL, rows as they are judged, with `accuracy` (`correct`, `wrong` or `unjudged`), `reply`, `judge`, and `fault`
    /// where there is no verdict.
    pub output: &'a Path,
}

/// How far the judging of a file is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// Rows that can be judged.
    pub rows: usize,
    /// Of these, rows that an earlier run judged.
    pub judged_before: usize,
    /// Rows whose question, answer or prediction has changed since an earlier run: judged again.
    pub changed: usize,
    /// Right answers so far, those of earlier runs included.
    pub correct: usize,
    /// Wrong answers so far, likewise.
    pub wrong: usize,
    /// Rows without a verdict; a further run asks again.
    pub unjudged: usize,
    /// Lines that are no rows, and rows whose `id` stands twice. They are left out.
    pub problems: Vec<LineProblem>,
    /// What this run took.
    pub counts: Counts,
    /// Whether it was called off.
    pub ended: Ended,
}

impl FileReport {
    /// Rows that are through, in this run or an earlier one.
    pub fn done(&self) -> usize {
        self.correct + self.wrong + self.unjudged
    }

    /// Right answers as a share of judged ones, 0 to 1; `None` where none is judged.
    pub fn accuracy(&self) -> Option<f64> {
        let judged = self.correct + self.wrong;
        (judged > 0).then(|| self.correct as f64 / judged as f64)
    }

    fn record(&mut self, accuracy: Accuracy) {
        match accuracy {
            Accuracy::Correct => self.correct += 1,
            Accuracy::Wrong => self.wrong += 1,
            Accuracy::Unjudged => self.unjudged += 1,
        }
    }
}

/// Judges the predictions of a file, several at a time.
///
/// `progress` hears how things stand before the first call and after every row. Each verdict is written at once, so a run
/// that is killed, called off by `cancel` or stopped by an error goes on from there: rows that the output holds with a
/// verdict are not asked again, unless their question, answer or prediction has changed; unjudged ones are.
///
/// # Errors
/// [`JudgeError::NoPredictions`], [`JudgeError::SameFile`], [`JudgeError::ForeignOutput`], [`JudgeError::OtherJudge`],
/// [`JudgeError::Io`], before anything is asked; those of [`Judge::judge_all`].
pub fn judge_file(
    judge: &mut Judge,
    files: PredictionFiles<'_>,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&FileReport),
) -> Result<FileReport> {
    refuse_same_file(files)?;
    let (rows, problems) = input::read(files.input)?;
    if rows.is_empty() {
        return Err(JudgeError::NoPredictions { path: files.input.into(), first: problems.into_iter().next() });
    }
    let (mut output, earlier) = Output::open(files.output, &judge.identity(), &rows)?;
    let mut report = FileReport {
        rows: rows.len(),
        judged_before: earlier.judged.len(),
        changed: earlier.changed,
        correct: 0,
        wrong: 0,
        unjudged: 0,
        problems,
        counts: Counts::default(),
        ended: Ended::Complete,
    };
    for &verdict in earlier.judged.values() {
        report.record(verdict.into());
    }
    progress(&report);

    let open: Vec<_> = rows.iter().filter(|row| !earlier.judged.contains_key(row.id.as_str())).collect();
    let tasks: Vec<Task<'_>> = open.iter().map(|row| Task { id: &row.id, question: row.question() }).collect();
    let before = *judge.counts();
    report.ended = judge.judge_all(&tasks, cancel, &mut |judged| {
        let row = open.get(judged.index).expect("there is a task a row");
        output.write(row, judged.judgement)?;
        report.record(judged.judgement.accuracy);
        report.counts = judged.counts.since(&before);
        progress(&report);
        Ok(())
    })?;
    report.counts = judge.counts().since(&before);
    Ok(report)
}

fn refuse_same_file(files: PredictionFiles<'_>) -> Result<()> {
    let input = fs_err::canonicalize(files.input)?;
    if files.output.exists() && fs_err::canonicalize(files.output)? == input {
        return Err(JudgeError::SameFile { path: files.output.into() });
    }
    Ok(())
}

impl input::Row {
    fn question(&self) -> Question<'_> {
        Question { question: &self.question, ground_truth: &self.ground_truth, prediction: &self.prediction }
    }
}
