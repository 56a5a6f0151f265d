//! Small matrix products in registers.
//!
//! The right operand of a product [M, K] x [K, N] is packed into *panels*: panel p holds the columns `p L .. (p + 1) L`,
//! L the lanes of a vector, as K vectors one after the other; columns behind the last are zero.

use std::ops::Range;

use pulp::Simd;

use super::heads::Rows;

/// Where a vector starts on a cache line, one load brings it.
const ALIGNMENT: usize = 64;

/// Memory for packed operands, kept from one piece of work to the next.
#[derive(Default)]
pub(super) struct Scratch(Vec<f32>);

impl Scratch {
    /// Aligned slices of the lengths given; their contents are left over from earlier work.
    pub(super) fn split<const N: usize>(&mut self, lengths: [usize; N]) -> [&mut [f32]; N] {
        let line = ALIGNMENT / size_of::<f32>();
        let total: usize = lengths.iter().map(|length| length.next_multiple_of(line)).sum();
        if self.0.len() < total + line {
            self.0 = vec![0.0; total + line];
        }
        let start = self.0.as_ptr().align_offset(ALIGNMENT).min(line);
        let mut rest = &mut self.0[start..];
        lengths.map(|length| {
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(length.next_multiple_of(line));
            rest = behind;
            &mut part[..length]
        })
    }
}

/// Packs the columns of `rows`: K = the rows of the range, N = D.
#[inline(always)]
pub(super) fn pack_columns<S: Simd>(simd: S, rows: Rows<'_>, range: Range<usize>, panels: &mut [S::f32s]) {
    let depth = range.len();
    for (k, index) in range.enumerate() {
        let (vectors, tail) = S::as_simd_f32s(rows.row(index));
        for (p, vector) in vectors.iter().enumerate() {
            panels[p * depth + k] = *vector;
        }
        if !tail.is_empty() {
            panels[vectors.len() * depth + k] = simd.partial_load_f32s(tail);
        }
    }
}

/// Packs the rows `0..count` as columns: K = D, N = `count`.
#[inline(always)]
pub(super) fn pack_transposed<S: Simd>(rows: Rows<'_>, count: usize, width: usize, panels: &mut [S::f32s]) {
    let lanes = S::F32_LANES;
    let panels: &mut [f32] = bytemuck::cast_slice_mut(panels);
    for (p, panel) in panels.chunks_exact_mut(width * lanes).enumerate() {
        for lane in 0..lanes {
            let index = p * lanes + lane;
            let column = panel[lane..].iter_mut().step_by(lanes);
            if index < count {
                for (to, from) in column.zip(rows.row(index)) {
                    *to = *from;
                }
            } else {
                for to in column {
                    *to = 0.0;
                }
            }
        }
    }
}

/// M rows of a left operand.
pub(super) trait Left<const M: usize>: Copy {
    /// Column `k`.
    fn column(&self, k: usize) -> [f32; M];
}

/// Rows where they lie.
#[derive(Clone, Copy)]
pub(super) struct AsRows<'a, const M: usize>(pub(super) [&'a [f32]; M]);

impl<const M: usize> Left<M> for AsRows<'_, M> {
    #[inline(always)]
    fn column(&self, k: usize) -> [f32; M] {
        let mut column = [0.0; M];
        for (value, row) in column.iter_mut().zip(&self.0) {
            *value = row[k];
        }
        column
    }
}

/// Columns `first .. first + M` of a row-major matrix, taken as rows.
#[derive(Clone, Copy)]
pub(super) struct AsColumns<'a> {
    pub(super) matrix: &'a [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
}

impl<const M: usize> Left<M> for AsColumns<'_> {
    #[inline(always)]
    fn column(&self, k: usize) -> [f32; M] {
        let start = k * self.stride + self.first;
        self.matrix[start..start + M].try_into().expect("M values")
    }
}

/// Where a product goes: M rows at a distance of `stride` vectors, row `i` panel after panel.
pub(super) struct Target<'a, V> {
    pub(super) vectors: &'a mut [V],
    pub(super) stride: usize,
    /// Whether the product is added to what is there.
    pub(super) add: bool,
}

/// `target = left[.., range] x right[range, ..]` for all panels of `depth` vectors in `panels`.
#[inline(always)]
pub(super) fn multiply<S: Simd, const M: usize>(
    simd: S,
    left: impl Left<M>,
    panels: &[S::f32s],
    depth: usize,
    range: Range<usize>,
    target: &mut Target<'_, S::f32s>,
) {
    let count = panels.len() / depth;
    let (start, end) = (range.start, range.end);
    let mut place = 0;
    while place + 1 < count {
        let (first, second) = panels[place * depth..(place + 2) * depth].split_at(depth);
        block::<S, M, 2>(simd, left, [&first[start..end], &second[start..end]], start, place, target);
        place += 2;
    }
    if place < count {
        let last = &panels[place * depth..][start..end];
        block::<S, M, 1>(simd, left, [last], start, place, target);
    }
}

/// M rows by N panels, held in registers.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the three indices of a product say more than nested iterators")]
fn block<S: Simd, const M: usize, const N: usize>(
    simd: S,
    left: impl Left<M>,
    panels: [&[S::f32s]; N],
    first: usize,
    place: usize,
    target: &mut Target<'_, S::f32s>,
) {
    let depth = panels[0].len();
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    for k in 0..depth {
        let mut right = [simd.splat_f32s(0.0); N];
        for j in 0..N {
            right[j] = panels[j][k];
        }
        let left = left.column(first + k);
        for i in 0..M {
            let value = simd.splat_f32s(left[i]);
            for j in 0..N {
                sums[i][j] = simd.mul_add_e_f32s(value, right[j], sums[i][j]);
            }
        }
    }
    for i in 0..M {
        let row = &mut target.vectors[i * target.stride + place..][..N];
        for j in 0..N {
            row[j] = if target.add { simd.add_f32s(row[j], sums[i][j]) } else { sums[i][j] };
        }
    }
}
