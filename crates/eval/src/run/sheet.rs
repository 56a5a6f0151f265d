//! The answers of one method, as the rules of a benchmark take them.

use serde_json::{Value, json};

use super::record::{Outcome, Record};
use super::verdicts::Verdicts;
use crate::benchmark::Benchmark;
use crate::error::Result;
use crate::score::{Options, Report, score};
use crate::statistics::Units;

/// What is needed to score records.
#[derive(Debug, Clone, Copy)]
pub struct Scoring<'a> {
    /// By which rule.
    pub metric: Benchmark,
    /// What is done to answers before.
    pub options: &'a Options,
    /// What a judge said, where one decides.
    pub verdicts: &'a Verdicts,
}

impl Scoring<'_> {
    /// The row that is scored; `None` where there is no answer, or a judge has to decide and has not.
    pub(super) fn row(&self, record: &Record) -> Option<Value> {
        let Outcome::Answered { answer } = &record.outcome else {
            return None;
        };
        let reply = if self.metric.is_judged() {
            u8::from(self.verdicts.get(&record.source)?).to_string()
        } else {
            answer.text.clone()
        };
        let mut row = record.row.clone();
        row.as_object_mut()?.insert(self.metric.reply_field().to_owned(), reply.into());
        Some(row)
    }
}

/// Rows with their scores, that can be drawn again.
pub(super) struct Sheet<'a> {
    scoring: Scoring<'a>,
    rows: Vec<Value>,
    pub(super) report: Report,
    /// The scores, where the benchmark's number is their mean; then nothing is scored twice.
    scores: Option<Vec<f64>>,
}

impl<'a> Sheet<'a> {
    /// `None` of no rows.
    pub(super) fn new(scoring: Scoring<'a>, rows: Vec<Value>) -> Result<Option<Self>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let report = score(scoring.metric, &rows, scoring.options)?;
        let scores =
            if is_mean(scoring.metric) { report.samples.iter().map(|sample| sample.score).collect() } else { None };
        Ok(Some(Self { scoring, rows, report, scores }))
    }

    pub(super) fn units(&self) -> Units {
        units(self.scoring.metric, &self.rows)
    }

    /// The benchmark's number of drawn rows.
    pub(super) fn aggregate(&self, drawn: &[(usize, usize)]) -> Option<f64> {
        if let Some(scores) = &self.scores {
            return Some(100.0 * drawn.iter().map(|(_, sample)| scores[*sample]).sum::<f64>() / drawn.len() as f64);
        }
        let metric = self.scoring.metric;
        let rows: Vec<Value> = drawn.iter().map(|(draw, sample)| copy(&self.rows[*sample], metric, *draw)).collect();
        Some(score(metric, &rows, self.scoring.options).ok()?.paper_score)
    }

    /// `None` where an answer can be half right, or only a judge can tell.
    pub(super) fn right_or_wrong(&self) -> Option<Vec<bool>> {
        let right = |score: f64| if score == 1.0 { Some(true) } else { (score == 0.0).then_some(false) };
        self.report.samples.iter().map(|sample| right(sample.score?)).collect()
    }
}

/// Whether the benchmark's number is the mean of the scores of its rows, in percent.
fn is_mean(metric: Benchmark) -> bool {
    matches!(
        metric,
        Benchmark::ChartQa
            | Benchmark::ChartQaJudge
            | Benchmark::DocVqa
            | Benchmark::InfoVqa
            | Benchmark::TextVqa
            | Benchmark::RealWorldQa
            | Benchmark::MathVerse
            | Benchmark::Own(_)
    )
}

/// MMBench counts the rotations of a question from a million upwards.
const ROTATION: u64 = 1_000_000;

fn units(metric: Benchmark, rows: &[Value]) -> Units {
    let named = |fields: &[&str]| {
        let name = |row: &Value| fields.iter().map(|field| row[*field].to_string()).collect::<Vec<_>>();
        Units::named(&rows.iter().map(name).collect::<Vec<_>>())
    };
    match metric {
        Benchmark::Mme => named(&["category", "question_id"]),
        // Figures and questions cross inside a set.
        Benchmark::HallusionBench | Benchmark::HallusionBenchYesNo => named(&["category", "subcategory", "set_id"]),
        Benchmark::MmBench => Units::named(
            &rows.iter().map(|row| row["index"].as_u64().map(|index| index % ROTATION)).collect::<Vec<_>>(),
        ),
        _ => Units::single(rows.len()),
    }
}

/// A row as a question of its own, however often its unit is drawn.
fn copy(row: &Value, metric: Benchmark, draw: usize) -> Value {
    let mut row = row.clone();
    let renamed = |value: &Value| json!(format!("{value} drawn {draw}"));
    match metric {
        Benchmark::Mme => row["question_id"] = renamed(&row["question_id"]),
        Benchmark::HallusionBench | Benchmark::HallusionBenchYesNo => row["set_id"] = renamed(&row["set_id"]),
        Benchmark::MmBench => {
            let rotation = row["index"].as_u64().unwrap_or(0) / ROTATION;
            row["index"] = json!(rotation * ROTATION + draw as u64 % ROTATION);
        }
        _ => {}
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_scores_is_what_scoring_drawn_rows_again_gives() {
        let (options, verdicts) = (Options::default(), Verdicts::default());
        let rows = vec![
            json!({ "answer": "10", "prediction": "10.2", "judge_reply": "1" }),
            json!({ "answer": "cat", "prediction": "dog", "judge_reply": "0" }),
            json!({ "answer": "hello", "prediction": "helo", "judge_reply": "1" }),
        ];
        let drawn = [(0, 2), (1, 2), (2, 0)];
        for metric in ["own-anls", "own-exact", "own-relaxed", "chartqa", "chartqa-judge", "docvqa", "mathverse"] {
            let scoring = Scoring { metric: metric.parse().unwrap(), options: &options, verdicts: &verdicts };
            let sheet = Sheet::new(scoring, rows.clone()).unwrap().unwrap();
            assert!(sheet.scores.is_some(), "{metric}");
            let again = Sheet { scores: None, ..Sheet::new(scoring, rows.clone()).unwrap().unwrap() };
            let (fast, slow) = (sheet.aggregate(&drawn).unwrap(), again.aggregate(&drawn).unwrap());
            assert!((fast - slow).abs() < 1e-9, "{metric}: {fast} instead of {slow}");
        }
    }
}
