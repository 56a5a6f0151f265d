//! Images in, patches out: decoding, the resizes, normalisation and token cost.
//!
//! This crate owns everything between the bytes of an image file and the flat list of patches that a vision tower reads: decoding with
//! limits, EXIF orientation, alpha, the Lanczos and bicubic resizes with the exact arithmetic of Pillow and torchvision, `smart_resize`,
//! normalisation, the order of patches, and what an image costs in tokens. It knows nothing of tensors, tokens or text.
//!
//! Read [`Processor`] first. Source: the Qwen2.5-VL image processor of transformers 5.23 and the image preparation of
//! `dvlab-research/VisionThink` (commit `42afd8c`).
//!
//! ```
//! use visionthink_image::{Processor, RgbImage, low_view};
//!
//! let processor = Processor::from_json(
//!     r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056}"#,
//! )?;
//! let picture = RgbImage::new(112, 112, vec![200; 112 * 112 * 3])?;
//! let low = processor.process(&low_view(&picture)?)?;
//! let full = processor.process(&picture)?;
//! assert_eq!((low.grid.tokens(2), full.grid.tokens(2)), (4, 16));
//! assert_eq!(full.values.len(), full.grid.patches() * 1176);
//! # Ok::<(), visionthink_image::ImageError>(())
//! ```

mod complete;
mod decode;
mod error;
mod passes;
mod patches;
mod processor;
mod processor_config;
pub mod reference_sizes;
mod resize;
mod rgb;
mod taps;
mod to_rgb;
mod views;

pub use decode::{DecodeOptions, Limits, decode, open, upright_size};
pub use error::ImageError;
pub use patches::{GridThw, Patches};
pub use processor::Processor;
pub use resize::{Arithmetic, MAX_RESIZED_PIXELS, lanczos_double, lanczos_half, resize};
pub use rgb::RgbImage;
pub use taps::Filter;
pub use to_rgb::Alpha;
pub use views::{MIN_SIDE_PX, View, Views, full_size, full_view, low_size, low_view, scaled_view};
