//! Scores, advantages and lengths of a batch.

use super::Metrics;
use crate::error::{Result, RewardError};

/// One response and its prompt, padded as the batch is.
#[derive(Debug, Clone, Copy)]
pub struct SequenceRow<'a> {
    /// The score of every response token `[T]`; their sum is the response's score and, with the KL in the loss, its
    /// reward.
    pub token_scores: &'a [f64],
    /// The advantage of every response token `[T]`; with outcome rewards also its return.
    pub advantages: &'a [f64],
    /// The tokens that are there, prompt and response `[P + T]`.
    pub attention: &'a [bool],
    /// In conversations of several turns the tokens that the model sampled `[P + T]`.
    pub sampled: Option<&'a [bool]>,
    /// R_acc before the penalty.
    pub accuracy_score: f64,
    /// R_format.
    pub format_score: f64,
}

/// Mean and extremes; NaN where there is no value.
struct Summary {
    mean: f64,
    max: f64,
    min: f64,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        Self { mean: mean(values), max: extreme(f64::max), min: extreme(f64::min) }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With Bessel's correction; NaN of one value, as the reference logs it.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// The share of lengths that fill their room.
fn clip_ratio(lengths: &[f64], room: usize) -> f64 {
    mean(&lengths.iter().map(|&length| f64::from(u8::from(length == room as f64))).collect::<Vec<_>>())
}

/// The `critic/*`, `response_length/*` and `prompt_length/*` numbers of a batch.
///
/// Lengths of responses count sampled tokens where these are known, attended ones otherwise; advantages are over
/// attended response tokens.
///
/// # Errors
/// [`RewardError::NoRows`] for an empty batch, [`RewardError::RowLength`] where rows are not padded alike.
///
/// Source: `compute_data_metrics` in `verl/trainer/ppo/ray_trainer.py` of VisionThink, commit 42afd8c.
pub fn data_metrics(rows: &[SequenceRow<'_>]) -> Result<Metrics> {
    let (prompt_room, response_room) = rooms(rows)?;
    let column = |of: fn(&SequenceRow<'_>) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
    let rewards = column(|row| row.token_scores.iter().sum());
    let prompt_lengths: Vec<f64> = rows.iter().map(|row| ones(&row.attention[..prompt_room])).collect();
    let response_lengths: Vec<f64> =
        rows.iter().map(|row| row.sampled.map_or_else(|| ones(&row.attention[prompt_room..]), ones)).collect();
    let advantages: Vec<f64> = rows.iter().flat_map(|row| attended_advantages(row, prompt_room)).collect();

    let reward = Summary::of(&rewards);
    let advantage = Summary::of(&advantages);
    let response = Summary::of(&response_lengths);
    let prompt = Summary::of(&prompt_lengths);
    Ok(vec![
        ("critic/score/mean", reward.mean),
        ("critic/score/max", reward.max),
        ("critic/score/min", reward.min),
        ("critic/rewards/mean/format", mean(&column(|row| row.format_score))),
        ("critic/rewards/mean/accuracy", mean(&column(|row| row.accuracy_score))),
        ("critic/rewards/mean", reward.mean),
        ("critic/rewards/var", variance(&rewards)),
        ("critic/rewards/max", reward.max),
        ("critic/rewards/min", reward.min),
        ("critic/advantages/mean", advantage.mean),
        ("critic/advantages/max", advantage.max),
        ("critic/advantages/min", advantage.min),
        ("critic/returns/mean", advantage.mean),
        ("critic/returns/max", advantage.max),
        ("critic/returns/min", advantage.min),
        ("response_length/mean", response.mean),
        ("response_length/max", response.max),
        ("response_length/min", response.min),
        ("response_length/clip_ratio", clip_ratio(&response_lengths, response_room)),
        ("prompt_length/mean", prompt.mean),
        ("prompt_length/max", prompt.max),
        ("prompt_length/min", prompt.min),
        ("prompt_length/clip_ratio", clip_ratio(&prompt_lengths, prompt_room)),
    ])
}

/// Tokens that a padded prompt and a padded response have, P and T, the same for all rows.
fn rooms(rows: &[SequenceRow<'_>]) -> Result<(usize, usize)> {
    let first = rows.first().ok_or(RewardError::NoRows { what: "metrics" })?;
    let response = first.token_scores.len();
    let whole = first.attention.len();
    for (row, sequence) in rows.iter().enumerate() {
        let fields = [
            ("token_scores", sequence.token_scores.len(), response),
            ("advantages", sequence.advantages.len(), response),
            ("attention", sequence.attention.len(), whole.max(response)),
            ("sampled", sequence.sampled.map_or(whole, <[bool]>::len), whole),
        ];
        if let Some(&(field, found, expected)) = fields.iter().find(|(_, found, expected)| found != expected) {
            return Err(RewardError::RowLength { row, field, found, expected });
        }
    }
    Ok((whole - response, response))
}

fn ones(mask: &[bool]) -> f64 {
    mask.iter().filter(|&&on| on).count() as f64
}

fn attended_advantages(row: &SequenceRow<'_>, prompt_room: usize) -> impl Iterator<Item = f64> {
    let response = row.attention[prompt_room..].iter();
    response.zip(row.advantages).filter(|(on, _)| **on).map(|(_, &advantage)| advantage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(token_scores: &'a [f64], attention: &'a [bool]) -> SequenceRow<'a> {
        let advantages = token_scores;
        SequenceRow { token_scores, advantages, attention, sampled: None, accuracy_score: 1.0, format_score: 0.5 }
    }

    fn value(metrics: &Metrics, name: &str) -> f64 {
        metrics.iter().find(|(other, _)| *other == name).unwrap().1
    }

    #[test]
    fn padding_has_no_part_in_means_and_lengths() {
        let rows = [row(&[0.0, 1.5], &[false, true, true, true]), row(&[0.5, 9.0], &[true, true, true, false])];
        let metrics = data_metrics(&rows).unwrap();
        assert_eq!(value(&metrics, "critic/advantages/max"), 1.5);
        assert_eq!(value(&metrics, "response_length/mean"), 1.5);
        assert_eq!(value(&metrics, "response_length/clip_ratio"), 0.5);
        assert_eq!(value(&metrics, "prompt_length/min"), 1.0);
    }

    #[test]
    fn nothing_and_ragged_rows_are_errors() {
        assert!(matches!(data_metrics(&[]), Err(RewardError::NoRows { .. })));
        let short = [row(&[0.0, 1.5], &[true])];
        let error = data_metrics(&short).unwrap_err();
        assert_eq!(error.to_string(), "row 0: `attention` has 1 entries, expected 2");
        let ragged = [row(&[0.0], &[true, true]), row(&[0.0, 1.0], &[true, true])];
        assert!(matches!(data_metrics(&ragged), Err(RewardError::RowLength { row: 1, .. })));
    }

    #[test]
    fn one_response_has_no_variance() {
        assert!(value(&data_metrics(&[row(&[1.5], &[true])]).unwrap(), "critic/rewards/var").is_nan());
    }
}
