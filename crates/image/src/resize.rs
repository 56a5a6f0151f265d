//! Two-pass resampling of bytes in fixed point, bit for bit as Pillow and torchvision do it.

use crate::passes::{horizontal, vertical};
use crate::taps::Taps;
use crate::{Filter, ImageError, RgbImage};

/// The most pixels that a resize may write, the image between its two passes included: 1.5 GB of RGB.
pub const MAX_RESIZED_PIXELS: u64 = 1 << 29;

/// Whose integer arithmetic to follow. The taps are the same; results differ by a level or two in under 1 % of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Pillow up to 12: 22 fractional bits, horizontal pass first.
    Pillow,
    /// Pillow 13: the same, but the vertical pass goes first when the height shrinks by more than twice what the width shrinks by. Observed,
    /// not documented there.
    Pillow13,
    /// torchvision on the CPU, the processor's default: as many fractional bits, up to 22, as keep the largest weight of the pass below 2^15.
    Torchvision,
}

impl Arithmetic {
    /// Fractional bits of the weights of a pass whose largest weight is `largest`.
    pub(crate) fn precision(self, largest: f64) -> u32 {
        const MAX: u32 = 22;
        match self {
            Self::Pillow | Self::Pillow13 => MAX,
            Self::Torchvision => (1..=MAX)
                .take_while(|&bits| (largest * f64::from(1u32 << bits) + 0.5) as i32 <= 0x7fff)
                .last()
                .unwrap_or(1),
        }
    }

    fn vertical_first(self, from: (u32, u32), to: (u32, u32)) -> bool {
        let loss = |side_in: u32, side_out: u32| i64::from(side_in) - i64::from(side_out);
        let height = loss(from.1, to.1);
        self == Self::Pillow13 && height > 0 && height > 2 * loss(from.0, to.0)
    }
}

/// Resizes to `width` x `height`: two passes, each rounded and clipped to bytes; a pass that changes nothing is skipped.
///
/// # Errors
/// [`ImageError::NoPixels`] for a target side of 0, [`ImageError::ResizeTooLarge`] above [`MAX_RESIZED_PIXELS`], [`ImageError::WrongLength`]
/// when the fields of `image` do not fit each other.
pub fn resize(
    image: &RgbImage,
    width: u32,
    height: u32,
    filter: Filter,
    arithmetic: Arithmetic,
) -> Result<RgbImage, ImageError> {
    image.check()?;
    if width == 0 || height == 0 {
        return Err(ImageError::NoPixels { width, height });
    }
    let vertical_first = arithmetic.vertical_first((image.width, image.height), (width, height));
    let between = if vertical_first { (image.width, height) } else { (width, image.height) };
    for (w, h) in [between, (width, height)] {
        if u64::from(w) * u64::from(h) > MAX_RESIZED_PIXELS {
            return Err(ImageError::ResizeTooLarge { width, height, limit: MAX_RESIZED_PIXELS });
        }
    }
    let across = (width != image.width).then(|| Taps::new(image.width, width, filter, arithmetic));
    let down = (height != image.height).then(|| Taps::new(image.height, height, filter, arithmetic));
    Ok(match (across, down) {
        (None, None) => image.clone(),
        (Some(across), None) => horizontal(image, width, &across),
        (None, Some(down)) => vertical(image, height, &down),
        (Some(across), Some(down)) if vertical_first => horizontal(&vertical(image, height, &down), width, &across),
        (Some(across), Some(down)) => vertical(&horizontal(image, width, &across), height, &down),
    })
}

/// The low-resolution image: Lanczos to `(width / 2, height / 2)`, rounded down but at least 1, in Pillow's arithmetic.
///
/// # Errors
/// As [`resize`].
pub fn lanczos_half(image: &RgbImage) -> Result<RgbImage, ImageError> {
    let (width, height) = ((image.width / 2).max(1), (image.height / 2).max(1));
    resize(image, width, height, Filter::Lanczos3, Arithmetic::Pillow)
}

