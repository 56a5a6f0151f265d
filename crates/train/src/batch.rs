//! From transcripts to what one forward pass takes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use burn::Tensor;
use burn::tensor::{Device, Int, TensorData};
use visionthink_image::Patches;
use visionthink_model::{GridThw, ModelError, MropeBatch, mrope_positions};

use crate::shared_heads::{Sequence, SharedHeads};
use crate::transcript::{Shown, Target, Transcript};

/// The ids and sizes that positions depend on.
#[derive(Debug, Clone, Copy)]
pub struct ImageTokens {
    /// Id of the image placeholder; `None` for text-only models.
    pub id: Option<u32>,
    /// Patches a side of one image token.
    pub merge: u32,
}

/// One forward pass: sequences aligned at their ends, their images in one list of patches.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Token ids, row by row, without padding.
    pub ids: Vec<Vec<u32>>,
    /// Positions of [B, T], padding in front.
    pub positions: MropeBatch,
    /// Patches of the distinct images, [P, patch values]. The samples of a group share their pictures.
    pub pixels: Vec<f32>,
    /// Sizes of the distinct images, in patches.
    pub grids: Vec<GridThw>,
    /// The image tokens in the order of the ids, as rows of the distinct images' tokens.
    pub image_rows: Vec<i64>,
    /// For each target the row of [B * T, C] that predicts it: the token before it.
    pub rows: Vec<i64>,
    /// The targets, in the order of `rows`.
    pub targets: Vec<Target>,
    /// Which row of `ids` each target is in.
    pub sequences: Vec<usize>,
    /// How the image was shown, row by row.
    pub shown: Vec<Shown>,
    /// The same batch with what the sequences begin with alike computed once, where that saves enough.
    pub shared: Option<SharedHeads>,
}

impl MicroBatch {
    /// Collates transcripts.
    ///
    /// # Errors
    /// [`ModelError::ImageTokens`] where placeholders and images of a transcript do not match.
    pub fn collate(transcripts: Vec<Transcript>, image_tokens: ImageTokens) -> Result<Self, ModelError> {
        let longest = transcripts.iter().map(|one| one.ids.len()).max().unwrap_or(0);
        let mut batch = Self {
            ids: Vec::with_capacity(transcripts.len()),
            positions: MropeBatch::decode(&[]),
            pixels: Vec::new(),
            grids: Vec::new(),
            image_rows: Vec::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            sequences: Vec::new(),
            shown: Vec::with_capacity(transcripts.len()),
            shared: None,
        };
        let mut positions = Vec::with_capacity(transcripts.len());
        let mut image_ends = Vec::with_capacity(transcripts.len());
        let mut distinct = Distinct { merge: image_tokens.merge as usize, ..Distinct::default() };
        for (row, transcript) in transcripts.iter().enumerate() {
            let grids: Vec<GridThw> = transcript
                .images
                .iter()
                .map(|image| GridThw { t: image.grid.t, h: image.grid.h, w: image.grid.w })
                .collect();
            let (own, _) = mrope_positions(&transcript.ids, image_tokens.id, &grids, image_tokens.merge)?;
            positions.push(own);
            let padding = longest - transcript.ids.len();
            for target in &transcript.targets {
                batch.rows.push((row * longest + padding + target.at - 1) as i64);
                batch.sequences.push(row);
                batch.targets.push(*target);
            }
            for (image, grid) in transcript.images.iter().zip(grids) {
                distinct.show(&mut batch, image, grid);
            }
            image_ends.push(batch.image_rows.len());
            batch.ids.push(transcript.ids.clone());
            batch.shown.push(transcript.shown);
        }
        let starts = std::iter::once(0).chain(image_ends.iter().copied());
        let sequences: Vec<Sequence<'_>> = (transcripts.iter().zip(&positions).zip(starts.zip(&image_ends)))
            .map(|((transcript, positions), (start, end))| Sequence {
                ids: &transcript.ids,
                positions,
                image_rows: &batch.image_rows[start..*end],
                targets: &transcript.targets,
            })
            .collect();
        batch.shared = SharedHeads::of(&sequences, image_tokens.id);
        batch.positions = MropeBatch::left_padded(&positions);
        Ok(batch)
    }

    /// Ids of the targets in `rows`, `[N]`.
    pub fn target_ids(&self, rows: Range<usize>, device: &Device) -> Tensor<1, Int> {
        let ids: Vec<i64> = self.targets[rows].iter().map(|target| i64::from(target.id)).collect();
        Tensor::from_data(TensorData::from(ids.as_slice()), device)
    }

    /// Sum of the weights of all targets.
    pub fn weight(&self) -> f64 {
        self.targets.iter().map(|target| f64::from(target.weight)).sum()
    }

    /// Tokens without padding.
    pub fn tokens(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }
}

/// The images of a batch, each once: [`Arc`]s of one picture are known by where they point, and the transcripts keep them there.
#[derive(Default)]
struct Distinct {
    merge: usize,
    /// The first row of each image's tokens, and the row behind its last one.
    rows: HashMap<*const Patches, (i64, i64)>,
    tokens: i64,
}

impl Distinct {
    fn show(&mut self, batch: &mut MicroBatch, image: &Arc<Patches>, grid: GridThw) {
        let (from, to) = *self.rows.entry(Arc::as_ptr(image)).or_insert_with(|| {
            let from = self.tokens;
            self.tokens += (image.grid.patches() / (self.merge * self.merge)) as i64;
            batch.pixels.extend_from_slice(&image.values);
            batch.grids.push(grid);
            (from, self.tokens)
        });
        batch.image_rows.extend(from..to);
    }
}

/// Sorts transcripts by length and cuts them into micro-batches, so that little is padded. Equal lengths keep their order.
///
/// # Errors
/// As [`MicroBatch::collate`].
pub fn micro_batches(
    mut transcripts: Vec<Transcript>,
    size: usize,
    image_tokens: ImageTokens,
) -> Result<Vec<MicroBatch>, ModelError> {
    transcripts.sort_by_key(|one| one.ids.len());
    let mut batches = Vec::with_capacity(transcripts.len().div_ceil(size));
    let mut rest = transcripts.into_iter().peekable();
    while rest.peek().is_some() {
        batches.push(MicroBatch::collate(rest.by_ref().take(size).collect(), image_tokens)?);
    }
    Ok(batches)
}
