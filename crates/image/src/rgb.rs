//! The one pixel type of the project.

use image::ImageEncoder;
use image::codecs::png::PngEncoder;

use crate::ImageError;

/// An 8-bit RGB picture, rows from the top, three bytes a pixel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `[height, width, 3]` bytes, red first.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// Takes `[height, width, 3]` bytes.
    ///
    /// # Errors
    /// [`ImageError::NoPixels`] for a side of 0, [`ImageError::WrongLength`] for a buffer of another size.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let image = Self { width, height, pixels };
        image.check()?;
        Ok(image)
    }

    /// Encodes as an 8-bit RGB PNG without metadata.
    ///
    /// # Errors
    /// [`ImageError::WrongLength`] or [`ImageError::NoPixels`] when the public fields do not fit each other, [`ImageError::Encode`] when the
    /// encoder fails.
    pub fn encode_png(&self) -> Result<Vec<u8>, ImageError> {
        self.check()?;
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&self.pixels, self.width, self.height, image::ExtendedColorType::Rgb8)
            .map_err(|source| ImageError::Encode(Box::new(source)))?;
        Ok(png)
    }

    /// The fields are public, so each entry point that indexes by them looks first.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        let Self { width, height, .. } = *self;
        if width == 0 || height == 0 {
            return Err(ImageError::NoPixels { width, height });
        }
        let expected = u64::from(width) * u64::from(height) * 3;
        let found = self.pixels.len() as u64;
        if expected != found {
            return Err(ImageError::WrongLength { width, height, expected, found });
        }
        Ok(())
    }
}

impl std::fmt::Debug for RgbImage {
    /// Megabytes of pixels help nobody who reads a failed assertion.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_of_the_wrong_length_is_refused() {
        let error = RgbImage::new(4, 2, vec![0; 23]).unwrap_err();
        assert!(matches!(error, ImageError::WrongLength { expected: 24, found: 23, .. }));
        assert!(matches!(RgbImage::new(0, 2, vec![]), Err(ImageError::NoPixels { .. })));
    }

    #[test]
    fn png_keeps_every_byte() {
        let picture = RgbImage::new(5, 3, (0..45).map(|byte| byte * 5).collect()).unwrap();
        let png = picture.encode_png().unwrap();
        assert_eq!(crate::decode(&png, &crate::DecodeOptions::default()).unwrap(), picture);
    }
}
