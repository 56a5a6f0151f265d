//! The two views of an image: at half its sides and as it is.
//!
//! The reference's evaluation enlarges an image with a side under 28 pixels, after halving it where it halves (its training loader refuses
//! such an image instead, see [`crate::reference_sizes`]). Both views here follow the evaluation: nothing that a person may show is refused
//! for being small. Departure: a side of one pixel stays one pixel when halved, where Pillow fails.

use std::borrow::Cow;

use serde::Serialize;

use crate::processor::check_shape;
use crate::{Arithmetic, Filter, ImageError, Processor, RgbImage, lanczos_half, resize};

/// The smallest side of a view in pixels: one image token of Qwen2.5-VL.
pub const MIN_SIDE_PX: u32 = 28;

/// One view of an image as the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct View {
    /// Width in pixels after the processor's resize.
    pub width: u32,
    /// Height in pixels after the processor's resize.
    pub height: u32,
    /// Image tokens.
    pub tokens: usize,
}

/// Both views of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Views {
    /// Half width and half height.
    pub low: View,
    /// The image itself.
    pub full: View,
}

/// Size of the low-resolution view before the processor: both sides halved, rounded down; then, if a side is under [`MIN_SIDE_PX`], both
/// scaled by `max(28 / width, 28 / height)`, rounded down.
///
/// # Errors
/// [`ImageError::NoPixels`] or [`ImageError::TooNarrow`].
pub fn low_size(width: u32, height: u32) -> Result<(u32, u32), ImageError> {
    check_shape(width, height)?;
    full_size((width / 2).max(1), (height / 2).max(1))
}

/// Size of the full view before the processor: the image's own, but for the rule about small sides of [`low_size`].
///
/// # Errors
/// [`ImageError::NoPixels`] or [`ImageError::TooNarrow`].
pub fn full_size(width: u32, height: u32) -> Result<(u32, u32), ImageError> {
    check_shape(width, height)?;
    if width >= MIN_SIDE_PX && height >= MIN_SIDE_PX {
        return Ok((width, height));
    }
    let least = f64::from(MIN_SIDE_PX);
    let scale = (least / f64::from(width)).max(least / f64::from(height));
    let scaled = |side: u32| (f64::from(side) * scale) as u32;
    Ok((scaled(width), scaled(height)))
}

/// The low-resolution view of an image, of size [`low_size`], by Lanczos: quarter of the tokens.
///
/// # Errors
/// As [`low_size`] and [`resize`].
pub fn low_view(image: &RgbImage) -> Result<RgbImage, ImageError> {
    check_shape(image.width, image.height)?;
    let half = lanczos_half(image)?;
    Ok(full_view(&half)?.into_owned())
}

/// The full view of an image, of size [`full_size`]: the image itself unless a side is under [`MIN_SIDE_PX`].
///
/// # Errors
/// As [`full_size`] and [`resize`].
pub fn full_view(image: &RgbImage) -> Result<Cow<'_, RgbImage>, ImageError> {
    let (width, height) = full_size(image.width, image.height)?;
    if (width, height) == (image.width, image.height) {
        return Ok(Cow::Borrowed(image));
    }
    resize(image, width, height, Filter::Lanczos3, Arithmetic::Pillow).map(Cow::Owned)
}

/// The image at a share of its pixels, by Lanczos: both sides times the root of the share, rounded down but at least 1. At a quarter it
/// is the halving of [`low_view`]; a share of 1 or more, or one that is no number, leaves the image as it is.
///
/// # Errors
/// As [`resize`].
pub fn scaled_view(image: &RgbImage, share: f64) -> Result<Cow<'_, RgbImage>, ImageError> {
    check_shape(image.width, image.height)?;
    if !(share > 0.0 && share < 1.0) {
        return Ok(Cow::Borrowed(image));
    }
    let scaled = |side: u32| ((f64::from(side) * share.sqrt()) as u32).max(1);
    let (width, height) = (scaled(image.width), scaled(image.height));
    resize(image, width, height, Filter::Lanczos3, Arithmetic::Pillow).map(Cow::Owned)
}

pub(crate) fn view_of(processor: &Processor, (width, height): (u32, u32)) -> Result<View, ImageError> {
    let tokens = processor.tokens(width, height)?;
    let (width, height) = processor.smart_resize(width, height)?;
    Ok(View { width, height, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released() -> Processor {
        Processor {
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            min_pixels: 3136,
            max_pixels: 12_845_056,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    #[test]
    fn costs_are_those_of_the_processed_views() {
        let views = released().view_costs(1023, 511).unwrap();
        assert_eq!(views.low, View { width: 504, height: 252, tokens: 162 });
        assert_eq!(views.full, View { width: 1036, height: 504, tokens: 666 });
    }

    #[test]
    fn a_view_has_the_size_that_was_announced() {
        for (width, height) in [(1, 1), (9, 12), (27, 100), (40, 40), (55, 56), (60, 57), (1, 200)] {
            let image = RgbImage::new(width, height, vec![90; (width * height * 3) as usize]).unwrap();
            let full = full_view(&image).unwrap();
            assert_eq!((full.width, full.height), full_size(width, height).unwrap());
            match low_view(&image) {
                Ok(low) => assert_eq!((low.width, low.height), low_size(width, height).unwrap()),
                Err(_) => assert!(low_size(width, height).is_err()),
            }
        }
    }

    #[test]
    fn a_quarter_of_the_pixels_is_the_low_view_and_all_of_them_the_image() {
        let image = RgbImage::new(113, 90, (0..113 * 90 * 3).map(|byte| (byte % 251) as u8).collect()).unwrap();
        assert_eq!(*scaled_view(&image, 0.25).unwrap(), low_view(&image).unwrap());
        assert_eq!(*scaled_view(&image, 1.0).unwrap(), image);
        let half = scaled_view(&image, 0.5).unwrap();
        assert_eq!((half.width, half.height), (79, 63));
    }

    #[test]
    fn small_images_grow_to_one_token_a_side() {
        assert_eq!(full_size(9, 12).unwrap(), (28, 37));
        assert_eq!(low_size(9, 12).unwrap(), (28, 42));
        assert_eq!(low_size(40, 40).unwrap(), (28, 28));
        assert_eq!(low_size(56, 56).unwrap(), (28, 28));
        assert!(matches!(full_size(1, 3000), Err(ImageError::TooNarrow { .. })));
    }
}
