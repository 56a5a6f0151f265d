//! The size rules of the reference's training loader, kept beside the rules of [`crate::low_view`] so that its data can be prepared alike.
//!
//! Source: `process_image` and the second image of `MultiModalDataset`, `verl/utils/dataset/multimodal_dataset.py` in
//! `dvlab-research/VisionThink` (commit `42afd8c`). Departures: an error is returned, where the loader silently takes the next row; a
//! picture is RGB before it is resized, not after; the limits hold for what the settings say, not for shared mutable settings.

use crate::{Arithmetic, Filter, ImageError, MIN_SIDE_PX, RgbImage, resize};

/// Settings of the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The model may ask for the larger image: start from half of each side.
    pub tool_call: bool,
    /// The target size is meant as it stands, even for a row that is marked as needing the tool.
    pub use_tgt_size: bool,
    /// Prepare the larger image as well.
    pub use_raw_image: bool,
    /// Reduce above this many pixels.
    pub max_pixels: u64,
    /// Enlarge below this many pixels.
    pub min_pixels: u64,
}

impl Default for Rules {
    /// The efficient recipe, `scripts/run_efficient_gpt4o_judge.sh`.
    fn default() -> Self {
        Self {
            tool_call: true,
            use_tgt_size: true,
            use_raw_image: true,
            max_pixels: 2048 * 2048,
            min_pixels: 512 * 512,
        }
    }
}

/// `tgt_width`, `tgt_height` and `use_tool` of a row's `info`, which counts only if it has all three keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// Width of the first image; none where the row has null.
    pub width: Option<u32>,
    /// Height of the first image; none where the row has null.
    pub height: Option<u32>,
    /// The row was marked as one that needs the larger image.
    pub use_tool: bool,
}

/// An image on its way: the sizes it is resized to, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Final width.
    pub width: u32,
    /// Final height.
    pub height: u32,
    /// `(width, height)` of each resize, in order; empty if the stored image is used as it is.
    pub steps: Vec<(u32, u32)>,
}

impl Prepared {
    fn start(width: u32, height: u32) -> Self {
        Self { width, height, steps: Vec::new() }
    }

    /// Runs the resizes on the stored image, by Lanczos in Pillow's arithmetic.
    ///
    /// # Errors
    /// As [`resize`].
    pub fn apply(&self, stored: &RgbImage) -> Result<RgbImage, ImageError> {
        let mut image = stored.clone();
        for &(width, height) in &self.steps {
            image = resize(&image, width, height, Filter::Lanczos3, Arithmetic::Pillow)?;
        }
        Ok(image)
    }

    fn resize(&mut self, width: u32, height: u32) -> Result<(), SizeError> {
        if width == 0 || height == 0 {
            return Err(SizeError::NoPixels { width, height });
        }
        (self.width, self.height) = (width, height);
        self.steps.push((width, height));
        Ok(())
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Scales to about `pixels`, both sides rounded down.
    fn scale_to(&mut self, pixels: u64) -> Result<(), SizeError> {
        let factor = (pixels as f64 / self.pixels() as f64).sqrt();
        let scaled = |side: u32| (f64::from(side) * factor) as u32;
        self.resize(scaled(self.width), scaled(self.height))
    }

    fn at_least_one_token(self) -> Result<Self, SizeError> {
        let Self { width, height, .. } = self;
        if width < MIN_SIDE_PX || height < MIN_SIDE_PX {
            return Err(SizeError::BelowMinimum { width, height });
        }
        Ok(self)
    }
}

/// Why the loader has no images for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A side ends below 28 pixels (an `AssertionError` there).
    #[error("the prepared image is {width}x{height}; both sides must be at least 28")]
    BelowMinimum {
        /// Width it would have.
        width: u32,
        /// Height it would have.
        height: u32,
    },
    /// A resize would leave nothing (a `ValueError` there).
    #[error("the prepared image would be {width}x{height}")]
    NoPixels {
        /// Width it would have.
        width: u32,
        /// Height it would have.
        height: u32,
    },
    /// One side of the target is given and the other is not (a `TypeError` there, when the second image is prepared).
    #[error("the target has only one of `tgt_width` and `tgt_height`")]
    HalfTarget,
}

/// Prepares the first image of a row stored as `width` x `height`, and behind it, with [`Rules::use_raw_image`], the larger one.
///
/// The larger image is the stored one sent through the same rules with twice the target size, or, without a target, with twice the size of
/// the first image.
///
/// # Errors
/// [`SizeError`], for either image.
pub fn prepare(width: u32, height: u32, target: Option<Target>, rules: &Rules) -> Result<Vec<Prepared>, SizeError> {
    let target = target.unwrap_or_default();
    let first = prepare_one(width, height, target, rules)?;
    if !rules.use_raw_image {
        return Ok(vec![first]);
    }
    let (target_width, target_height) = match (target.width, target.height) {
        (Some(width), Some(height)) => (width, height),
        (None, None) => (first.width, first.height),
        _ => return Err(SizeError::HalfTarget),
    };
    let doubled = Target {
        width: Some(target_width.saturating_mul(2)),
        height: Some(target_height.saturating_mul(2)),
        use_tool: target.use_tool,
    };
    let second = prepare_one(width, height, doubled, rules)?;
    Ok(vec![first, second])
}

fn prepare_one(width: u32, height: u32, target: Target, rules: &Rules) -> Result<Prepared, SizeError> {
    let mut image = Prepared::start(width, height);
    if let (Some(width @ 1..), Some(height @ 1..)) = (target.width, target.height) {
        image.resize(width, height)?;
        if target.use_tool && !rules.use_tgt_size {
            image.resize(width.saturating_mul(2), height.saturating_mul(2))?;
        }
        return image.at_least_one_token();
    }
    if image.pixels() > rules.max_pixels {
        image.scale_to(rules.max_pixels)?;
    }
    // Not an `else`: rounding down may have gone below a minimum that lies near the maximum.
    if image.pixels() < rules.min_pixels {
        image.scale_to(rules.min_pixels)?;
    }
    if rules.tool_call {
        image.resize(image.width / 2, image.height / 2)?;
    }
    image.at_least_one_token()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_can_be_carried_out() {
        let stored = RgbImage::new(100, 80, vec![60; 100 * 80 * 3]).unwrap();
        for prepared in prepare(100, 80, None, &Rules::default()).unwrap() {
            let image = prepared.apply(&stored).unwrap();
            assert_eq!((image.width, image.height), (prepared.width, prepared.height));
        }
    }

    #[test]
    fn a_target_with_one_side_is_an_error_only_where_it_is_doubled() {
        let target = Some(Target { width: Some(100), ..Target::default() });
        let rules = Rules::default();
        assert_eq!(prepare(640, 480, target, &rules), Err(SizeError::HalfTarget));
        let rules = Rules { use_raw_image: false, ..rules };
        assert_eq!(prepare(640, 480, target, &rules).unwrap()[0].width, 320);
    }
}
