//! How much attention keys receive, all queries taken together.

use burn::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, TensorData};

use super::forward;
use super::heads::Heads;
use super::problem::{Problem, Sizes};
use crate::kernels::fused;

/// Scores that exist at once where there is no fused kernel; so few that they stay in a processor's cache.
const STRIP_SCORES: usize = 1 << 18;

/// Queries of a strip at least, however many keys there are.
const MIN_STRIP: usize = 16;

/// The attention that each key receives, every query seeing every key: `sum over queries, mean over heads of
/// softmax(q k^T * scale)`, in f32. The scores of all queries never exist at once.
///
/// The fused kernel gives no weights, but the log-sum L_q of each query's exponentials. With that a key's sum over queries,
/// `sum_q exp(q k * scale - L_q)`, is a sum of exponentials as well: that of the key as a query over queries as keys, each with -L_q as
/// one more number, which the key meets with a 1. So two passes of the kernel do it.
///
/// Shapes: `q`, `k` [1, H, P, D] -> `[P]`.
///
/// # Panics
/// `q` and `k` differ in shape, or are more than one row.
pub fn attention_received(q: Tensor<4>, k: Tensor<4>, scale: f64) -> Tensor<1> {
    assert_eq!(q.dims(), k.dims(), "as many queries as keys");
    assert_eq!(q.dims()[0], 1, "one image at a time");
    fused_received(&q, &k, scale).unwrap_or_else(|| in_strips(q, k, scale))
}

fn fused_received(q: &Tensor<4>, k: &Tensor<4>, scale: f64) -> Option<Tensor<1>> {
    let [_, heads, patches, _] = q.dims();
    let log_sums = log_sums(q, k, scale)?.swap_dims(1, 2).reshape([1, heads, patches, 1]);
    let queries = Tensor::cat(vec![q.clone().mul_scalar(scale), log_sums.neg()], 3);
    let ones = Tensor::ones([1, heads, patches, 1], (&k.device(), k.dtype()));
    let keys = Tensor::cat(vec![k.clone(), ones], 3);
    Some(self::log_sums(&keys, &queries, 1.0)?.exp().mean_dim(2).reshape([patches]))
}

/// The log of the sum of exponentials of every query's scores, [1, P, H], where there is a kernel.
fn log_sums(q: &Tensor<4>, k: &Tensor<4>, scale: f64) -> Option<Tensor<3>> {
    let [batch, heads, queries, width] = q.dims();
    let sizes = Sizes { batch, heads, groups: heads, queries, keys: k.dims()[2], width };
    let problem = Problem { sizes, scale: scale as f32, causal: false, valid: None };
    let device = q.device();
    let [q, k] = [fused::plain_f32(q)?, fused::plain_f32(k)?].map(Heads::prepare);
    // Whatever the values are, the sums are of the scores.
    let (_, sums) = forward::forward(problem, [Heads::new(&q), Heads::new(&k), Heads::new(&k)]);
    Some(Tensor::from_data(TensorData::new(sums, [batch, queries, heads]), (&device, DType::F32)))
}

fn in_strips(q: Tensor<4>, k: Tensor<4>, scale: f64) -> Tensor<1> {
    let [_, heads, patches, width] = q.dims();
    let q = q.mul_scalar(scale).reshape([heads, patches, width]);
    let k = k.reshape([heads, patches, width]).swap_dims(1, 2);
    let strip = (STRIP_SCORES / (heads * patches).max(1)).max(MIN_STRIP).min(patches);
    let parts = (0..patches).step_by(strip).map(|start| {
        let q = q.clone().narrow(1, start, strip.min(patches - start));
        softmax(q.matmul(k.clone()).cast(DType::F32), 2).sum_dim(1).mean_dim(0)
    });
    let sum = parts.reduce(|sum, part| sum + part).expect("an image has patches");
    sum.reshape([patches])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::composed;
    use crate::kernels::testing::{close, device, values};

    #[test]
    fn keys_receive_what_whole_matrices_of_weights_sum_to() {
        let device = device();
        // Lengths below, at and above a block of queries and a strip.
        for patches in [4, 32, 61, 300] {
            let [q, k] = [1, 2].map(|seed| values([1, 2, patches, 12], seed).tensor(&device));
            let weights = softmax(q.clone().matmul(k.clone().swap_dims(2, 3)).mul_scalar(0.7), 3);
            let expected: Vec<f32> =
                weights.sum_dim(2).mean_dim(1).reshape([patches]).try_to_vec_as().expect("f32 values");
            let found = attention_received(q.clone(), k.clone(), 0.7);
            close(&found, &expected, 1e-4);
            close(&composed(|| attention_received(q, k, 0.7)), &expected, 1e-4);
        }
    }
}
