//! The inner loops of the resize.
//!
//! They are written as plain loops over fixed numbers of lanes and compiled once for each vector width; [`pulp`] picks the widest that the
//! machine has. Integer arithmetic: every width gives the same bytes.

#![expect(clippy::inline_always, reason = "a function that is not inlined is compiled for the smallest vector width")]

use pulp::{Arch, Simd, WithSimd};

use crate::RgbImage;
use crate::taps::Taps;

/// Resizes along the width.
pub(crate) fn horizontal(image: &RgbImage, width: u32, taps: &Taps) -> RgbImage {
    Arch::new().dispatch(Horizontal { image, width, taps })
}

/// Resizes along the height.
pub(crate) fn vertical(image: &RgbImage, height: u32, taps: &Taps) -> RgbImage {
    Arch::new().dispatch(Vertical { image, height, taps })
}

/// Rows that are weighed together. A pixel of three bytes is no vector; the same pixel of eight rows is.
const ROWS: usize = 8;
const LANES: usize = ROWS * 3;

struct Horizontal<'a> {
    image: &'a RgbImage,
    width: u32,
    taps: &'a Taps,
}

impl WithSimd for Horizontal<'_> {
    type Output = RgbImage;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> RgbImage {
        let Self { image, width, taps } = self;
        let (row_in, row_out) = (image.width as usize * 3, width as usize * 3);
        let height = image.height as usize;
        let mut pixels = vec![0; row_out * height];
        let mut block = vec![[0u8; LANES]; image.width as usize];
        let tops = (0..height).step_by(ROWS);
        for (top, rows_out) in tops.zip(pixels.chunks_mut(row_out * ROWS)) {
            for lane in 0..ROWS {
                // The last block may be short: its last row fills the lanes that nobody reads.
                let row = (top + lane).min(height - 1);
                let (source, _) = image.pixels[row * row_in..][..row_in].as_chunks::<3>();
                for (group, pixel) in block.iter_mut().zip(source) {
                    group[lane * 3..][..3].copy_from_slice(pixel);
                }
            }
            for (x, (first, weights)) in taps.iter().enumerate() {
                let groups = block[first..].iter();
                let sums = weigh(groups, weights, taps.precision);
                let (lanes, _) = sums.as_chunks::<3>();
                for (row, pixel) in rows_out.chunks_exact_mut(row_out).zip(lanes) {
                    row[x * 3..][..3].copy_from_slice(pixel);
                }
            }
        }
        RgbImage { width, height: image.height, pixels }
    }
}

/// Columns (bytes) that are weighed together: their sums stay in registers.
const COLUMNS: usize = 32;

struct Vertical<'a> {
    image: &'a RgbImage,
    height: u32,
    taps: &'a Taps,
}

impl WithSimd for Vertical<'_> {
    type Output = RgbImage;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> RgbImage {
        let Self { image, height, taps } = self;
        let row = image.width as usize * 3;
        let mut pixels = vec![0; row * height as usize];
        for ((first, weights), out) in taps.iter().zip(pixels.chunks_exact_mut(row)) {
            let source = &image.pixels[first * row..][..weights.len() * row];
            let (strips, rest) = out.as_chunks_mut::<COLUMNS>();
            let at_rest = strips.len() * COLUMNS;
            for (strip, at) in strips.iter_mut().zip((0..).step_by(COLUMNS)) {
                *strip = weigh(columns(source, row, at), weights, taps.precision);
            }
            for (column, at) in rest.iter_mut().zip(at_rest..) {
                [*column] = weigh(columns(source, row, at), weights, taps.precision);
            }
        }
        RgbImage { width: image.width, height, pixels }
    }
}

/// The `N` bytes from column `at` on, of each row.
#[inline(always)]
fn columns<const N: usize>(source: &[u8], row: usize, at: usize) -> impl Iterator<Item = &[u8; N]> {
    let lines = source.chunks_exact(row);
    lines.map_while(move |line| line[at..].first_chunk())
}

/// Lane by lane `sum(weights[k] * levels[k])`, rounded and clipped to bytes.
///
/// The sum of all |weights| stays below 2 * 2^22, so no sum leaves 32 bits; wrapping arithmetic spares debug builds the check, which would
/// keep the loop from becoming vector code.
#[inline(always)]
fn weigh<'a, const N: usize>(levels: impl Iterator<Item = &'a [u8; N]>, weights: &[i32], precision: u32) -> [u8; N] {
    let mut sums = [1i32 << (precision - 1); N];
    for (levels, &weight) in levels.zip(weights) {
        for (sum, &level) in sums.iter_mut().zip(levels) {
            *sum = sum.wrapping_add(weight.wrapping_mul(i32::from(level)));
        }
    }
    let mut bytes = [0; N];
    for (byte, &sum) in bytes.iter_mut().zip(&sums) {
        *byte = (sum >> precision).clamp(0, 255) as u8;
    }
    bytes
}
