//! Patches and their grid.

use serde::{Deserialize, Serialize};

use crate::{Processor, RgbImage};

/// Patches of one image along time, height and width: a row of `image_grid_thw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GridThw {
    /// Frames after temporal patching: 1 for a still image.
    pub t: u32,
    /// Patches along the height.
    pub h: u32,
    /// Patches along the width.
    pub w: u32,
}

impl GridThw {
    /// How many patches, P.
    pub fn patches(self) -> usize {
        self.t as usize * self.h as usize * self.w as usize
    }

    /// How many image tokens, M, when `merge` x `merge` patches become one (`merge_size` of the processor).
    pub fn tokens(self, merge: u32) -> usize {
        self.patches() / (merge as usize * merge as usize).max(1)
    }
}

/// An image as the vision tower reads it.
#[derive(Clone, PartialEq)]
pub struct Patches {
    /// [P, 3 * temporal_patch_size * patch_size * patch_size] normalised values. Rows go by merge cell: cell row, cell column, then row and
    /// column inside the cell. In a row: channel, time, y, x.
    pub values: Vec<f32>,
    /// How the patches lie in the image.
    pub grid: GridThw,
}

impl std::fmt::Debug for Patches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patches").field("grid", &self.grid).field("values", &self.values.len()).finish()
    }
}

/// Normalises and cuts an image whose sides are multiples of `patch_size * merge_size`.
pub(crate) fn cut(processor: &Processor, image: &RgbImage) -> Patches {
    let patch = processor.patch_size as usize;
    let merge = processor.merge_size as usize;
    let cell = patch * merge;
    let (width, height) = (image.width as usize, image.height as usize);
    assert!(width.is_multiple_of(cell) && height.is_multiple_of(cell), "{image:?} is not a multiple of {cell}");
    let levels = normalised_levels(processor);
    let mut values = Vec::with_capacity(image.pixels.len() * processor.temporal_patch_size as usize);
    for cell_top in (0..height).step_by(cell) {
        for cell_left in (0..width).step_by(cell) {
            for top in (cell_top..cell_top + cell).step_by(patch) {
                for left in (cell_left..cell_left + cell).step_by(patch) {
                    push_patch(&mut values, processor, image, &levels, (top, left));
                }
            }
        }
    }
    let grid = GridThw { t: 1, h: (height / patch) as u32, w: (width / patch) as u32 };
    Patches { values, grid }
}

fn push_patch(
    values: &mut Vec<f32>,
    processor: &Processor,
    image: &RgbImage,
    levels: &[[f32; 256]; 3],
    (top, left): (usize, usize),
) {
    let patch = processor.patch_size as usize;
    let row = image.width as usize * 3;
    for (channel, levels) in levels.iter().enumerate() {
        let start = values.len();
        for y in top..top + patch {
            let (pixels, _) = image.pixels[y * row + left * 3..][..patch * 3].as_chunks::<3>();
            values.extend(pixels.iter().map(|pixel| levels[usize::from(pixel[channel])]));
        }
        // A still image is one frame shown for the whole temporal patch.
        for _ in 1..processor.temporal_patch_size {
            values.extend_from_within(start..start + patch * patch);
        }
    }
}

/// `(level - 255 * mean) / (255 * std)` for every byte, in f32 with the products formed first: bit-exact with the reference.
fn normalised_levels(processor: &Processor) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        let mean = 255.0 * processor.mean[channel];
        let std = 255.0 * processor.std[channel];
        std::array::from_fn(|level| (level as f32 - mean) / std)
    })
}
