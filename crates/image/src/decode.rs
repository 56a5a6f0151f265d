//! Bytes to pixels, with every limit checked before memory is taken.

use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::complete::is_complete;
use crate::to_rgb::to_rgb;
use crate::{Alpha, ImageError, RgbImage};

/// How large an image may be. Each limit is checked before the memory it guards is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the file. Default 64 MiB.
    pub max_bytes: u64,
    /// Width times height in the header. Default 89,478,485, where Pillow starts to warn of a decompression bomb.
    pub max_pixels: u64,
    /// Bytes of the picture as the decoder writes it, in its own colour type (up to 8 bytes a pixel), and, where the decoder can be told, of
    /// its scratch memory. Default 512 MiB. The conversion to RGB takes at most 3 bytes a pixel more.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_pixels: 89_478_485, max_decoded_bytes: 512 << 20 }
    }
}

/// How to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecodeOptions {
    /// How large an image may be.
    pub limits: Limits,
    /// What becomes of transparency.
    pub alpha: Alpha,
}

/// Decodes PNG, JPEG, WebP, GIF or BMP, told apart by their first bytes.
///
/// The EXIF orientation is applied. Gray, palette, 16-bit (high byte kept) and CMYK (Adobe's inverted form, which is what JPEG files hold)
/// become RGB; alpha as `options` say. Of an animation the first frame is taken. Colour profiles are not applied, as in the reference.
///
/// # Errors
/// A limit ([`ImageError::TooManyBytes`], [`ImageError::TooManyPixels`], [`ImageError::TooMuchMemory`]), [`ImageError::Empty`],
/// [`ImageError::NotAnImage`], [`ImageError::UnsupportedFormat`], [`ImageError::Truncated`], or [`ImageError::Decode`] for damaged data.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, ImageError> {
    let Header { format, decoder, orientation } = Header::read(bytes, options.limits)?;
    if !is_complete(format, bytes) {
        return Err(truncated(format, bytes));
    }
    let picture =
        DynamicImage::from_decoder(decoder).map_err(|error| decoder_error(error, format, bytes, options.limits))?;
    let mut upright = DynamicImage::ImageRgb8(to_rgb(picture, options.alpha));
    upright.apply_orientation(orientation);
    RgbImage::new(upright.width(), upright.height(), upright.into_rgb8().into_raw())
}

/// Decodes a file, as [`decode`].
///
/// # Errors
/// [`ImageError::Read`] when the file cannot be read, [`ImageError::InFile`] around what [`decode`] reports. Both name the file.
pub fn open(path: &Path, options: &DecodeOptions) -> Result<RgbImage, ImageError> {
    let bytes = read_limited(path, options.limits.max_bytes)?;
    decode(&bytes, options).map_err(|error| error.in_file(path))
}

/// Width and height after the EXIF orientation, read from the header alone: what an image costs can be told without its pixels.
///
/// # Errors
/// As [`decode`], but damage behind the header goes unnoticed.
pub fn upright_size(bytes: &[u8], options: &DecodeOptions) -> Result<(u32, u32), ImageError> {
    let header = Header::read(bytes, options.limits)?;
    let (width, height) = header.decoder.dimensions();
    Ok(match header.orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (height, width)
        }
        _ => (width, height),
    })
}

/// A decoder that has read the header and nothing more, known to stay within the limits.
struct Header<D> {
    format: ImageFormat,
    decoder: D,
    orientation: Orientation,
}

impl Header<()> {
    fn read(bytes: &[u8], limits: Limits) -> Result<Header<impl ImageDecoder + '_>, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty);
        }
        if bytes.len() as u64 > limits.max_bytes {
            return Err(ImageError::TooManyBytes { bytes: bytes.len() as u64, limit: limits.max_bytes });
        }
        let format = image::guess_format(bytes).map_err(|_| ImageError::NotAnImage)?;
        if !format.reading_enabled() {
            return Err(ImageError::UnsupportedFormat { format: name(format) });
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut decoder_limits = image::Limits::no_limits();
        decoder_limits.max_alloc = Some(limits.max_decoded_bytes);
        reader.limits(decoder_limits);
        let mut decoder = reader.into_decoder().map_err(|error| decoder_error(error, format, bytes, limits))?;
        check_size(&decoder, format, limits)?;
        // A picture with unreadable EXIF is still a picture.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok(Header { format, decoder, orientation })
    }
}

fn check_size(decoder: &impl ImageDecoder, format: ImageFormat, limits: Limits) -> Result<(), ImageError> {
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::NoPixels { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(ImageError::TooManyPixels { width, height, limit: limits.max_pixels });
    }
    if decoder.total_bytes() > limits.max_decoded_bytes {
        return Err(ImageError::TooMuchMemory { format: name(format), limit: limits.max_decoded_bytes });
    }
    Ok(())
}

fn decoder_error(error: image::ImageError, format: ImageFormat, bytes: &[u8], limits: Limits) -> ImageError {
    match error {
        image::ImageError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => truncated(format, bytes),
        image::ImageError::Limits(_) => {
            ImageError::TooMuchMemory { format: name(format), limit: limits.max_decoded_bytes }
        }
        // A decoder that runs out of bytes may blame something else.
        _ if !is_complete(format, bytes) => truncated(format, bytes),
        other => ImageError::Decode { format: name(format), source: Box::new(other) },
    }
}

fn truncated(format: ImageFormat, bytes: &[u8]) -> ImageError {
    ImageError::Truncated { format: name(format), bytes: bytes.len() as u64 }
}

fn name(format: ImageFormat) -> &'static str {
    format.extensions_str().first().copied().unwrap_or("unknown")
}

/// Reads at most one byte past the limit, whatever the length says: a device or a growing file has none to trust.
fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ImageError> {
    let file = fs_err::File::open(path).map_err(ImageError::Read)?;
    let announced = file.metadata().map_err(ImageError::Read)?.len();
    let too_long = |bytes| ImageError::TooManyBytes { bytes, limit: max_bytes }.in_file(path);
    if announced > max_bytes {
        return Err(too_long(announced));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(ImageError::Read)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_long(bytes.len() as u64));
    }
    Ok(bytes)
}
