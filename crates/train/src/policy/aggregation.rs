//! How losses of tokens become one number; the choice changes what long answers weigh.

use serde::{Deserialize, Serialize};

use super::TokenRows;

/// A weighted sum over all sampled tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens: long answers weigh more (DAPO).
    TokenMean,
    /// Mean over trajectories of the mean over their tokens (GRPO; equation 3 of the paper).
    SeqMeanTokenMean,
    /// Mean over trajectories of the sum over their tokens.
    SeqMeanTokenSum,
    /// Mean over trajectories of the sum over their tokens divided by this constant (Dr. GRPO).
    SeqMeanTokenSumNorm(f64),
    /// Mean over blocks of this many trajectories of the mean over their tokens: what the reference computes with that micro-batch.
    MicroBatchTokenMean(usize),
}

impl Aggregation {
    /// The weight of every token. Where the mask is 0 it is 0; a trajectory or block without tokens adds nothing.
    ///
    /// Shapes: `mask` `[B][T]` -> `[B][T]`.
    pub fn weights(self, mask: &TokenRows) -> TokenRows {
        let count = |rows: &[Vec<f64>]| rows.iter().flatten().sum::<f64>();
        let rows = mask.len() as f64;
        match self {
            Self::TokenMean => scaled(mask, |_| inverse(count(mask))),
            Self::SeqMeanTokenMean => scaled(mask, |row| inverse(count(&mask[row..=row]) * rows)),
            Self::SeqMeanTokenSum => scaled(mask, |_| inverse(rows)),
            Self::SeqMeanTokenSumNorm(length) => scaled(mask, |_| inverse(rows * length)),
            Self::MicroBatchTokenMean(size) => {
                let size = size.max(1);
                let blocks = mask.len().div_ceil(size) as f64;
                let tokens: Vec<f64> = mask.chunks(size).map(count).collect();
                scaled(mask, |row| inverse(tokens[row / size] * blocks))
            }
        }
    }
}

fn scaled(mask: &TokenRows, factor: impl Fn(usize) -> f64) -> TokenRows {
    mask.iter()
        .enumerate()
        .map(|(row, mask)| {
            let factor = factor(row);
            mask.iter().map(|mask| mask * factor).collect()
        })
        .collect()
}

/// `1 / x`, and 0 for an empty sum.
fn inverse(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.recip() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> TokenRows {
        vec![vec![1.0, 1.0, 1.0, 0.0], vec![1.0, 0.0, 0.0, 0.0], vec![0.0; 4], vec![1.0; 4]]
    }

    #[test]
    fn a_mean_of_ones_is_one_where_every_trajectory_has_tokens() {
        let mask = vec![vec![1.0, 1.0], vec![1.0, 0.0]];
        for aggregation in [Aggregation::TokenMean, Aggregation::SeqMeanTokenMean, Aggregation::MicroBatchTokenMean(1)]
        {
            let sum: f64 = aggregation.weights(&mask).iter().flatten().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{aggregation:?}");
        }
        assert_eq!(Aggregation::SeqMeanTokenSum.weights(&mask), [[0.5, 0.5], [0.5, 0.0]]);
        assert_eq!(Aggregation::SeqMeanTokenSumNorm(4.0).weights(&mask), [[0.125, 0.125], [0.125, 0.0]]);
    }

    #[test]
    fn masked_tokens_and_empty_trajectories_weigh_nothing() {
        for aggregation in [
            Aggregation::TokenMean,
            Aggregation::SeqMeanTokenMean,
            Aggregation::SeqMeanTokenSum,
            Aggregation::MicroBatchTokenMean(1),
        ] {
            let weights = aggregation.weights(&mask());
            assert!(weights.iter().flatten().all(|weight| weight.is_finite()));
            assert!(weights[2].iter().all(|weight| *weight == 0.0), "{aggregation:?}");
            assert_eq!(weights[0][3], 0.0);
        }
    }

    #[test]
    fn blocks_of_one_are_trajectories_and_one_block_is_all_tokens() {
        let mask = vec![vec![1.0, 1.0], vec![1.0, 0.0]];
        assert_eq!(Aggregation::MicroBatchTokenMean(1).weights(&mask), Aggregation::SeqMeanTokenMean.weights(&mask));
        assert_eq!(Aggregation::MicroBatchTokenMean(2).weights(&mask), Aggregation::TokenMean.weights(&mask));
    }
}
