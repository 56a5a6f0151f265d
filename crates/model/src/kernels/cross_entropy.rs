//! Log-probabilities of given tokens.

use burn::Tensor;
use burn::tensor::{DType, Int, activation::log_softmax};

/// The log-probability of one target per row: `logits[n, target_n] - log(sum_v exp(logits[n, v]))`, natural, in f32.
///
/// The mean of its negative is the next-token loss.
///
/// Shapes: `logits` [N, V], `targets` [N] -> [N].
pub fn cross_entropy_rows(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits.cast(DType::F32), 1).gather(1, targets.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, device, values};

    #[test]
    fn matches_the_formula_row_by_row() {
        let logits = values([3, 7], 1).map(|value| 20.0 * value);
        let targets = [6, 0, 3];
        let expected: Vec<f32> = logits
            .chunks(7)
            .zip(targets)
            .map(|(row, target)| row[target] - row.iter().map(|value| value.exp()).sum::<f32>().ln())
            .collect();

        let device = device();
        let targets = Tensor::from_ints([6, 0, 3], &device);
        close(&cross_entropy_rows(logits.tensor(&device), targets), &expected, 1e-4);
    }
}
