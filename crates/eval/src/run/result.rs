//! The score of one model by one method on one benchmark, and over how much of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::{Outcome, Record};
use super::sheet::{Scoring, Sheet};
use crate::error::Result;
use crate::statistics::{Bootstrap, Interval};

/// What became of the samples that were planned. None is lost between them: they add up to `planned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// All samples of the part that is measured.
    pub planned: usize,
    /// Answered and scored.
    pub scored: usize,
    /// Answered, and the judge that has to decide has not.
    pub unjudged: usize,
    /// Not to be asked or scored.
    pub defective: usize,
    /// The engine failed on them.
    pub failed: usize,
    /// Not asked yet.
    pub missing: usize,
}

impl Coverage {
    /// Counts the outcomes of a combination of which so many samples are planned.
    pub fn of(records: &[&Record], planned: usize, scoring: Scoring<'_>) -> Self {
        let count = |kind: fn(&Outcome) -> bool| records.iter().filter(|record| kind(&record.outcome)).count();
        let answered = count(|outcome| matches!(outcome, Outcome::Answered { .. }));
        let scored = records.iter().filter(|record| scoring.row(record).is_some()).count();
        Self {
            planned,
            scored,
            unjudged: answered - scored,
            defective: count(|outcome| matches!(outcome, Outcome::Defective { .. })),
            failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            missing: planned.saturating_sub(records.len()),
        }
    }

    /// Whether a score speaks for all that can be asked.
    pub fn is_complete(self) -> bool {
        self.failed == 0 && self.missing == 0 && self.unjudged == 0
    }
}

/// The score over what was answered and judged, with its interval; `None` where nothing was.
///
/// A score over less than was planned is told apart by [`Coverage`], which reports print beside it.
///
/// # Errors
/// As [`score()`](crate::score()), for a row that the benchmark cannot score.
pub fn scored(records: &[&Record], scoring: Scoring<'_>, bootstrap: &Bootstrap) -> Result<Option<Interval>> {
    let rows = records.iter().filter_map(|record| scoring.row(record)).collect();
    let Some(sheet) = Sheet::new(scoring, rows)? else { return Ok(None) };
    let interval = bootstrap.interval(&sheet.units(), |drawn| sheet.aggregate(drawn));
    // The copies of the first pass are all samples once, so this is the same number up to the order of a sum.
    Ok(interval.map(|interval| Interval { value: sheet.report.paper_score, ..interval }))
}

/// The score of each answer, by its place; `None` where only a judge could tell.
///
/// # Errors
/// As [`score()`](crate::score()), for a row that the benchmark cannot score.
pub fn sample_scores(records: &[&Record], scoring: Scoring<'_>) -> Result<BTreeMap<u64, Option<f64>>> {
    let (places, rows) = records
        .iter()
        .filter_map(|record| Some((record.source.index, scoring.row(record)?)))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    let Some(sheet) = Sheet::new(scoring, rows)? else { return Ok(BTreeMap::new()) };
    Ok(places.into_iter().zip(sheet.report.samples.iter().map(|sample| sample.score)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use visionthink_protocol::Decision;

    use super::*;
    use crate::run::record::{Answer, Ledger, Seconds, Source};
    use crate::run::verdicts::Verdicts;
    use crate::score::Options;

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
        judged(metric, records, &Verdicts::default()).0
    }

    fn judged(metric: &str, records: &[Record], verdicts: &Verdicts) -> (Option<Interval>, Coverage) {
        let records: Vec<&Record> = records.iter().collect();
        let scoring = Scoring { metric: metric.parse().unwrap(), options: &Options::default(), verdicts };
        (scored(&records, scoring, &BOOTSTRAP).unwrap(), Coverage::of(&records, records.len(), scoring))
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
        let (options, verdicts) = (Options::default(), Verdicts::default());
        let scoring = Scoring { metric: "own-exact".parse().unwrap(), options: &options, verdicts: &verdicts };
        let found = Coverage::of(&[&answer, &failed, &defective], 5, scoring);
        assert_eq!(found, Coverage { planned: 5, scored: 1, unjudged: 0, defective: 1, failed: 1, missing: 2 });
        assert!(!found.is_complete());
        assert!(Coverage::of(&[&answer, &defective], 2, scoring).is_complete());
    }

    #[test]
    fn what_a_judge_decides_is_scored_as_far_as_it_was_judged_and_says_how_far() {
        let records: Vec<Record> = (0..3).map(|index| answered(index, json!({ "answer": "x" }), "1")).collect();
        let mut verdicts = Verdicts::default();
        let (none, coverage) = judged("mathverse", &records, &verdicts);
        assert_eq!((none, coverage.unjudged, coverage.is_complete()), (None, 3, false));
        verdicts.insert(records[0].source.clone(), true);
        verdicts.insert(records[2].source.clone(), false);
        let (half, coverage) = judged("mathverse", &records, &verdicts);
        assert_eq!((half.map(|found| found.value), coverage.scored, coverage.unjudged), (Some(50.0), 2, 1));
    }

    #[test]
    fn nothing_has_no_score() {
        assert_eq!(interval("own-exact", &[]), None);
        assert_eq!(
            interval("own-exact", &[answered(0, json!({ "answer": "x" }), "x")]).map(|found| found.value),
            Some(100.0)
        );
    }
}
