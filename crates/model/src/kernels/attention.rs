//! Grouped-query attention.

use std::ops::Range;
use std::sync::OnceLock;

use burn::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, TensorData};

/// Largest number of scores that exist at once, 32 MiB in f32; longer queries are taken in chunks.
const MAX_SCORES: usize = 1 << 23;

/// Added to the score of a key that a query must not see. Finite, so that a row that sees nothing (padding) stays
/// finite.
const HIDDEN: f32 = -1e30;

/// Which keys a query sees.
///
/// The queries are the last T of the S columns: query i stands at column `S - T + i`. Built once for all layers.
#[derive(Debug, Clone)]
pub struct AttentionMask {
    causal: bool,
    /// Host-side validity of the keys, [B * S]; `None` where all are valid.
    valid: Option<Vec<bool>>,
    /// The additive mask of all queries at once, made when first needed.
    whole: OnceLock<Tensor<4>>,
}

impl AttentionMask {
    /// Every query sees every key.
    pub fn full() -> Self {
        Self { causal: false, valid: None, whole: OnceLock::new() }
    }

    /// A query sees the valid keys up to its own column; `valid` is [B * S].
    pub fn causal(valid: Vec<bool>) -> Self {
        let valid = (!valid.iter().all(|valid| *valid)).then_some(valid);
        Self { causal: true, valid, whole: OnceLock::new() }
    }

    /// Whether a query sees only keys up to its own column.
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// Validity of the keys, [B * S]; `None` where all are valid.
    pub fn valid_keys(&self) -> Option<&[bool]> {
        self.valid.as_deref()
    }

    /// What is added to the scores of the queries `rows` of `queries`: [1 or B, 1, rows, S], or `None` where they see
    /// every key.
    fn bias(&self, rows: Range<usize>, [batch, queries, keys]: [usize; 3], device: &Device) -> Option<Tensor<4>> {
        let cuts_future = self.causal && rows.start + keys - queries + 1 < keys;
        if !cuts_future && self.valid.is_none() {
            return None;
        }
        let build = || self.build_bias(rows.clone(), [batch, queries, keys], device);
        Some(if rows.len() == queries { self.whole.get_or_init(build).clone() } else { build() })
    }

    fn build_bias(&self, rows: Range<usize>, [batch, queries, keys]: [usize; 3], device: &Device) -> Tensor<4> {
        let batch = if self.valid.is_some() { batch } else { 1 };
        let mut bias = Vec::with_capacity(batch * rows.len() * keys);
        for row in 0..batch {
            let valid = self.valid.as_ref().map(|valid| &valid[row * keys..][..keys]);
            for query in rows.clone() {
                let seen = if self.causal { query + keys - queries + 1 } else { keys };
                bias.extend((0..keys).map(|key| {
                    let visible = key < seen && valid.is_none_or(|valid| valid[key]);
                    if visible { 0.0 } else { HIDDEN }
                }));
            }
        }
        Tensor::from_data(TensorData::new(bias, [batch, 1, rows.len(), keys]), (device, DType::F32))
    }
}

