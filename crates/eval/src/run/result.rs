//! The score of one model by one method on one benchmark, and over how much of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::{Outcome, Record};
use crate::benchmark::Benchmark;
use crate::error::Result;
use crate::score::{Options, score};
use crate::statistics::{Bootstrap, Interval, Units};

/// What became of the samples that were planned. None is lost between them: they add up to `planned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// All samples of the part that is measured.
    pub planned: usize,
    /// Answered, and so scored unless a judge has to.
    pub answered: usize,
    /// Not to be asked or scored.
    pub defective: usize,
    /// The engine failed on them.
    pub failed: usize,
    /// Not asked yet.
    pub missing: usize,
}

impl Coverage {
    /// Counts the outcomes of a combination of which so many samples are planned.
    pub fn of(records: &[&Record], planned: usize) -> Self {
        let count = |kind: fn(&Outcome) -> bool| records.iter().filter(|record| kind(&record.outcome)).count();
        Self {
            planned,
            answered: count(|outcome| matches!(outcome, Outcome::Answered { .. })),
            defective: count(|outcome| matches!(outcome, Outcome::Defective { .. })),
            failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            missing: planned.saturating_sub(records.len()),
        }
    }

    /// Whether a score speaks for all that can be asked.
    pub fn is_complete(self) -> bool {
        self.failed == 0 && self.missing == 0
    }
}

/// The score over what was answered, with its interval; `None` where nothing was, or where a judge decides.
///
/// A score over less than was planned is told apart by [`Coverage`], which reports print beside it.
///
/// # Errors
/// As [`score()`](crate::score()), for a row that the benchmark cannot score.
pub fn scored(
    records: &[&Record],
    metric: Benchmark,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Option<Interval>> {
    if metric.is_judged() {
        return Ok(None);
    }
    let rows: Vec<Value> = records.iter().filter_map(|record| row(record)).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let report = score(metric, &rows, options)?;
    let again = |drawn: &[(usize, usize)]| {
        let rows: Vec<Value> = drawn.iter().map(|(draw, sample)| copy(&rows[*sample], metric, *draw)).collect();
        Some(score(metric, &rows, options).ok()?.paper_score)
    };
    let interval = bootstrap.interval(&units(metric, &rows), again);
    // The copies of the first pass are all samples once, so this is the same number up to the order of a sum.
    Ok(interval.map(|interval| Interval { value: report.paper_score, ..interval }))
}

pub(super) fn row(record: &Record) -> Option<Value> {
    let Outcome::Answered { answer } = &record.outcome else {
        return None;
    };
    let mut row = record.row.clone();
    row.as_object_mut()?.insert("prediction".to_owned(), answer.text.clone().into());
    Some(row)
}

/// MMBench counts the rotations of a question from a million upwards.
const ROTATION: u64 = 1_000_000;

pub(super) fn units(metric: Benchmark, rows: &[Value]) -> Units {
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
pub(super) fn copy(row: &Value, metric: Benchmark, draw: usize) -> Value {
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
    use visionthink_protocol::Decision;

    use super::*;
    use crate::run::record::{Answer, Ledger, Seconds, Source};

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 400, seed: 3, level: 0.95 };

    fn answered(index: u64, row: Value, text: &str) -> Record {
        let [model, method, benchmark] = ["m", "full", "b"].map(str::to_owned);
        let answer = Answer {
            text: text.into(),
            decision: Decision::None,
            turns: vec![text.into()],
            ledger: Ledger::default(),
            seconds: Seconds::default(),
        };
        let source = Source { model, method, benchmark, index };
        Record { source, id: index.to_string(), question: "What?".into(), row, outcome: Outcome::Answered { answer } }
    }

    fn interval(metric: &str, records: &[Record]) -> Option<Interval> {
        let records: Vec<&Record> = records.iter().collect();
        scored(&records, metric.parse().unwrap(), &Options::default(), &BOOTSTRAP).unwrap()
    }

    #[test]
    fn pairs_of_mme_stay_pairs() {
        // Of two pictures one has both questions right (acc 100, acc+ 100) and one none: 200 and 0, and only these, in any mix.
        let row = |picture: &str| json!({ "question_id": picture, "category": "OCR", "answer": "Yes" });
        let records: Vec<Record> = [("a", "Yes"), ("a", "Yes"), ("b", "No"), ("b", "No")]
            .iter()
            .zip(0..)
            .map(|((p, t), i)| answered(i, row(p), t))
            .collect();
        assert_eq!(interval("mme", &records), Some(Interval { value: 100.0, low: 0.0, high: 200.0 }));
    }

    #[test]
    fn rotations_of_mmbench_count_for_one_question() {
        let row = |index: u64| json!({ "index": index, "answer": "A", "A": "cat", "B": "dog", "category": "ocr" });
        let records = [
            answered(0, row(7), "A"),
            answered(1, row(1_000_007), "B"),
            answered(2, row(8), "A"),
            answered(3, row(9), "A"),
        ];
        let interval = interval("mmbench", &records).unwrap();
        assert!((interval.value - 200.0 / 3.0).abs() < 1e-9, "{interval:?}");
        assert_eq!((interval.low, interval.high), (0.0, 100.0));
    }

    #[test]
    fn every_planned_sample_is_counted_once() {
        let answer = answered(0, json!({ "answer": "x" }), "x");
        let other = |outcome| Record { outcome, ..answer.clone() };
        let failed = other(Outcome::Failed { problem: "no memory".into() });
        let defective = other(Outcome::Defective { problem: "no image".into() });
        let found = Coverage::of(&[&answer, &failed, &defective], 5);
        assert_eq!(found, Coverage { planned: 5, answered: 1, defective: 1, failed: 1, missing: 2 });
        assert!(!found.is_complete());
        assert!(Coverage::of(&[&answer, &defective], 2).is_complete());
    }

    #[test]
    fn what_a_judge_decides_has_no_score_yet() {
        assert_eq!(interval("mathverse", &[answered(0, json!({ "answer": "x" }), "1")]), None);
        assert_eq!(interval("own-exact", &[]), None);
        assert_eq!(
            interval("own-exact", &[answered(0, json!({ "answer": "x" }), "x")]).map(|found| found.value),
            Some(100.0)
        );
    }
}
