//! Whether two methods, or two runs, differ on the questions that both answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Answer, Outcome, Record};
use super::sheet::{Scoring, Sheet};
use crate::error::Result;
use crate::statistics::{Bootstrap, Discordant, Interval, Units, mcnemar, paired_difference};

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
    /// Visual tokens of an answer that enter the decoder.
    pub visual_tokens: Interval,
    /// Visual tokens of an answer in a layer of the decoder, mean over layers.
    pub visual_tokens_per_layer: Interval,
    /// Wall-clock that an answer takes, in seconds.
    pub seconds: Interval,
    /// Benchmark and place of the questions that they score differently.
    pub differing: Vec<(String, u64)>,
}

/// Compares the records of two methods, paired by benchmark and place; `None` where they have no scored question in common.
///
/// # Errors
/// As [`score()`](crate::score()), for a row that the benchmark cannot score.
pub fn compare(
    first: &[&Record],
    second: &[&Record],
    scoring: Scoring<'_>,
    other: Scoring<'_>,
    bootstrap: &Bootstrap,
) -> Result<Option<Difference>> {
    let (first, mut second) = (by_place(first, scoring), by_place(second, other));
    let alone = first.len() + second.len();
    let pairs: Vec<(Place<'_>, Row<'_>, Row<'_>)> =
        first.into_iter().filter_map(|(place, row)| Some((place, row, second.remove(&place)?))).collect();
    let rows = (
        pairs.iter().map(|(_, one, _)| one.0.clone()).collect(),
        pairs.iter().map(|(_, _, other)| other.0.clone()).collect(),
    );
    let sheets = (Sheet::new(scoring, rows.0)?, Sheet::new(other, rows.1)?);
    let (Some(scores), Some(others)) = sheets else { return Ok(None) };
    let score =
        paired_difference(bootstrap, &scores.units(), |drawn| scores.aggregate(drawn), |drawn| others.aggregate(drawn));
    let cost = |of: fn(&Answer) -> f64| {
        let differences: Vec<f64> = pairs.iter().map(|(_, one, other)| of(one.1) - of(other.1)).collect();
        mean(&differences, bootstrap)
    };
    let tokens =
        cost(|answer| answer.ledger.visual_tokens as f64).zip(cost(|answer| answer.ledger.visual_tokens_per_layer));
    let costs = tokens.zip(cost(|answer| answer.seconds.share));
    let (Some(score), Some(((visual_tokens, visual_tokens_per_layer), seconds))) = (score, costs) else {
        return Ok(None);
    };
    let samples = scores.report.samples.iter().zip(&others.report.samples);
    let differing = pairs.iter().zip(samples).filter(|(_, (one, other))| one.score != other.score);
    Ok(Some(Difference {
        common: pairs.len(),
        alone: alone - 2 * pairs.len(),
        score: Interval { value: scores.report.paper_score - others.report.paper_score, ..score },
        test: scores.right_or_wrong().zip(others.right_or_wrong()).map(|(first, second)| {
            let discordant = Discordant::of(first.into_iter().zip(second));
            (discordant, mcnemar(discordant))
        }),
        visual_tokens,
        visual_tokens_per_layer,
        seconds,
        differing: differing.map(|(((benchmark, place), ..), _)| ((*benchmark).to_owned(), *place)).collect(),
    }))
}

/// The mean of numbers, one a sample, with its interval; `None` of none.
pub(super) fn mean(numbers: &[f64], bootstrap: &Bootstrap) -> Option<Interval> {
    let mean = |drawn: &[(usize, usize)]| {
        Some(drawn.iter().map(|(_, sample)| numbers[*sample]).sum::<f64>() / drawn.len() as f64)
    };
    bootstrap.interval(&Units::single(numbers.len()), mean)
}

/// Benchmark and place in it.
type Place<'a> = (&'a str, u64);

/// What is scored, and the answer.
type Row<'a> = (Value, &'a Answer);

fn by_place<'a>(records: &[&'a Record], scoring: Scoring<'_>) -> BTreeMap<Place<'a>, Row<'a>> {
    let row = |record: &&'a Record| {
        let Outcome::Answered { answer } = &record.outcome else { return None };
        Some(((record.source.benchmark.as_str(), record.source.index), (scoring.row(record)?, answer)))
    };
    records.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::answered;
    use crate::run::verdicts::Verdicts;
    use crate::score::Options;

    fn compared(metric: &str, first: &[Record], second: &[Record]) -> Option<Difference> {
        let bootstrap = Bootstrap { resamples: 500, seed: 1, level: 0.95 };
        let (first, second): (Vec<_>, Vec<_>) = (first.iter().collect(), second.iter().collect());
        let (options, verdicts) = (Options::default(), Verdicts::default());
        let scoring = Scoring { metric: metric.parse().unwrap(), options: &options, verdicts: &verdicts };
        compare(&first, &second, scoring, scoring, &bootstrap).unwrap()
    }

    #[test]
    fn only_common_questions_are_compared_and_the_others_counted() {
        // 0..10 by the first, 2..12 by the second: eight in common, of which the second has six wrong.
        let first: Vec<_> = (0..10).map(|index| answered("full", index, "yes")).collect();
        let second: Vec<_> =
            (2..12).map(|index| answered("adaptive", index, if index < 8 { "no" } else { "yes" })).collect();
        let found = compared("own-exact", &first, &second).unwrap();
        assert_eq!((found.common, found.alone, found.score.value), (8, 4, 75.0));
        assert_eq!(found.differing, (2..8).map(|place| ("b".to_owned(), place)).collect::<Vec<_>>());
        let (discordant, p) = found.test.unwrap();
        assert_eq!(discordant, Discordant { only_first: 6, only_second: 0 });
        assert!((p - 2.0 / 64.0).abs() < 1e-12, "{p}");
        assert!(found.score.low > 0.0 && found.score.high <= 100.0, "{:?}", found.score);
    }

    #[test]
    fn what_answers_cost_is_compared_on_the_same_questions() {
        // 16 tokens a question against 4 and 20 in turn: 12 on average; a quarter of a second a token.
        let first: Vec<_> = (0..4).map(|index| answered("full", index, "yes")).collect();
        let second: Vec<_> = (0..4).map(|index| answered("adaptive", index, "yes")).collect();
        let found = compared("own-exact", &first, &second).unwrap();
        assert_eq!((found.visual_tokens.value, found.seconds.value), (4.0, 1.0));
        assert!(found.visual_tokens.low <= 4.0 && found.visual_tokens.high >= 4.0, "{:?}", found.visual_tokens);
    }

    #[test]
    fn a_method_does_not_differ_from_itself() {
        let records: Vec<_> =
            (0..9).map(|index| answered("full", index, if index % 2 == 0 { "yes" } else { "no" })).collect();
        let found = compared("own-exact", &records, &records).unwrap();
        assert_eq!(found.score, Interval { value: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(found.test.map(|(_, p)| p), Some(1.0));
        assert!(found.differing.is_empty());
    }

    #[test]
    fn answers_that_can_be_half_right_have_no_test_of_right_and_wrong() {
        let one = |index, text| answered("full", index, text);
        let found = compared("own-anls", &[one(0, "yess")], &[one(0, "yes")]).unwrap();
        assert_eq!(found.test, None);
        assert!((found.score.value + 25.0).abs() < 1e-9, "{:?}", found.score);
        assert_eq!(compared("own-anls", &[one(0, "yes")], &[one(1, "yes")]), None);
    }
}