/// What the reference's tool gives where it has no larger original: Lanczos to twice the size, in Pillow's arithmetic.
///
/// # Errors
/// As [`resize`].
pub fn lanczos_double(image: &RgbImage) -> Result<RgbImage, ImageError> {
    let double = |side: u32| side.saturating_mul(2);
    let (width, height) = (double(image.width), double(image.height));
    resize(image, width, height, Filter::Lanczos3, Arithmetic::Pillow)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that no filter leaves alone.
    fn pattern(width: u32, height: u32) -> RgbImage {
        let bytes = (0..width * height * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        RgbImage::new(width, height, bytes.collect()).unwrap()
    }

    /// The two passes written as the formula says, one output byte at a time.
    fn plain(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Vec<u8> {
        let pass = |bytes: &[u8], taps: &Taps, lines: usize, step: usize, jump: usize| {
            let mut out = Vec::new();
            for line in 0..lines {
                for (first, weights) in taps.iter() {
                    for channel in 0..3 {
                        let at = |k: usize| line * jump + (first + k) * step + channel;
                        let sum: i64 =
                            (0..weights.len()).map(|k| i64::from(weights[k]) * i64::from(bytes[at(k)])).sum();
                        let half = 1 << (taps.precision - 1);
                        out.push(((sum + half) >> taps.precision).clamp(0, 255) as u8);
                    }
                }
            }
            out
        };
        let across = Taps::new(image.width, width, filter, Arithmetic::Pillow);
        let down = Taps::new(image.height, height, filter, Arithmetic::Pillow);
        let row = width as usize * 3;
        let wide = pass(&image.pixels, &across, image.height as usize, 3, image.width as usize * 3);
        let tall = pass(&wide, &down, width as usize, row, 3);
        // The vertical pass went column by column: bring it back to rows.
        let mut out = Vec::new();
        for y in 0..height as usize {
            for x in 0..width as usize {
                out.extend_from_slice(&tall[(x * height as usize + y) * 3..][..3]);
            }
        }
        out
    }

    #[test]
    fn blocks_of_rows_and_strips_of_columns_give_what_the_formula_gives() {
        for (from, to) in [((37, 23), (18, 11)), ((9, 17), (40, 33)), ((1, 1), (5, 3)), ((64, 8), (31, 50))] {
            let image = pattern(from.0, from.1);
            for filter in [Filter::Bicubic, Filter::Lanczos3] {
                let fast = resize(&image, to.0, to.1, filter, Arithmetic::Pillow).unwrap();
                assert_eq!(fast.pixels, plain(&image, to.0, to.1, filter), "{from:?}");
            }
        }
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        let flat = RgbImage::new(50, 31, [7, 130, 255].repeat(50 * 31)).unwrap();
        for arithmetic in [Arithmetic::Pillow, Arithmetic::Pillow13, Arithmetic::Torchvision] {
            let small = resize(&flat, 13, 60, Filter::Bicubic, arithmetic).unwrap();
            assert_eq!(small.pixels, [7, 130, 255].repeat(13 * 60));
        }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = pattern(20, 10);
        let same = resize(&image, 20, 10, Filter::Lanczos3, Arithmetic::Torchvision).unwrap();
        assert_eq!(same, image);
    }

    #[test]
    fn a_side_of_one_pixel_can_be_halved() {
        let half = lanczos_half(&pattern(1, 9)).unwrap();
        assert_eq!((half.width, half.height), (1, 4));
    }

    #[test]
    fn impossible_targets_are_refused_before_memory_is_taken() {
        let image = pattern(3, 3);
        let to = |w, h| resize(&image, w, h, Filter::Bicubic, Arithmetic::Pillow);
        assert!(matches!(to(0, 5), Err(ImageError::NoPixels { .. })));
        assert!(matches!(to(u32::MAX, u32::MAX), Err(ImageError::ResizeTooLarge { .. })));
        let lying = RgbImage { width: 1 << 20, ..image.clone() };
        assert!(matches!(lanczos_half(&lying), Err(ImageError::WrongLength { .. })));
    }
}
