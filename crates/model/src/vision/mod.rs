//! The vision tower: patches in, image tokens out.

mod block;
mod merger;
mod received;
mod segments;
mod window_order;
mod zip;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Device, Int};

pub use block::{VisionAttention, VisionBlock};
pub use merger::{Merger, MergerMlp};
pub(crate) use received::Received;
pub use segments::Segments;
pub use window_order::WindowOrder;
pub use zip::ZippedImage;

use crate::config::VisionConfig;
use crate::error::ModelError;
use crate::linear::Linear;
use crate::rope::RopeTable;
use crate::trace::Trace;
use crate::weights::Weights;
use visionthink_image::GridThw;

/// Epsilon of every norm of the tower; fixed, not a field of the configuration.
const NORM_EPS: f64 = 1e-6;

/// Patch embedding, blocks, merger.
#[derive(Module, Debug)]
pub struct VisionTower {
    /// Patches to width C.
    pub patch_embed: PatchEmbed,
    /// Blocks, first to last.
    pub blocks: Vec<VisionBlock>,
    /// Groups of patches to image tokens.
    pub merger: Merger,
}

/// A linear layer over the numbers of a patch; the 3-D convolution of the checkpoint has stride and kernel alike.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// [patch values, C], without bias.
    pub proj: Linear,
}

impl VisionTower {
    pub(crate) fn new(weights: &mut Weights, config: &VisionConfig) -> Self {
        Self {
            patch_embed: PatchEmbed { proj: weights.linear("visual.patch_embed.proj") },
            blocks: (0..config.depth)
                .map(|index| VisionBlock::new(weights, &format!("visual.blocks.{index}"), config))
                .collect(),
            merger: Merger::new(weights, "visual.merger", config),
        }
    }

    /// Image tokens of all images, in order.
    ///
    /// All patches travel as one sequence in window order: a block attends inside windows or inside whole frames, and
    /// images never see each other. Undoing the order at the end gives rows in raster order.
    ///
    /// Shapes: `pixels` [P, patch values] -> [M, text C].
    pub(crate) fn forward(
        &self,
        pixels: Tensor<2>,
        grids: &[GridThw],
        config: &VisionConfig,
        mut trace: Option<&mut Trace>,
    ) -> Tensor<2> {
        let layout = Layout::new(grids, config, &pixels.device());
        if let Some(trace) = trace.as_deref_mut() {
            trace.patch_embed = Some(self.patch_embed.proj.forward(pixels.clone()));
        }
        let mut x = self.first(pixels, &layout);
        let [_, patches, width] = x.dims();
        for number in 0..self.blocks.len() {
            x = self.block(number, x, &layout);
            if let Some(trace) = trace.as_deref_mut() {
                trace.vision_blocks.push(x.clone().reshape([patches, width]));
            }
        }
        self.last(x, &layout)
    }

    /// [`VisionTower::forward`], and what the tokens of each image receive in block `source`, which sees whole images.
    pub(crate) fn forward_watched(
        &self,
        pixels: Tensor<2>,
        grids: &[GridThw],
        config: &VisionConfig,
        source: usize,
    ) -> Result<(Tensor<2>, Vec<Received>), ModelError> {
        let layout = Layout::new(grids, config, &pixels.device());
        let mut x = self.first(pixels, &layout);
        let mut received = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            if number == source {
                let heads = block.heads(x.clone(), &layout.rope);
                received = Received::of_images(&heads, &layout.order, grids, config)?;
                x = block.attend(x, heads, &layout.frames);
            } else {
                x = self.block(number, x, &layout);
            }
        }
        Ok((self.last(x, &layout), received))
    }

    /// Patches as the blocks take them: embedded, in window order. Shapes: [P, patch values] -> [1, P, C].
    pub(crate) fn first(&self, pixels: Tensor<2>, layout: &Layout) -> Tensor<3> {
        let device = pixels.device();
        let x = self.patch_embed.proj.forward(pixels);
        let [patches, width] = x.dims();
        x.select(0, index(&layout.order.patch_index(), &device)).reshape([1, patches, width])
    }

    /// One block. Shapes: [1, P, C] -> [1, P, C].
    pub(crate) fn block(&self, number: usize, x: Tensor<3>, layout: &Layout) -> Tensor<3> {
        let segments = if layout.whole_frames[number] { &layout.frames } else { &layout.windows };
        self.blocks[number].forward(x, &layout.rope, segments)
    }

    /// Image tokens, in order. Shapes: [1, P, C] -> [M, text C].
    pub(crate) fn last(&self, x: Tensor<3>, layout: &Layout) -> Tensor<2> {
        let device = x.device();
        self.merger.forward(x).select(0, index(&layout.order.inverse_window_index(), &device))
    }
}

/// How the patches of some images lie, and which of them see each other: what all blocks share.
pub(crate) struct Layout {
    order: WindowOrder,
    windows: Segments,
    frames: Segments,
    rope: RopeTable,
    /// Of every block whether it attends inside whole frames, not windows.
    whole_frames: Vec<bool>,
}

impl Layout {
    pub(crate) fn new(grids: &[GridThw], config: &VisionConfig, device: &Device) -> Self {
        let order = WindowOrder::new(grids, config.spatial_merge_size as u32, config.window_cells() as u32);
        Self {
            windows: Segments::new(&order.cu_window_seqlens, device),
            frames: Segments::new(&order.cu_seqlens, device),
            rope: RopeTable::axial(&order.permuted_coordinates(), config.head_dim(), device),
            whole_frames: (0..config.depth).map(|number| config.fullatt_block_indexes.contains(&number)).collect(),
            order,
        }
    }
}

fn index(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
    Tensor::from_ints(values.as_slice(), device)
}
