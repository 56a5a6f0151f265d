//! What of a prompt enters the decoder.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Int;
use visionthink_model::MropePositions;
use visionthink_prune::{Pruning, random, uniform};

use crate::sequence::Chunk;

/// An image as the vision tower gives it to the decoder.
#[derive(Debug, Clone)]
pub(crate) struct ImageRows {
    /// [M, C], of the tokens that are kept.
    pub(crate) rows: Tensor<2>,
    /// How many tokens the image has in the prompt.
    pub(crate) whole: usize,
    /// The places of the rows among them; `None` where all are kept.
    pub(crate) kept: Option<Arc<[usize]>>,
}

impl ImageRows {
    pub(crate) fn tokens(&self) -> usize {
        self.rows.dims()[0]
    }

    /// The tokens at `kept` alone.
    fn select(self, kept: Vec<usize>) -> Self {
        if kept.len() == self.tokens() {
            return self;
        }
        let index: Vec<i64> = kept.iter().map(|token| *token as i64).collect();
        let rows = self.rows.clone().select(0, Tensor::<1, Int>::from_ints(index.as_slice(), &self.rows.device()));
        Self { rows, kept: Some(kept.into()), ..self }
    }

    /// Of each of the image's tokens whether it is kept.
    fn stays(&self) -> Vec<bool> {
        let Some(kept) = &self.kept else { return vec![true; self.whole] };
        let mut stays = vec![false; self.whole];
        for token in kept.iter() {
            stays[*token] = true;
        }
        stays
    }
}

/// The tokens of a chunk that the first layer sees.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) ids: Vec<u32>,
    pub(crate) positions: MropePositions,
    /// The places of visual tokens among them.
    pub(crate) visual: Vec<usize>,
    /// Rows of the images, in order.
    pub(crate) images: Vec<Tensor<2>>,
}

impl Entering {
    /// The chunk without the visual tokens that its images, or the controls, leave out. The tokens that stay have the positions of
    /// the whole chunk.
    pub(crate) fn new(
        chunk: &Chunk,
        images: Vec<ImageRows>,
        placeholder: Option<u32>,
        pruning: Option<&Pruning>,
    ) -> Self {
        let is_visual = |id: &u32| Some(*id) == placeholder;
        let images: Vec<ImageRows> = images
            .into_iter()
            .enumerate()
            .map(|(index, image)| {
                let tokens = image.tokens();
                match pruning {
                    Some(pruning @ Pruning::Random(settings)) => {
                        let seed = settings.seed ^ hash(&chunk.ids, index);
                        image.select(random(tokens, pruning.entering(tokens), seed))
                    }
                    Some(pruning @ Pruning::Uniform(_)) => image.select(uniform(tokens, pruning.entering(tokens))),
                    _ => image,
                }
            })
            .collect();
        let (ids, positions) = if images.iter().all(|image| image.kept.is_none()) {
            (chunk.ids.clone(), chunk.positions.clone())
        } else {
            let places = places(&chunk.ids, &images, is_visual);
            (places.iter().map(|place| chunk.ids[*place]).collect(), chunk.positions.select(&places))
        };
        let visual = (0..ids.len()).filter(|index| is_visual(&ids[*index])).collect();
        Self { ids, positions, visual, images: images.into_iter().map(|image| image.rows).collect() }
    }
}

/// The places of all ids but the placeholders of tokens that are left out.
fn places(ids: &[u32], images: &[ImageRows], is_visual: impl Fn(&u32) -> bool) -> Vec<usize> {
    let mut stays = images.iter().flat_map(ImageRows::stays);
    (0..ids.len()).filter(|place| !is_visual(&ids[*place]) || stays.next().unwrap_or(true)).collect()
}

/// FNV-1a over ids and an index: the same on every machine, whatever else is in the batch.
fn hash(ids: &[u32], index: usize) -> u64 {
    let words = ids.iter().map(|id| u64::from(*id)).chain([index as u64]);
    words
        .flat_map(u64::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const PAD: u32 = 9;

    fn image(whole: usize, kept: Option<&[usize]>) -> ImageRows {
        let rows = kept.map_or(whole, <[usize]>::len);
        ImageRows { rows: Tensor::zeros([rows, 2], &Device::flex()), whole, kept: kept.map(Arc::from) }
    }

    #[test]
    fn placeholders_of_left_out_tokens_are_left_out_image_by_image() {
        let ids = [1, PAD, PAD, PAD, 2, PAD, PAD, PAD, PAD, 3];
        let is_visual = |id: &u32| *id == PAD;
        let images = [image(3, Some(&[0, 2])), image(2, None), image(2, Some(&[1]))];
        assert_eq!(places(&ids, &images, is_visual), [0, 1, 3, 4, 5, 6, 8, 9]);
        assert_eq!(places(&ids, &[], is_visual).len(), ids.len());
    }

    #[test]
    fn a_selection_of_everything_changes_nothing() {
        assert!(image(3, None).select(vec![0, 1, 2]).kept.is_none());
        let some = image(3, None).select(vec![0, 2]);
        assert_eq!((some.tokens(), some.whole, some.kept.as_deref()), (2, 3, Some([0, 2].as_slice())));
    }

    #[test]
    fn other_ids_and_other_images_draw_otherwise() {
        assert_eq!(hash(&[1, 2], 0), hash(&[1, 2], 0));
        assert_ne!(hash(&[1, 2], 0), hash(&[2, 1], 0));
        assert_ne!(hash(&[1, 2], 0), hash(&[1, 2], 1));
    }
}
