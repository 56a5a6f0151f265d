//! The gradient of attention: weights are computed again, block by block, from the saved sums.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::forward::{BLOCK, fill_bias, hide, multiply_rows, strip_of};
use super::heads::{Heads, Rows};
use super::panels::{AsColumns, Scratch, Target, multiply, pack_columns, pack_transposed};
use super::problem::Problem;
use crate::kernels::simd;

/// What the forward pass read and left.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) q: Heads<'a>,
    pub(super) k: Heads<'a>,
    pub(super) v: Heads<'a>,
    /// The output as heads, [B, H, T, D].
    pub(super) out: Heads<'a>,
    /// [B, T, H].
    pub(super) log_sums: &'a [f32],
}

/// Gradients of q [B, T, H, D], k and v [B, S, K, D] from that of the output, given as heads.
///
/// With weights `P` and `dP = dO v^T`: `dS = P (dP - sum_d dO O) scale`, `dq = dS k`, `dk = dS^T q`, `dv = P^T dO`.
pub(super) fn backward(problem: Problem<'_>, forward: Forward<'_>, gradient: Heads<'_>) -> [Vec<f32>; 3] {
    let sizes = problem.sizes;
    let lengths = [sizes.queries * sizes.heads, sizes.keys * sizes.groups, sizes.keys * sizes.groups]
        .map(|rows| rows * sizes.width);
    let [mut dq, mut dk, mut dv] = lengths.map(|length| vec![0.0; sizes.batch * length]);
    let [q_length, k_length, v_length] = lengths;
    let tasks = dq.par_chunks_mut(q_length).zip(dk.par_chunks_mut(k_length)).zip(dv.par_chunks_mut(v_length));
    tasks.enumerate().for_each_init(Scratch::default, |scratch, (batch, ((dq, dk), dv))| {
        simd::run(Task { problem, forward, gradient, batch, dq, dk, dv, scratch });
    });
    [dq, dk, dv]
}

/// All heads of one batch row.
struct Task<'a> {
    problem: Problem<'a>,
    forward: Forward<'a>,
    gradient: Heads<'a>,
    batch: usize,
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 8>(simd) } else { self.run::<S, 4>(simd) }
    }
}

/// Packed operands of a group and what its gradients are summed in.
struct Group<'a, S: Simd> {
    /// [S, D] as columns.
    keys_t: &'a mut [S::f32s],
    values_t: &'a mut [S::f32s],
    /// [S, D].
    keys: &'a mut [S::f32s],
    dk: &'a mut [S::f32s],
    dv: &'a mut [S::f32s],
}

/// Operands of a block of queries.
struct Block<'a, S: Simd> {
    /// [rows, D].
    queries: &'a mut [S::f32s],
    gradient: &'a mut [S::f32s],
    /// [rows, S]: scores, then weights.
    weights: &'a mut [S::f32s],
    /// [rows, S]: gradients of the weights, then of the scores.
    slopes: &'a mut [S::f32s],
    /// [M, D].
    product: &'a mut [S::f32s],
}

/// One head of a batch row.
struct Head<'a> {
    q: Rows<'a>,
    gradient: Rows<'a>,
    out: Rows<'a>,
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(self, simd: S) {
        let Self { problem, forward, gradient, batch, dq, dk, dv, scratch } = self;
        let (sizes, lanes) = (problem.sizes, S::F32_LANES);
        let width_panels = sizes.width.div_ceil(lanes);
        let stride = sizes.keys.next_multiple_of(lanes.max(M)) / lanes;
        let key_panels = sizes.keys.div_ceil(lanes);
        let key_rows = sizes.keys.next_multiple_of(M);
        let [keys_t, values_t, keys, dk_sum, dv_sum, queries, packed_gradient, weights, slopes, product, bias] =
            scratch
                .split(
                    [
                        key_panels * sizes.width,
                        key_panels * sizes.width,
                        width_panels * sizes.keys,
                        key_rows * width_panels,
                        key_rows * width_panels,
                        BLOCK * width_panels,
                        BLOCK * width_panels,
                        BLOCK * stride,
                        BLOCK * stride,
                        M * width_panels,
                        stride,
                    ]
                    .map(|vectors| vectors * lanes),
                )
                .map(|slice| S::as_mut_simd_f32s(slice).0);
        let bias = fill_bias::<S>(problem, batch, bias);
        let mut group = Group::<S> { keys_t, values_t, keys, dk: dk_sum, dv: dv_sum };
        let mut block = Block::<S> { queries, gradient: packed_gradient, weights, slopes, product };

        let heads_per_group = sizes.heads / sizes.groups;
        for index in 0..sizes.groups {
            let (k, v) = (forward.k.head(batch, index), forward.v.head(batch, index));
            pack_transposed::<S>(k, sizes.keys, sizes.width, group.keys_t);
            pack_transposed::<S>(v, sizes.keys, sizes.width, group.values_t);
            pack_columns(simd, k, 0..sizes.keys, group.keys);
            group.dk.fill(simd.splat_f32s(0.0));
            group.dv.fill(simd.splat_f32s(0.0));
            for head in index * heads_per_group..(index + 1) * heads_per_group {
                let rows = Head {
                    q: forward.q.head(batch, head),
                    gradient: gradient.head(batch, head),
                    out: forward.out.head(batch, head),
                };
                for start in (0..sizes.queries).step_by(BLOCK) {
                    let range = start..(start + BLOCK).min(sizes.queries);
                    let log_sum = |query: usize| forward.log_sums[(batch * sizes.queries + query) * sizes.heads + head];
                    slopes_of::<S, M>(simd, problem, range.clone(), &rows, &group, &mut block, stride, bias, log_sum);
                    query_gradient::<S, M>(simd, problem, range.clone(), &group, &mut block, stride, |query, row| {
                        let place = (query * sizes.heads + head) * sizes.width;
                        dq[place..place + sizes.width].copy_from_slice(&row[..sizes.width]);
                    });
                    key_gradients::<S, M>(simd, problem, range, &mut group, &block, stride);
                }
            }
            for (sum, out) in [(&*group.dk, &mut *dk), (&*group.dv, &mut *dv)] {
                for key in 0..sizes.keys {
                    let row: &[f32] = bytemuck::cast_slice(&sum[key * width_panels..][..width_panels]);
                    let place = (key * sizes.groups + index) * sizes.width;
                    out[place..place + sizes.width].copy_from_slice(&row[..sizes.width]);
                }
            }
        }
    }
}

