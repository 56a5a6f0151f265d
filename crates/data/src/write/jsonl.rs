//! Rows as JSONL beside a folder with the encoded images.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::DataError;
use crate::question::{ImageSource, Question};
use crate::selection::{Need, Selection};
use crate::write::partial::Partial;

/// Writes `DIR/NAME.jsonl` and the images as `DIR/images/NAME/000000.png` and so on.
///
/// Images are stored as they come, byte for byte; the ending says what they are. Nothing is there under its own name before
/// [`JsonlWriter::finish`]; a writer that is dropped earlier leaves nothing behind.
#[derive(Debug)]
pub struct JsonlWriter {
    file: BufWriter<fs_err::File>,
    partial: Partial,
    images: Option<Partial>,
    images_target: PathBuf,
    /// `images/NAME`, as rows name it.
    images_name: String,
    rows: u64,
}

impl JsonlWriter {
    /// Begins `path`, creating its folder where it is missing.
    ///
    /// # Errors
    /// [`DataError::Exists`] if the file or its folder of images is there already; [`DataError::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let partial = Partial::new(path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let images_name = format!("images/{stem}");
        let images_target = path.with_file_name("images").join(&*stem);
        if images_target.symlink_metadata().is_ok() {
            return Err(DataError::Exists { path: images_target });
        }
        let file = BufWriter::new(fs_err::File::create(partial.path())?);
        Ok(Self { file, partial, images: None, images_target, images_name, rows: 0 })
    }

    /// Appends a row and stores its image.
    pub fn write(&mut self, question: &Question) -> Result<(), DataError> {
        let image = match question.image.read()? {
            Some(bytes) => Some(self.store(&question.image, &bytes)?),
            None => None,
        };
        let row = Row::new(question, image.as_deref());
        serde_json::to_writer(&mut self.file, &row).map_err(std::io::Error::from)?;
        self.file.write_all(b"\n")?;
        self.rows += 1;
        Ok(())
    }

    /// Flushes everything, gives it its names and returns the number of rows.
    pub fn finish(mut self) -> Result<u64, DataError> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        // The images first: rows never name images that are not there.
        if let Some(images) = self.images {
            images.finish()?;
        }
        self.partial.finish()?;
        Ok(self.rows)
    }

    /// Stores an image under the number of its row and returns its path as the row names it.
    fn store(&mut self, source: &ImageSource, bytes: &[u8]) -> Result<String, DataError> {
        if self.images.is_none() {
            let images = Partial::new(&self.images_target)?;
            fs_err::create_dir_all(images.path())?;
            self.images = Some(images);
        }
        let folder = self.images.as_ref().map_or(self.images_target.as_path(), Partial::path);
        let name = format!("{:06}.{}", self.rows, ending(source, bytes));
        fs_err::write(folder.join(&name), bytes)?;
        Ok(format!("{}/{name}", self.images_name))
    }
}

/// The ending for a file of these bytes: what they are, or what the file they came from was called.
fn ending(source: &ImageSource, bytes: &[u8]) -> String {
    if let Ok(format) = image::guess_format(bytes)
        && let Some(ending) = format.extensions_str().first()
    {
        return (*ending).to_owned();
    }
    match source {
        ImageSource::Path(path) => path.extension().and_then(|ending| ending.to_str()).unwrap_or("bin").to_owned(),
        _ => "bin".to_owned(),
    }
}

/// A question as its line has it: nothing is written for what is not there.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    question: &'a str,
    answer: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    answers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_full: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    solution: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionColumn>,
}

#[derive(Serialize)]
struct Info {
    tgt_width: u32,
    tgt_height: u32,
    use_tool: bool,
}

#[derive(Serialize)]
struct SelectionColumn {
    class: Need,
    rollouts: u32,
    right_low: u32,
    right_full: u32,
}

impl<'a> Row<'a> {
    fn new(question: &'a Question, image: Option<&'a str>) -> Self {
        Self {
            id: &question.id,
            image,
            question: &question.question,
            answer: &question.answer,
            source: &question.source,
            answers: &question.answers,
            options: &question.options,
            needs_full: question.needs_full,
            family: question.family.as_deref(),
            solution: question.solution.as_deref(),
            info: question.target.map(|target| Info {
                tgt_width: target.width_px,
                tgt_height: target.height_px,
                use_tool: target.use_tool,
            }),
            selection: question.selection.map(|Selection { class, tries }| SelectionColumn {
                class,
                rollouts: tries.rollouts,
                right_low: tries.right_low,
                right_full: tries.right_full,
            }),
        }
    }
}
