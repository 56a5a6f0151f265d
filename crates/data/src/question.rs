//! One question about one image, as every reader gives it and every writer takes it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::error::DataError;
use crate::selection::Selection;

/// Where the encoded image of a question is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// The question has no image; only readers that were asked for it give this (see [`crate::Images::Optional`]).
    #[default]
    None,
    /// A file with the encoded image. Readers have joined it to the folder of the file that named it.
    Path(PathBuf),
    /// The encoded image itself (PNG, JPEG, …), not pixels.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// The encoded bytes, read from the file where it is a path; `None` where there is no image.
    ///
    /// # Errors
    /// [`DataError::Io`], which names the file.
    pub fn read(&self) -> Result<Option<Cow<'_, [u8]>>, DataError> {
        Ok(match self {
            Self::None => None,
            Self::Path(path) => Some(Cow::Owned(fs_err::read(path)?)),
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        })
    }
}

impl fmt::Debug for ImageSource {
    /// Bytes are shown as their number: a whole image in a log helps nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// The low-resolution size that a VisionThink row asks for in its `info` column.
///
/// Source: dvlab-research/VisionThink 42afd8c, `process_image`; the three values count only together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetSize {
    /// `tgt_width`, in pixels.
    pub width_px: u32,
    /// `tgt_height`, in pixels.
    pub height_px: u32,
    /// `use_tool`: whether the row was picked as one that needs the full image.
    pub use_tool: bool,
}

/// One question about one image.
///
/// `Question::default()` is the empty row, to be filled with `..Default::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Name of the row (`id`, `doc_id`); where a file has none, its shard and row number.
    pub id: String,
    /// The encoded image (`image`, `images`).
    pub image: ImageSource,
    /// The question without image placeholders (`question`, `problem`).
    pub question: String,
    /// The accepted answer (`answer`, `original_answer`, else `solution` without its `<answer>` tags).
    pub answer: String,
    /// The data set or benchmark it comes from (`source`, `data_source`); where a file has none, the name of what was opened.
    pub source: String,
    /// Further accepted answers.
    pub answers: Vec<String>,
    /// The choices of a multiple-choice question, in order.
    pub options: Vec<String>,
    /// Whether the answer is out of reach of the low-resolution image. Known only for synthetic questions;
    /// for measuring, never for training.
    pub needs_full: Option<bool>,
    /// The kind of question, by which results are grouped.
    pub family: Option<String>,
    /// The answer as a rule-based check wants it, tags and all (`solution` of VisionThink rows).
    pub solution: Option<String>,
    /// The low-resolution size (`info` of VisionThink rows).
    pub target: Option<TargetSize>,
    /// What rollouts at both resolutions showed, where the row was selected by them (`selection`).
    pub selection: Option<Selection>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_size_of_an_image_and_not_its_bytes() {
        assert_eq!(format!("{:?}", ImageSource::Bytes(vec![7; 3000])), "Bytes(3000 bytes)");
    }

    #[test]
    fn reading_a_path_that_is_not_there_names_the_file() {
        let error = ImageSource::Path("no/such/picture.png".into()).read().unwrap_err();
        let DataError::Io(source) = error else { panic!("{error:?}") };
        assert!(source.to_string().contains("no/such/picture.png"), "{source}");
    }
}
