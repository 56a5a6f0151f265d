//! The pictures of a row, still encoded, looked at closely enough to tell broken ones.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use visionthink_data::{ImageSource, RowProblem, TableRow};
use visionthink_image::{DecodeOptions, ImageError, decode, upright_size};

use super::sample::Defect;
use crate::benchmarks::Pictures;

/// How closely pictures are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImageCheck {
    /// Each is decoded, and the pixels thrown away.
    #[default]
    Whole,
    /// Their headers are read; for a caller who decodes them all the same and reports what is broken.
    Header,
}

/// What is wrong with a picture.
#[derive(Debug, thiserror::Error)]
pub enum ImageProblem {
    /// There is none.
    #[error("there is no image")]
    Missing,
    /// The value is not an image.
    #[error("{0}")]
    Value(RowProblem),
    /// Its file cannot be read; the source names it.
    #[error("{0}")]
    File(#[source] std::io::Error),
    /// It cannot be decoded.
    #[error("{0}")]
    Image(#[source] ImageError),
}

/// The encoded pictures of a row, in the order in which they are shown.
pub(super) fn read(
    pictures: Pictures,
    asked: &str,
    row: &TableRow<'_>,
    check: ImageCheck,
) -> Result<Vec<Vec<u8>>, Defect> {
    let of = |column: &str| {
        let images = in_column(column, row, check);
        images.map_err(|problem| Defect::Image { column: column.to_owned(), problem })
    };
    let missing = |column: String| Defect::Image { column, problem: ImageProblem::Missing };
    match pictures {
        Pictures::Sometimes(column) => of(column),
        Pictures::Always(column) => match of(column)? {
            images if images.is_empty() => Err(missing(column.to_owned())),
            images => Ok(images),
        },
        Pictures::Marked => {
            let mut images = Vec::new();
            for column in marked(asked) {
                match of(&column)? {
                    found if found.is_empty() => return Err(missing(column)),
                    found => images.extend(found),
                }
            }
            Ok(images)
        }
    }
}

/// The columns that a text marks with `<image 1>`, `<image 2>` …, each once, sorted by name.
fn marked(text: &str) -> BTreeSet<String> {
    let numbers = text.split("<image ").skip(1).filter_map(|rest| rest.split_once('>').map(|(number, _)| number));
    let numbers = numbers.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.map(|number| format!("image_{number}")).collect()
}

fn in_column(column: &str, row: &TableRow<'_>, check: ImageCheck) -> Result<Vec<Vec<u8>>, ImageProblem> {
    let sources = row.images(column).map_err(ImageProblem::Value)?;
    sources.into_iter().filter_map(|source| bytes(source, check).transpose()).collect()
}

fn bytes(source: ImageSource, check: ImageCheck) -> Result<Option<Vec<u8>>, ImageProblem> {
    let options = DecodeOptions::default();
    let bytes = match source {
        ImageSource::None => return Ok(None),
        ImageSource::Bytes(bytes) => bytes,
        ImageSource::Path(path) => file(&path, options.limits.max_bytes).map_err(ImageProblem::File)?,
    };
    match check {
        ImageCheck::Whole => decode(&bytes, &options).map(drop),
        ImageCheck::Header => upright_size(&bytes, &options).map(drop),
    }
    .map_err(ImageProblem::Image)?;
    Ok(Some(bytes))
}

/// At most one byte past the limit, which is enough for the decoder to refuse it.
fn file(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_columns_once_and_in_order() {
        let text = "See <image 2>, <image 1> and <image 2>.\nA. <image 10>\nB. <image x> <image> <image 3";
        assert_eq!(marked(text).into_iter().collect::<Vec<_>>(), ["image_1", "image_10", "image_2"]);
    }
}
