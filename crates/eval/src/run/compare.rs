//! Whether two methods, or two runs, differ on the questions that both answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::Record;
use super::result::{copy, row, units};
use crate::benchmark::Benchmark;
use crate::error::Result;
use crate::score::{Options, Report, score};
use crate::statistics::{Bootstrap, Discordant, Interval, mcnemar, paired_difference};

/// The first minus the second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Questions that both answered; only these are compared.
    pub common: usize,
    /// Questions that one of them alone answered.
    pub alone: usize,
    /// Of the benchmark's score, both resampled together.
    pub score: Interval,
    /// Where every answer is right or wrong: on how many only one is right, and the p-value of McNemar's exact test.
    pub test: Option<(Discordant, f64)>,
    /// Places of the questions that they score differently.
    pub differing: Vec<u64>,
}

/// Compares the records of one benchmark, paired by their places; `None` where both answered none, or where a judge decides.
///
/// # Errors
/// As [`score()`](crate::score()), for a row that the benchmark cannot score.
pub fn compare(
    first: &[&Record],
    second: &[&Record],
    metric: Benchmark,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Option<Difference>> {
    if metric.is_judged() {
        return Ok(None);
    }
    let (first, mut second) = (by_place(first), by_place(second));
    let in_first = first.len();
    let in_second = second.len();
    let pairs: Vec<(u64, Value, Value)> =
        first.into_iter().filter_map(|(place, row)| Some((place, row, second.remove(&place)?))).collect();
    if pairs.is_empty() {
        return Ok(None);
    }
    let of = |side: fn(&(u64, Value, Value)) -> &Value| pairs.iter().map(|pair| side(pair).clone()).collect::<Vec<_>>();
    let (first, second) = (of(|pair| &pair.1), of(|pair| &pair.2));
    let (scores, others) = (score(metric, &first, options)?, score(metric, &second, options)?);
    let resampled = |rows: &[Value], drawn: &[(usize, usize)]| {
        let rows: Vec<Value> = drawn.iter().map(|(draw, sample)| copy(&rows[*sample], metric, *draw)).collect();
        Some(score(metric, &rows, options).ok()?.paper_score)
    };
    let difference = paired_difference(
        bootstrap,
        &units(metric, &first),
        |drawn| resampled(&first, drawn),
        |drawn| resampled(&second, drawn),
    );
    let answers: Vec<(Option<f64>, Option<f64>)> =
        scores.samples.iter().zip(&others.samples).map(|(first, second)| (first.score, second.score)).collect();
    let differing = pairs.iter().zip(&answers).filter(|(_, (first, second))| first != second);
    Ok(difference.map(|score| Difference {
        common: pairs.len(),
        alone: in_first + in_second - 2 * pairs.len(),
        score: Interval { value: scores.paper_score - others.paper_score, ..score },
        test: right_or_wrong(&scores).zip(right_or_wrong(&others)).map(|(first, second)| {
            let discordant = Discordant::of(first.into_iter().zip(second));
            (discordant, mcnemar(discordant))
        }),
        differing: differing.map(|(pair, _)| pair.0).collect(),
    }))
}

fn by_place(records: &[&Record]) -> BTreeMap<u64, Value> {
    records.iter().filter_map(|record| Some((record.source.index, row(record)?))).collect()
}

/// `None` where an answer can be half right, or only a judge can tell.
fn right_or_wrong(report: &Report) -> Option<Vec<bool>> {
    let right = |score: f64| if score == 1.0 { Some(true) } else { (score == 0.0).then_some(false) };
    report.samples.iter().map(|sample| right(sample.score?)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use visionthink_protocol::Decision;

    use super::*;
    use crate::run::record::{Answer, Ledger, Outcome, Seconds, Source};

    /// The `index`-th question, whose answer is `yes`.
    fn answered(index: u64, text: &str) -> Record {
        let [model, method, benchmark] = ["m", "full", "b"].map(str::to_owned);
        let answer = Answer {
            text: text.into(),
            decision: Decision::None,
            turns: vec![text.into()],
            ledger: Ledger::default(),
            seconds: Seconds::default(),
        };
        let (source, row) = (Source { model, method, benchmark, index }, json!({ "answer": "yes" }));
        Record { source, id: index.to_string(), question: "Is it?".into(), row, outcome: Outcome::Answered { answer } }
    }

    fn compared(metric: &str, first: &[Record], second: &[Record]) -> Option<Difference> {
        let bootstrap = Bootstrap { resamples: 500, seed: 1, level: 0.95 };
        let (first, second): (Vec<_>, Vec<_>) = (first.iter().collect(), second.iter().collect());
        compare(&first, &second, metric.parse().unwrap(), &Options::default(), &bootstrap).unwrap()
    }

    #[test]
    fn only_common_questions_are_compared_and_the_others_counted() {
        // 0..10 by the first, 2..12 by the second: eight in common, of which the second has six wrong.
        let first: Vec<_> = (0..10).map(|index| answered(index, "yes")).collect();
        let second: Vec<_> = (2..12).map(|index| answered(index, if index < 8 { "no" } else { "yes" })).collect();
        let found = compared("own-exact", &first, &second).unwrap();
        assert_eq!((found.common, found.alone, found.score.value), (8, 4, 75.0));
        assert_eq!(found.differing, (2..8).collect::<Vec<_>>());
        let (discordant, p) = found.test.unwrap();
        assert_eq!(discordant, Discordant { only_first: 6, only_second: 0 });
        assert!((p - 2.0 / 64.0).abs() < 1e-12, "{p}");
        assert!(found.score.low > 0.0 && found.score.high <= 100.0, "{:?}", found.score);
    }

    #[test]
    fn a_method_does_not_differ_from_itself() {
        let records: Vec<_> = (0..9).map(|index| answered(index, if index % 2 == 0 { "yes" } else { "no" })).collect();
        let found = compared("own-exact", &records, &records).unwrap();
        assert_eq!(found.score, Interval { value: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(found.test.map(|(_, p)| p), Some(1.0));
        assert!(found.differing.is_empty());
    }

    #[test]
    fn answers_that_can_be_half_right_have_no_test_of_right_and_wrong() {
        let found = compared("own-anls", &[answered(0, "yess")], &[answered(0, "yes")]).unwrap();
        assert_eq!(found.test, None);
        assert!((found.score.value + 25.0).abs() < 1e-9, "{:?}", found.score);
        assert_eq!(compared("own-anls", &[answered(0, "yes")], &[answered(1, "yes")]), None);
    }
}
