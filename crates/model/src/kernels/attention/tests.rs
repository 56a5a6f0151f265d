//! Fused attention against the formula, and its gradients against the composition.

use super::*;
use crate::kernels::testing::{Values, close, close_gradients, device, values};

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

fn gradients_match(sizes: [usize; 6], mask: &AttentionMask) {
    let [batch, heads, groups, queries, keys, width] = sizes;
    let total = [batch * heads * queries * width, batch * groups * keys * width];
    let longest = total[0].max(total[1]);
    let inputs = [1, 2, 3].map(|seed| values([longest], seed));
    let reshape = |[q, k, v]: [Tensor<1>; 3]| {
        // Heads behind tokens in memory, as projections leave them; values as a cache does.
        let q = q.narrow(0, 0, total[0]).reshape([batch, queries, heads, width]).swap_dims(1, 2);
        let k = k.narrow(0, 0, total[1]).reshape([batch, keys, groups, width]).swap_dims(1, 2);
        let v = v.narrow(0, longest - total[1], total[1]).reshape([batch, groups, keys, width]);
        (q, k, v)
    };
    close_gradients(
        |inputs| {
            let (q, k, v) = reshape(inputs);
            attention(q, k, v, mask, SCALE)
        },
        |inputs| {
            let (q, k, v) = reshape(inputs);
            portable(q, k, v, mask, SCALE)
        },
        inputs,
        1e-5,
    );
}

#[test]
fn gradients_are_those_of_the_composition() {
    for sizes in [
        [1, 1, 1, 1, 1, 1],
        [2, 3, 3, 2, 2, 3],
        [2, 4, 4, 64, 64, 32],
        [1, 6, 2, 37, 41, 20],
        [3, 5, 1, 70, 70, 33],
        [2, 2, 1, 33, 97, 80],
        [1, 2, 1, 1, 600, 16],
    ] {
        gradients_match(sizes, &AttentionMask::full());
        let [batch, _, _, _, keys, _] = sizes;
        gradients_match(sizes, &AttentionMask::causal(vec![true; batch * keys]));
        // Holes, but never in the last column, so that the last query sees a key.
        let holes = (0..batch * keys).map(|key| key % 5 != 2 || key % keys == 0).collect();
        gradients_match(sizes, &AttentionMask::causal(holes));
    }
}

#[test]
fn a_query_that_sees_no_key_gives_zeros_and_no_gradient() {
    let device = device().autodiff();
    for queries in [1, 3] {
        let [q, k, v] = [1, 2, 3].map(|seed| values([1, 2, 3, 4], seed).tensor(&device).require_grad());
        let mask = AttentionMask::causal(vec![false; 3]);
        let last = q.clone().narrow(2, 3 - queries, queries);
        let found = attention(last, k.clone(), v.clone(), &mask, SCALE);
        close(&found, &vec![0.0; queries * 8], 0.0);
        let gradients = found.sum().backward();
        for input in [q, k, v] {
            close(&input.grad(&gradients).unwrap(), &[0.0; 24], 0.0);
        }
    }
}

#[test]
fn a_long_cache_is_read_in_pieces() {
    let (batch, heads, groups, keys, width) = (2, 4, 2, 1300, 24);
    let valid: Vec<bool> = (0..batch * keys).map(|key| key % 3 != 1).collect();
    check([batch, heads, groups, 1, keys, width], &AttentionMask::causal(valid.clone()), |b, _, j| valid[b * keys + j]);
}

#[test]
fn nan_is_not_hidden() {
    let device = device();
    for queries in [1, 2] {
        let mut q = vec![0.5; queries * 8];
        q[3] = f32::NAN;
        let q = Tensor::<1>::from_floats(q.as_slice(), &device).reshape([1, 1, queries, 8]);
        let k = values([1, 1, 2, 8], 2).tensor(&device);
        let found: Vec<f32> = attention(q, k.clone(), k, &AttentionMask::full(), 1.0).try_to_vec_as().unwrap();
        assert!(found[..8].iter().all(|value| value.is_nan()), "{queries} queries: {found:?}");
        assert!(found[8..].iter().all(|value| value.is_finite()), "{queries} queries: {found:?}");
    }
}
