//! Log-probabilities of given tokens.

use std::sync::Arc;

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Int, activation::log_softmax};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::fused::{self, Fused};
use super::{memory, simd};

/// The log-probability of one target per row: `logits[n, target_n] - log(sum_v exp(logits[n, v]))`, natural, in f32; in f64 for logits in
/// f64.
///
/// The mean of its negative is the next-token loss.
///
/// Shapes: `logits` [N, V], `targets` `[N]` -> `[N]`.
pub fn cross_entropy_rows(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    assert_eq!(targets.dims(), [rows], "one target per row");
    if !fused::runs_fused(&logits) {
        return portable(logits, targets);
    }
    let operation = LogProbability { targets: host(&targets) };
    fused::apply_to(operation, [logits]).unwrap_or_else(|[logits]| portable(logits, targets))
}

pub(super) fn portable(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let logits = if logits.dtype() == DType::F64 { logits } else { logits.cast(DType::F32) };
    log_softmax(logits, 1).gather(1, targets.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)
}

fn host(targets: &Tensor<1, Int>) -> Arc<[usize]> {
    let values: Vec<i64> = targets.clone().try_to_vec_as().expect("integers of the CPU");
    values.into_iter().map(|target| target as usize).collect()
}

/// `dlogits[n, v] = dy[n] ((v == target_n) - p[n, v])`, written over the logits where nobody else holds them.
#[derive(Debug, Clone)]
struct LogProbability {
    targets: Arc<[usize]>,
}

impl Fused<1> for LogProbability {
    /// The log of the sum of exponentials of every row.
    type Saved = Arc<[f32]>;
    const READS: [bool; 1] = [true];

    fn forward(&self, [logits]: [FlexTensor; 1]) -> (FlexTensor, Arc<[f32]>) {
        let logits = memory::contiguous(logits);
        let width = memory::last_axis(&logits);
        let rows = self.targets.len();
        let mut log_sums = vec![0.0; rows];
        let piece = memory::rows_per_piece(rows, width);
        log_sums
            .par_chunks_mut(piece)
            .zip(memory::values(&logits).par_chunks(piece * width))
            .for_each(|(log_sums, logits)| simd::run(LogSums { out: log_sums, logits, width }));
        let targets = memory::values(&logits).chunks_exact(width).zip(&*self.targets);
        let out: Vec<f32> = targets.zip(&log_sums).map(|((row, target), log_sum)| row[*target] - log_sum).collect();
        (memory::tensor(out, [rows]), log_sums.into())
    }

    fn backward(
        &self,
        [logits]: [Option<FlexTensor>; 1],
        log_sums: Arc<[f32]>,
        gradient: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut logits = memory::contiguous(logits.expect("the logits are read"));
        let gradient = memory::contiguous(gradient);
        let width = memory::last_axis(&logits);
        let piece = memory::rows_per_piece(self.targets.len(), width);
        memory::values_mut(&mut logits)
            .par_chunks_mut(piece * width)
            .zip(log_sums.par_chunks(piece))
            .zip(memory::values(&gradient).par_chunks(piece))
            .zip(self.targets.par_chunks(piece))
            .for_each(|(((logits, log_sums), gradient), targets)| {
                simd::run(Backward { logits, log_sums, gradient, targets, width });
            });
        [Some(logits)]
    }
}

struct LogSums<'a> {
    out: &'a mut [f32],
    /// [rows, V].
    logits: &'a [f32],
    width: usize,
}

impl WithSimd for LogSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (log_sum, row) in self.out.iter_mut().zip(self.logits.chunks_exact(self.width)) {
            let largest = simd::largest(simd, row);
            *log_sum = largest + simd::sum_exp(simd, row, largest).ln();
        }
    }
}

/// Turns the logits into their gradient.
struct Backward<'a> {
    /// [rows, V].
    logits: &'a mut [f32],
    log_sums: &'a [f32],
    gradient: &'a [f32],
    targets: &'a [usize],
    width: usize,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.log_sums.iter().zip(self.gradient).zip(self.targets);
        for (row, ((log_sum, gradient), target)) in self.logits.chunks_exact_mut(self.width).zip(rows) {
            let (log_sum, minus_gradient) = (simd.splat_f32s(*log_sum), simd.splat_f32s(-gradient));
            simd::update(
                simd,
                row,
                [],
                #[inline(always)]
                |logit, []| simd.mul_f32s(simd::exp(simd, simd.sub_f32s(logit, log_sum)), minus_gradient),
            );
            row[*target] += gradient;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, close_gradients, device, values};

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

    #[test]
    fn gradients_are_those_of_the_composition() {
        for [rows, width] in [[1, 1], [3, 7], [5, 320], [70, 1001]] {
            let targets: Vec<i64> = (0..rows as i64).map(|row| (row * 37) % width as i64).collect();
            let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), &device().autodiff());
            close_gradients(
                |[logits]| cross_entropy_rows(logits, targets.clone()),
                |[logits]| portable(logits, targets.clone()),
                [values([rows, width], 1).map(|value| 30.0 * value)],
                2e-6,
            );
        }
    }

    #[test]
    fn logits_of_any_size_give_finite_results() {
        let device = device();
        let logits = Tensor::<2>::from_floats([[1e4, -1e4, 0.0], [-1e30, 0.0, f32::NEG_INFINITY]], &device);
        let found = cross_entropy_rows(logits, Tensor::from_ints([0, 1], &device));
        close(&found, &[0.0, 0.0], 0.0);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_target_outside_the_vocabulary_is_a_programming_error() {
        let device = device();
        cross_entropy_rows(values([2, 3], 1).tensor(&device), Tensor::from_ints([0, 3], &device));
    }
}
