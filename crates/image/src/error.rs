//! What can go wrong with an image, one variant for each thing a caller can act on.

use std::path::PathBuf;

/// Why an image, or the settings of its processor, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file could not be opened or read; the source names it.
    #[error("cannot read the file")]
    Read(#[source] std::io::Error),
    /// Something is wrong with what the file holds.
    #[error("cannot use `{}`", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
    /// There are no bytes at all.
    #[error("the image has 0 bytes")]
    Empty,
    /// The bytes begin like no image format.
    #[error("not an image: expected png, jpeg, webp, gif or bmp")]
    NotAnImage,
    /// An image, in a format that is not read here.
    #[error("`{format}` images are not read; convert to png, jpeg, webp, gif or bmp")]
    UnsupportedFormat {
        /// The usual file extension of the format.
        format: &'static str,
    },
    /// The file ends before the picture does.
    #[error("the {format} image is truncated: its data ends after {bytes} bytes, before the picture does")]
    Truncated {
        /// The usual file extension of the format.
        format: &'static str,
        /// How many bytes there are.
        bytes: u64,
    },
    /// The decoder refuses the data.
    #[error("cannot decode the {format} image")]
    Decode {
        /// The usual file extension of the format.
        format: &'static str,
        /// What the decoder says.
        source: Box<image::ImageError>,
    },
    /// The file is longer than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("the image has {bytes} bytes; the limit `max_bytes` is {limit}")]
    TooManyBytes {
        /// Length of the file. A stream is not read further than one byte past the limit.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The header announces more pixels than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error("the image is {width}x{height}; the limit `max_pixels` is {limit}")]
    TooManyPixels {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// Decoding would take more memory than [`Limits::max_decoded_bytes`](crate::Limits::max_decoded_bytes).
    #[error("decoding the {format} image takes more than `max_decoded_bytes`, which is {limit}")]
    TooMuchMemory {
        /// The usual file extension of the format.
        format: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A side is 0.
    #[error("an image of {width}x{height} has no pixels")]
    NoPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The pixel buffer does not fit the size.
    #[error("{width}x{height} RGB pixels take {expected} bytes, found {found}")]
    WrongLength {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// `width * height * 3`.
        expected: u64,
        /// Length of the buffer.
        found: u64,
    },
    /// One side is more than 200 times the other.
    #[error("{width}x{height} is too narrow: one side may be at most 200 times the other")]
    TooNarrow {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A resize would make an image (or an intermediate one) above [`MAX_RESIZED_PIXELS`](crate::MAX_RESIZED_PIXELS).
    #[error("resizing to {width}x{height} passes through more than {limit} pixels")]
    ResizeTooLarge {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// The picture could not be written as PNG.
    #[error("cannot encode the image as png")]
    Encode(#[source] Box<image::ImageError>),
    /// The processor's settings are not the JSON they should be; the source names the field.
    #[error("the image processor's settings cannot be read")]
    Settings(#[source] serde_json::Error),
    /// A setting of the processor has a value that would give wrong pixels.
    #[error("`{field}` is {found}; expected {expected}")]
    Setting {
        /// The key in the file.
        field: &'static str,
        /// The value there.
        found: String,
        /// What is supported.
        expected: &'static str,
    },
    /// A checkpoint folder without settings for images.
    #[error("`{}` has neither `preprocessor_config.json` nor an `image_processor` in `processor_config.json`", folder.display())]
    NoSettings {
        /// The folder.
        folder: PathBuf,
    },
}

impl ImageError {
    /// Wraps the error with the file it belongs to.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}
