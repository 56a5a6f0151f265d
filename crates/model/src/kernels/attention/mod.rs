//! Grouped-query attention.

mod backward;
mod decode;
mod forward;
mod heads;
mod panels;
mod problem;
mod received;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::Tensor;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Shape, TensorData};

use super::fused::{self, Fused};
use super::memory;
use heads::Heads;
use problem::{Problem, Sizes};
pub use received::attention_received;

/// Largest number of scores that exist at once where there is no fused kernel, 32 MiB in f32; longer queries are taken
/// in chunks.
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
    valid: Option<Arc<[bool]>>,
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
        let valid = (!valid.iter().all(|valid| *valid)).then(|| valid.into());
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
/// the inputs. Keys and values are not repeated, and the scores of all queries never exist at once. A query that sees
/// no key gives something finite that means nothing.
///
/// Shapes: `q` [B, H, T, D], `k` and `v` [B, K, S, D] (views with strides are fine) -> [B, T, H * D].
///
/// # Panics
/// H is not a multiple of K, or the mask is for another B or S.
///
/// Source: Vaswani et al. 2017 (arXiv:1706.03762), Ainslie et al. 2023 (arXiv:2305.13245); the fused kernels keep the
/// sums and compute the weights again, after Dao et al. 2022 (arXiv:2205.14135).
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &AttentionMask, scale: f64) -> Tensor<3> {
    let [batch, heads, queries, width] = q.dims();
    let [_, groups, keys, _] = k.dims();
    assert!(heads.is_multiple_of(groups), "{heads} query heads over {groups} key/value heads");
    assert_eq!(k.dims(), v.dims(), "keys and values have one shape");
    assert!(keys >= queries || !mask.causal, "{queries} queries are the last of {keys} columns");
    if let Some(valid) = mask.valid_keys() {
        assert_eq!(valid.len(), batch * keys, "the mask is for this batch");
    }
    let sizes = Sizes { batch, heads, groups, queries, keys, width };
    let operation = Attention { sizes, scale: scale as f32, causal: mask.causal, valid: mask.valid.clone() };
    fused::apply_to(operation, [q, k, v]).unwrap_or_else(|[q, k, v]| portable(q, k, v, mask, scale))
}

fn portable(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &AttentionMask, scale: f64) -> Tensor<3> {
    let [batch, heads, queries, width] = q.dims();
    let [_, groups, keys, _] = k.dims();
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

#[derive(Debug, Clone)]
struct Attention {
    sizes: Sizes,
    scale: f32,
    causal: bool,
    valid: Option<Arc<[bool]>>,
}

/// The output and the log of the sum of exponentials of every query, [B, T, H].
#[derive(Debug, Clone)]
struct Saved {
    output: FlexTensor,
    log_sums: Arc<[f32]>,
}

impl Attention {
    fn problem(&self) -> Problem<'_> {
        Problem { sizes: self.sizes, scale: self.scale, causal: self.causal, valid: self.valid.as_deref() }
    }
}

impl Fused<3> for Attention {
    type Saved = Saved;
    const READS: [bool; 3] = [true; 3];

    fn forward(&self, inputs: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let inputs = inputs.map(Heads::prepare);
        let heads = inputs.each_ref().map(Heads::new);
        let compute = if self.sizes.queries == 1 { decode::decode } else { forward::forward };
        let (output, log_sums) = compute(self.problem(), heads);
        let Sizes { batch, heads, queries, width, .. } = self.sizes;
        let output = memory::tensor(output, [batch, queries, heads * width]);
        (output.clone(), Saved { output, log_sums: log_sums.into() })
    }

    fn backward(
        &self,
        inputs: [Option<FlexTensor>; 3],
        saved: Saved,
        gradient: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let inputs = inputs.map(|input| Heads::prepare(input.expect("all inputs are read")));
        let [q, k, v] = inputs.each_ref().map(Heads::new);
        let Sizes { batch, heads, groups, queries, keys, width } = self.sizes;
        let [output, gradient] =
            [saved.output, memory::contiguous(gradient)].map(|tensor| as_heads(tensor, [batch, heads, queries, width]));
        let forward = backward::Forward { q, k, v, out: Heads::new(&output), log_sums: &saved.log_sums };
        let [dq, dk, dv] = backward::backward(self.problem(), forward, Heads::new(&gradient));
        let wrap = |values, sizes: [usize; 4]| {
            let [batch, heads, rows, width] = sizes;
            as_heads(memory::tensor(values, [batch, rows, heads * width]), sizes)
        };
        [
            Some(wrap(dq, [batch, heads, queries, width])),
            Some(wrap(dk, [batch, groups, keys, width])),
            Some(wrap(dv, [batch, groups, keys, width])),
        ]
    }
}

/// [B, T, H * D] seen as [B, H, T, D].
fn as_heads(tensor: FlexTensor, [batch, heads, rows, width]: [usize; 4]) -> FlexTensor {
    let strides = [rows * heads * width, width, heads * width, 1].map(|stride| stride as isize);
    let start = tensor.layout().start_offset();
    tensor.with_layout(Layout::new(Shape::new([batch, heads, rows, width]), strides.to_vec(), start))
}

#[cfg(test)]
mod tests;