/// Weights, and gradients of the scores, of a block of queries.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one step of the loop of `Task::run`, apart for its length only")]
fn slopes_of<S: Simd, const M: usize>(
    simd: S,
    problem: Problem<'_>,
    range: Range<usize>,
    head: &Head<'_>,
    group: &Group<'_, S>,
    block: &mut Block<'_, S>,
    stride: usize,
    bias: Option<&[S::f32s]>,
    log_sum: impl Fn(usize) -> f32,
) {
    let lanes = S::F32_LANES;
    let packed = range.len() * problem.sizes.width.div_ceil(lanes);
    pack_columns(simd, head.q, range.clone(), &mut block.queries[..packed]);
    pack_columns(simd, head.gradient, range.clone(), &mut block.gradient[..packed]);
    multiply_rows::<S, M>(simd, problem, range.clone(), head.q, group.keys_t, block.weights, stride);
    multiply_rows::<S, M>(simd, problem, range.clone(), head.gradient, group.values_t, block.slopes, stride);
    for strip in range.clone().step_by(M) {
        let strip = strip..(strip + M).min(range.end);
        let until = problem.seen(strip.end - 1).next_multiple_of(lanes.max(M)) / lanes;
        for query in strip {
            let seen = problem.seen(query);
            let place = (query - range.start) * stride;
            let (weights, behind) = block.weights[place..place + until].split_at_mut(seen.div_ceil(lanes));
            behind.fill(simd.splat_f32s(0.0));
            let (slopes, behind) = block.slopes[place..place + until].split_at_mut(seen.div_ceil(lanes));
            behind.fill(simd.splat_f32s(0.0));
            hide(simd, weights, seen, bias);
            let delta = simd.splat_f32s(simd::dot(simd, head.gradient.row(query), head.out.row(query)));
            let scale = simd.splat_f32s(problem.scale);
            let minus_log_sum = simd.splat_f32s(-log_sum(query));
            for (weight, slope) in weights.iter_mut().zip(slopes) {
                *weight = simd::exp(simd, simd.mul_add_e_f32s(*weight, scale, minus_log_sum));
                *slope = simd.mul_f32s(simd.mul_f32s(*weight, scale), simd.sub_f32s(*slope, delta));
            }
        }
    }
}

/// `dq = dS k`, given row by row to `store`.
#[inline(always)]
fn query_gradient<S: Simd, const M: usize>(
    simd: S,
    problem: Problem<'_>,
    range: Range<usize>,
    group: &Group<'_, S>,
    block: &mut Block<'_, S>,
    stride: usize,
    mut store: impl FnMut(usize, &[f32]),
) {
    let width_panels = problem.sizes.width.div_ceil(S::F32_LANES);
    for strip in range.clone().step_by(M) {
        let strip = strip..(strip + M).min(range.end);
        let left = strip_of::<S, M>(block.slopes, stride, strip.start - range.start, strip.len());
        let seen = problem.seen(strip.end - 1);
        let mut target = Target { vectors: &mut *block.product, stride: width_panels, add: false };
        multiply(simd, left, group.keys, problem.sizes.keys, 0..seen, &mut target);
        for (i, query) in strip.enumerate() {
            store(query, bytemuck::cast_slice(&block.product[i * width_panels..][..width_panels]));
        }
    }
}

/// `dk += dS^T q`, `dv += P^T dO`.
#[inline(always)]
fn key_gradients<S: Simd, const M: usize>(
    simd: S,
    problem: Problem<'_>,
    range: Range<usize>,
    group: &mut Group<'_, S>,
    block: &Block<'_, S>,
    stride: usize,
) {
    let width_panels = problem.sizes.width.div_ceil(S::F32_LANES);
    let rows = range.len();
    let packed = rows * width_panels;
    for first in (0..problem.seen(range.end - 1)).step_by(M) {
        // Earlier queries of the block do not see these keys.
        let hidden = range.clone().take_while(|query| problem.seen(*query) <= first).count();
        for (scores, right, sum) in
            [(&block.slopes, &block.queries, &mut group.dk), (&block.weights, &block.gradient, &mut group.dv)]
        {
            let left = AsColumns { matrix: bytemuck::cast_slice(scores), stride: stride * S::F32_LANES, first };
            let vectors = &mut sum[first * width_panels..][..M * width_panels];
            let mut target = Target { vectors, stride: width_panels, add: true };
            multiply::<S, M>(simd, left, &right[..packed], rows, hidden..rows, &mut target);
        }
    }
}
