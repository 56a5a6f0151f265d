//! A source image and its two views, made when they are asked for.

use std::sync::{Arc, OnceLock};

use visionthink_image::{ImageError, Patches, Processor, RgbImage, Views, full_view, low_view};
use visionthink_protocol::{ImageTokens, View};

/// An image of a question. Its costs are known at once; the patches of a view are made when first asked for, so the
/// full view of a question that is answered from the low one costs nothing.
#[derive(Debug)]
pub struct Picture {
    image: RgbImage,
    processor: Arc<Processor>,
    costs: Views,
    low: OnceLock<Arc<Patches>>,
    full: OnceLock<Arc<Patches>>,
}

impl Picture {
    /// Takes an image and works out what its views cost.
    ///
    /// # Errors
    /// An image with no pixels or one that is too narrow.
    pub fn new(image: RgbImage, processor: Arc<Processor>) -> Result<Self, ImageError> {
        let costs = processor.view_costs(image.width, image.height)?;
        Ok(Self { image, processor, costs, low: OnceLock::new(), full: OnceLock::new() })
    }

    /// The image itself.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// Sizes and token costs of both views.
    pub fn costs(&self) -> &Views {
        &self.costs
    }

    /// Token costs as a conversation wants them.
    pub fn tokens(&self) -> ImageTokens {
        ImageTokens { low: self.costs.low.tokens, full: self.costs.full.tokens }
    }

    /// The patches of a view.
    ///
    /// # Errors
    /// As [`Processor::process`].
    pub fn patches(&self, view: View) -> Result<Arc<Patches>, ImageError> {
        let made = match view {
            View::Low => &self.low,
            View::Full => &self.full,
        };
        if let Some(patches) = made.get() {
            return Ok(patches.clone());
        }
        let patches = match view {
            View::Low => self.processor.process(&low_view(&self.image)?)?,
            View::Full => self.processor.process(full_view(&self.image)?.as_ref())?,
        };
        Ok(made.get_or_init(|| Arc::new(patches)).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let processor = Processor::from_json(r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}"#);
        let image = RgbImage::new(224, 112, (0..224 * 112 * 3).map(|byte| (byte % 251) as u8).collect());
        Picture::new(image.unwrap(), Arc::new(processor.unwrap())).unwrap()
    }

    #[test]
    fn views_have_the_tokens_that_were_announced() {
        let picture = picture();
        for view in [View::Low, View::Full] {
            let patches = picture.patches(view).unwrap();
            assert_eq!(patches.grid.tokens(2), picture.tokens().of(view), "{view:?}");
        }
        assert_eq!(picture.tokens(), ImageTokens { low: 8, full: 32 });
    }

    #[test]
    fn a_view_is_made_once() {
        let picture = picture();
        let first = picture.patches(View::Low).unwrap();
        assert!(Arc::ptr_eq(&first, &picture.patches(View::Low).unwrap()));
        assert!(picture.full.get().is_none());
    }
}