/// Softmax attention where r = H/K consecutive query heads share one key/value head.
///
/// `out_h = softmax(q_h k_g^T * scale + mask) v_g` with `g = h / r`; the softmax in f32, the products in the dtype of
/// the inputs. Keys and values are not repeated, and at most `MAX_SCORES` scores exist at once.
///
/// Shapes: `q` [B, H, T, D], `k` and `v` [B, K, S, D] (views with strides are fine) -> [B, T, H * D].
///
/// # Panics
/// H is not a multiple of K, or the mask is for another B or S.
///
/// Source: Vaswani et al. 2017 (arXiv:1706.03762), Ainslie et al. 2023 (arXiv:2305.13245).
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &AttentionMask, scale: f64) -> Tensor<3> {
    let [batch, heads, queries, width] = q.dims();
    let [_, groups, keys, _] = k.dims();
    assert!(heads.is_multiple_of(groups), "{heads} query heads over {groups} key/value heads");
    let device = q.device();
    let q = q.mul_scalar(scale);
    let k = k.swap_dims(2, 3);

    let chunk = (MAX_SCORES / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
    let mut outputs = Vec::with_capacity(queries.div_ceil(chunk));
    for start in (0..queries).step_by(chunk) {
        let rows = start..(start + chunk).min(queries);
        let length = rows.len();
        let q = if length == queries { q.clone() } else { q.clone().narrow(2, start, length) };
        let q = q.reshape([batch, groups, heads / groups * length, width]);
        let dtype = q.dtype();
        let scores = q.matmul(k.clone()).cast(DType::F32).reshape([batch, heads, length, keys]);
        let scores = match mask.bias(rows, [batch, queries, keys], &device) {
            Some(bias) => scores + bias,
            None => scores,
        };
        let weights = softmax(scores, 3).cast(dtype).reshape([batch, groups, heads / groups * length, keys]);
        let output = weights.matmul(v.clone()).reshape([batch, heads, length, width]);
        outputs.push(output.swap_dims(1, 2).reshape([batch, length, heads * width]));
    }
    if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(outputs, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Values, close, device, values};

    const SCALE: f64 = 0.4;

    /// The formula, one query at a time; `visible(b, query, key)` is the mask.
    fn naive(
        [q, k, v]: [&Values<4>; 3],
        [batch, heads, groups, queries, keys, width]: [usize; 6],
        visible: impl Fn(usize, usize, usize) -> bool,
    ) -> Vec<f32> {
        let mut out = vec![0.0; batch * queries * heads * width];
        for b in 0..batch {
            for h in 0..heads {
                let g = h / (heads / groups);
                for i in 0..queries {
                    let query = &q[((b * heads + h) * queries + i) * width..][..width];
                    let row = |x: &Values<4>, j: usize| x[((b * groups + g) * keys + j) * width..][..width].to_vec();
                    let weight = |j: usize| {
                        let dot: f32 = query.iter().zip(row(k, j)).map(|(q, k)| q * k).sum();
                        if visible(b, i, j) { (dot * SCALE as f32).exp() } else { 0.0 }
                    };
                    let total: f32 = (0..keys).map(weight).sum();
                    for j in 0..keys {
                        for (d, value) in row(v, j).into_iter().enumerate() {
                            out[((b * queries + i) * heads + h) * width + d] += weight(j) / total * value;
                        }
                    }
                }
            }
        }
        out
    }

    fn check(sizes: [usize; 6], mask: &AttentionMask, visible: impl Fn(usize, usize, usize) -> bool) {
        let [batch, heads, groups, queries, keys, width] = sizes;
        let q = values([batch, heads, queries, width], 1);
        let k = values([batch, groups, keys, width], 2);
        let v = values([batch, groups, keys, width], 3);
        let expected = naive([&q, &k, &v], sizes, visible);
        let device = device();
        let found = attention(q.tensor(&device), k.tensor(&device), v.tensor(&device), mask, SCALE);
        assert_eq!(found.dims(), [batch, queries, heads * width]);
        close(&found, &expected, 1e-6);
    }

    #[test]
    fn groups_of_query_heads_share_a_key_value_head() {
        check([2, 6, 2, 5, 5, 4], &AttentionMask::full(), |_, _, _| true);
    }

    #[test]
    fn new_tokens_see_the_past_and_themselves() {
        check([1, 4, 2, 3, 7, 8], &AttentionMask::causal(vec![true; 7]), |_, i, j| j <= i + 4);
    }

    #[test]
    fn a_single_query_sees_all_valid_keys() {
        let valid = vec![false, true, true, true, true, false, true, true];
        check([2, 2, 1, 1, 4, 3], &AttentionMask::causal(valid.clone()), |b, _, j| valid[b * 4 + j]);
    }

    #[test]
    fn holes_are_hidden_and_a_row_that_sees_nothing_stays_finite() {
        let valid = vec![true, false, true, true, false, false, true, true];
        let mask = AttentionMask::causal(valid.clone());
        // Query 0 and 1 of row 1 see no key at all: the comparison starts behind them.
        let (sizes, device) = ([2, 2, 2, 4, 4, 3], device());
        let [q, k, v] = [1, 2, 3].map(|seed| values([2, 2, 4, 3], seed));
        let found = attention(q.tensor(&device), k.tensor(&device), v.tensor(&device), &mask, SCALE);
        let all: Vec<f32> = found.clone().try_to_vec_as().unwrap();
        assert!(all.iter().all(|value| value.is_finite()));
        let expected = naive([&q, &k, &v], sizes, |b, i, j| j <= i && valid[b * 4 + j]);
        let row = 4 * 2 * 3;
        close(&found.clone().narrow(0, 0, 1), &expected[..row], 1e-6);
        close(&found.narrow(0, 1, 1).narrow(1, 2, 2), &expected[row + 12..], 1e-6);
    }

    #[test]
    fn long_queries_in_chunks_give_what_one_piece_gives() {
        // 2 heads x 2400 x 2400 scores exceed the limit, so that two chunks are taken.
        let (heads, tokens, width) = (2, 2400, 2);
        assert!(heads * tokens * tokens > MAX_SCORES);
        let [q, k, v] = [1, 2, 3].map(|seed| values([1, heads, tokens, width], seed));
        let device = device();
        let mask = AttentionMask::causal(vec![true; tokens]);
        let found = attention(q.tensor(&device), k.tensor(&device), v.tensor(&device), &mask, SCALE);
        let last = q.tensor(&device).narrow(2, tokens - 1, 1);
        let one = attention(last, k.tensor(&device), v.tensor(&device), &mask, SCALE);
        let one: Vec<f32> = one.try_to_vec_as().unwrap();
        close(&found.narrow(1, tokens - 1, 1), &one, 1e-6);
    }
}
