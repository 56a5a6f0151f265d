//! The attention that a few queries pay, without the scores of the others.

use burn::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, TensorData};

/// Largest number of scores that exist at once, 32 MiB in f32.
const MAX_SCORES: usize = 1 << 23;

/// Added to the score of a key that a query must not see.
const HIDDEN: f32 = -1e30;

/// Queries of a batch by their distance from the end of their row; the last token of a row is 1 away.
#[derive(Debug, Clone)]
pub(super) struct Queries {
    /// Row by row; all of one row count alike, and a row may have none.
    pub(super) from_end: Vec<Vec<usize>>,
}

impl Queries {
    /// R, the most that a row has.
    pub(super) fn most(&self) -> usize {
        self.from_end.iter().map(Vec::len).max().unwrap_or(0).max(1)
    }

    /// Rows of a flattened [B * T], left-padded to R; padding is the last token.
    pub(super) fn rows(&self, tokens: usize) -> Vec<i64> {
        self.padded(|row, from_end| (row * tokens + tokens - from_end.unwrap_or(1)) as i64)
    }

    /// What each counts in a mean, [B, R, 1].
    fn weights(&self, device: &Device) -> Tensor<3> {
        let values = self.padded(|row, query| query.map_or(0.0, |_| 1.0 / self.from_end[row].len() as f32));
        Tensor::from_data(TensorData::new(values, [self.from_end.len(), self.most(), 1]), (device, DType::F32))
    }

    /// What is added to their scores, [B, 1, R, S]: a query sees the valid keys up to its own column.
    fn bias(&self, valid: &[Vec<bool>], device: &Device) -> Tensor<4> {
        let keys = valid.first().map_or(0, Vec::len);
        let seen = self.padded(|row, from_end| (row, keys + 1 - from_end.unwrap_or(1)));
        let values: Vec<f32> = seen
            .into_iter()
            .flat_map(|(row, seen)| {
                let visible = valid[row].iter().enumerate().map(move |(key, valid)| *valid && key < seen);
                visible.map(|visible| if visible { 0.0 } else { HIDDEN })
            })
            .collect();
        Tensor::from_data(TensorData::new(values, [valid.len(), 1, self.most(), keys]), (device, DType::F32))
    }

    fn padded<R>(&self, value: impl Fn(usize, Option<usize>) -> R) -> Vec<R> {
        let most = self.most();
        let mut values = Vec::with_capacity(self.from_end.len() * most);
        for (row, queries) in self.from_end.iter().enumerate() {
            values.extend((queries.len()..most).map(|_| value(row, None)));
            values.extend(queries.iter().map(|from_end| value(row, Some(*from_end))));
        }
        values
    }
}

/// `mean over the queries of a row, mean over heads of softmax(q k^T * scale)`, the softmax in f32 over all keys that a query
/// sees.
///
/// Shapes: `q` [B, H, R, D], `k` [B, K, S, D], `valid` `[B][S]` -> [B, S].
pub(super) fn attention_paid(
    q: Tensor<4>,
    k: Tensor<4>,
    valid: &[Vec<bool>],
    queries: &Queries,
    scale: f64,
) -> Tensor<2> {
    let [batch, heads, rows, width] = q.dims();
    let [_, groups, keys, _] = k.dims();
    let device = q.device();
    let (bias, weights) = (queries.bias(valid, &device), queries.weights(&device));
    let (q, k) = (q.mul_scalar(scale), k.swap_dims(2, 3));
    let chunk = (MAX_SCORES / (batch * heads * keys).max(1)).clamp(1, rows);
    let mut sum: Option<Tensor<3>> = None;
    for start in (0..rows).step_by(chunk) {
        let length = chunk.min(rows - start);
        let q = q.clone().narrow(2, start, length).reshape([batch, groups, heads / groups * length, width]);
        let scores = q.matmul(k.clone()).cast(DType::F32).reshape([batch, heads, length, keys]);
        let paid = softmax(scores + bias.clone().narrow(2, start, length), 3).mean_dim(1);
        let part = (paid.reshape([batch, length, keys]) * weights.clone().narrow(1, start, length)).sum_dim(1);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum.expect("a batch has at least one query a row").reshape([batch, keys])
}
