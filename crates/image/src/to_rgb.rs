//! Any decoded colour type to 8-bit RGB.

use image::DynamicImage;

/// What becomes of transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alpha {
    /// Composited on white paper, as the transformers 5 processor and the Qwen helper package do.
    #[default]
    OnWhite,
    /// Ignored, as VisionThink's own loader does: hidden colours of transparent pixels become visible.
    Drop,
}

/// Width, height and `[height, width, 3]` bytes. Gray is repeated over the channels; of 16-bit samples the high byte is kept, as Pillow does.
pub(crate) fn to_rgb(picture: DynamicImage, alpha: Alpha) -> image::RgbImage {
    let (width, height) = (picture.width(), picture.height());
    let pixels = match picture {
        DynamicImage::ImageRgb8(rgb) => return rgb,
        DynamicImage::ImageLuma8(gray) => map(&gray, |&[l]: &[u8; 1]| [l; 3]),
        DynamicImage::ImageLumaA8(gray) => map(&gray, |&[l, a]| blend([l; 3], a, alpha)),
        DynamicImage::ImageRgba8(rgba) => map(&rgba, |&[r, g, b, a]| blend([r, g, b], a, alpha)),
        DynamicImage::ImageLuma16(gray) => map(&gray, |&[l]: &[u16; 1]| [high(l); 3]),
        DynamicImage::ImageLumaA16(gray) => map(&gray, |&[l, a]| blend([high(l); 3], high(a), alpha)),
        DynamicImage::ImageRgb16(rgb) => map(&rgb, |pixel: &[u16; 3]| pixel.map(high)),
        DynamicImage::ImageRgba16(rgba) => map(&rgba, |&[r, g, b, a]| blend([r, g, b].map(high), high(a), alpha)),
        // No decoder of this build gives floats.
        other => return other.into_rgb8(),
    };
    image::RgbImage::from_raw(width, height, pixels).expect("one RGB pixel was written for each pixel read")
}

fn map<S, const N: usize>(samples: &[S], to_rgb: impl Fn(&[S; N]) -> [u8; 3]) -> Vec<u8> {
    let (pixels, _) = samples.as_chunks::<N>();
    let mut out = Vec::with_capacity(pixels.len() * 3);
    for pixel in pixels {
        out.extend_from_slice(&to_rgb(pixel));
    }
    out
}

fn high(sample: u16) -> u8 {
    (sample >> 8) as u8
}

fn blend(colour: [u8; 3], alpha: u8, mode: Alpha) -> [u8; 3] {
    match mode {
        Alpha::Drop => colour,
        Alpha::OnWhite => colour.map(|level| on_white(level, alpha)),
    }
}

/// `level * a + 255 * (1 - a)` with `a = alpha / 255`, in the fixed point of Pillow's `alpha_composite`: seven fractional bits, and a division
/// by 255 as `(t + t / 256) / 256`. Recorded pictures are bit-exact only with this rounding.
fn on_white(level: u8, alpha: u8) -> u8 {
    const FRACTION_BITS: u32 = 7;
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    let sum = ((level * alpha + 255 * (255 - alpha)) << FRACTION_BITS) + (0x80 << FRACTION_BITS);
    ((((sum >> 8) + sum) >> 8) >> FRACTION_BITS) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_paper_shows_through_by_the_alpha() {
        for level in 0..=255 {
            assert_eq!(on_white(level, 255), level);
            assert_eq!(on_white(level, 0), 255);
            for alpha in 0..=255u8 {
                let share = f64::from(alpha) / 255.0;
                let exact = f64::from(level) * share + 255.0 * (1.0 - share);
                assert!((f64::from(on_white(level, alpha)) - exact).abs() <= 1.0);
            }
        }
    }

    #[test]
    fn sixteen_bit_samples_keep_their_high_byte() {
        let samples = image::ImageBuffer::from_raw(1, 1, vec![0x12ff_u16, 0x8000, 0xffff]).unwrap();
        let rgb = to_rgb(DynamicImage::ImageRgb16(samples), Alpha::OnWhite);
        assert_eq!(rgb.into_raw(), [0x12, 0x80, 0xff]);
    }
}
