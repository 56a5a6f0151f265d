//! The questions there are, in an order that is always the same.

use visionthink_data::world::{Split, draw_one};
use visionthink_data::{ImageSource, Question as Row, RowError};

use crate::curate::config::{CurateDataSection, CurateSynthetic};
use crate::error::TrainError;

/// Rows with their places, one at a time.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = Result<(u64, Result<Row, RowError>), TrainError>> + 'a>;

/// All rows of the source, from the first. Places count what cannot be read, too, so that they stay what they are.
///
/// # Errors
/// A file that cannot be opened.
pub(super) fn rows(data: &CurateDataSection) -> Result<Rows<'_>, TrainError> {
    match (&data.synthetic, &data.files) {
        (Some(synthetic), _) => {
            Ok(Box::new((0..synthetic.questions).map(|place| Ok((place, Ok(drawn(synthetic, place)?))))))
        }
        (None, Some(files)) => Ok(Box::new((0..).zip(visionthink_data::open(&files.path)?).map(Ok))),
        (None, None) => unreachable!("a checked run file names a source"),
    }
}

fn drawn(synthetic: &CurateSynthetic, place: u64) -> Result<Row, TrainError> {
    let families = synthetic.families.len() as u64;
    let family = synthetic.families[(place % families) as usize];
    let (image, asked) = draw_one(family, Split::Train, synthetic.seed, place / families);
    Ok(Row {
        id: format!("{}-{}-{}-{}", family.name(), Split::Train.name(), synthetic.seed, place / families),
        image: ImageSource::Bytes(image.encode_png()?),
        needs_full: Some(asked.needs_full()),
        question: asked.question,
        answer: asked.answer,
        source: "synthetic".to_owned(),
        family: Some(family.name().to_owned()),
        ..Row::default()
    })
}
