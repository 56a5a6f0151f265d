//! Attention of many queries: scores of a few queries at a time, never all of them.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::heads::{Heads, Rows};
use super::panels::{AsRows, Scratch, Target, multiply, pack_columns, pack_transposed};
use super::problem::Problem;
use crate::kernels::simd;

/// Queries whose scores exist at once.
pub(super) const BLOCK: usize = 32;

/// Multiply-adds below which threads do not pay.
const PARALLEL_WORK: usize = 1 << 18;

/// The output [B, T, H * D] and the log of the sum of exponentials of every query, [B, T, H].
pub(super) fn forward(problem: Problem<'_>, [q, k, v]: [Heads<'_>; 3]) -> (Vec<f32>, Vec<f32>) {
    let sizes = problem.sizes;
    let mut out = vec![0.0; sizes.batch * sizes.queries * sizes.heads * sizes.width];
    let mut log_sums = vec![0.0; sizes.batch * sizes.queries * sizes.heads];
    let mut tasks = Vec::new();
    let (mut out_rest, mut log_sums_rest) = (out.as_mut_slice(), log_sums.as_mut_slice());
    for batch in 0..sizes.batch {
        for range in ranges(problem) {
            let (out, log_sums);
            (out, out_rest) = out_rest.split_at_mut(range.len() * sizes.heads * sizes.width);
            (log_sums, log_sums_rest) = log_sums_rest.split_at_mut(range.len() * sizes.heads);
            tasks.push((batch, range, out, log_sums));
        }
    }
    let run = |scratch: &mut Scratch, (batch, range, out, log_sums): (_, _, &mut [f32], &mut [f32])| {
        simd::run(Task { problem, inputs: [q, k, v], batch, range, out, log_sums, scratch });
    };
    if work(problem) < PARALLEL_WORK {
        let mut scratch = Scratch::default();
        for task in tasks {
            run(&mut scratch, task);
        }
    } else {
        tasks.into_par_iter().for_each_init(Scratch::default, run);
    }
    (out, log_sums)
}

fn work(problem: Problem<'_>) -> usize {
    let sizes = problem.sizes;
    sizes.batch * sizes.heads * sizes.queries * sizes.keys * sizes.width
}

/// Queries of one batch row in pieces: all of them where the batch alone keeps the threads busy.
fn ranges(problem: Problem<'_>) -> impl Iterator<Item = Range<usize>> {
    let sizes = problem.sizes;
    let pieces = (4 * rayon::current_num_threads()).div_ceil(sizes.batch.max(1));
    let length = if work(problem) < PARALLEL_WORK || pieces <= 4 {
        sizes.queries
    } else {
        // A piece packs all keys, so it must not be too short.
        sizes.queries.div_ceil(pieces).next_multiple_of(BLOCK).max(2 * BLOCK)
    };
    (0..sizes.queries).step_by(length.max(1)).map(move |start| start..(start + length).min(sizes.queries))
}

/// All heads of some queries of one batch row.
struct Task<'a> {
    problem: Problem<'a>,
    inputs: [Heads<'a>; 3],
    batch: usize,
    range: Range<usize>,
    /// [range, H * D].
    out: &'a mut [f32],
    /// [range, H].
    log_sums: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The block of sums, twice as many as rows, and the right operand have to fit the registers.
        if S::REGISTER_COUNT >= 32 { self.run::<S, 8>(simd) } else { self.run::<S, 4>(simd) }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize>(self, simd: S) {
        let Self { problem, inputs: [q, k, v], batch, range, out, log_sums, scratch } = self;
        let sizes = problem.sizes;
        let (width, lanes) = (sizes.width, S::F32_LANES);
        let keys = problem.seen(range.end - 1);
        let [key_panels, width_panels] = [keys.div_ceil(lanes), width.div_ceil(lanes)];
        let [keys_t, values, scores, product, bias] = scratch
            .split(
                [key_panels * width, width_panels * keys, BLOCK * key_panels, M * width_panels, key_panels]
                    .map(|vectors| vectors * lanes),
            )
            .map(|slice| S::as_mut_simd_f32s(slice).0);
        let bias = fill_bias::<S>(problem, batch, bias);

        for head in 0..sizes.heads {
            let group = head / (sizes.heads / sizes.groups);
            if head.is_multiple_of(sizes.heads / sizes.groups) {
                pack_transposed::<S>(k.head(batch, group), keys, width, keys_t);
                pack_columns(simd, v.head(batch, group), 0..keys, values);
            }
            let queries = q.head(batch, head);
            for start in range.clone().step_by(BLOCK) {
                let rows = start..(start + BLOCK).min(range.end);
                multiply_rows::<S, M>(simd, problem, rows.clone(), queries, keys_t, scores, key_panels);
                for strip in rows.clone().step_by(M) {
                    let strip = strip..(strip + M).min(rows.end);
                    let last = problem.seen(strip.end - 1);
                    let mut factors = [0.0; M];
                    for (query, factor) in strip.clone().zip(&mut factors) {
                        let row = &mut scores[(query - start) * key_panels..][..key_panels];
                        let (sum, log_sum) =
                            softmax(simd, row, problem.seen(query), last.div_ceil(lanes), problem.scale, bias);
                        *factor = if sum > 0.0 || sum.is_nan() { 1.0 / sum } else { 0.0 };
                        log_sums[(query - range.start) * sizes.heads + head] = log_sum;
                    }
                    let left = strip_of::<S, M>(scores, key_panels, strip.start - start, strip.len());
                    let mut target = Target { vectors: product, stride: width_panels, add: false };
                    multiply(simd, left, values, keys, 0..last, &mut target);
                    for (i, query) in strip.enumerate() {
                        let place = ((query - range.start) * sizes.heads + head) * width;
                        let row: &[f32] = bytemuck::cast_slice(&product[i * width_panels..][..width_panels]);
                        let factor = simd.splat_f32s(factors[i]);
                        simd::map(
                            simd,
                            &mut out[place..place + width],
                            [row],
                            #[inline(always)]
                            |[x]| simd.mul_f32s(x, factor),
                        );
                    }
                }
            }
        }
    }
}

