//! VisionZip: an image as fewer tokens.

use burn::Tensor;
use burn::tensor::{DType, Int, TensorData};
use visionthink_image::GridThw;
use visionthink_prune::{Contextual, VisionZip, Zipped, visionzip};

use crate::error::ModelError;
use crate::model::Model;

/// What is left of an image.
#[derive(Debug, Clone)]
pub struct ZippedImage {
    /// Tokens that stay in their places, ascending; the image's other tokens have no place in the prompt.
    pub kept: Vec<usize>,
    /// Their rows, [kept, C].
    pub rows: Tensor<2>,
    /// The tokens that others were merged into.
    pub contextual: Vec<Contextual>,
}

impl Model {
    /// [`Model::encode_images`], with each image cut down to its dominant and contextual tokens.
    ///
    /// Shapes: `pixel_values` [P, patch values].
    ///
    /// # Errors
    /// As [`Model::encode_images`]; [`ModelError::Prune`], [`ModelError::NoWholeImageBlock`]; a device that fails while scores are
    /// read.
    ///
    /// Source: arXiv 2412.04467, section 3; see [`VisionZip`] for the variant.
    pub fn encode_images_zipped(
        &self,
        pixel_values: Tensor<2>,
        grids: &[GridThw],
        zip: VisionZip,
    ) -> Result<Vec<ZippedImage>, ModelError> {
        visionthink_prune::Pruning::VisionZip(zip).check()?;
        let (tower, config) = self.tower_for(&pixel_values, grids)?;
        let source = config.last_whole_image_block().ok_or(ModelError::NoWholeImageBlock)?;
        let dtype = tower.patch_embed.proj.weight.dtype();
        let (rows, received) = tower.forward_watched(pixel_values.cast(dtype), grids, config, source)?;
        let mut first = 0;
        let images = received.into_iter().map(|image| {
            let tokens = image.scores.len();
            let own = rows.clone().narrow(0, first, tokens);
            first += tokens;
            let (dominant, contextual) = zip.counts(tokens);
            zipped(own, visionzip(&image.scores, &image.keys, [dominant, contextual]))
        });
        Ok(images.collect())
    }
}

/// The rows of the kept tokens of `rows` [N, C]; a contextual one is its target's row plus the mean of its members'.
fn zipped(rows: Tensor<2>, Zipped { kept, contextual }: Zipped) -> ZippedImage {
    let [tokens, _] = rows.dims();
    let device = rows.device();
    let index = |values: &[i64]| Tensor::<1, Int>::from_ints(values, &device);
    let carrying: Vec<&Contextual> = contextual.iter().filter(|contextual| !contextual.members.is_empty()).collect();
    let table = if carrying.is_empty() {
        rows
    } else {
        let members: Vec<i64> = carrying.iter().flat_map(|one| &one.members).map(|token| *token as i64).collect();
        let targets: Vec<i64> = carrying.iter().map(|one| one.target as i64).collect();
        let mut shares = vec![0.0_f32; carrying.len() * members.len()];
        let mut column = 0;
        for (row, one) in carrying.iter().enumerate() {
            for _ in &one.members {
                shares[row * members.len() + column] = 1.0 / one.members.len() as f32;
                column += 1;
            }
        }
        let shares =
            Tensor::<2>::from_data(TensorData::new(shares, [carrying.len(), members.len()]), (&device, DType::F32));
        let means = shares.matmul(rows.clone().select(0, index(&members)).cast(DType::F32));
        let sums = rows.clone().select(0, index(&targets)).cast(DType::F32) + means;
        let dtype = rows.dtype();
        Tensor::cat(vec![rows, sums.cast(dtype)], 0)
    };
    let places: Vec<i64> = kept
        .iter()
        .map(|token| carrying.iter().position(|one| one.target == *token).map_or(*token, |at| tokens + at) as i64)
        .collect();
    ZippedImage { rows: table.select(0, index(&places)), kept, contextual }
}
