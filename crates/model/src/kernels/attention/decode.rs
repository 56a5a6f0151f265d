//! Attention of one query per sequence: keys and values are read once, as they lie.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::heads::Heads;
use super::problem::Problem;
use crate::kernels::simd;

/// Keys of one piece of work; constant, so that a result does not depend on what else is in the batch.
const PIECE: usize = 512;

/// Values of keys below which threads do not pay.
const PARALLEL_WORK: usize = 1 << 16;

/// The output [B, 1, H * D] and the log of the sum of exponentials of every query, [B, 1, H].
pub(super) fn decode(problem: Problem<'_>, [q, k, v]: [Heads<'_>; 3]) -> (Vec<f32>, Vec<f32>) {
    let sizes = problem.sizes;
    let pieces = sizes.keys.div_ceil(PIECE);
    let heads_per_group = sizes.heads / sizes.groups;
    // Of every head in every piece: the weighted sum of values, the largest score, the sum of exponentials.
    let part = sizes.width + 2;
    let mut parts = vec![0.0; sizes.batch * sizes.groups * pieces * heads_per_group * part];
    let run = |(index, parts): (usize, &mut [f32])| {
        let (index, piece) = (index / pieces, index % pieces);
        let (batch, group) = (index / sizes.groups, index % sizes.groups);
        let keys = piece * PIECE..((piece + 1) * PIECE).min(sizes.keys);
        simd::run(Task { problem, inputs: [q, k, v], batch, group, keys, parts });
    };
    if sizes.batch * sizes.groups * sizes.keys * sizes.width < PARALLEL_WORK {
        parts.chunks_mut(heads_per_group * part).enumerate().for_each(run);
    } else {
        parts.par_chunks_mut(heads_per_group * part).enumerate().for_each(run);
    }

    let mut out = vec![0.0; sizes.batch * sizes.heads * sizes.width];
    let mut log_sums = vec![0.0; sizes.batch * sizes.heads];
    for (index, out) in out.chunks_exact_mut(sizes.width).enumerate() {
        let (group, head) = (index / heads_per_group, index % heads_per_group);
        let parts =
            (0..pieces).map(|piece| &parts[((group * pieces + piece) * heads_per_group + head) * part..][..part]);
        log_sums[index] = merge(out, parts);
    }
    (out, log_sums)
}

/// Joins the parts of one head; gives the log of its sum of exponentials, +inf where it sees no key.
fn merge<'a>(out: &mut [f32], parts: impl Iterator<Item = &'a [f32]> + Clone) -> f32 {
    let width = out.len();
    let largest = parts.clone().fold(f32::NEG_INFINITY, |largest, part| largest.max(part[width]));
    if largest == f32::NEG_INFINITY && parts.clone().all(|part| part[width + 1] == 0.0) {
        return f32::INFINITY;
    }
    let mut total = 0.0;
    for part in parts {
        let factor = (part[width] - largest).exp();
        total += factor * part[width + 1];
        out.iter_mut().zip(part).for_each(|(out, value)| *out += factor * value);
    }
    for out in out.iter_mut() {
        *out /= total;
    }
    largest + total.ln()
}

/// The query heads of one key/value head over a range of keys.
struct Task<'a> {
    problem: Problem<'a>,
    inputs: [Heads<'a>; 3],
    batch: usize,
    group: usize,
    keys: Range<usize>,
    /// [H / K, D + 2].
    parts: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { problem, inputs: [q, k, v], batch, group, keys, parts } = self;
        let sizes = problem.sizes;
        let (heads, count) = (sizes.heads / sizes.groups, keys.len());
        let (k, v) = (k.head(batch, group), v.head(batch, group));

        let mut scores = vec![0.0; heads * count];
        for (i, key) in keys.clone().enumerate() {
            let key = k.row(key);
            for head in 0..heads {
                let query = q.head(batch, group * heads + head).row(0);
                scores[head * count + i] = simd::dot(simd, query, key) * problem.scale;
            }
        }
        for (scores, part) in scores.chunks_exact_mut(count).zip(parts.chunks_exact_mut(sizes.width + 2)) {
            if let Some(valid) = problem.valid_keys(batch) {
                hide(scores, &valid[keys.clone()]);
            }
            let largest = simd::largest(simd, scores);
            let offset = simd.splat_f32s(if largest == f32::NEG_INFINITY { 0.0 } else { largest });
            simd::update(
                simd,
                scores,
                [],
                #[inline(always)]
                |score, []| simd::exp(simd, simd.sub_f32s(score, offset)),
            );
            part[sizes.width] = largest;
            part[sizes.width + 1] = simd::sum(simd, scores);
        }
        // Four rows at a time, so that the sums are loaded and stored once for four products.
        for start in (0..count).step_by(4) {
            let rows: [&[f32]; 4] = std::array::from_fn(|i| v.row(keys.start + (start + i).min(count - 1)));
            for (scores, part) in scores.chunks_exact(count).zip(parts.chunks_exact_mut(sizes.width + 2)) {
                let mut weights = [simd.splat_f32s(0.0); 4];
                for (weight, score) in weights.iter_mut().zip(&scores[start..]) {
                    *weight = simd.splat_f32s(*score);
                }
                simd::update(
                    simd,
                    &mut part[..sizes.width],
                    rows,
                    #[inline(always)]
                    |sum, rows| {
                        let mut sum = sum;
                        for i in 0..4 {
                            sum = simd.mul_add_e_f32s(weights[i], rows[i], sum);
                        }
                        sum
                    },
                );
            }
        }
    }
}

fn hide(scores: &mut [f32], valid: &[bool]) {
    for (score, valid) in scores.iter_mut().zip(valid) {
        if !valid {
            *score = f32::NEG_INFINITY;
        }
    }
}