/// `rows` of a left operand times packed keys or values, as far as the queries may see, into a block of scores.
#[inline(always)]
pub(super) fn multiply_rows<S: Simd, const M: usize>(
    simd: S,
    problem: Problem<'_>,
    rows: Range<usize>,
    left: Rows<'_>,
    panels: &[S::f32s],
    scores: &mut [S::f32s],
    stride: usize,
) {
    let width = problem.sizes.width;
    for strip in rows.clone().step_by(M) {
        let end = (strip + M).min(rows.end);
        let count = problem.seen(end - 1).div_ceil(S::F32_LANES);
        let left = AsRows(std::array::from_fn(|i| left.row((strip + i).min(end - 1))));
        let vectors = &mut scores[(strip - rows.start) * stride..];
        let mut target = Target { vectors, stride, add: false };
        multiply::<S, M>(simd, left, &panels[..count * width], width, 0..width, &mut target);
    }
}

/// M rows of a block of scores from row `first` on; the last of `count` stands for those behind it.
#[inline(always)]
pub(super) fn strip_of<S: Simd, const M: usize>(
    scores: &[S::f32s],
    stride: usize,
    first: usize,
    count: usize,
) -> AsRows<'_, M> {
    AsRows(std::array::from_fn(|i| bytemuck::cast_slice(&scores[(first + i.min(count - 1)) * stride..][..stride])))
}

/// What is added to the scores of a batch row, where not all of its keys are valid: 0 or -inf.
#[inline(always)]
pub(super) fn fill_bias<'a, S: Simd>(
    problem: Problem<'_>,
    batch: usize,
    bias: &'a mut [S::f32s],
) -> Option<&'a [S::f32s]> {
    let valid = problem.valid_keys(batch)?;
    let values: &mut [f32] = bytemuck::cast_slice_mut(bias);
    for (value, valid) in values.iter_mut().zip(valid) {
        *value = if *valid { 0.0 } else { f32::NEG_INFINITY };
    }
    Some(bias)
}

/// Hides what a query may not see: columns from `seen` on in the last vector, and keys that are not valid.
#[inline(always)]
pub(super) fn hide<S: Simd>(simd: S, row: &mut [S::f32s], seen: usize, bias: Option<&[S::f32s]>) {
    if let Some(bias) = bias {
        for (score, bias) in row.iter_mut().zip(bias) {
            *score = simd.add_f32s(*score, *bias);
        }
    }
    let row: &mut [f32] = bytemuck::cast_slice_mut(row);
    row[seen..].fill(f32::NEG_INFINITY);
}

/// Turns scores into their exponentials, relative to the largest; gives the sum, and the log of the sum of the
/// exponentials of the scaled scores. Vectors behind the seen ones become 0, up to `until`.
///
/// A query that sees nothing gets zeros, a sum of 0, and +inf for the logarithm: recomputed weights are then 0 too.
#[inline(always)]
fn softmax<S: Simd>(
    simd: S,
    row: &mut [S::f32s],
    seen: usize,
    until: usize,
    scale: f32,
    bias: Option<&[S::f32s]>,
) -> (f32, f32) {
    let (row, hidden) = row[..until].split_at_mut(seen.div_ceil(S::F32_LANES));
    hidden.fill(simd.splat_f32s(0.0));
    hide(simd, row, seen, bias);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in row.iter() {
        largest = simd.max_f32s(largest, *x);
    }
    let largest = simd.reduce_max_f32s(largest);
    // The largest of NaN and -inf may be -inf.
    let sees_nothing = largest == f32::NEG_INFINITY && !has_nan(bytemuck::cast_slice(row));
    if sees_nothing {
        row.fill(simd.splat_f32s(0.0));
        return (0.0, f32::INFINITY);
    }
    let offset = largest * scale;
    let (scale, minus_offset) = (simd.splat_f32s(scale), simd.splat_f32s(-offset));
    let mut sum = simd.splat_f32s(0.0);
    for x in row {
        *x = simd::exp(simd, simd.mul_add_e_f32s(*x, scale, minus_offset));
        sum = simd.add_f32s(sum, *x);
    }
    let sum = simd.reduce_sum_f32s(sum);
    (sum, offset + sum.ln())
}

fn has_nan(values: &[f32]) -> bool {
    values.iter().any(|value| value.is_nan())
}
