//! What turns an image into patches: sizes, limits and normalisation of a checkpoint.

use crate::patches::cut;
use crate::views::{low_size, view_of};
use crate::{Arithmetic, Filter, GridThw, ImageError, Patches, RgbImage, Views, full_size, resize};

/// The image processor of a checkpoint (`preprocessor_config.json`); see [`Processor::from_dir`].
#[derive(Debug, Clone, PartialEq)]
pub struct Processor {
    /// Side of a patch in pixels (Qwen2.5-VL: 14).
    pub patch_size: u32,
    /// Frames in a patch (2); a still image is repeated.
    pub temporal_patch_size: u32,
    /// Patches per side of an image token (2).
    pub merge_size: u32,
    /// Smaller images are enlarged to at least this many pixels.
    pub min_pixels: u64,
    /// Larger images are reduced to at most this many pixels.
    pub max_pixels: u64,
    /// Mean of red, green, blue on a scale of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue on a scale of 0 to 1.
    pub std: [f32; 3],
}

impl Processor {
    /// Side of an image token in pixels: `patch_size * merge_size` (28).
    pub fn factor(&self) -> u32 {
        self.patch_size.saturating_mul(self.merge_size)
    }

    /// Values in one patch: `3 * temporal_patch_size * patch_size^2` (1176).
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch_size as usize * (self.patch_size as usize).pow(2)
    }

    /// The size, `(width, height)`, to which an image is resized: multiples of [`Processor::factor`], near the original, within the limits.
    ///
    /// Both sides are rounded to the nearest multiple, halves to the even one. Above `max_pixels` the sides are divided by
    /// `sqrt(width * height / max_pixels)` and rounded down (to one factor at least), below `min_pixels` multiplied by
    /// `sqrt(min_pixels / (width * height))` and rounded up. All in f64, in this order, as in transformers.
    ///
    /// # Errors
    /// [`ImageError::NoPixels`], or [`ImageError::TooNarrow`] when one side is more than 200 times the other.
    pub fn smart_resize(&self, width: u32, height: u32) -> Result<(u32, u32), ImageError> {
        check_shape(width, height)?;
        let factor = f64::from(self.factor());
        let (min, max) = (self.min_pixels as f64, self.max_pixels as f64);
        let sides = [f64::from(width), f64::from(height)];
        let area = sides[0] * sides[1];
        let rounded = sides.map(|side| (side / factor).round_ties_even() * factor);
        let [w, h] = if rounded[0] * rounded[1] > max {
            let shrink = (area / max).sqrt();
            sides.map(|side| ((side / shrink / factor).floor() * factor).max(factor))
        } else if rounded[0] * rounded[1] < min {
            let grow = (min / area).sqrt();
            sides.map(|side| (side * grow / factor).ceil() * factor)
        } else {
            rounded
        };
        // A side under half a factor rounds to 0, which only a `min_pixels` of 0 lets through.
        let (w, h) = (w as u32, h as u32);
        if w == 0 || h == 0 {
            return Err(ImageError::NoPixels { width: w, height: h });
        }
        Ok((w, h))
    }

    /// The patch grid of an image of this size.
    ///
    /// # Errors
    /// As [`Processor::smart_resize`].
    pub fn grid(&self, width: u32, height: u32) -> Result<GridThw, ImageError> {
        let (width, height) = self.smart_resize(width, height)?;
        Ok(GridThw { t: 1, h: height / self.patch_size, w: width / self.patch_size })
    }

    /// How many image tokens an image of this size costs.
    ///
    /// # Errors
    /// As [`Processor::smart_resize`].
    pub fn tokens(&self, width: u32, height: u32) -> Result<usize, ImageError> {
        Ok(self.grid(width, height)?.tokens(self.merge_size))
    }

    /// What an image of this size costs at low and at full resolution, 28-pixel rule included (see [`low_size`]), without a pixel touched.
    ///
    /// # Errors
    /// As [`Processor::smart_resize`], for either view.
    pub fn view_costs(&self, width: u32, height: u32) -> Result<Views, ImageError> {
        Ok(Views { low: view_of(self, low_size(width, height)?)?, full: view_of(self, full_size(width, height)?)? })
    }

    /// Resizes, normalises and cuts, with torchvision's bicubic arithmetic as transformers 5 does.
    ///
    /// # Errors
    /// As [`Processor::resized`].
    pub fn process(&self, image: &RgbImage) -> Result<Patches, ImageError> {
        Ok(self.patches_of_resized(&self.resized(image, Arithmetic::Torchvision)?))
    }

    /// Only the resize of [`Processor::process`], in the arithmetic asked for.
    ///
    /// # Errors
    /// As [`Processor::smart_resize`] and [`resize`].
    pub fn resized(&self, image: &RgbImage, arithmetic: Arithmetic) -> Result<RgbImage, ImageError> {
        let (width, height) = self.smart_resize(image.width, image.height)?;
        resize(image, width, height, Filter::Bicubic, arithmetic)
    }

    /// Normalises and cuts an image that has its final size.
    ///
    /// # Panics
    /// If a side of `image` is not a multiple of [`Processor::factor`]: [`Processor::resized`] makes one that is.
    pub fn patches_of_resized(&self, image: &RgbImage) -> Patches {
        cut(self, image)
    }
}

/// Refuses what no processor accepts.
pub(crate) fn check_shape(width: u32, height: u32) -> Result<(), ImageError> {
    const MAX_RATIO: f64 = 200.0;
    if width == 0 || height == 0 {
        return Err(ImageError::NoPixels { width, height });
    }
    let (short, long) = (width.min(height), width.max(height));
    if f64::from(long) / f64::from(short) > MAX_RATIO {
        return Err(ImageError::TooNarrow { width, height });
    }
    Ok(())
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
    fn half_a_token_rounds_to_the_even_side() {
        let sides = [42, 70, 98, 126].map(|side| released().smart_resize(280, side).unwrap().1);
        assert_eq!(sides, [56, 56, 112, 112]);
    }

    #[test]
    fn very_narrow_and_empty_images_are_refused() {
        let processor = released();
        assert!(processor.smart_resize(200, 1).is_ok());
        assert!(matches!(processor.smart_resize(201, 1), Err(ImageError::TooNarrow { .. })));
        assert!(matches!(processor.smart_resize(0, 9), Err(ImageError::NoPixels { .. })));
    }

    #[test]
    fn the_largest_sizes_stay_within_the_limit() {
        let (width, height) = released().smart_resize(u32::MAX, u32::MAX).unwrap();
        assert!(u64::from(width) * u64::from(height) <= 12_845_056);
    }

    #[test]
    fn patches_go_by_merge_cell_and_repeat_the_frame() {
        let processor = released();
        // The level of a pixel names its patch: column + 4 * row.
        let pixels = (0..56 * 56).flat_map(|i| [((i / 56 / 14) * 4 + i % 56 / 14) as u8; 3]);
        let patches = processor.patches_of_resized(&RgbImage::new(56, 56, pixels.collect()).unwrap());
        let rows: Vec<&[f32]> = patches.values.chunks_exact(1176).collect();
        let names: Vec<f32> = rows.iter().map(|row| (row[0] * 0.5 + 0.5) * 255.0).collect();
        let expected = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
        for (name, expected) in names.iter().zip(expected) {
            assert!((name - expected as f32).abs() < 1e-3);
        }
        assert!(rows.iter().all(|row| row[..196] == row[196..392]));
        assert_eq!(patches.grid, GridThw { t: 1, h: 4, w: 4 });
    }
}
