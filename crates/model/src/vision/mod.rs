//! The vision tower: patches in, image tokens out.

mod block;
mod merger;
mod segments;
mod window_order;

use burn::Tensor;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Int;

pub use block::{VisionAttention, VisionBlock};
pub use merger::{Merger, MergerMlp};
pub use segments::Segments;
pub use window_order::WindowOrder;

use crate::config::VisionConfig;
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
        let device = pixels.device();
        let order = WindowOrder::new(grids, config.spatial_merge_size as u32, config.window_cells() as u32);
        let windows = Segments::new(&order.cu_window_seqlens, &device);
        let frames = Segments::new(&order.cu_seqlens, &device);
        let rope = RopeTable::axial(&order.permuted_coordinates(), config.head_dim(), &device);

        let x = self.patch_embed.proj.forward(pixels);
        if let Some(trace) = trace.as_deref_mut() {
            trace.patch_embed = Some(x.clone());
        }
        let [patches, width] = x.dims();
        let index = |values: &[u32]| {
            let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
            Tensor::<1, Int>::from_ints(values.as_slice(), &device)
        };
        let mut x = x.select(0, index(&order.patch_index())).reshape([1, patches, width]);
        for (number, block) in self.blocks.iter().enumerate() {
            let segments = if config.fullatt_block_indexes.contains(&number) { &frames } else { &windows };
            x = block.forward(x, &rope, segments);
            if let Some(trace) = trace.as_deref_mut() {
                trace.vision_blocks.push(x.clone().reshape([patches, width]));
            }
        }
        self.merger.forward(x).select(0, index(&order.inverse_window_index()))
    }
}
